"""BEIR folders: `corpus.jsonl`, one document a line."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from steadyrag.adapters.parsers.addresses import url_under
from steadyrag.domain.documents import (
    BrokenDocument,
    FoundDocument,
    ParsedDocument,
    Section,
    UnreadableDocument,
    sound,
)
from steadyrag.domain.models import MetadataValue

CORPUS = "corpus.jsonl"

_LONGEST_LINE = 10_000_000


def beir_documents(
    corpus: Path, source: str, base_url: str | None
) -> Iterator[FoundDocument | BrokenDocument]:
    """The documents of a `corpus.jsonl`, read one line at a time.

    `source` names the corpus in metadata. A document's url is its own `url`, if it has one.
    Raises `OSError` when the file can't be read.
    """
    with corpus.open("rb") as lines:
        for number, line in enumerate(iter(partial(lines.readline, _LONGEST_LINE), b""), start=1):
            if not line.strip():
                continue
            try:
                record = _record(line)
                document_id = _id(record)
            except UnreadableDocument as problem:
                yield BrokenDocument(f"{source} line {number}", str(problem))
                continue
            digest = hashlib.sha256(f"{source}\0{base_url or ''}\0".encode() + line).hexdigest()
            yield FoundDocument(
                document_id=document_id,
                origin=str(corpus),
                digest=digest,
                parse=partial(_parse, record, document_id, source, base_url),
            )


def _record(line: bytes) -> dict[str, Any]:
    if len(line) >= _LONGEST_LINE:
        raise UnreadableDocument(f"is longer than {_LONGEST_LINE / 1e6:,.0f} MB")
    try:
        record = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UnreadableDocument(f"is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise UnreadableDocument("is not a JSON object")
    return record


def _id(record: dict[str, Any]) -> str:
    value = record.get("_id", record.get("id"))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not sound(value).strip():
        raise UnreadableDocument("has no `_id` or `id`")
    return sound(value).strip()


def _parse(
    record: dict[str, Any], document_id: str, source: str, base_url: str | None
) -> ParsedDocument:
    title, text = record.get("title") or "", record.get("text")
    if not isinstance(title, str) or not isinstance(text, str):
        raise UnreadableDocument("must have a `text`, and a `title` if any, that are strings")
    return ParsedDocument(
        document_id=document_id,
        title=sound(title).strip(),
        sections=[Section((), sound(text))],
        url=_url(record, document_id, base_url),
        metadata={"source": source, "format": "beir", **_metadata(record.get("metadata"))},
    )


def _url(record: dict[str, Any], document_id: str, base_url: str | None) -> str | None:
    own = record.get("url")
    if isinstance(own, str) and own.startswith(("https://", "http://")):
        return own
    return url_under(base_url, document_id)


def _metadata(raw: object) -> dict[str, MetadataValue]:
    """What a filter can test: strings, numbers, true and false, lists of strings."""
    if not isinstance(raw, dict):
        return {}
    kept: dict[str, MetadataValue] = {}
    for key, value in raw.items():
        if isinstance(value, str):
            kept[sound(key)] = sound(value)
        elif isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
            kept[sound(key)] = value
        elif isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            kept[sound(key)] = [sound(part) for part in value]
    return kept
