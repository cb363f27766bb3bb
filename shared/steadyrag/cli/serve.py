"""steadyrag serve"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import sys
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Literal, NoReturn

import click

from steadyrag.domain.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from steadyrag.domain.ports import SharedStore
    from steadyrag.settings import Settings


@click.command("serve")
@click.option("--try", "tries", multiple=True, help="A question to show as an example.")
@click.option(
    "--stores",
    is_flag=True,
    help="Run a Valkey and a DynamoDB of its own for caches, circuit breakers and limits, "
    "where STEADYRAG_CACHE_URL and STEADYRAG_TABLE_PREFIX name none.",
)
def command(tries: tuple[str, ...], stores: bool) -> None:
    """Serve the API, its docs and a console on STEADYRAG_HOST:STEADYRAG_PORT until Ctrl-C.

    Requests have to ask for that host, for localhost or for 127.0.0.1; on 0.0.0.0 for any address,
    but for no other name.

    The console shows what was asked, which is kept in STEADYRAG_DATA_DIR. On this machine alone
    that is the text itself, without mail addresses and the like, unless STEADYRAG_LOG_TEXT says
    otherwise. The log shows it as STEADYRAG_LOG_TEXT says, in any case.
    """
    from steadyrag.settings import load
    from steadyrag.telemetry import records
    from steadyrag.wiring.stores import local_stores
    from steadyrag.wiring.telemetry import configure_telemetry

    settings = load()
    configure_telemetry(settings)
    records.configure(settings.log_text, listener_text=_kept(settings))
    address = _listen(settings.host, settings.port)
    signals = _Signals()
    if stores:
        _say("Starting Valkey and a local AWS ...")
    with local_stores(settings, _say) if stores else nullcontext(lambda: settings) as ready:
        _serve(address, ready, tries, signals)


def _serve(
    address: socket.socket,
    ready: Callable[[], Settings],
    tries: Sequence[str],
    signals: _Signals,
) -> None:
    """Serves until a signal; asks for the settings after the imports, which take as long as
    the stores do to start."""
    import uvicorn

    from steadyrag.api import create_app
    from steadyrag.api.console import console_router
    from steadyrag.api.console_door import ConsoleDoor
    from steadyrag.api.documents import documents_router
    from steadyrag.api.feedback import feedback_router
    from steadyrag.api.health import health_router
    from steadyrag.api.search import search_router
    from steadyrag.feedback import FeedbackParts
    from steadyrag.telemetry import metrics, records
    from steadyrag.wiring.access import access, live_config
    from steadyrag.wiring.console import local_monitor
    from steadyrag.wiring.documents import build_documents
    from steadyrag.wiring.local_documents import build_local_documents
    from steadyrag.wiring.parts import preload
    from steadyrag.wiring.readiness import breaker_states, probes
    from steadyrag.wiring.records import local_records
    from steadyrag.wiring.search_ids import search_ids
    from steadyrag.wiring.service import build, rate_limit, warm

    signals.obey()
    settings = ready()
    signals.obey()
    preload(settings)
    service = build(settings)
    live = live_config(settings)
    limit, door = rate_limit(settings, service.stores, live), access(settings, live)
    # Documents of a bucket in AWS are taken in there.
    local = None if settings.documents_bucket else build_local_documents(settings)
    documents = local.parts if local else build_documents(settings)
    kept, monitor = local_records(settings), local_monitor(settings, service)
    ids, own = search_ids(settings), ConsoleDoor(settings.host)
    app = create_app(
        [
            search_router(service, limit, door, ids),
            feedback_router(ids, limit, FeedbackParts(kept.store)),
            documents_router(documents, door, limit),
            health_router(probes(service), breakers=partial(breaker_states, service)),
            console_router(kept.store, monitor, own),
        ],
        cors_origin=settings.cors_origin,
        live=live,
        door=own,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            proxy_headers=False,  # a caller's address decides its rate limit: no header may
            timeout_graceful_shutdown=5,
        )
    )

    async def run() -> None:
        await asyncio.gather(warm(service, live), *map(_meet, service.stores))
        # What is there now stays: going through it on every full collection would hold up all
        # requests for 0.1 s, in which every store's answer seems late.
        gc.freeze()
        address.listen()  # before it is said, so that nobody who reads it is refused
        _say(_welcome(settings.host, settings.port, tries))
        records.subscribe(kept.listen)
        metrics.subscribe(monitor.listen)
        working = [asyncio.create_task(part.work()) for part in (local, monitor) if part]
        try:
            await server.serve(sockets=[address])
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            await asyncio.gather(service.aclose(), kept.aclose(), (local or documents).aclose())
            if live:
                await live.aclose()

    signals.obey(from_now_on=True)
    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        _say("Stopped.")


def _kept(settings: Settings) -> Literal["hash", "truncated", "full"]:
    """How the console shows what people ask: to the person at this machine in full, unless a
    setting says otherwise; to a network not at all."""
    here = settings.host in ("127.0.0.1", "::1", "localhost")
    if "log_text" in settings.model_fields_set or not here:
        return settings.log_text
    return "full"


async def _meet(store: SharedStore) -> None:
    """Connects, which the first question would wait for; one that is down is met later."""
    with suppress(DependencyError):
        await store.read(["sr:health"])


def _say(line: str) -> None:
    click.echo(line, err=True)


class _Signals:
    """Ctrl-C and SIGTERM unwind, so that what was started is stopped.

    While things start, the first one is remembered until `obey`: an exception that is raised
    in the middle of an import can be swallowed there and leave its lock behind. The second
    one does not wait.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def obey(self, *, from_now_on: bool = False) -> None:
        """Unwinds if a signal has come; `from_now_on` at once for those to come, too."""
        if from_now_on:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which asyncio replaces
            signal.signal(signal.SIGTERM, self._unwind)
        if self._received is not None:
            self._unwind(self._received, None)

    def _remember(self, number: int, _: object) -> None:
        if self._received is not None:
            self._unwind(number, None)
        self._received = number

    def _unwind(self, number: int, _: object) -> NoReturn:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, made before anything slow so that a taken port is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise click.ClickException(
            f"can't listen on {host}:{port} ({error.strerror}); "
            "set STEADYRAG_PORT to a free port, or stop what uses this one"
        ) from None
    return listener


def _welcome(host: str, port: int, tries: Sequence[str]) -> str:
    at = f"http://{host}:{port}"
    examples = "\n\n".join(
        f"  curl -s {at}/search -H 'content-type: application/json' \\\n"
        f"    -d '{json.dumps({'query': question}, ensure_ascii=False)}'"
        for question in tries or ("your question",)
    )
    return (
        f"\nReady on {at}  (console: {at}/console, API docs: {at}/docs, stop: Ctrl-C). Try:\n\n"
        f"{examples}\n"
    )
