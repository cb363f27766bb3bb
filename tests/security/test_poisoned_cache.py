"""A shared store that somebody else has written into: what isn't this question's answer is a
miss, whatever it looks like, and never an error."""

import json
import math
import zlib
from array import array

import pytest

from cache_rig import QUESTION, Fleet, Pipeline, an_answer, source
from steadyrag.domain.models import Query
from steadyrag.resilience.answers import HeldAnswer, pack_answer, read_answer
from steadyrag.resilience.keys import answer_key, corpus_key, vector_key
from steadyrag.resilience.vectors import unpack_vector

OTHERS = Query(QUESTION.text, namespace="other-tenant")
HERS = an_answer("The code is 4711 [1].", sources=[source("secret", "The code is 4711.")])


def key_of(query: Query) -> str:
    return answer_key(query, fingerprint="config", variant="default")


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


async def stamp(fleet: Fleet) -> str:
    (_, maps, *_) = await fleet.valkey.read((), [corpus_key("default")])
    return maps[corpus_key("default")]["stamp"].decode()


async def poison(fleet: Fleet, value: bytes) -> None:
    for store in fleet.stores.values():
        await store.write({key_of(QUESTION): value}, ttl_s=600)


async def test_another_namespaces_answer_under_our_key_is_a_miss(fleet):
    await fleet.environment().answer(OTHERS, Pipeline(HERS))
    hers = (await fleet.valkey.read([key_of(OTHERS)]))[0][key_of(OTHERS)]
    await fleet.environment().answer(QUESTION, Pipeline())
    await poison(fleet, hers)
    pipeline = Pipeline()
    answer = await fleet.environment().answer(QUESTION, pipeline)
    assert (answer.answer, answer.cache.status, pipeline.calls) == ("Seoul [1].", "miss", 1)


async def test_it_does_not_stand_in_while_the_index_is_lost_either(fleet):
    await fleet.environment().answer(OTHERS, Pipeline(HERS))
    hers = (await fleet.valkey.read([key_of(OTHERS)]))[0][key_of(OTHERS)]
    await fleet.environment().answer(QUESTION, Pipeline())
    await poison(fleet, hers)
    state = await fleet.environment().shared.open(QUESTION)
    assert state.last_good(fleet.clock(), "id") is None


PLAIN = json.loads(pack_answer(HeldAnswer(an_answer(), 1.0, "v", key_of(QUESTION))).split(b"\n")[1])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"null",
        b"[]",
        b'"text"',
        b"9" * 5_000,
        b"\xff\xfe",
        *[
            json.dumps(PLAIN | changed).encode()
            for changed in (
                {"key": "sr:answer:other"},
                {"key": None},
                {"answer": 5},
                {"answer": {"$ne": 1}},
                {"sources": None},
                {"sources": {}},
                {"sources": ["abcdefg"]},
                {"sources": [[None] * 7]},
                {"sources": [["a", "b", "c", None, "d", math.nan, 1]]},
                {"sources": [["a", "b", "c", None, "d", math.inf, 1]]},
                {"sources": [["a", "b", "c", 1, "d", 0.5, 1]]},
                {"sources": [["a", ["b"], "c", None, "d", 0.5, 1]]},
                {"calibrated": "yes"},
                {"model": []},
                {"variant": None},
            )
        ],
    ],
)
@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_that_is_no_answer_is_a_miss(fleet, body, packed):
    if not body.startswith(b"{") or body == b'{"a":' * 200_000:
        assert read_answer(b"P1.0 v\n" + body).open(key_of(QUESTION)) is None
    await fleet.environment().answer(QUESTION, Pipeline())
    header = f"{fleet.clock() + 1:.3f} {await stamp(fleet)}\n".encode()
    await poison(fleet, b"Z" + header + zlib.compress(body) if packed else b"P" + header + body)
    pipeline = Pipeline()
    answer = await fleet.environment().answer(QUESTION, pipeline)
    assert (answer.answer, pipeline.calls) == ("Seoul [1].", 1)


async def test_what_unpacks_to_more_than_any_answer_is_a_miss_in_little_memory(fleet):
    await fleet.environment().answer(QUESTION, Pipeline())
    header = f"{fleet.clock() + 1:.3f} {await stamp(fleet)}\n".encode()
    await poison(fleet, b"Z" + header + zlib.compress(b" " * 300_000_000, 1))
    pipeline = Pipeline()
    await fleet.environment().answer(QUESTION, pipeline)
    assert pipeline.calls == 1


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\1\0\0\0",
        b"\1\0\0\0" + b"x" * 7,
        b"\1\0\0\0" + array("f", [1.0, math.nan]).tobytes(),
        b"\1\0\0\0" + array("f", [math.inf, 1.0]).tobytes(),
        b"\1\0\0\0" + array("f", [math.inf, -math.inf]).tobytes(),
        b"\1\0\0\0" + b"\0" * 8_000_000,
    ],
)
async def test_what_is_no_vector_of_ours_is_made_anew(fleet, packed):
    key = vector_key("fake/2", QUESTION.namespace, QUESTION.text)
    await fleet.valkey.write({key: packed}, ttl_s=60)
    state = await fleet.environment().shared.open(QUESTION)
    assert state.embedding is None
    assert unpack_vector(packed, dimension=2) is None
