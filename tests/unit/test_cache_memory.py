"""Memory tier, keys and stored forms."""

import sys
import zlib
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_rig import QUESTION, Clock, an_answer, source
from steadyrag.domain.filters import parse_filter
from steadyrag.domain.models import CacheInfo, Embedding, Query, Usage
from steadyrag.resilience.answers import HeldAnswer, again, pack_answer, read_answer
from steadyrag.resilience.keys import answer_key, document_digest, normalised, vector_key
from steadyrag.resilience.memory import Memory
from steadyrag.resilience.vectors import pack_vector, unpack_vector

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def memory(clock=None, *, entries=3, size_bytes=100) -> Memory[str, str]:
    return Memory(entries=entries, size_bytes=size_bytes, clock=clock or Clock())


class TestMemory:
    def test_the_least_recently_used_goes_first(self):
        held = memory()
        for key in "abc":
            held.put(key, key, size=1, ttl_s=10)
        held.get("a")
        held.put("d", "d", size=1, ttl_s=10)
        assert [held.get(key) for key in "abcd"] == ["a", None, "c", "d"]

    def test_it_is_bounded_by_bytes_too(self):
        held = memory(entries=100)
        for key in "abc":
            held.put(key, key, size=40, ttl_s=10)
        assert [held.get(key) for key in "abc"] == [None, "b", "c"]
        held.put("b", "larger than everything", size=101, ttl_s=10)
        assert held.get("b") is None
        assert held.size_bytes == 40

    def test_what_is_over_when_a_frozen_environment_wakes_up_is_gone(self):
        clock = Clock()
        held = memory(clock)
        held.put("a", "a", size=1, ttl_s=10)
        clock.passes(9.9)
        assert held.get("a") == "a"
        clock.passes(600)
        assert held.get("a") is None
        assert len(held) == 0

    @given(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.integers(-1, 20))),
        st.integers(0, 5),
    )
    def test_it_never_holds_more_than_it_may(self, puts, entries):
        held = Memory[int, int](entries=entries, size_bytes=100, clock=Clock())
        for key, size, ttl_s in puts:
            held.put(key, key, size=size, ttl_s=ttl_s)
            assert len(held) <= entries
            assert held.size_bytes <= 100


class TestKeys:
    def key(self, query=QUESTION, *, fingerprint="f", variant="v"):
        return answer_key(query, fingerprint=fingerprint, variant=variant)

    @pytest.mark.parametrize(
        "other",
        [
            Query("What is the capital of Japan?"),
            Query(QUESTION.text, top_k=6),
            Query(QUESTION.text, namespace="other"),
            Query(QUESTION.text, generate=False),
            Query(QUESTION.text, filter=parse_filter({"year": 2024})),
        ],
    )
    def test_whatever_shapes_the_answer_makes_another_key(self, other):
        assert self.key(other) != self.key()

    def test_configuration_and_variant_do_too(self):
        assert len({self.key(), self.key(fingerprint="g"), self.key(variant="w")}) == 3

    def test_who_asks_does_not(self):
        assert self.key(Query(QUESTION.text, user="somebody")) == self.key()

    def test_filters_that_say_the_same_share_a_key(self):
        filters = (
            {"year": {"$in": [2024, 2025]}, "$or": [{"a": 1}, {"b": {"$eq": 2}}]},
            {"$or": [{"b": 2}, {"a": 1}], "year": {"$in": [2025, 2024]}},
        )
        first, second = (Query("q", filter=parse_filter(raw)) for raw in filters)
        assert self.key(first) == self.key(second)

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("서울은 어디인가", "서울은  어디인가"),  # decomposed
            ("STRASSE?", "straße?"),
            ("What\tis  RAG", "what is rag"),
        ],
    )
    def test_questions_that_read_the_same_are_the_same(self, a, b):
        assert normalised(a) == normalised(b)

    @given(TEXT)
    def test_normalising_twice_changes_nothing(self, text):
        assert normalised(normalised(text)) == normalised(text)

    @given(TEXT, TEXT)
    def test_an_embedder_sees_case_and_so_does_its_key(self, name, text):
        assert vector_key(name, "n", text + "a") != vector_key(name, "n", text + "A")

    def test_namespaces_share_no_embedding(self):
        assert vector_key("e", "a", "b") != vector_key("e", "b", "b")

    @given(TEXT)
    def test_keys_are_ascii(self, text):
        query = Query(text, filter=parse_filter({"제목": text[:100]}))
        assert self.key(query).isascii()
        assert vector_key("e", "n", text).isascii()
        assert document_digest(text).isascii()
        assert len(document_digest(text)) == 11


class TestStoredAnswers:
    @given(answer=TEXT | st.none(), title=TEXT, text=TEXT, began_at=st.floats(0, 1e10))
    def test_an_answer_comes_back_as_it_was(self, answer, title, text, began_at):
        sources = [source(title, text), source("b", text * 50)]
        made = an_answer(answer, sources=sources)
        packed = read_answer(pack_answer(HeldAnswer(made, began_at, "stamp~1.2")))
        assert packed.version == "stamp~1.2"
        assert packed.began_at == pytest.approx(began_at, abs=0.001)
        held = packed.open()
        info = CacheInfo("hit", "valkey", 1)
        assert again(held.answer, info, search_id="2") == again(made, info, search_id="2")
        assert held.document_ids == [title, "b"]

    def test_long_ones_are_packed(self):
        made = an_answer(sources=[source(text="서울은 대한민국의 수도이다. " * 100)])
        packed = pack_answer(HeldAnswer(made, 1.0, "v"))
        assert packed[:1] == b"Z"
        assert len(packed) < 1000

    @given(st.binary(max_size=60))
    def test_whatever_is_held_can_be_read(self, garbage):
        for packed in (garbage, b"P1.0 v\n" + garbage, b"Z1.0 v\n" + garbage):
            header = read_answer(packed)
            assert header is None or header.open() is None

    def test_half_an_answer_is_none(self):
        made = an_answer(sources=[source(text="Seoul. " * 400)])
        packed = pack_answer(HeldAnswer(made, 1.0, "v"))
        assert all(read_answer(packed[:n]).open() is None for n in range(9, len(packed), 7))

    def test_a_bomb_is_none(self):
        bomb = zlib.compress(b"[" + b"1," * 10_000_000)
        assert read_answer(b"Z1.0 v\n" + bomb).open() is None

    def test_what_another_request_gets_costs_nothing(self):
        served = again(an_answer(), CacheInfo("hit", "memory", 3), search_id="new")
        assert (served.search_id, served.usage, served.timings_ms) == (
            "new",
            Usage(cost_usd=0.0),
            {},
        )


class TestStoredVectors:
    @given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
    def test_a_vector_comes_back_bit_by_bit(self, values):
        made = Embedding(array("f", values), 7)
        packed = pack_vector(made)
        assert len(packed) == 4 + 4 * len(values)
        assert unpack_vector(packed, dimension=len(values)) == made

    def test_one_of_another_dimension_is_none(self):
        packed = pack_vector(Embedding(array("f", [1, 2, 3]), 7))
        assert unpack_vector(packed, dimension=2) is None
        assert unpack_vector(b"", dimension=0) is None

    def test_it_is_little_endian_everywhere(self):
        assert sys.byteorder in ("little", "big")
        assert pack_vector(Embedding(array("f", [1.0]), 1)) == b"\1\0\0\0\0\0\x80\x3f"


@pytest.mark.parametrize(
    ("info", "header"),
    [
        (CacheInfo("hit", "memory", 12), "steadyrag; hit; detail=memory"),
        (CacheInfo("miss"), "steadyrag; fwd=miss"),
        (CacheInfo("stale", "valkey", 99), "steadyrag; fwd=stale; detail=valkey"),
        (CacheInfo("bypass"), "steadyrag; fwd=request"),
        (CacheInfo(), "steadyrag; fwd=bypass"),
    ],
)
def test_the_header_is_what_rfc_9211_says(info, header):
    assert info.header == header
