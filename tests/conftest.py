"""Fixtures for every folder of tests."""

import asyncio
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from functools import cache

import botocore.session
import pytest

from servers import (
    certificates,
    dynamo_table,
    local_aws,
    shared_store,
    valkey_cluster,
    valkey_server,
    valkey_tls,
)
from steadyrag.telemetry import log, metrics

__all__ = [
    "certificates",
    "dynamo_table",
    "local_aws",
    "shared_store",
    "valkey_cluster",
    "valkey_server",
    "valkey_tls",
]


@pytest.fixture(scope="session", autouse=True)
def one_loader() -> Iterator[None]:
    """What boto3 knows of its services is read once, not by each of hundreds of sessions: that
    took a third of all tests' time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="module", autouse=True)
def no_loop_left_open() -> Iterator[None]:
    """A Lambda handler makes a loop for its environment's life and so never closes it. Left for
    the garbage collector, it would fail whatever test runs by then."""
    yield
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        try:
            left = asyncio.get_event_loop_policy().get_event_loop()
        except RuntimeError:
            return
    asyncio.set_event_loop(None)
    left.close()


@pytest.fixture
def printed_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process prints as its log and its records, DEBUG lines included; nothing of it is
    left to the next test."""
    ours, stream = logging.getLogger("steadyrag"), io.StringIO()
    before = ours.handlers, ours.level, ours.propagate, log._handler
    monkeypatch.setattr(sys, "stderr", stream)
    log.configure("DEBUG")
    yield stream
    ours.handlers, ours.level, ours.propagate, log._handler = before


@pytest.fixture(autouse=True)
def strict_metrics():
    """A metric that is not in the catalogue fails the test that counts it."""
    metrics.configure("off", strict=True)
