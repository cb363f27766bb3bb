"""steadyrag golden add | list | remove | ask"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

    from steadyrag.domain.golden import GoldenQuestion, Standing
    from steadyrag.golden import Asked, GoldenParts
    from steadyrag.golden_sets import GoldenSet

STACK = click.option(
    "--stack",
    metavar="NAME",
    help="Of a deployed stack, with its settings, this shell's credentials and region.",
)
ONE = click.option("--namespace", default="default", show_default=True)
ALL = click.option("--namespace", help="Of this one only.")


@click.group("golden")
def golden() -> None:
    """Questions that must always find their document; the stack asks them every hour."""


@golden.command("add")
@click.argument("question")
@click.argument("document")
@ONE
@click.option(
    "--top-k",
    default=5,
    show_default=True,
    type=click.IntRange(1, 50),
    help="Among so many sources it has to be.",
)
@click.option("--anyway", is_flag=True, help="Add it even if it doesn't find the document now.")
@STACK
def add(
    question: str, document: str, namespace: str, top_k: int, anyway: bool, stack: str | None
) -> None:
    """Add QUESTION, which is to find the DOCUMENT with this id, and say at which rank it does.

    Adding it again replaces document and --top-k. Exits with 1 when nothing was added.
    """
    from steadyrag import golden as case
    from steadyrag.domain.golden import golden_question

    with _callers_mistakes():
        wanted = golden_question(question, document, top_k=top_k, added_at=time.time())
    asked = _run(stack, namespace, lambda parts: case.add(wanted, namespace, parts, anyway=anyway))
    click.echo(_looked(asked))
    if anyway or (asked.now and not asked.lost):
        click.echo(f"added to {namespace} as {wanted.id}")
        return
    click.echo("nothing was added; mend question or index, or say --anyway", err=True)
    sys.exit(1)


@golden.command("list")
@ALL
@STACK
def list_all(namespace: str | None, stack: str | None) -> None:
    """List the questions, and how they stood when they were last asked."""
    sets = _run(stack, namespace, lambda parts: parts.sets.read(namespace))
    _table(
        ("id", "namespace", "question", "document", "within", "rank", "state"),
        [
            (
                *(one.id, golden.namespace, one.text, one.document_id, str(one.top_k)),
                *(_rank(golden.standings.get(one.id)), _state(golden.standings.get(one.id))),
            )
            for golden in sets
            for one in golden.questions
        ],
    )


@golden.command("remove")
@click.argument("question")
@ONE
@STACK
def remove(question: str, namespace: str, stack: str | None) -> None:
    """Remove QUESTION, by its text or its id. Exits with 1 when there is no such question."""
    from steadyrag.domain.golden import question_id

    async def removed(parts: GoldenParts) -> GoldenQuestion | None:
        by_id = await parts.sets.remove(namespace, question)
        return by_id or await parts.sets.remove(namespace, question_id(question.strip()))

    gone = _run(stack, namespace, removed)
    if gone is None:
        click.echo(f"there is no such question in {namespace}; `golden list` has all", err=True)
        sys.exit(1)
    click.echo(f"removed from {namespace}: {gone.text}")


@golden.command("ask")
@ALL
@STACK
def ask(namespace: str | None, stack: str | None) -> None:
    """Ask all questions now. Exits with 1 when one is lost, or could not be asked."""
    asked = _run(stack, namespace, lambda parts: _asked(parts, namespace))
    _table(
        ("question", "document", "rank now", "before", "state"),
        [
            (
                *(one.question.text, one.question.document_id),
                *(_rank(one.now), _rank(one.before)),
                _state(one.now) if one.now else f"unasked: {', '.join(one.missing)}",
            )
            for one in asked
        ],
    )
    lost, unasked = sum(one.lost for one in asked), sum(one.now is None for one in asked)
    click.echo(f"{len(asked)} questions, {lost} lost, {unasked} unasked", err=True)
    if lost or unasked:
        sys.exit(1)


async def _asked(parts: GoldenParts, namespace: str | None) -> Sequence[Asked]:
    from steadyrag.golden import ask_golden, keep
    from steadyrag.progress import progress

    sets: list[GoldenSet] = await parts.sets.read(namespace)
    with progress("Asking") as advance:
        asked = await ask_golden(sets, parts, advance=advance)
    await keep(asked, sets, parts)
    return asked


def _run[T](
    stack: str | None,
    namespace: str | None,
    work: Callable[[GoldenParts], Coroutine[Any, Any, T]],
) -> T:
    """What `work` returns, with the parts of this shell's settings or of a stack's."""
    from steadyrag.domain.errors import DependencyError
    from steadyrag.domain.text import clean_namespace

    async def run() -> T:
        async with _parts(stack) as parts:
            return await work(parts)

    with _callers_mistakes():
        if namespace is not None:
            clean_namespace(namespace, "--namespace")
        try:
            return asyncio.run(run())
        except DependencyError as error:
            raise click.ClickException(str(error)) from None


@asynccontextmanager
async def _parts(stack: str | None) -> AsyncIterator[GoldenParts]:
    from steadyrag.settings import load
    from steadyrag.wiring.bulk import stack_settings
    from steadyrag.wiring.golden import build_golden

    settings = await stack_settings(stack, function="quality") if stack else load()
    parts = build_golden(settings)
    try:
        yield parts
    finally:
        await parts.aclose()


@contextmanager
def _callers_mistakes() -> Iterator[None]:
    """Wrong input is a message, not a traceback."""
    from steadyrag.domain.errors import InvalidInput

    try:
        yield
    except InvalidInput as error:
        raise click.UsageError(str(error)) from None


def _looked(asked: Asked) -> str:
    wanted = asked.question
    if asked.now is None:
        return f"could not be asked, without {' and '.join(asked.missing)}"
    if not asked.lost:
        return f"{wanted.document_id} is found at {asked.now.rank} of {wanted.top_k}"
    where = f", but at {asked.now.rank}" if asked.now.rank else " nor among all candidates"
    found = f"\nfound: {', '.join(asked.found)}" if asked.found else ""
    return f"{wanted.document_id} is not among the first {wanted.top_k} sources{where}{found}"


def _rank(standing: Standing | None) -> str:
    if standing is None:
        return ""
    return str(standing.rank) if standing.rank else "none"


def _state(standing: Standing | None) -> str:
    if standing is None:
        return "not asked yet"
    if standing.lost_since is None:
        return "found"
    since = datetime.fromtimestamp(standing.lost_since, UTC)
    return f"lost since {since:%Y-%m-%d %H:%M} UTC"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("there are no golden questions; `steadyrag golden add` adds one", err=True)
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


command = golden
