"""What environments share: Valkey and DynamoDB."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from steadyrag.resilience.breaker import LocalBreaker
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from steadyrag.adapters.local.announced import StoreAddresses
    from steadyrag.adapters.valkey_iam import IamCredentials
    from steadyrag.domain.ports import SharedStore
    from steadyrag.settings import Settings

CLIENT_TIMEOUT_S = 0.5
"""What a store's own client allows a search; `GuardedStore` allows less where the connection
is warm."""
INGEST_TIMEOUT_S = 5.0

type Clock = Callable[[], float]


def shared_stores(
    settings: Settings, *, timeout_s: float, clock: Clock = time.time
) -> list[SharedStore]:
    """The shared stores, nearest first."""
    stores: list[SharedStore] = []
    if settings.cache_url:
        from steadyrag.adapters.valkey import ValkeyStore

        stores.append(
            ValkeyStore(
                url=settings.cache_url,
                timeout_s=timeout_s,
                clock=clock,
                prefix="",  # the keys carry it themselves
                credentials=cache_credentials(settings, clock=clock),
            )
        )
    if settings.table_prefix:
        from steadyrag.adapters.dynamodb import DynamoStore

        stores.append(
            DynamoStore(
                table=f"{settings.table_prefix}cache",
                endpoint_url=settings.local_dynamodb_url,
                local=settings.local_dynamodb_url is not None,
                timeout_s=timeout_s,
                clock=clock,
            )
        )
    return stores


def cache_credentials(settings: Settings, *, clock: Clock = time.time) -> IamCredentials | None:
    """What signs in to ElastiCache; None where the cache's URL says all there is to say."""
    if not (settings.cache_user and settings.cache_name):
        return None
    from steadyrag.adapters.valkey_iam import IamCredentials

    return IamCredentials(settings.cache_user, settings.cache_name, clock=clock)


def guarded_stores(settings: Settings, *, clock: Clock = time.time) -> list[GuardedStore]:
    """The same as a search uses them: none can hold it up."""
    stores = shared_stores(settings, timeout_s=CLIENT_TIMEOUT_S, clock=clock)
    return [GuardedStore(store, breaker=_breaker(store, clock), clock=clock) for store in stores]


def _breaker(store: SharedStore, clock: Clock) -> LocalBreaker:
    return LocalBreaker(
        store.name,
        clock=clock,
        on_transition=metrics.on_transition,
        on_refused=metrics.on_refused,
    )


@contextmanager
def local_stores(
    settings: Settings, report: Callable[[str], None]
) -> Iterator[Callable[[], Settings]]:
    """Real stores on this machine, as long as the block lasts, for those that the settings do
    not name. They start at once; what it yields waits for them and returns the settings with
    their addresses, which an ingest on the same data directory finds from then on. `report`
    is told of a store that does not start, and the settings go without it.

    Where nobody else shares them, only a rate limit that was set holds.
    """
    from steadyrag.adapters.local import stores
    from steadyrag.adapters.local.announced import announced

    with ExitStack() as running:
        addresses = running.enter_context(
            stores.local_stores(
                settings.data_dir,
                valkey=not settings.cache_url,
                ministack=None if settings.table_prefix else settings.local_aws,
                report=report,
            )
        )

        def ready() -> Settings:
            started = {name: at for name, at in asdict(addresses()).items() if at is not None}
            if not (settings.cache_url or settings.table_prefix):
                started["rate_limit"] = settings.rate_limit or "off"
            complete = settings.model_copy(update=started)
            if complete.cache_url or complete.table_prefix:
                running.enter_context(announced(settings.data_dir, store_addresses(complete)))
            return complete

        yield ready


def store_addresses(settings: Settings) -> StoreAddresses:
    """Where the settings say that the stores are."""
    from steadyrag.adapters.local.announced import StoreAddresses

    return StoreAddresses(**{f.name: getattr(settings, f.name) for f in fields(StoreAddresses)})
