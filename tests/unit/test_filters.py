import json
import unicodedata

import pytest

from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.filters import Filter, parse_filter

PAPER = {"year": 2024, "lang": "ko", "tags": ["rag", "aws"], "draft": False}


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        ({}, True),
        ({"year": 2024}, True),
        ({"year": 2023}, False),
        ({"year": {"$gte": 2024, "$lt": 2025}}, True),
        ({"year": {"$gt": 2024}}, False),
        ({"lang": {"$in": ["en", "ko"]}}, True),
        ({"lang": {"$nin": ["en", "ko"]}}, False),
        ({"lang": {"$ne": "en"}}, True),
        ({"tags": "rag"}, True),
        ({"tags": {"$in": ["gcp"]}}, False),
        ({"missing": {"$exists": False}}, True),
        ({"missing": {"$gt": 1}}, False),
        ({"lang": {"$gt": 1}}, False),
        ({"draft": False}, True),
        ({"draft": 0}, False),
        ({"year": True}, False),
        ({"$or": [{"year": 1999}, {"lang": "ko"}]}, True),
        ({"$and": [{"year": 2024}, {"lang": "en"}]}, False),
    ],
)
def test_a_filter_passes_what_it_says(raw, passes):
    assert parse_filter(raw).matches(PAPER) is passes


def test_leaves_become_canonical():
    assert parse_filter({"a": 1}) == Filter({"a": {"$eq": 1}})


def test_what_is_typed_on_a_mac_matches_what_is_kept():
    kept = {"source": "문서/가이드.md", "부서": "인사"}
    decomposed = unicodedata.normalize(
        "NFD", '{"source": "문서/가이드.md", "부서": {"$in": ["인사"]}}'
    )
    assert parse_filter(json.loads(decomposed)).matches(kept)


DEEP = {"$and": [{"$and": [{"$and": [{"$and": [{"$and": [{"a": 1}]}]}]}]}]}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ([], "filter"),
        ("year > 3", "filter"),
        ({"$not": {}}, "filter.$not"),
        ({"year": {"$like": 3}}, "filter.year.$like"),
        ({"year": {}}, "filter.year"),
        ({"year": None}, "filter.year"),
        ({"year": {"$gt": "2020"}}, "filter.year.$gt"),
        ({"year": {"$gt": True}}, "filter.year.$gt"),
        ({"year": float("nan")}, "filter.year"),
        ({"tag": {"$in": []}}, "filter.tag.$in"),
        ({"tag": {"$in": [1, {}]}}, "filter.tag.$in[1]"),
        ({"tag": {"$exists": 1}}, "filter.tag.$exists"),
        ({"$or": []}, "filter.$or"),
        ({"$or": [{}]}, "filter.$or"),
        ({"$or": [{"a": 1}, 3]}, "filter.$or[1]"),
        ({"tag": "\ud800"}, "filter.tag"),
        ({"": 1}, "filter."),
        ({"a\0b": 1}, "filter.a\0b"),
        ({"\ud800": 1}, "filter.\ud800"),
        ({"tag": "x" * 600}, "filter.tag"),
        ({f"f{i}": i for i in range(80)}, "filter"),
    ],
)
def test_what_is_not_a_filter_is_refused_naming_the_part(raw, field):
    with pytest.raises(InvalidInput) as caught:
        parse_filter(raw)
    assert caught.value.field == field


def test_nesting_is_bounded():
    with pytest.raises(InvalidInput, match="nested deeper"):
        parse_filter(DEEP)
