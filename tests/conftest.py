"""Fixtures for every folder of tests."""

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
from steadyrag.telemetry import metrics

__all__ = [
    "certificates",
    "dynamo_table",
    "local_aws",
    "shared_store",
    "valkey_cluster",
    "valkey_server",
    "valkey_tls",
]


@pytest.fixture(autouse=True)
def strict_metrics():
    """A metric that is not in the catalogue fails the test that counts it."""
    metrics.configure("off", strict=True)
