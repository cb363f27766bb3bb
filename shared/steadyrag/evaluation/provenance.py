"""What a measurement was made on, so that two of them can be compared."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from pydantic import SecretStr

from steadyrag import __version__
from steadyrag.evaluation.dataset import Dataset
from steadyrag.search import Service
from steadyrag.settings import Settings

_NO_MATTER = {
    "data_dir",
    "host",
    "port",
    "embedder",
    "index",
    "reranker",
    "generator",
    "cors_origin",
    "log_level",
    "openai_api_key_from",
    "pinecone_api_key_from",
}
"""Settings that change no figure, that are told anyway, or that are nobody's business."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """`load` is the machine's load average over the minute before the run. `settings` holds
    those that differ from their default, by variable."""

    dataset: str
    documents: int
    questions: int
    limit: int | None
    embedder: str
    index: str
    reranker: str
    generator: str
    chunks: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    version: str = __version__
    python: str = field(default_factory=platform.python_version)
    machine: str = field(default_factory=platform.machine)
    cpus: int = field(default_factory=lambda: os.process_cpu_count() or 1)
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 2))

    def with_chunks(self, chunks: int | None) -> Self:
        return replace(self, chunks=chunks)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        size = f"{self.documents:,} documents"
        if self.chunks is not None:
            size += f" in {self.chunks:,} chunks"
        subset = f", the subset of LIMIT={self.limit}" if self.limit is not None else ""
        changed = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return [
            f"{self.dataset}: {size}, {self.questions:,} questions{subset}",
            f"embedder {self.embedder}, index {self.index}, reranker {self.reranker}, "
            f"generator {self.generator}",
            f"settings that differ from their default: {changed or 'none'}",
            f"steadyrag {self.version}, Python {self.python}, {self.cpus} CPUs ({self.machine}), "
            f"load {self.load:.1f}",
        ]


def provenance(dataset: Dataset, settings: Settings, service: Service) -> Provenance:
    """What a run that starts now is made on; chunks are known later."""
    return Provenance(
        dataset=dataset.name,
        documents=len(dataset.texts),
        questions=len(dataset.questions),
        limit=dataset.limit,
        embedder=service.embedder.name,
        index=settings.index,
        reranker=settings.rerank_model if settings.reranker == "pinecone" else settings.reranker,
        generator=service.generator.model,
        settings=changed_settings(settings),
    )


def changed_settings(settings: Settings) -> dict[str, Any]:
    """Settings that differ from their default and may change a figure, by variable."""
    changed: dict[str, Any] = {}
    for name, described in Settings.model_fields.items():
        value = getattr(settings, name)
        if name in _NO_MATTER or isinstance(value, SecretStr) or value == described.default:
            continue
        changed[str(described.alias)] = value
    return changed
