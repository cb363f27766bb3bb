"""steadyrag smoke URL"""

from __future__ import annotations

import asyncio
import sys

import click

TIMEOUT_S = 35.0
"""Longer than API Gateway waits, so that its own answer is seen."""


@click.command("smoke")
@click.argument("url")
@click.option("--api-key", metavar="KEY", help="The service's key; else STEADYRAG_API_KEY.")
@click.option(
    "--question",
    "questions",
    multiple=True,
    help="What to ask; may be given more than once. Default: one in English, one in Korean.",
)
@click.option("--namespace", default="default", show_default=True)
def command(url: str, api_key: str | None, questions: tuple[str, ...], namespace: str) -> None:
    """Ask the service at URL what a client would, and say what is wrong with its answers.

    URL is what comes before /search: the stack's output ApiUrl, or http://127.0.0.1:8080 of
    `steadyrag serve`, which needs no key. Exits with 1 when something is wrong.
    """
    from steadyrag.domain.errors import InvalidInput
    from steadyrag.domain.text import clean_namespace, clean_text
    from steadyrag.settings import load

    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("must begin with http:// or https://", param_hint="URL")
    try:
        clean_namespace(namespace)
        asked = tuple(clean_text(question, "--question", longest=2000) for question in questions)
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None
    kept = load().api_key
    key = api_key or (kept.get_secret_value() if kept else None)
    if not asyncio.run(_smoke(url, key, asked, namespace)):
        sys.exit(1)


async def _smoke(url: str, key: str | None, asked: tuple[str, ...], namespace: str) -> bool:
    """Shows each step when it is done; whether all went well."""
    from steadyrag.cli.doctor import COLOURS
    from steadyrag.smoke import QUESTIONS, smoke
    from steadyrag.wiring.smoke import sender

    send = sender(url, timeout_s=TIMEOUT_S)
    well = True
    async for step in smoke(send, api_key=key, questions=asked or QUESTIONS, namespace=namespace):
        for finding in step.findings:
            well = well and finding.status != "fail"
            status = click.style(f"{finding.status:4}", fg=COLOURS[finding.status])
            took = f"{step.status or '---'}  {step.latency_ms:7,.0f} ms"
            click.echo(f"{status}  {took}  {step.name}: {finding.said}")
            if finding.do:
                click.echo(f"{'':22}→ {finding.do}")
    return well
