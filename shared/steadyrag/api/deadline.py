"""How long a request may take: the service's default, less where the caller or Lambda says."""

import math

from starlette.datastructures import Headers
from starlette.types import Scope

from steadyrag.domain.errors import InvalidInput

HEADER = "X-Request-Timeout"

LAMBDA_MARGIN_S = 0.5
"""What the answer needs to get out before Lambda ends the environment."""

LEAST_S = 0.05


def request_deadline_s(scope: Scope, *, default_s: float) -> float:
    """Seconds this request may take from now.

    `X-Request-Timeout` (seconds, decimals allowed) can only lower `default_s`; raises
    `InvalidInput` naming it when it is not a positive number. Lambda's remaining time, less
    a margin to answer in, bounds both.
    """
    allowed_s = min(default_s, _asked_s(Headers(scope=scope)))
    context = scope.get("aws.context")
    if context is not None:
        left_s = context.get_remaining_time_in_millis() / 1000 - LAMBDA_MARGIN_S
        allowed_s = min(allowed_s, max(left_s, LEAST_S))
    return allowed_s


def _asked_s(headers: Headers) -> float:
    given = headers.getlist(HEADER)
    if not given:
        return math.inf
    if len(given) > 1:
        raise InvalidInput(HEADER, "is there more than once")
    try:
        seconds = float(given[0]) if given[0].isascii() and "_" not in given[0] else math.nan
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds <= 0:
        raise InvalidInput(HEADER, "must be a number of seconds greater than 0")
    return seconds
