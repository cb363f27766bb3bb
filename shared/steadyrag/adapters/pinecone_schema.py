"""The Pinecone index that the service needs: its schema, and the command that makes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steadyrag.adapters.pinecone_client import PineconeClient, open_account
from steadyrag.adapters.vendor_http import ApiKey
from steadyrag.domain.errors import ConfigError

if TYPE_CHECKING:
    from pinecone import AsyncPinecone
    from pinecone.models.indexes.index import IndexModel

VECTOR = "embedding"
TERMS = "terms"
"""Full-text field of terms that are analysed already: see `domain/analysis.py`."""

_HOPELESS = frozenset({"InitializationFailed", "Terminating", "Disabled"})


@dataclass(frozen=True, slots=True)
class IndexReady:
    """`host` is what the service needs to know; `created` is False for one that was there."""

    name: str
    host: str
    created: bool


def schema(dimension: int) -> dict[str, Any]:
    """What is declared: a dense field and a full-text field. Everything else in a document
    is metadata, which Pinecone indexes for filters without being told."""
    return {
        "fields": {
            VECTOR: {"type": "dense_vector", "dimension": dimension, "metric": "cosine"},
            TERMS: {"type": "string", "full_text_search": {"stemming": False}},
        }
    }


async def ensure_index(
    *,
    api_key: ApiKey,
    name: str,
    dimension: int,
    cloud: str = "aws",
    region: str = "us-east-1",
    controller_host: str | None = None,
    timeout_s: float = 30.0,
    ready_timeout_s: float = 300.0,
    poll_s: float = 2.0,
    report: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> IndexReady:
    """Creates the index and waits until it is ready; one that is there already is checked.

    `report` is told each state while waiting. Raises `ConfigError` with every difference
    when the index is there and does not fit, when Pinecone gives it up, or when it is not
    ready in time; `DependencyError` (dependency `index`) for Pinecone's failures.
    """
    client = PineconeClient(
        dependency="index",
        api_key=api_key,
        timeout_s=timeout_s,
        make=lambda: open_account(
            api_key=api_key,
            controller_host=controller_host,
            timeout_s=timeout_s,
            max_connections=2,
        ),
    )
    try:
        found = await client.call(lambda account: _describe(account, name))
        created = found is None
        if found is None:
            deployment = {"deployment_type": "managed", "cloud": cloud, "region": region}
            found = await client.call(lambda account: _create(account, name, dimension, deployment))
        if problems := differences(found, dimension):
            listed = "\n".join(f"  - {problem}" for problem in problems)
            raise ConfigError(
                f"the Pinecone index {name!r} exists and does not fit:\n{listed}\n"
                "A schema cannot be changed: choose another name, or delete the index."
            )
        waited_s = 0.0
        while not found.status.ready or not found.host:
            if found.status.state in _HOPELESS:
                raise ConfigError(f"the Pinecone index {name!r} is {found.status.state}")
            if waited_s >= ready_timeout_s:
                raise ConfigError(
                    f"the Pinecone index {name!r} is not ready after {ready_timeout_s:g} s; "
                    "run the command again to go on waiting"
                )
            report(found.status.state)
            await sleep(poll_s)
            waited_s += poll_s
            found = await client.call(lambda account: account.indexes.describe(name))
        return IndexReady(name=name, host=found.host, created=created)
    finally:
        await client.aclose()


def differences(index: IndexModel, dimension: int) -> list[str]:
    """What about an existing index does not fit, in words; nothing when it does."""
    held: Mapping[str, Any] = index.schema.to_dict()["fields"]
    problems: list[str] = []
    for field, wanted in schema(dimension)["fields"].items():
        has = held.get(field)
        if has is None:
            problems.append(f"field {field!r} is missing (it must be a {_kind(wanted)})")
        elif _kind(has) != _kind(wanted):
            problems.append(f"field {field!r} is a {_kind(has)}, not a {_kind(wanted)}")
        else:
            problems.extend(_unlike(field, has, wanted))
    problems.extend(
        f"field {field!r} is a dense vector that every document would have to carry"
        for field, has in held.items()
        if field != VECTOR and has.get("type") == "dense_vector"
    )
    return problems


def _kind(field: Mapping[str, Any]) -> str:
    if field.get("type") == "string":
        searched = field.get("full_text_search") is not None
        return "full-text string" if searched else "string without full-text search"
    return str(field.get("type", "field without a type")).replace("_", " ")


def _unlike(field: str, has: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    problems = [
        f"field {field!r} has {key} {has.get(key)}, not {wanted[key]}"
        for key in ("dimension", "metric")
        if key in wanted and has.get(key) != wanted[key]
    ]
    search = has.get("full_text_search") or {}
    problems += [
        f"field {field!r} has {option} turned on, and terms are analysed before they get there"
        for option in ("stemming", "stop_words", "ngram")
        if search.get(option)
    ]
    return problems


async def _describe(account: AsyncPinecone, name: str) -> IndexModel | None:
    from pinecone.errors import NotFoundError

    try:
        return await account.indexes.describe(name)
    except NotFoundError:
        return None


async def _create(
    account: AsyncPinecone, name: str, dimension: int, deployment: dict[str, Any]
) -> IndexModel:
    from pinecone.errors import ConflictError

    try:
        return await account.indexes.create(
            name=name, schema=schema(dimension), deployment=deployment, timeout=-1
        )
    except ConflictError:  # somebody was faster
        return await account.indexes.describe(name)
