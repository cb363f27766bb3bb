"""steadyrag ingest PATH…"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from steadyrag.domain.ports import Index
    from steadyrag.indexing import IngestParts, IngestSummary

_SHOWN_FAILURES = 50


@click.command("ingest")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--namespace", help="Where to index them; `default` unless said.")
@click.option("--base-url", help="Web address of the folder given; sources then link to it.")
@click.option("--rebuild", is_flag=True, help="Embed everything again, changed or not.")
@click.option("--stack", metavar="NAME", help="With s3://: work for this stack, by its settings.")
@click.option(
    "--here", is_flag=True, help="With s3://: embed in this process, not in the stack's workers."
)
def command(
    paths: tuple[str, ...],
    namespace: str | None,
    base_url: str | None,
    rebuild: bool,
    stack: str | None,
    here: bool,
) -> None:
    """Index the documents in each PATH: Markdown, text, HTML, PDF, DOCX, BEIR folders; or all
    that lie at one s3://BUCKET/PREFIX.

    What did not change since the last time is not embedded again, and what vanished from
    PATH is removed from the index. It may be stopped at any time: the same command goes on.
    """
    from steadyrag.domain.errors import InvalidInput
    from steadyrag.domain.text import clean_namespace
    from steadyrag.settings import load
    from steadyrag.wiring.ingest import build_ingest

    try:
        clean_namespace(namespace or "default")
    except InvalidInput as error:
        raise click.BadParameter(error.problem, param_hint="--namespace") from None
    if base_url and not base_url.startswith(("https://", "http://")):
        raise click.BadParameter("must start with https:// or http://", param_hint="--base-url")
    if any(path.startswith("s3://") for path in paths):
        if len(paths) > 1:
            raise click.BadParameter("one s3:// address at a time", param_hint="PATH")
        if base_url:
            raise click.BadParameter("an object's metadata says it", param_hint="--base-url")
        from steadyrag.cli.ingest_bucket import run

        run(paths[0], namespace=namespace, stack=stack, here=here, anew=rebuild)
    if stack or here:
        raise click.UsageError("--stack and --here go with s3://BUCKET/PREFIX")
    folders = tuple(map(Path, paths))
    for path in folders:
        if not path.exists():
            raise click.BadParameter(f"{path} does not exist", param_hint="PATH")
    parts = build_ingest(load())
    sys.exit(asyncio.run(_ingest(parts, folders, namespace or "default", base_url, rebuild)))


async def _ingest(
    parts: IngestParts,
    paths: tuple[Path, ...],
    namespace: str,
    base_url: str | None,
    rebuild: bool,
) -> int:
    """Runs the ingest and prints what came of it; returns the exit code."""
    from rich.console import Console

    from steadyrag.domain.errors import DependencyError
    from steadyrag.ingest import ingest
    from steadyrag.progress import of_ingest, progress

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    corpus = parts.files(paths, base_url)
    try:
        if rebuild:
            await _make_usable(parts.index)
        documents = await asyncio.to_thread(corpus.count)
        with progress("Ingesting") as advance:
            summary = await ingest(
                corpus,
                parts,
                namespace=namespace,
                rebuild=rebuild,
                progress=of_ingest(advance, documents),
            )
    except DependencyError as error:
        console.print(f"[red]nothing was indexed:[/] {error}", markup=True)
        return 1
    finally:
        await parts.aclose()
    for note in corpus.notes():
        console.print(note, markup=False)
    _print_failures(console, summary)
    _print_summary(summary)
    return 1 if summary.failed or summary.stopped or not summary.documents else 0


async def _make_usable(index: Index) -> None:
    """Empties an index that can't be opened as it is: damaged, or another embedder's."""
    from steadyrag.domain.errors import ConfigError
    from steadyrag.domain.ports import Erasable, Warmable

    try:
        if isinstance(index, Warmable):
            await index.warm()
    except ConfigError:
        if not isinstance(index, Erasable):
            raise
        await index.erase()


def _print_failures(console: Console, summary: IngestSummary) -> None:
    for document_id, reason in summary.failed[:_SHOWN_FAILURES]:
        console.print(f"failed: {document_id}: {reason}", markup=False, style="red")
    if len(summary.failed) > _SHOWN_FAILURES:
        console.print(f"failed: {len(summary.failed) - _SHOWN_FAILURES} more", style="red")
    if summary.stopped:
        console.print(
            f"stopped early: {summary.stopped}. What was done is kept, nothing was removed; "
            "run the same command again to go on.",
            markup=False,
            style="red",
        )
    elif summary.failed:
        console.print(
            "What failed is as it was before; mend it and run the same command again.",
            markup=False,
        )


def _print_summary(summary: IngestSummary) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("documents", "", "chunks", "", box=None, pad_edge=False, show_header=True)
    for column in (1, 3):
        table.columns[column].justify = "right"
    empty = f" (without text: {summary.empty})" if summary.empty else ""
    rows = [
        (f"added{empty}", summary.added, "embedded", f"{summary.chunks_embedded:,}"),
        ("changed", summary.changed, "kept", f"{summary.chunks_kept:,}"),
        ("unchanged", summary.unchanged, "deleted", f"{summary.chunks_deleted:,}"),
        ("removed", summary.removed, "tokens embedded", f"{summary.embedding_tokens:,}"),
        ("failed", len(summary.failed), "seconds", f"{summary.seconds:.1f}"),
    ]
    for left, documents, right, chunks in rows:
        table.add_row(left, f"{documents:,}", right, chunks)
    Console().print(table)
