"""Structured logs: one JSON line an event, through Powertools' formatter."""

import logging
import sys

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter


def configure(level: str = "INFO", *, service: str = "steadyrag") -> None:
    """Sends every `steadyrag` log line to standard error as JSON. Safe to call twice.

    Fields passed as `extra` become keys. User text is never passed to a log call.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LambdaPowertoolsFormatter(log_record_order=["level", "message"]))
    logger = logging.getLogger("steadyrag")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
    for chatty in ("httpx", "httpx2", "pinecone", "openai", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
