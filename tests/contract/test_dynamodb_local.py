"""A stand-in for DynamoDB on this machine: no account, and no credentials but made-up ones."""

import pytest

from servers import unique
from steadyrag.adapters.aws_client import where
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.domain.errors import ConfigError


async def test_nothing_of_aws_needs_to_be_set_up(local_aws, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    table = unique("local")
    create_table(table=table, endpoint_url=local_aws.url, local=True)
    store = DynamoStore(
        table=table, endpoint_url=local_aws.url, local=True, timeout_s=5.0, connect_timeout_s=5.0
    )
    await store.write({"a": b"1"}, ttl_s=60)
    assert await store.read(["a"]) == ({"a": b"1"}, {})
    await store.aclose()


@pytest.mark.parametrize(
    "url",
    [
        None,
        "https://dynamodb.eu-west-1.amazonaws.com",
        "http://192.0.2.1:8000",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://0.0.0.0:8000",
    ],
)
def test_made_up_credentials_never_leave_this_machine(url):
    with pytest.raises(ConfigError, match="this machine"):
        DynamoStore(table="t", endpoint_url=url, local=True)
    with pytest.raises(ConfigError, match="this machine"):
        create_table(table="t", endpoint_url=url, local=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "[::1]"])
def test_every_name_of_loopback_will_do(host):
    assert where(f"http://{host}:8000", None, local=True)["aws_access_key_id"] == "local"


def test_without_local_nothing_is_made_up():
    assert where("http://127.0.0.1:8000", "eu-west-1", local=False) == {
        "endpoint_url": "http://127.0.0.1:8000",
        "region_name": "eu-west-1",
    }
