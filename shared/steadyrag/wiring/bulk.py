"""A bulk load from a bucket, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steadyrag.domain.errors import ConfigError, InvalidInput
from steadyrag.domain.objects import PREFIX, Layout
from steadyrag.domain.text import clean_namespace
from steadyrag.settings import load
from steadyrag.wiring.documents import build_reconcile, ingest_queue, s3_bucket

if TYPE_CHECKING:
    from steadyrag.domain.ledger import Queue
    from steadyrag.reconcile_parts import ReconcileParts
    from steadyrag.settings import Settings


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a bulk load works with. `queue` is None where it embeds in this process;
    `namespace` where it is about all of them."""

    parts: ReconcileParts
    namespace: str | None
    queue: Queue | None

    async def aclose(self) -> None:
        await self.parts.aclose()
        if self.queue is not None:
            await self.queue.aclose()


def build_bulk(settings: Settings, address: str, *, namespace: str | None, here: bool) -> Bulk:
    """For `s3://bucket/prefix`. Of the settings' own bucket the layout decides, and its queue's
    workers do the work unless it is to be done here; what lies in another bucket goes into
    one namespace, named after the path below the prefix. Raises `ConfigError`."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(f"{address}: names no bucket; say s3://BUCKET/PREFIX")
    if bucket == settings.documents_bucket:
        own = _own_namespace(prefix, namespace)
        queue = None if here or not settings.ingest_queue_url else ingest_queue(settings)
        return Bulk(build_reconcile(settings), own, queue)
    layout = Layout(prefix if not prefix or prefix.endswith("/") else f"{prefix}/", "default")
    if namespace:
        layout = Layout(layout.prefix, namespace)
    parts = build_reconcile(settings, bucket=s3_bucket(settings, bucket), layout=layout)
    return Bulk(parts, layout.namespace, None)


def _own_namespace(prefix: str, namespace: str | None) -> str | None:
    """The namespace that a prefix of our own bucket is about, None for all."""
    rest = prefix.removeprefix(PREFIX) if prefix.startswith(PREFIX) else prefix
    if (prefix and not prefix.startswith(PREFIX) and f"{prefix}/" != PREFIX) or "/" in rest[:-1]:
        raise ConfigError(
            f"this bucket is the service's own: say no prefix, {PREFIX}, or {PREFIX}NAMESPACE/"
        )
    named = "" if f"{prefix}/" == PREFIX else rest.rstrip("/")
    try:
        if named:
            clean_namespace(named)
    except InvalidInput as error:
        raise ConfigError(str(error)) from None
    if named and namespace and named != namespace:
        raise ConfigError(f"--namespace {namespace} and the prefix {prefix} contradict each other")
    return named or namespace


async def stack_settings(name: str, *, function: str = "ingest") -> Settings:
    """The settings that a deployed stack gives one of its functions. Raises `ConfigError`."""
    from steadyrag.adapters.aws_account import AwsAccount

    account = AwsAccount()
    try:
        stack = await account.stack(name)
        physical = stack.named(f"{function.title()}Function") if stack else None
        found = await account.function(physical) if physical else None
    finally:
        await account.aclose()
    if not found:
        raise ConfigError(
            f"there is no stack {name} with a function {function}; check the name, the region "
            "and the credentials of this shell"
        )
    return load(dict(found.environment))
