from builders import hit
from steadyrag.domain import context
from steadyrag.domain.context import BLOCK_OVERHEAD
from steadyrag.domain.models import Block, Hit, Ranking


def build_context(hits: list[Hit], budget_tokens: int) -> list[Block]:
    return context.build_context(Ranking(hits, calibrated=True), budget_tokens)


def sentences(count: int) -> str:
    return " ".join(f"This is sentence number {i} of the document." for i in range(count))


def test_blocks_keep_the_order_of_the_hits_and_are_numbered():
    blocks = build_context([hit("One. " * 9), hit("Two. " * 9)], 1000)
    assert [(b.number, b.text[:3]) for b in blocks] == [(1, "One"), (2, "Two")]


def test_headings_come_along():
    [block] = build_context([hit("Body text.", context="Guide › Set-up")], 1000)
    assert block.text == "Guide › Set-up\nBody text."


def test_the_budget_is_never_exceeded():
    hits = [hit(sentences(40), tokens=400, id=f"c{i}") for i in range(10)]
    for budget in (50, 100, 413, 777, 2000):
        blocks = build_context(hits, budget)
        assert blocks
        assert sum(block.tokens for block in blocks) <= budget


def test_the_hit_that_does_not_fit_is_cut_at_a_sentence():
    hits = [hit("Short.", tokens=10, id="a"), hit(sentences(40), tokens=400, id="b")]
    blocks = build_context(hits, 10 + BLOCK_OVERHEAD + 200)
    assert len(blocks) == 2
    assert blocks[1].text.endswith("document.")
    assert len(blocks[1].text) < len(sentences(40)) * 0.55


def test_a_first_hit_without_any_sentence_end_is_still_used():
    [block] = build_context([hit("word " * 4000, tokens=4000)], 100)
    assert 0 < len(block.text) < 1000


def test_no_hits_no_blocks():
    assert build_context([], 100) == []


def test_blocks_know_whether_their_scores_are_probabilities():
    [block] = context.build_context(Ranking([hit()], calibrated=False), 100)
    assert not block.calibrated
