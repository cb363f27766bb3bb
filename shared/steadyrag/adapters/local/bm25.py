"""BM25 in memory, as Lucene defines it, on numpy arrays.

    score(q, d) = Σ_t tf_q(t) · idf(t) · tf_d(t) · (k1 + 1) / (tf_d(t) + k1 · norm(d))
    norm(d)     = 1 - b + b · |d| / mean |d|
    idf(t)      = ln(1 + (N - df(t) + ½) / (df(t) + ½))

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009); the
idf with the 1 inside the logarithm, never negative, is Lucene's. The weight of each posting
is worked out once, so a query adds up a few slices.
"""

from collections.abc import Sequence

import numpy as np

type IntArray = np.ndarray[tuple[int, ...], np.dtype[np.integer]]
type FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

K1 = 1.2
B = 0.75


class Bm25:
    """An immutable index over rows 0..n-1.

    Each row is `(term_ids, tf)`: its distinct term ids in [0, n_terms) and how often each
    occurs. In a query, a term that the corpus lacks is written as -1: it matches nothing and
    raises the ceiling, since a chunk that says everything the question asks would hold it.
    """

    def __init__(
        self,
        rows: Sequence[tuple[IntArray, IntArray]],
        n_terms: int,
        *,
        k1: float = K1,
        b: float = B,
    ) -> None:
        self.n_rows = len(rows)
        self._k1 = k1
        sizes = np.fromiter((len(ids) for ids, _ in rows), np.int64, self.n_rows)
        empty = np.zeros(0, np.int32)
        terms = np.concatenate([empty, *(ids for ids, _ in rows)]).astype(np.int32, copy=False)
        tf = np.concatenate([empty, *(tf for _, tf in rows)]).astype(np.float32)
        row_of = np.repeat(np.arange(self.n_rows, dtype=np.int32), sizes)

        lengths = np.bincount(row_of, weights=tf, minlength=self.n_rows)
        average = float(lengths.mean()) if lengths.any() else 1.0
        df = np.bincount(terms, minlength=n_terms)
        self._idf = np.log1p((self.n_rows - df + 0.5) / (df + 0.5)).astype(np.float32)
        self._unknown_idf = float(np.log1p((self.n_rows + 0.5) / 0.5))

        saturation = (k1 * (1 - b + b * lengths / average)).astype(np.float32)
        weights = self._idf[terms] * tf * np.float32(k1 + 1) / (tf + saturation[row_of])
        by_term = np.argsort(terms, kind="stable")
        self._rows = row_of[by_term]
        self._weights = weights[by_term]
        self._starts = np.concatenate([[0], np.cumsum(df)])

    def scores(self, query_term_ids: IntArray, query_tf: IntArray) -> FloatArray:
        """(n_rows,) BM25 of every row. The ids are distinct, apart from any -1."""
        scores = np.zeros(self.n_rows, np.float32)
        for term, tf in zip(query_term_ids.tolist(), query_tf.tolist(), strict=True):
            if term < 0:
                continue
            postings = slice(self._starts[term], self._starts[term + 1])
            # A row occurs once in a term's postings, so fancy indexing adds every weight.
            scores[self._rows[postings]] += self._weights[postings] * np.float32(tf)
        return scores

    def ceiling(self, query_term_ids: IntArray, query_tf: IntArray) -> float:
        """The score that a row holding every term of the query many times would approach."""
        known = query_term_ids >= 0
        mass = float(self._idf[query_term_ids[known]] @ query_tf[known].astype(np.float32))
        unknown = float(query_tf[~known].sum()) * self._unknown_idf
        return (mass + unknown) * (self._k1 + 1)

    def search(
        self,
        query_term_ids: IntArray,
        query_tf: IntArray,
        *,
        top_k: int,
        allowed: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """The best `top_k` rows that match at all and are `allowed` (a mask over all rows),
        best first, ties by row; and their scores."""
        scores = self.scores(query_term_ids, query_tf)
        if allowed is not None:
            scores[~allowed] = 0.0
        found = np.flatnonzero(scores)
        if len(found) > top_k:
            threshold = np.partition(scores[found], -top_k)[-top_k]
            found = found[scores[found] >= threshold]
        best = found[np.argsort(-scores[found], kind="stable")][:top_k]
        return best, scores[best]
