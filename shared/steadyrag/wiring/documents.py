"""Documents in and out by a bucket, put together."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from steadyrag.api.queue_handler import GRACE_S
from steadyrag.domain.document_ids import link
from steadyrag.domain.errors import ConfigError
from steadyrag.domain.ledger import LARGEST_CHUNK_COUNT
from steadyrag.domain.letters import event_letter
from steadyrag.resilience.corpus_changes import CorpusChanges
from steadyrag.wiring import parts as chosen
from steadyrag.wiring.stores import INGEST_TIMEOUT_S, shared_stores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from steadyrag.adapters.parsers.isolated import IsolatedParsers
    from steadyrag.api.queue_handler import RunSweep, Work
    from steadyrag.documents import DocumentParts
    from steadyrag.domain.documents import ParsedDocument
    from steadyrag.domain.ledger import Bucket, Ledger, Queue
    from steadyrag.domain.objects import Attributes, Layout
    from steadyrag.domain.ports import SharedStore
    from steadyrag.ingest_worker import WorkerParts
    from steadyrag.reconcile_parts import ParseFile, ReconcileParts
    from steadyrag.resilience.corpus_changes import Changes
    from steadyrag.settings import Settings

type Clock = Callable[[], float]

SENDING_S = 10.0
"""Of the time after an invocation's work, to send on what has to wait."""

PARALLEL_CALLS = 4
"""Embedding calls at once of one worker."""

_SUFFIXES = {"markdown": ".md", "text": ".txt", "html": ".html", "pdf": ".pdf", "docx": ".docx"}


def build_documents(settings: Settings, *, clock: Clock = time.time) -> DocumentParts:
    """What the document routes need. Raises `ConfigError` where the settings name no bucket."""
    from steadyrag.documents import DocumentParts

    parts = DocumentParts(
        bucket=s3_bucket(settings, clock=clock),
        ledger=_ledger(settings, clock),
        clock=clock,
        changes=CorpusChanges(_stores(settings, clock), clock=clock),
    )
    if not settings.ingest_queue_url:
        return parts
    queue = ingest_queue(settings)
    return replace(parts, tell=lambda event: queue.send(event_letter(event)))


def build_worker(settings: Settings, *, clock: Clock = time.time) -> WorkerParts:
    """What the ingest function needs. Raises `ConfigError` for what the settings lack."""
    from steadyrag.ingest_worker import WorkerParts
    from steadyrag.reconcile_feed import remove_leftovers
    from steadyrag.resilience.pause import Pause

    remove_leftovers()
    return WorkerParts(
        reconcile=build_reconcile(settings, clock=clock),
        queue=ingest_queue(settings),
        dead=_queue(settings.dead_queue_url, "STEADYRAG_DEAD_QUEUE_URL"),
        pause=Pause(_stores(settings, clock), clock=clock),
    )


def ingest_work(parts: WorkerParts) -> tuple[Work, RunSweep]:
    """What the ingest function does with messages, and on its schedule."""
    from steadyrag.ingest_worker import work
    from steadyrag.sweep import sweep

    return (
        lambda letters, owner, seconds: work(
            letters, parts, owner=owner, seconds=seconds, grace_s=GRACE_S - SENDING_S
        ),
        lambda wish, seconds: sweep(wish, parts, seconds=seconds),
    )


def build_reconcile(
    settings: Settings,
    *,
    bucket: Bucket | None = None,
    ledger: Ledger | None = None,
    changes: Changes | None = None,
    layout: Layout | None = None,
    clock: Clock = time.time,
) -> ReconcileParts:
    """What brings the index to what a bucket holds: the settings' own unless said."""
    from steadyrag.adapters.parsers.isolated import IsolatedParsers
    from steadyrag.adapters.parsers.registry import PARSERS
    from steadyrag.domain.objects import Layout
    from steadyrag.indexing import IngestParts
    from steadyrag.ingest_batches import Retry
    from steadyrag.reconcile_parts import ReconcileParts
    from steadyrag.resilience.counted_embedder import CountedEmbedder
    from steadyrag.resilience.remembered_passages import RememberedPassages

    ledger = ledger or _ledger(settings, clock)
    embedder = chosen.embedder(settings)
    parsers = IsolatedParsers()
    ingest: dict[str, Any] = {
        "embedder": RememberedPassages(
            CountedEmbedder(embedder, chosen.prices(settings).embedding)
        ),
        "index": chosen.index(settings, embedder),
        "catalogue": ledger.owned_by(""),
        "count_tokens": chosen.count_tokens(embedder),
        "max_tokens": settings.chunk_tokens,
        "most_chunks": LARGEST_CHUNK_COUNT,
        "parallel_calls": 1 if settings.embedder == "local" else PARALLEL_CALLS,
        "changes": changes or CorpusChanges(_stores(settings, clock), clock=clock),
        # Longer waits are the queue's: a function that sleeps is paid for.
        "retry": Retry(attempts=4, first_pause_s=0.5, longest_pause_s=5.0),
    }
    return ReconcileParts(
        ingest=IngestParts(**ingest),
        bucket=bucket or s3_bucket(settings, clock=clock),
        ledger=ledger,
        parse=parse_file(parsers),
        parser=PARSERS,
        largest_bytes=parsers.max_bytes,
        clock=clock,
        layout=layout or Layout(),
    )


def parse_file(parsers: IsolatedParsers) -> ParseFile:
    """Reads a fetched object in the format that its id or what is said of it names."""

    def parse(path: Path, document_id: str, attributes: Attributes) -> ParsedDocument:
        name = PurePath(document_id).name
        if not parsers.knows(name) and attributes.format:
            name += _SUFFIXES[attributes.format]
        url = link(attributes.url)
        parsed = parsers.parse_file(path, document_id=document_id, name=name, url=url)
        return replace(
            parsed,
            title=attributes.title or parsed.title,
            metadata={**parsed.metadata, **attributes.metadata},
        )

    return parse


def _stores(settings: Settings, clock: Clock) -> list[SharedStore]:
    return shared_stores(settings, timeout_s=INGEST_TIMEOUT_S, clock=clock)


def s3_bucket(settings: Settings, name: str | None = None, *, clock: Clock = time.time) -> Bucket:
    """The settings' bucket, or another one by name."""
    from steadyrag.adapters.s3 import S3Bucket

    if not (name or settings.documents_bucket):
        raise ConfigError("STEADYRAG_DOCUMENTS_BUCKET: is needed to take documents from a bucket")
    return S3Bucket(name or str(settings.documents_bucket), clock=clock)


def ingest_queue(settings: Settings) -> Queue:
    return _queue(settings.ingest_queue_url, "STEADYRAG_INGEST_QUEUE_URL")


def _ledger(settings: Settings, clock: Clock) -> Ledger:
    from steadyrag.adapters.dynamodb_ledger import DynamoDbLedger

    if not settings.table_prefix:
        raise ConfigError(
            "STEADYRAG_TABLE_PREFIX: is needed to know what became of documents in a bucket"
        )
    return DynamoDbLedger(
        settings.table_prefix,
        endpoint_url=settings.local_dynamodb_url,
        local=settings.local_dynamodb_url is not None,
        clock=clock,
    )


def _queue(url: str | None, setting: str) -> Queue:
    from steadyrag.adapters.sqs import SqsQueue

    if not url:
        raise ConfigError(f"{setting}: is needed to take in documents by events")
    return SqsQueue(url)
