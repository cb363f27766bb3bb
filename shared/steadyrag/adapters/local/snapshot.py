"""The index in memory: immutable, one shelf per namespace, replaced as a whole."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from steadyrag.adapters.local.bm25 import Bm25
from steadyrag.adapters.local.store import Floats, Ints, StoredChunk, cosine
from steadyrag.domain.analysis import analyse
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Hit

type Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]

_MASKS = 32
"""Filters whose outcome a shelf remembers."""


class Shelf:
    """The chunks of one namespace, with what searching them needs.

    Vectors have length 1, the question's too, so their product is cosine.
    """

    def __init__(self, stored: Sequence[StoredChunk], n_terms: int) -> None:
        self.stored = stored
        self._vectors = np.array([chunk.vector for chunk in stored], np.float32)
        self._n_terms = n_terms
        self._bm25 = Bm25([(chunk.terms, chunk.counts) for chunk in stored], n_terms)
        self._places = {chunk.chunk.id: place for place, chunk in enumerate(stored)}
        self._masks: OrderedDict[str, Mask] = OrderedDict()

    def by_vector(self, unit: Floats, top_k: int, filter: Filter) -> list[Hit]:
        cosines = cosine(self._vectors, unit)
        mask = self._mask(filter)
        places = np.arange(len(cosines)) if mask is None else np.flatnonzero(mask)
        if len(places) > top_k:
            threshold = np.partition(cosines[places], -top_k)[-top_k]
            places = places[cosines[places] >= threshold]
        best = places[np.argsort(-cosines[places], kind="stable")][:top_k]
        return [
            Hit(self.stored[place].chunk, score=score, dense=score)
            for place, score in zip(best.tolist(), cosines[best].tolist(), strict=True)
        ]

    def by_keyword(self, query: Query, top_k: int, filter: Filter) -> list[Hit]:
        ids, counts = self._known(query)
        best, scores = self._bm25.search(ids, counts, top_k=top_k, allowed=self._mask(filter))
        return [
            Hit(self.stored[place].chunk, score=score, keyword=score)
            for place, score in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def places(self, hits: Sequence[Hit]) -> list[int | None]:
        """Where each hit's chunk stands; None for one that is not here."""
        return [self._places.get(hit.chunk.id) for hit in hits]

    def cosines(self, places: Sequence[int], unit: Floats) -> Floats:
        return cosine(self._vectors[list(places)], unit)

    def bm25(self, places: Sequence[int], query: Query) -> Floats:
        scores: Floats = self._bm25.scores(*self._known(query))[list(places)]
        return scores

    def ceiling(self, query: Query) -> float:
        return self._bm25.ceiling(*self._known(query))

    def _known(self, query: Query) -> tuple[Ints, Ints]:
        """The query's terms, those that came after this shelf was built as unknown."""
        return np.where(query.ids < self._n_terms, query.ids, -1), query.counts

    def _mask(self, filter: Filter) -> Mask | None:
        """Which chunks pass; None when all do."""
        if not filter:
            return None
        key = json.dumps(filter.expression, sort_keys=True)
        mask = self._masks.pop(key, None)
        if mask is None:
            passing = (filter.matches(_searchable_metadata(stored)) for stored in self.stored)
            mask = np.fromiter(passing, np.bool_, len(self.stored))
        self._masks[key] = mask
        while len(self._masks) > _MASKS:
            self._masks.popitem(last=False)
        return mask


def _searchable_metadata(stored: StoredChunk) -> Mapping[str, object]:
    chunk = stored.chunk
    return {
        **chunk.metadata,
        "document_id": chunk.document_id,
        "title": chunk.title,
        "url": chunk.url,
    }


@dataclass(frozen=True, slots=True)
class Query:
    """A question's terms as ids, -1 for one that no chunk ever held, and how often each
    occurs in it."""

    ids: Ints
    counts: Ints


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All shelves as of one state of the database.

    `generation` and `changes` say which state; `last_row` is the highest row number in it.
    """

    generation: str = ""
    changes: int = 0
    last_row: int = 0
    vocabulary: Mapping[str, int] = field(default_factory=dict)
    shelves: Mapping[str, Shelf] = field(default_factory=dict)

    def query(self, text: str) -> Query:
        terms = Counter(analyse(text))
        ids = [self.vocabulary.get(term, -1) for term in terms]
        return Query(np.array(ids, np.int32), np.array(list(terms.values()), np.int32))


def advance(
    held: Snapshot,
    *,
    generation: str,
    changes: int,
    rows: Collection[int],
    added: Sequence[StoredChunk],
    terms: Mapping[str, int],
) -> Snapshot:
    """`held` brought up to a state of the database: `rows` are all its row numbers, `added`
    its chunks above `held.last_row`, `terms` what the vocabulary gained."""
    vocabulary = {**held.vocabulary, **terms} if terms else held.vocabulary
    new: dict[str, list[StoredChunk]] = {}
    for chunk in added:
        new.setdefault(chunk.namespace, []).append(chunk)
    shelves: dict[str, Shelf] = {}
    for namespace in held.shelves.keys() | new.keys():
        shelf = held.shelves.get(namespace)
        kept = [chunk for chunk in shelf.stored if chunk.row in rows] if shelf else []
        coming = new.get(namespace, [])
        if shelf and len(kept) == len(shelf.stored) and not coming:
            shelves[namespace] = shelf
        elif kept or coming:
            shelves[namespace] = Shelf([*kept, *coming], len(vocabulary))
    last_row = max([held.last_row, *(chunk.row for chunk in added)])
    return Snapshot(generation, changes, last_row, vocabulary, shelves)
