import math

import pytest

from steadyrag.evaluation.answers import normalised, seen, without_citations
from steadyrag.evaluation.dataset import GoldQuestion
from steadyrag.evaluation.metrics import judge, paired_bootstrap


def question(key="q", **judged):
    return GoldQuestion(key, f"What of {key}?", judged)


def test_a_perfect_ranking_gets_one_everywhere():
    judged = judge([question(d1=1)], {"q": ["d1", "d2"]})
    assert (judged.ndcg, judged.recall, judged.mrr) == ([1.0], [1.0], [1.0])


def test_the_place_of_the_relevant_document_counts():
    judged = judge([question(d3=1, d9=1)], {"q": ["d1", "d2", "d3"]})
    gain, ideal = 1 / math.log2(4), 1 + 1 / math.log2(3)
    assert judged.ndcg == [pytest.approx(gain / ideal)]
    assert judged.recall == [0.5]
    assert judged.mrr == [pytest.approx(1 / 3)]


def test_the_order_given_is_the_order_judged_whatever_the_ids():
    judged = judge([question(b=1)], {"q": ["b", "a", "z"]})
    assert judged.mrr == [1.0]


def test_what_comes_after_the_tenth_document_does_not_count():
    others = [f"x{place}" for place in range(10)]
    judged = judge([question(d=1)], {"q": [*others, "d"]})
    assert (judged.ndcg, judged.recall, judged.mrr) == ([0.0], [0.0], [0.0])


def test_a_question_without_hits_counts_as_nothing_found():
    judged = judge([question("a", d=1), question("b", d=1)], {"a": ["d"], "b": []})
    assert judged.ndcg == [1.0, 0.0]


def test_the_bootstrap_is_the_same_every_time_and_straddles_no_gain():
    better, worse = [1.0, 0.0, 0.5, 0.2] * 25, [0.0, 1.0, 0.5, 0.2] * 25
    interval = paired_bootstrap(better, worse)
    assert interval == paired_bootstrap(better, worse)
    assert interval.mean == 0
    assert interval.low < 0 < interval.high


def test_a_gain_on_every_question_has_an_interval_above_nothing():
    interval = paired_bootstrap([0.6, 0.8] * 50, [0.5, 0.5] * 50)
    assert interval.mean == pytest.approx(0.2)
    assert 0.1 < interval.low < 0.2 < interval.high < 0.3


def test_wordings_compare_without_case_width_space_and_punctuation():
    assert normalised("“The U.S.A.” ") == normalised("ｔｈｅ usa")
    assert normalised("서울 특별시") == normalised("서울특별시.")


@pytest.mark.parametrize(
    ("answers", "texts", "found"),
    [
        (["혈류 둔화"], ["신경은 혈류둔화를 막는다."], True),
        (["Seoul", "서울"], ["수도는 서울이다."], True),
        (["Seoul"], ["Busan", "Daegu"], False),
        (["?!"], ["anything"], False),
        (["ab"], ["xa", "bx"], False),
    ],
)
def test_an_answer_is_seen_where_one_text_holds_it(answers, texts, found):
    assert seen(answers, texts) is found


def test_citations_do_not_stand_between_the_words_of_an_answer():
    assert seen(["Seoul is the capital"], [without_citations("Seoul [1] is the capital [2].")])
