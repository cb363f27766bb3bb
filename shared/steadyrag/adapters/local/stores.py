"""The shared stores of the embedded default: a Valkey server, and a table in a local AWS."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.adapters.local.announced import StoreAddresses
from steadyrag.adapters.local.child_process import Service
from steadyrag.adapters.local.services import start_local_aws, start_valkey
from steadyrag.domain.errors import ConfigError

TABLE_PREFIX = "steadyrag-"


@contextmanager
def local_stores(
    data_dir: Path, *, valkey: bool, ministack: Path | None, report: Callable[[str], None]
) -> Iterator[Callable[[], StoreAddresses]]:
    """Starts the stores that are wanted, both at once and without waiting, and stops them in
    the end. What it yields waits until they are there; `report` is told of one that is not.

    `ministack` is the local AWS's program.
    """
    cache = _in_thread(lambda: start_valkey(data_dir)) if valkey else None
    table = _in_thread(lambda: _start_table(data_dir, ministack)) if ministack else None
    if ministack:
        _in_thread(lambda: import_module("boto3.session"))  # takes as long as the server does

    def ready() -> StoreAddresses:
        cache_server, table_server = _started(cache, report), _started(table, report)
        return StoreAddresses(
            cache_url=f"{cache_server.url}?cluster=false" if cache_server else None,
            table_prefix=TABLE_PREFIX if table_server else None,
            local_dynamodb_url=table_server.url if table_server else None,
        )

    try:
        yield ready
    finally:
        for starting in (cache, table):
            if starting is not None and starting.done() and not starting.exception():
                starting.result().stop()


def _in_thread[T](work: Callable[[], T]) -> Future[T]:
    """In one that nobody waits for: who interrupts the start is not kept, and a server that
    is only starting ends with the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _started(starting: Future[Service] | None, report: Callable[[str], None]) -> Service | None:
    try:
        return starting.result() if starting is not None else None
    except (ConfigError, OSError) as error:
        report(f"{error}; going on without it.")
        return None


def _start_table(data_dir: Path, ministack: Path) -> Service:
    if not ministack.is_file():
        raise ConfigError(
            f"no local AWS at {ministack} (`make .venv-cloud/.ready` installs it, "
            "STEADYRAG_LOCAL_AWS says where it is)"
        )
    server = start_local_aws(data_dir, executable=ministack)
    try:
        create_table(table=f"{TABLE_PREFIX}cache", endpoint_url=server.url, local=True)
    except BaseException:
        server.stop()
        raise
    return server
