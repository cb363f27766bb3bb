"""How an ingest shows that it is alive: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from steadyrag.ingest import IngestSummary
from steadyrag.ingest import Progress as Report

_LINE_EVERY_S = 5.0


@contextmanager
def showing(
    console: Console, documents: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[Report]:
    """Gives a function to report progress to, until the block ends."""
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task("", total=documents, chunks=0, document="")

            def update(summary: IngestSummary, document_id: str) -> None:
                bar.update(
                    task,
                    completed=min(summary.documents, documents),
                    chunks=summary.chunks_embedded,
                    document=document_id[-48:],
                )

            yield update
        return
    last = clock()
    console.print(f"documents found: {documents:,}", markup=False)

    def line(summary: IngestSummary, document_id: str) -> None:
        nonlocal last
        if clock() - last >= _LINE_EVERY_S:
            last = clock()
            console.print(
                f"{summary.documents:,} of {documents:,} documents, "
                f"{summary.chunks_embedded:,} chunks embedded",
                markup=False,
            )

    yield line


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents, {task.fields[chunks]:,} chunks embedded"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[document]}", markup=False),
        console=console,
        transient=True,
    )
