"""How many chunk ids an item of DynamoDB holds, and that they come back as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.ledger_contract import INDEXED, real_chunk_ids
from steadyrag.adapters.dynamodb_ledger_items import (
    LARGEST_CHUNK_IDS_BYTES,
    key_of,
    number,
    packed,
    record_attributes,
    said,
    text,
    unpacked,
)
from steadyrag.domain.errors import Rejected
from steadyrag.domain.ledger import LARGEST_CHUNK_COUNT, Outcome
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord

OWNER = "0123456789abcdef0123"
LARGEST_ITEM_BYTES = 400 * 1024

hashes = st.text("0123456789abcdef", min_size=20, max_size=20)
repeats = st.none() | st.integers(2, 3_000_000)
chunk_ids = st.builds(
    lambda content, repeat: f"{OWNER}-{content}" + (f"-{repeat}" if repeat else ""), hashes, repeats
)


@given(st.lists(chunk_ids, min_size=1))
def test_ids_of_one_document_come_back_as_they_were(ids):
    data = packed(ids)
    assert unpacked(data) == tuple(ids)
    assert len(data) <= 11 + len(ids) * 14


@given(st.lists(chunk_ids | st.text() | st.builds("{}-{}".format, hashes, hashes)))
def test_ids_of_any_other_shape_do_too(ids):
    assert unpacked(packed(ids)) == tuple(ids)


@pytest.mark.parametrize("odd", [f"{OWNER}-{OWNER}-0", f"{OWNER}-{OWNER}-02", f"{OWNER.upper()}-x"])
def test_an_id_that_only_resembles_ours_is_written_out(odd):
    assert unpacked(packed([f"{OWNER}-{OWNER}", odd])) == (f"{OWNER}-{OWNER}", odd)


def test_ids_as_chunking_makes_them_take_a_quarter_of_their_text():
    ids = real_chunk_ids()
    assert any(one.count("-") == 2 for one in ids)
    assert len(packed(ids)) < len("".join(ids)) / 3.5


@given(st.binary(max_size=40))
def test_what_nobody_packed_is_noticed(data):
    try:
        unpacked(data)
    except (LookupError, TypeError, ValueError):
        return


def item_bytes(item) -> int:
    """As DynamoDB counts an item: names and values, 21 bytes at most for a number."""
    sizes = {"S": lambda value: len(value.encode()), "B": len, "N": lambda _: 21}
    return sum(
        len(name) + sizes[kind](value)
        for name, held in item.items()
        for kind, value in held.items()
    )


def test_two_versions_of_the_largest_document_fit_an_item_with_all_that_is_said_of_it():
    ids = [f"{OWNER}-{n:020x}" for n in range(LARGEST_CHUNK_COUNT)]
    ids += [f"{OWNER}-{'f' * 20}-{n}" for n in range(2, LARGEST_CHUNK_COUNT + 2)]
    longest_key, clipped = "휴" * 340, "🧭" * 5000
    record = DocumentRecord(longest_key, f"s3://{'b' * 63}/{longest_key}", "f" * 80, tuple(ids))
    outcome = Outcome(
        "deleted",
        version="v" * 1024,
        stamp="s" * 80,
        sequencer="0" * 40,
        recipe="r" * 200,
        reason=clipped,
        origin=record.origin,
        title=clipped,
        size_bytes=10**13,
        chunks=16_000,
    )
    given, _ = said(outcome)
    item = key_of(Place("n" * 64, longest_key)) | given | record_attributes(record)
    item |= {"s": text("indexing"), "w": text("indexing"), "o": text("o" * 64), "l": text("o" * 64)}
    item |= {name: number(1732330000.123456) for name in ("u", "a", "t", "e")}
    item |= {"m": text("m" * 40)}
    assert item_bytes(item) < LARGEST_ITEM_BYTES


def test_more_chunks_than_fit_are_refused_before_dynamodb_is_asked():
    ids = tuple(f"{OWNER}-{n:020x}" for n in range(LARGEST_CHUNK_IDS_BYTES // 11 + 1))
    with pytest.raises(Rejected, match="too many"):
        record_attributes(DocumentRecord("a", "o", "f", ids))


def test_what_an_outcome_does_not_say_is_named():
    given, empty = said(INDEXED)
    assert empty == ["y"]
    given, empty = said(Outcome("pending", title="T"))
    assert given == {"h": {"S": "T"}}
    assert len(empty) == 8
