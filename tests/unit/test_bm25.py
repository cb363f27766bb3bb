import math
import time
from collections import Counter

import numpy as np
import pytest

from steadyrag.adapters.local.bm25 import Bm25

DOCUMENTS = ["cat sat mat", "cat cat dog", "dog ran far far away", "bird"]
VOCABULARY = {word: i for i, word in enumerate(sorted(set(" ".join(DOCUMENTS).split())))}


def row(text: str) -> tuple[np.ndarray, np.ndarray]:
    counts = Counter(VOCABULARY.get(word, -1) for word in text.split())
    return np.array(list(counts), np.int32), np.array(list(counts.values()), np.int32)


def index(**parameters: float) -> Bm25:
    return Bm25([row(text) for text in DOCUMENTS], len(VOCABULARY), **parameters)


def textbook(query: str, document: str, k1: float, b: float) -> float:
    words = [text.split() for text in DOCUMENTS]
    average = sum(map(len, words)) / len(words)
    held = document.split()
    total = 0.0
    for term in query.split():
        df = sum(term in w for w in words)
        idf = math.log(1 + (len(words) - df + 0.5) / (df + 0.5))
        tf = held.count(term)
        total += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(held) / average))
    return total


@pytest.mark.parametrize("query", ["cat", "cat dog", "far far dog", "bird cat"])
@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (1.5, 0.0)])
def test_scores_are_those_of_the_formula(query: str, k1: float, b: float) -> None:
    expected = [textbook(query, document, k1, b) for document in DOCUMENTS]
    assert index(k1=k1, b=b).scores(*row(query)) == pytest.approx(expected, rel=1e-5)


def test_no_row_scores_above_the_ceiling_and_a_row_of_nothing_else_comes_near() -> None:
    rows = [(np.array([0]), np.array([10_000])), (np.array([1]), np.array([1]))]
    bm25 = Bm25(rows, 2, b=0.0)
    query = np.array([0]), np.array([1])
    score, ceiling = bm25.scores(*query)[0], bm25.ceiling(*query)
    assert 0.99 * ceiling < score < ceiling


def test_a_term_the_corpus_lacks_matches_nothing_and_raises_the_ceiling() -> None:
    bm25 = index()
    assert bm25.scores(*row("cat unheard")).tolist() == bm25.scores(*row("cat")).tolist()
    assert bm25.ceiling(*row("cat unheard")) > bm25.ceiling(*row("cat"))
    assert not bm25.scores(*row("unheard")).any()


def test_search_returns_matching_rows_best_first_with_ties_by_row() -> None:
    same = row("cat")
    bm25 = Bm25([row("dog"), same, same, row("cat cat"), same], len(VOCABULARY), b=0.0)
    rows, scores = bm25.search(*row("cat"), top_k=3)
    assert rows.tolist() == [3, 1, 2]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert bm25.search(*row("cat"), top_k=10)[0].tolist() == [3, 1, 2, 4]


def test_search_keeps_to_the_allowed_rows() -> None:
    allowed = np.array([True, False, True, True])
    rows, _ = index().search(*row("cat dog"), top_k=10, allowed=allowed)
    assert sorted(rows.tolist()) == [0, 2]


def test_an_empty_index_finds_nothing() -> None:
    bm25 = Bm25([], 0)
    rows, scores = bm25.search(np.array([-1]), np.array([1]), top_k=5)
    assert rows.tolist() == scores.tolist() == []
    assert bm25.ceiling(np.array([], np.int32), np.array([], np.int32)) == 0.0


def test_rows_without_terms_are_kept_and_never_found() -> None:
    nothing = np.array([], np.int32), np.array([], np.int32)
    assert Bm25([nothing, row("cat")], len(VOCABULARY)).scores(*row("cat"))[0] == 0.0
    assert not Bm25([nothing], len(VOCABULARY)).scores(*row("cat")).any()


def test_eight_thousand_chunks_are_indexed_at_start_and_scored_in_passing() -> None:
    random = np.random.default_rng(7)
    rows = []
    for _ in range(8_000):
        ids = np.unique((40_000 * random.random(150) ** 3).astype(np.int32))
        rows.append((ids, random.integers(1, 4, len(ids)).astype(np.int32)))
    query = np.arange(0, 400, 20), np.ones(20, np.int32)
    started = time.process_time()
    bm25 = Bm25(rows, 40_000)
    built = time.process_time()
    for _ in range(10):
        bm25.scores(*query)
    assert built - started < 1.0
    assert (time.process_time() - built) / 10 < 0.006
    print(f"build {built - started:.3f} s, query {(time.process_time() - built) * 100:.2f} ms")
