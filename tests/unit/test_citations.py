import pytest

from builders import block
from steadyrag.domain.citations import resolve_citations

BLOCKS = [block(n, f"text {n}", id=f"c{n}") for n in (1, 2, 3)]
HITS = [b.hit for b in BLOCKS]


@pytest.mark.parametrize(
    ("text", "expected", "order"),
    [
        ("Plain.", "Plain.", "c1 c2 c3"),
        ("A [1]. B [2].", "A [1]. B [2].", "c1 c2 c3"),
        ("A [3]. B [1].", "A [1]. B [2].", "c3 c1 c2"),
        ("A [3][2], again [3].", "A [1][2], again [1].", "c3 c2 c1"),
        ("A [2, 3].", "A [1][2].", "c2 c3 c1"),
        ("A [9]. B [2].", "A. B [1].", "c2 c1 c3"),
        ("A [0] and [1].", "A and [1].", "c1 c2 c3"),
        ("가나다[2].", "가나다[1].", "c2 c1 c3"),
        ("A [2,2].", "A [1].", "c2 c1 c3"),
    ],
)
def test_cited_sources_come_first_and_numbers_follow_them(text, expected, order):
    resolved, hits = resolve_citations(text, BLOCKS, HITS)
    assert resolved == expected
    assert [h.chunk.id for h in hits] == order.split()


def test_a_hit_that_never_reached_the_generator_stays_in_the_sources():
    resolved, hits = resolve_citations("A [2].", BLOCKS[:2], HITS)
    assert resolved == "A [1]."
    assert [h.chunk.id for h in hits] == ["c2", "c1", "c3"]
