"""The application as a Lambda handler behind a REST API."""

from mangum import Mangum
from mangum.types import ASGI

TEXT_TYPES = ["text/", "application/json", "application/problem+json"]
"""Everything else would be encoded as base64, which a REST API hands on undecoded."""


def lambda_handler(app: ASGI) -> Mangum:
    """`app` for API Gateway's proxy events. Makes the event loop that every invocation of the
    environment shares, so that clients made in one are there in the next.

    `lifespan="auto"` would start and stop the application on every invocation.
    """
    return Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)
