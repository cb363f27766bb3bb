"""Progress on stderr: a bar with an estimate on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from steadyrag.indexing import IngestSummary, Progress

LINE_EVERY_S = 5.0


class Advance(Protocol):
    def __call__(self, done: int, total: int, note: str = "") -> None:
        """How many are done, of how many, and what else is worth knowing."""


@contextmanager
def progress(
    label: str, *, to: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Advance]:
    """Shows how far the work inside is. `label` says what is being done."""
    stream = to or sys.stderr
    if stream.isatty():
        with _bar(label, stream) as advance:
            yield advance
    else:
        lines = _Lines(label, stream, clock)
        yield lines.advance
        lines.end()


def of_ingest(advance: Advance, documents: int) -> Progress:
    """Shows an ingest of about `documents` documents."""

    def show(summary: IngestSummary, document_id: str) -> None:
        note = f"{summary.chunks_embedded:,} chunks embedded; {document_id[-48:]}"
        advance(summary.documents, max(documents, summary.documents), note)

    return show


@contextmanager
def _bar(label: str, stream: TextIO) -> Iterator[Advance]:
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
        rich_progress.TextColumn("{task.fields[note]}", markup=False),
    )
    with rich_progress.Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task(label, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield advance


class _Lines:
    """A line at the start, one every few seconds, one at the end."""

    def __init__(self, label: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._label, self._stream, self._clock = label, stream, clock
        self._started = self._said = clock()
        self._done = 0
        self._say("…")

    def advance(self, done: int, total: int, note: str = "") -> None:
        self._done = done
        now = self._clock()
        if now - self._said >= LINE_EVERY_S and done:
            left_s = (now - self._started) / done * max(0, total - done)
            aside = f" ({note})" if note else ""
            self._say(f": {done:,} of {total:,}{aside}, about {_duration(left_s)} left")
            self._said = now

    def end(self) -> None:
        self._say(f": {self._done:,} in {_duration(self._clock() - self._started)}")

    def _say(self, text: str) -> None:
        print(f"{self._label}{text}", file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
