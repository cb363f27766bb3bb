"""steadyrag serve"""

import asyncio
import json
import socket
from collections.abc import Sequence

import click


@click.command("serve")
@click.option("--try", "tries", multiple=True, help="A question to show as an example.")
def command(tries: tuple[str, ...]) -> None:
    """Serve the API with its docs on STEADYRAG_HOST:STEADYRAG_PORT until Ctrl-C."""
    import uvicorn

    from steadyrag.api import create_app
    from steadyrag.api.health import health_router
    from steadyrag.api.search import search_router
    from steadyrag.settings import load
    from steadyrag.telemetry.log import configure
    from steadyrag.wiring.readiness import probes
    from steadyrag.wiring.service import build, rate_limit

    settings = load()
    configure(settings.log_level)
    address = _listen(settings.host, settings.port)
    service = build(settings)
    app = create_app(
        [
            search_router(service, rate_limit(settings, service)),
            health_router(probes(service), breakers=service.breakers.states),
        ],
        cors_origin=settings.cors_origin,
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
        await service.warm()
        click.echo(_welcome(settings.host, settings.port, tries), err=True)
        try:
            await server.serve(sockets=[address])
        finally:
            await service.aclose()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, made before anything slow so that a taken port is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
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
    return f"\nReady on {at}  (API docs: {at}/docs, stop: Ctrl-C). Try:\n\n{examples}\n"
