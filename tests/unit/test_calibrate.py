import random
from collections.abc import Sequence

import pytest

from steadyrag.calibrate import (
    SHARES,
    CannotCalibrate,
    Example,
    Judged,
    Kind,
    background_of,
    check,
    cross_check,
    fit,
    gather,
    reliability,
)
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Chunk, Hit


def examples(collection: str = "a", *, n: int = 400, seed: int = 1) -> list[Example]:
    """Relevant ones score about 1.0, others about 0.5, foreign ones about 0.1."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    made = []
    for kind in SHARES:
        for _ in range(n):
            answered = kind in ("answerable", "few") and chance.random() < 0.8
            level = 0.1 if kind == "foreign" else 0.5
            scores = [chance.gauss(level, 0.1) for _ in range(20)]
            marked = [(score, False) for score in scores]
            if answered:
                marked.append((chance.gauss(1.0, 0.2), True))
            marked.sort(reverse=True)
            made.append(Example(collection, kind, *map(tuple, zip(*marked, strict=True))))
    return made


def test_a_fit_is_calibrated_on_questions_it_has_not_seen() -> None:
    found = check(fit(examples(seed=1)), examples("b", seed=2))
    assert found.first.error < 0.1
    assert found.shown.error < 0.05
    assert found.mixed.error < 0.05


def test_foreign_questions_come_out_lowest_and_answerable_ones_highest() -> None:
    by_kind = check(fit(examples()), examples()).by_kind
    assert by_kind["foreign"] < 0.1
    assert min(by_kind, key=by_kind.__getitem__) == "foreign"
    assert by_kind["answerable"] > by_kind["unanswerable"] + 0.3


def test_each_collection_is_checked_under_the_fit_of_the_others() -> None:
    a, b = examples("a", seed=1), examples("b", seed=2)
    of_a, of_b = cross_check([*a, *b])
    assert (of_a.collection, of_a.calibration) == ("a", fit(b))
    assert (of_b.collection, of_b.calibration) == ("b", fit(a))


def test_the_background_is_what_nine_in_ten_foreign_questions_stay_below() -> None:
    foreign = [Example("a", "foreign", (i / 100, 0.0), (False, False)) for i in range(100)]
    background = background_of(foreign)
    assert background.score == pytest.approx(0.89, abs=0.01)
    assert background.spread == pytest.approx(0.29, abs=0.01)


def test_what_cannot_be_fitted_is_refused() -> None:
    known = [example for example in examples(n=5) if example.kind != "foreign"]
    with pytest.raises(CannotCalibrate, match="foreign"):
        fit(known)
    irrelevant = [
        Example("a", example.kind, example.scores, tuple(False for _ in example.scores))
        for example in examples(n=5)
    ]
    with pytest.raises(CannotCalibrate, match="relevant"):
        fit(irrelevant)
    upside_down = [
        Example(e.collection, e.kind, e.scores, tuple(not r for r in e.relevant))
        for e in examples(n=20)
    ]
    with pytest.raises(CannotCalibrate, match="tell"):
        fit(upside_down)


def test_the_calibration_error_is_the_mean_distance_over_bins() -> None:
    found = reliability([(0.95, True, 1.0), (0.95, False, 1.0), (0.05, False, 2.0)])
    assert found.error == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    assert found.score == pytest.approx(0.5)
    assert found.relevant == pytest.approx(0.25)
    assert [(b.share, b.relevant) for b in found.bins] == [(0.5, 0.0), (0.5, 0.5)]


def test_a_score_of_one_falls_in_the_last_bin() -> None:
    assert len(reliability([(1.0, True, 1.0), (0.99, True, 1.0)]).bins) == 1


class Documents:
    """Ranks every document that passes the filter, the one named like the question first."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids
        self.filters: list[Filter] = []

    async def rank(self, text: str, filter: Filter) -> list[Hit]:
        self.filters.append(filter)
        passing = [i for i in self.ids if filter.matches({"document_id": i})]
        passing.sort(key=lambda i: (i != text, i))
        return [
            Hit(Chunk(f"{i}-0", i, "", "", i, 1), score=1.0 - place / 1000)
            for place, i in enumerate(passing)
        ]


async def test_every_question_is_asked_in_every_way() -> None:
    ids = [f"d{i:03}" for i in range(200)]
    documents = Documents(ids)
    questions = [Judged(i, frozenset({i})) for i in ids[:8]]
    found: dict[Kind, list[Example]] = {}
    async for example in gather("a", questions, ["elsewhere"], ids, documents.rank):
        found.setdefault(example.kind, []).append(example)
    assert {kind: len(made) for kind, made in found.items()} == {
        "answerable": 8,
        "unanswerable": 8,
        "few": 8,
        "few_unanswerable": 8,
        "foreign": 1,
    }
    assert all(e.relevant[0] and sum(e.relevant) == 1 for e in found["answerable"])
    assert all(not any(e.relevant) and len(e.scores) == 199 for e in found["unanswerable"])
    assert [len(e.scores) for e in found["few"]] == [1, 3, 10, 30] * 2
    assert all(sum(e.relevant) == 1 for e in found["few"])
    assert [len(e.scores) for e in found["few_unanswerable"]] == [1, 3, 10, 30] * 2
    assert not any(any(e.relevant) for e in found["few_unanswerable"])


async def test_gathering_is_the_same_every_time() -> None:
    ids = [f"d{i:03}" for i in range(50)]
    questions = [Judged(i, frozenset({i})) for i in ids[:4]]
    runs = [
        [e async for e in gather("a", questions, [], ids, Documents(ids).rank)] for _ in range(2)
    ]
    assert runs[0] == runs[1]


async def test_a_collection_of_one_document_can_be_gathered() -> None:
    documents = Documents(["d"])
    kinds = [
        e.kind
        async for e in gather("a", [Judged("d", frozenset({"d"}))], [], ["d"], documents.rank)
    ]
    assert kinds == ["answerable", "unanswerable", "few", "few_unanswerable"]
