"""Queries that come together share one embedding call, and nothing else."""

import asyncio
import math
import random
import time
from collections.abc import Sequence

import pytest

from fakes import FakeEmbedder
from steadyrag.domain.errors import Rejected, Throttled, Unavailable
from steadyrag.domain.models import Embedding, Embeddings
from steadyrag.resilience.batching import BatchedEmbedder
from steadyrag.resilience.deadline import deadline, remaining_s

NEVER_S = 60.0
"""A wait that no test would survive: what passes did not wait for it."""


@pytest.fixture
def inner() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def batched(inner: FakeEmbedder) -> BatchedEmbedder:
    return BatchedEmbedder(inner, max_wait_s=NEVER_S)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


def vector(text: str):
    return FakeEmbedder()._vector(text)


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_lone_query_waits_for_nobody(inner, batched):
    async with asyncio.timeout(1):
        found = await batched.embed_query("alone")
    assert found == Embedding(vector("alone"), 1)
    assert inner.asked == [["alone"]]
    assert others() == set()


async def test_queries_that_arrive_at_once_share_one_call(inner, batched):
    texts = [f"question {i}" for i in range(20)]
    found = await asyncio.gather(*map(batched.embed_query, texts))
    assert [embedding.vector for embedding in found] == [vector(text) for text in texts]
    assert inner.asked == [texts]


async def test_no_call_takes_more_than_a_hundred_texts(inner, batched):
    await asyncio.gather(*(batched.embed_query(f"question {i}") for i in range(250)))
    assert [len(texts) for texts in inner.asked] == [100, 100, 50]


async def test_under_load_queries_gather_for_as_long_as_the_limit_says(inner):
    batched = BatchedEmbedder(inner, max_wait_s=0.02)
    inner.slow(0.2, on="embed_queries")
    first = asyncio.create_task(batched.embed_query("first"))
    await until(lambda: inner.asked)
    started = time.perf_counter()
    later = []
    for i in range(5):
        later.append(asyncio.create_task(batched.embed_query(f"later {i}")))
        await asyncio.sleep(0.001)
    await until(lambda: len(inner.asked) == 2)
    assert 0.015 < time.perf_counter() - started < 0.1
    assert inner.asked[1] == [f"later {i}" for i in range(5)]
    await asyncio.gather(first, *later)


async def test_gathering_ends_as_soon_as_nothing_is_under_way(inner, batched):
    inner.slow(0.02, on="embed_queries")
    first = asyncio.create_task(batched.embed_query("first"))
    await until(lambda: inner.asked)
    async with asyncio.timeout(1):
        await batched.embed_query("second")
    assert inner.asked == [["first"], ["second"]]
    assert first.done()


async def test_gathering_ends_when_the_batch_is_full(inner):
    batched = BatchedEmbedder(inner, max_texts=3, max_wait_s=NEVER_S)
    inner.slow(0.05, on="embed_queries")
    first = asyncio.create_task(batched.embed_query("first"))
    await until(lambda: inner.asked)
    rest = [asyncio.create_task(batched.embed_query(text)) for text in "abc"]
    await until(lambda: len(inner.asked) == 2)
    assert not first.done()
    await asyncio.gather(first, *rest)


async def test_equal_texts_are_asked_for_once_also_while_under_way(inner, batched):
    inner.slow(0.02, on="embed_queries")
    early = [asyncio.create_task(batched.embed_query("the same")) for _ in range(3)]
    await until(lambda: inner.asked)
    late = await batched.embed_query("the same")
    found = [*await asyncio.gather(*early), late]
    assert inner.asked == [["the same"]]
    assert {embedding.vector.tobytes() for embedding in found} == {vector("the same").tobytes()}
    assert sum(embedding.tokens for embedding in found) == 2


async def test_what_was_charged_is_shared_out_to_the_last_token(inner, batched):
    texts = ["a", "a", "word " * 50, "한국어로 묻는 질문입니다", "?"]
    found = await asyncio.gather(*map(batched.embed_query, texts))
    assert sum(e.tokens for e in found) == sum(map(inner.count_tokens, dict.fromkeys(texts)))
    assert max(found, key=lambda e: e.tokens) is found[2]


@pytest.mark.parametrize("bad", [["q7"], ["q0"], ["q99"], ["q3", "q4"], ["q1", "q50", "q98"]])
async def test_a_bad_text_fails_only_its_own_caller(inner, batched, bad):
    inner.bad = set(bad)
    texts = [f"q{i}" for i in range(100)]
    found = await asyncio.gather(*map(batched.embed_query, texts), return_exceptions=True)
    for text, result in zip(texts, found, strict=True):
        if text in bad:
            assert isinstance(result, Rejected)
        else:
            assert result.vector == vector(text)
    assert len(inner.asked) <= 1 + 2 * len(bad) * math.ceil(math.log2(100))


async def test_whoever_gives_up_leaves_the_others_alone(inner, batched):
    inner.slow(0.03, on="embed_queries")
    tasks = [asyncio.create_task(batched.embed_query(text)) for text in "abc"]
    await until(lambda: inner.asked)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [e.vector for e in found[1:]] == [vector("b"), vector("c")]
    assert sum(e.tokens for e in found[1:]) == 3
    assert inner.asked == [["a", "b", "c"]]


async def test_of_two_with_the_same_text_one_may_give_up(inner, batched):
    inner.slow(0.03, on="embed_queries")
    quitter, other = (asyncio.create_task(batched.embed_query("same")) for _ in range(2))
    await until(lambda: inner.asked)
    quitter.cancel()
    assert (await other).vector == vector("same")


async def test_the_call_ends_with_its_last_caller(inner, batched):
    inner.slow(NEVER_S, on="embed_queries")
    tasks = [asyncio.create_task(batched.embed_query(text)) for text in "ab"]
    await until(lambda: inner.asked)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert others() == set()


async def test_what_nobody_waits_for_any_more_is_never_asked(inner, batched):
    inner.slow(0.03, on="embed_queries")
    first = asyncio.create_task(batched.embed_query("first"))
    await until(lambda: inner.asked)
    gone, stays = (asyncio.create_task(batched.embed_query(text)) for text in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(first, stays)
    alone = asyncio.create_task(batched.embed_query("alone"))
    alone.cancel()
    await asyncio.wait([alone])
    assert inner.asked == [["first"], ["stays"]]
    assert (await batched.embed_query("again")).vector == vector("again")


async def test_a_failure_reaches_every_caller_as_its_own(inner, batched):
    inner.fail(Throttled("embedding", "slow down", retry_after_s=2.5), times=1)
    found = await asyncio.gather(*map(batched.embed_query, "abc"), return_exceptions=True)
    assert len({id(error) for error in found}) == 3
    for error in found:
        assert type(error) is Throttled
        assert str(error) == "embedding: slow down"
        assert (error.dependency, error.retry_after_s) == ("embedding", 2.5)
        assert error.__cause__.problem == "slow down"
    assert (await batched.embed_query("a")).vector == vector("a")


async def test_a_bug_in_the_embedder_is_everybodys_failure_too(inner, batched):
    inner.fail(ZeroDivisionError("oops"))
    found = await asyncio.gather(*map(batched.embed_query, "ab"), return_exceptions=True)
    assert [repr(error) for error in found] == ["ZeroDivisionError('oops')"] * 2


async def test_too_few_vectors_are_a_failure_and_never_anothers(batched, inner, monkeypatch):
    async def stingy(texts: Sequence[str]) -> Embeddings:
        return Embeddings([vector(text) for text in texts[1:]], 1)

    monkeypatch.setattr(inner, "embed_queries", stingy)
    found = await asyncio.gather(*map(batched.embed_query, "ab"), return_exceptions=True)
    assert all(isinstance(error, ValueError) for error in found)


async def test_a_call_cancelled_from_elsewhere_leaves_nobody_hanging(inner, batched):
    inner.slow(NEVER_S, on="embed_queries")
    caller = asyncio.create_task(batched.embed_query("a"))
    await until(lambda: inner.asked)
    (call,) = others() - {caller}
    call.cancel()
    with pytest.raises(Unavailable, match="cancelled"):
        await caller


async def test_each_caller_keeps_its_own_deadline(inner, batched):
    inner.slow(0.05, on="embed_queries")

    async def patient() -> Embedding:
        with deadline(10):
            return await batched.embed_query("patient")

    async def hasty() -> Embedding:
        with deadline(0.01):
            async with asyncio.timeout(remaining_s()):
                return await batched.embed_query("hasty")

    found = await asyncio.gather(hasty(), patient(), hasty(), return_exceptions=True)
    assert [type(result) for result in found] == [TimeoutError, Embedding, TimeoutError]
    assert len(inner.asked) == 1


async def test_the_shared_call_has_the_time_of_its_most_patient_caller(batched, inner):
    left: list[float] = []
    original = inner.embed_queries

    async def timed(texts: Sequence[str]) -> Embeddings:
        left.append(remaining_s())
        return await original(texts)

    inner.embed_queries = timed

    async def within(seconds: float) -> None:
        with deadline(seconds):
            await batched.embed_query(f"within {seconds}")

    await asyncio.gather(within(1), within(20), within(5))
    assert left == [pytest.approx(20, abs=0.5)]


async def test_a_patient_caller_does_not_depend_on_a_hasty_ones_call(inner):
    batched = BatchedEmbedder(inner, max_wait_s=0.001)
    inner.slow(0.05, on="embed_queries")

    async def hasty() -> None:
        with deadline(0.5):
            await batched.embed_query("same")

    first = asyncio.create_task(hasty())
    await until(lambda: inner.asked)
    with deadline(25):
        await batched.embed_query("same")
    await first
    assert inner.asked == [["same"], ["same"]]


def test_it_works_on_one_loop_after_another_even_where_one_broke_off(inner, batched):
    inner.slow(NEVER_S, on="embed_queries")
    broken = asyncio.new_event_loop()
    stranded = broken.create_task(batched.embed_query("a"))
    broken.run_until_complete(asyncio.sleep(0.001))
    inner.heal()
    for _ in range(2):
        assert asyncio.run(batched.embed_query("a")).vector == vector("a")
    stranded.cancel()
    broken.run_until_complete(asyncio.wait([stranded]))
    broken.close()


def test_one_request_at_a_time_on_a_loop_that_stops_in_between(inner, batched):
    loop = asyncio.new_event_loop()
    for text in "abc":
        assert loop.run_until_complete(batched.embed_query(text)).vector == vector(text)
        assert asyncio.all_tasks(loop) == set()
    loop.close()


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_the_order_everybody_gets_what_is_theirs(inner, seed):
    chance = random.Random(seed)  # noqa: S311 - makes an order, not a secret
    batched = BatchedEmbedder(inner, max_texts=7, max_wait_s=0.001)
    inner.bad = {"q3", "q8"}
    inner.slow(0.002, on="embed_queries")
    if seed % 3 == 0:
        inner.fail(Unavailable("embedding", "down"), on="embed_queries", times=2)

    async def ask(text: str, delay_s: float, patience_s: float) -> object:
        await asyncio.sleep(delay_s)
        async with asyncio.timeout(patience_s):
            return await batched.embed_query(text)

    texts = [f"q{chance.randrange(30)}" for _ in range(120)]
    found = await asyncio.gather(
        *(ask(text, chance.uniform(0, 0.02), chance.choice([0.001, 5, 5])) for text in texts),
        return_exceptions=True,
    )
    for text, result in zip(texts, found, strict=True):
        match result:
            case Embedding():
                assert result.vector == vector(text)
                assert text not in inner.bad
            case Rejected():
                assert text in inner.bad
            case _:
                assert isinstance(result, TimeoutError | Unavailable), result
    assert others() == set()
    assert max(map(len, inner.asked)) <= 7
