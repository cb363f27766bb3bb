"""Fixtures for every folder of tests."""

from servers import (
    certificates,
    dynamo_table,
    local_aws,
    shared_store,
    valkey_cluster,
    valkey_server,
    valkey_tls,
)

__all__ = [
    "certificates",
    "dynamo_table",
    "local_aws",
    "shared_store",
    "valkey_cluster",
    "valkey_server",
    "valkey_tls",
]
