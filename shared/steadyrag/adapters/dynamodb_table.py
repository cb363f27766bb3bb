"""The tables of the shared store and of the ledger, for the local service and for tests;
`template.yaml` makes the same ones in AWS."""

import time
from collections.abc import Mapping

from steadyrag.adapters.aws_client import where
from steadyrag.domain.errors import ConfigError

CREATED_WITHIN_S = 10.0


def create_table(
    *, table: str, endpoint_url: str | None = None, region: str | None = None, local: bool = False
) -> None:
    """Makes the shared store's table unless it is there, and returns when it can be used.
    Blocks. `local` is as for `DynamoStore`. Raises `ConfigError` when AWS refuses or can't be
    reached."""
    _create(table, {"k": "HASH"}, endpoint_url, region, local=local)


def ensure_documents_table(
    prefix: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    local: bool = False,
) -> None:
    """As `create_table`, for the ledger's table of that prefix."""
    _create(f"{prefix}documents", {"n": "HASH", "d": "RANGE"}, endpoint_url, region, local=local)


def _create(
    table: str,
    keys: Mapping[str, str],
    endpoint_url: str | None,
    region: str | None,
    *,
    local: bool,
) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.session.Session().client(
            "dynamodb",
            **where(endpoint_url, region, local=local),
            config=Config(
                connect_timeout=2,
                read_timeout=5,
                retries={"total_max_attempts": 2},
                proxies={} if local else None,
            ),
        )
        try:
            client.create_table(
                TableName=table,
                AttributeDefinitions=[
                    {"AttributeName": name, "AttributeType": "S"} for name in keys
                ],
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
                BillingMode="PAY_PER_REQUEST",
            )
        except client.exceptions.ResourceInUseException:
            return
        before = time.monotonic() + CREATED_WITHIN_S
        while client.describe_table(TableName=table)["Table"]["TableStatus"] != "ACTIVE":
            if time.monotonic() > before:
                raise ConfigError(f"table {table} is not ready after {CREATED_WITHIN_S:g} s")
            time.sleep(0.1)
        client.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "e"}
        )
    except (BotoCoreError, ClientError) as error:
        raise ConfigError(f"can't create table {table}: {error}") from error
