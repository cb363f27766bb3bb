"""A run of `steadyrag bench` as tables for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steadyrag.evaluation.bars import DOCUMENTS, Bar, bars
from steadyrag.evaluation.latency import Latency
from steadyrag.evaluation.provenance import Provenance

_MACHINE = (
    "Absolute times depend on the machine and on what else it does; compare runs on one machine."
)


@dataclass(frozen=True, slots=True)
class BenchReport:
    """`ingest_s` is from empty without any cached vector, `ingest_cpu_s` the processor time of
    all threads in it; `reingest_s` is of the same set again; `open_s` is from settings to an
    index that answers, in a process that has imported everything."""

    ran_on: Provenance
    ingest_s: float
    ingest_cpu_s: float
    reingest_s: float
    open_s: float
    latencies: Sequence[Latency]

    @property
    def bars(self) -> list[Bar]:
        return bars(
            documents=self.ran_on.documents,
            ingest_s=self.ingest_s,
            reingest_s=self.reingest_s,
            open_s=self.open_s,
            latencies=self.latencies,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "command": "bench",
            "ran_on": self.ran_on.as_json(),
            "ingest_s": self.ingest_s,
            "ingest_cpu_s": self.ingest_cpu_s,
            "ingest_documents_per_s": self.ran_on.documents / self.ingest_s,
            "reingest_s": self.reingest_s,
            "open_s": self.open_s,
            "latency": [asdict(latency) for latency in self.latencies],
            "bars": [{**asdict(bar), "met": bar.met} for bar in self.bars],
        }

    def rendered(self) -> RenderableType:
        documents = self.ran_on.documents
        ingest = Table(box=None, pad_edge=False, show_header=False)
        ingest.add_column()
        ingest.add_column(justify="right")
        ingest.add_row(
            f"ingest of {documents:,} documents, no vector cached", f"{self.ingest_s:.1f} s"
        )
        ingest.add_row("", f"{documents / self.ingest_s:.1f} documents/s")
        ingest.add_row("its processor time", f"{self.ingest_cpu_s:.1f} s")
        ingest.add_row("ingest of the same set again", f"{self.reingest_s:.2f} s")
        ingest.add_row("opening the index", f"{self.open_s * 1000:.0f} ms")
        parts: list[RenderableType] = [*map(Text, self.ran_on.lines()), "", ingest, ""]
        parts += [self._latency(), "", self._stages(), ""]
        parts += [
            Text(f"{latency.lost:,} searches ({latency.language}) lost a stage", "red")
            for latency in self.latencies
            if latency.lost
        ]
        parts += [Text(line, style) for line, style in self._verdicts()]
        return Group(*parts, Text(_MACHINE, "dim"))

    def _latency(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("search, ms (generate=false)")
        for column in ("questions", "p50", "p90", "p99", "CPU", "p50 with answer"):
            table.add_column(column, justify="right")
        for row in self.latencies:
            figures = (row.p50_ms, row.p90_ms, row.p99_ms, row.cpu_ms, row.answered_p50_ms)
            table.add_row(row.language, f"{row.questions:,}", *(f"{ms:.1f}" for ms in figures))
        return table

    def _stages(self) -> Table:
        """Medians by stage; the stages of all languages are the same."""
        stages = dict.fromkeys(stage for row in self.latencies for stage in row.stages_ms)
        table = Table(box=None, pad_edge=False)
        table.add_column("of which, median ms")
        for stage in stages:
            table.add_column(stage, justify="right")
        for row in self.latencies:
            table.add_row(row.language, *(f"{row.stages_ms.get(s, 0.0):.1f}" for s in stages))
        return table

    def _verdicts(self) -> list[tuple[str, str]]:
        if not self.bars:
            return [(f"The project's bars are for corpora of up to {DOCUMENTS} documents.", "")]
        return [
            (f"{bar.name}: {bar.value:.2f}, at most {bar.most:g}: missed", "red")
            for bar in self.bars
            if not bar.met
        ] or [("Every bar that the project sets itself is met.", "green")]
