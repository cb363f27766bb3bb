"""One Pinecone document index in memory: schema, namespaces, writes that show up later,
cosine and BM25 over what has shown up."""

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vendors.pinecone_filter import check_filter, matches

MAX_DOCUMENTS = 1000
MAX_IDS = 1000
MAX_TOP_K = 10_000
MAX_METADATA_BYTES = 40 * 1024
MAX_TOKEN = 40
_K1, _B = 1.2, 0.75

_ID = re.compile(r"[\x01-\x7f]{1,512}")
_TOKEN = re.compile(r"[^\W_]+")

type Document = dict[str, Any]


class Invalid(Exception):
    """A 400, in the vendor's words."""


def tokens(text: str, config: Mapping[str, Any]) -> list[str]:
    """Split on white space and punctuation, lower case, nothing over 40 characters, stemmed
    only if the field asks for it."""
    found = [token.lower() for token in _TOKEN.findall(text) if len(token) <= MAX_TOKEN]
    if config.get("stemming"):
        import snowballstemmer

        return list(snowballstemmer.stemmer("english").stemWords(found))
    return found


@dataclass(slots=True)
class _Namespace:
    documents: dict[str, Document] = field(default_factory=dict)
    vectors: dict[str, list[float]] = field(default_factory=dict)
    postings: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    lengths: dict[str, dict[str, int]] = field(default_factory=dict)


class DocumentIndex:
    """`schema` is the `fields` of a create request. Writes are visible `visible_after_s`
    later on `clock`, or at once after `settle()`."""

    def __init__(
        self, schema: Mapping[str, Any], *, clock: Callable[[], float], visible_after_s: float
    ) -> None:
        self.schema = schema
        self.visible_after_s = visible_after_s
        self._clock = clock
        self._namespaces: dict[str, _Namespace] = {}
        self._pending: list[tuple[float, int, str, str, Document | None]] = []
        self._written = 0
        self._dense = {n: f for n, f in schema.items() if f["type"] == "dense_vector"}
        self._text = {n: f["full_text_search"] for n, f in schema.items() if f["type"] == "string"}

    def upsert(self, namespace: str, documents: object) -> int:
        if not isinstance(documents, list) or not 0 < len(documents) <= MAX_DOCUMENTS:
            raise Invalid(f"'documents' must hold 1 to {MAX_DOCUMENTS} documents")
        for document in documents:
            self._check(document)
        ids = [document["_id"] for document in documents]
        if len(set(ids)) < len(ids):
            raise Invalid("Document IDs must be unique within a request")
        for document in documents:
            self._write(namespace, document["_id"], document)
        return len(documents)

    def delete(self, namespace: str, ids: Iterable[str]) -> None:
        for doc_id in ids:
            self._write(namespace, doc_id, None)

    def settle(self) -> None:
        """Makes every write visible now."""
        self._show(math.inf)

    def namespaces(self) -> dict[str, int]:
        self._show(self._clock())
        return {name: len(space.documents) for name, space in self._namespaces.items()}

    def fetch(self, namespace: str, wanted: Callable[[Document], bool]) -> dict[str, Document]:
        held = self._space(namespace).documents
        return {doc_id: document for doc_id, document in held.items() if wanted(document)}

    def search(self, namespace: str, body: Mapping[str, Any]) -> list[Document]:
        for name in body:
            if name not in ("score_by", "top_k", "include_fields", "filter"):
                raise Invalid(f"Unknown field '{name}'")
        top_k = body.get("top_k")
        if not isinstance(top_k, int) or not 1 <= top_k <= MAX_TOP_K:
            raise Invalid("'top_k' must be between 1 and 10000")
        expression = body.get("filter")
        if expression is not None:
            check_filter(expression, data_fields=self.schema)
        space = self._space(namespace)
        scores = self._scores(space, body.get("score_by"))
        passing = (
            (score, doc_id)
            for doc_id, score in scores.items()
            if expression is None or matches(expression, space.documents[doc_id])
        )
        best = heapq.nsmallest(top_k, passing, key=lambda pair: (-pair[0], pair[1]))
        include = body.get("include_fields") or []
        return [
            {"_id": doc_id, "_score": score, **_fields(space.documents[doc_id], include)}
            for score, doc_id in best
        ]

    def _scores(self, space: _Namespace, clauses: object) -> dict[str, float]:
        if not isinstance(clauses, list) or not 0 < len(clauses) <= 100:
            raise Invalid("'score_by' must hold 1 to 100 clauses")
        if len(clauses) > 1 and any(clause.get("type") != "text" for clause in clauses):
            raise Invalid("a vector clause must appear alone in 'score_by'")
        totals: dict[str, float] = {}
        for clause in clauses:
            match clause:
                case {"type": "dense_vector", "field": str(name), "values": list(values)}:
                    if len(clause) > 3 or name not in self._dense:
                        raise Invalid(f"'{name}' is not a dense vector field")
                    query = _unit(self._vector(name, values))
                    return {i: math.sumprod(query, held) for i, held in space.vectors.items()}
                case {"type": "text", "query": str(query), "fields": list(names)}:
                    if len(clause) > 3 or not names or any(n not in self._text for n in names):
                        raise Invalid(f"{names} are not full-text fields")
                    for name in set(names):
                        for doc_id, score in self._bm25(space, name, query).items():
                            totals[doc_id] = totals.get(doc_id, 0.0) + score
                case _:
                    raise Invalid(f"scoring clause not understood: {str(clause)[:200]}")
        return totals

    def _bm25(self, space: _Namespace, name: str, query: str) -> dict[str, float]:
        lengths, postings = space.lengths.get(name, {}), space.postings.get(name, {})
        mean = sum(lengths.values()) / len(lengths) if lengths else 1.0
        scores: dict[str, float] = {}
        for term in tokens(query, self._text[name]):
            found: dict[str, int] = postings.get(term, {})
            idf = math.log(1 + (len(lengths) - len(found) + 0.5) / (len(found) + 0.5))
            for doc_id, tf in found.items():
                norm = _K1 * (1 - _B + _B * lengths[doc_id] / mean)
                scores[doc_id] = scores.get(doc_id, 0.0) + idf * tf * (_K1 + 1) / (tf + norm)
        return scores

    def _space(self, namespace: str) -> _Namespace:
        self._show(self._clock())
        return self._namespaces.get(namespace) or _Namespace()

    def _write(self, namespace: str, doc_id: str, document: Document | None) -> None:
        self._written += 1
        due = self._clock() + self.visible_after_s
        self._pending.append((due, self._written, namespace, doc_id, document))

    def _show(self, now: float) -> None:
        due = [write for write in self._pending if write[0] <= now]
        if not due:
            return
        self._pending = [write for write in self._pending if write[0] > now]
        for _, _, namespace, doc_id, document in sorted(due, key=lambda write: write[:2]):
            space = self._namespaces.setdefault(namespace, _Namespace())
            self._remove(space, doc_id)
            if document is not None:
                self._put(space, doc_id, document)

    def _put(self, space: _Namespace, doc_id: str, document: Document) -> None:
        space.documents[doc_id] = {
            name: float(value) if type(value) is int else value for name, value in document.items()
        }
        for name in self._dense:
            space.vectors[doc_id] = _unit(document[name])
        for name, config in self._text.items():
            found = tokens(document.get(name, ""), config)
            space.lengths.setdefault(name, {})[doc_id] = len(found)
            for term, count in Counter(found).items():
                space.postings.setdefault(name, {}).setdefault(term, {})[doc_id] = count

    def _remove(self, space: _Namespace, doc_id: str) -> None:
        held = space.documents.pop(doc_id, None)
        if held is None:
            return
        space.vectors.pop(doc_id, None)
        for name, config in self._text.items():
            space.lengths.get(name, {}).pop(doc_id, None)
            for term in set(tokens(held.get(name, ""), config)):
                space.postings[name][term].pop(doc_id, None)

    def _check(self, document: object) -> None:
        if not isinstance(document, dict):
            raise Invalid("a document must be an object")
        doc_id = document.get("_id")
        if not isinstance(doc_id, str) or not _ID.fullmatch(doc_id):
            raise Invalid("'_id' must be 1-512 ASCII characters")
        for name in self._dense:
            if name not in document:
                raise Invalid(f"document '{doc_id}' lacks the required field '{name}'")
            self._vector(name, document[name])
        size = 0
        for name, value in document.items():
            if name == "_id" or name in self._dense:
                continue
            if name.startswith(("_", "$")) or not name:
                raise Invalid(f"field name '{name}' is reserved")
            if name in self._text:
                if not isinstance(value, str):
                    raise Invalid(f"field '{name}' must be a string")
                continue
            listed = isinstance(value, list) and all(isinstance(part, str) for part in value)
            if not listed and not isinstance(value, str | int | float | bool):
                raise Invalid(f"metadata '{name}' must be a string, number, boolean or strings")
            size += len(name.encode()) + len(str(value).encode())
        if size > MAX_METADATA_BYTES:
            raise Invalid(f"metadata of '{doc_id}' is {size} bytes; the limit is 40960")

    def _vector(self, name: str, values: object) -> list[float]:
        dimension = self._dense[name]["dimension"]
        if not isinstance(values, list) or not all(type(x) in (int, float) for x in values):
            raise Invalid(f"field '{name}' must be a list of numbers")
        if len(values) != dimension:
            raise Invalid(
                f"Vector dimension {len(values)} does not match the dimension of the index "
                f"{dimension}"
            )
        if not any(values):
            raise Invalid("Dense vectors must contain at least one non-zero value")
        return values


def _unit(values: list[float]) -> list[float]:
    length = math.sqrt(math.sumprod(values, values))
    return [x / length for x in values]


def _fields(document: Document, include: list[str]) -> Document:
    return {
        name: value
        for name, value in document.items()
        if name != "_id" and (name in include or "*" in include)
    }
