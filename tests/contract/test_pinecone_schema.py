"""The index that `steadyrag index create` makes, through Pinecone's own SDK, over HTTP."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from steadyrag.adapters.pinecone_schema import ensure_index, schema
from steadyrag.domain.errors import ConfigError, Refused, Unavailable
from vendors import Fault, PineconeVendor, serving

KEY = "pcsk-local-secret"


@dataclass
class Clock:
    """Time that passes only where somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pinecone(clock: Clock) -> Iterator[PineconeVendor]:
    with serving(PineconeVendor(api_key=KEY, clock=lambda: clock.now)) as vendor:
        yield vendor


@pytest.fixture
def ensure(pinecone: PineconeVendor, clock: Clock) -> Callable[..., Awaitable[Any]]:
    return partial(
        ensure_index,
        api_key=KEY,
        name="docs",
        dimension=8,
        controller_host=pinecone.url,
        sleep=clock.sleep,
    )


async def test_a_new_index_is_created_with_both_fields(
    ensure: Callable[..., Awaitable[Any]], pinecone: PineconeVendor
) -> None:
    made = await ensure(cloud="gcp", region="europe-west4")
    assert made.created
    assert made.host == pinecone.host("docs")
    assert pinecone.asked("create_index")[0].json == {
        "name": "docs",
        "schema": {
            "fields": {
                "embedding": {"type": "dense_vector", "dimension": 8, "metric": "cosine"},
                "terms": {"type": "string", "full_text_search": {"stemming": False}},
            }
        },
        "deployment": {
            "deployment_type": "managed",
            "cloud": "gcp",
            "region": "europe-west4",
        },
    }


async def test_it_waits_until_the_index_is_ready_and_says_so(
    ensure: Callable[..., Awaitable[Any]], pinecone: PineconeVendor, clock: Clock
) -> None:
    pinecone.ready_after_s = 5
    states: list[str] = []
    made = await ensure(report=states.append)
    assert made.host == pinecone.host("docs")
    assert states == ["Initializing"] * 3
    assert clock.slept == [2.0] * 3


async def test_an_index_that_is_never_ready_is_given_up(
    ensure: Callable[..., Awaitable[Any]], pinecone: PineconeVendor
) -> None:
    pinecone.ready_after_s = 1e9
    with pytest.raises(ConfigError, match="not ready after 10 s"):
        await ensure(ready_timeout_s=10)


async def test_an_index_that_fits_is_left_alone(
    ensure: Callable[..., Awaitable[Any]], pinecone: PineconeVendor
) -> None:
    await ensure()
    again = await ensure()
    assert not again.created
    assert again.host == pinecone.host("docs")
    assert len(pinecone.asked("create_index")) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"embedding": {"type": "dense_vector", "dimension": 384, "metric": "cosine"}},
            ["field 'embedding' has dimension 384, not 8", "field 'terms' is missing"],
        ),
        (
            {
                "embedding": {"type": "dense_vector", "dimension": 8, "metric": "dotproduct"},
                "terms": {"type": "string", "full_text_search": {"stemming": True}},
            },
            ["has metric dotproduct, not cosine", "field 'terms' has stemming turned on"],
        ),
        (
            {
                "vector": {"type": "dense_vector", "dimension": 8, "metric": "cosine"},
                "terms": {"type": "string", "full_text_search": {}},
            },
            ["field 'embedding' is missing", "field 'vector' is a dense vector that every"],
        ),
        (
            {
                "embedding": {"type": "string", "full_text_search": {}},
                "terms": {"type": "string", "full_text_search": {"stop_words": True}},
            },
            [
                "field 'embedding' is a full-text string, not a dense vector",
                "field 'terms' has stop_words turned on",
            ],
        ),
    ],
)
async def test_an_index_that_does_not_fit_is_refused_with_every_difference(
    ensure: Callable[..., Awaitable[Any]],
    pinecone: PineconeVendor,
    fields: dict[str, Any],
    said: list[str],
) -> None:
    pinecone.create("docs", fields)
    with pytest.raises(ConfigError) as caught:
        await ensure()
    for part in said:
        assert part in str(caught.value)
    assert str(caught.value).count("\n  - ") == len(said)
    assert not pinecone.asked("create_index")


async def test_an_index_with_more_text_fields_still_fits(
    ensure: Callable[..., Awaitable[Any]], pinecone: PineconeVendor
) -> None:
    more = {"body": {"type": "string", "full_text_search": {}}}
    pinecone.create("docs", schema(8)["fields"] | more)
    assert not (await ensure()).created


async def test_a_name_that_the_vendor_does_not_take_is_refused(
    ensure: Callable[..., Awaitable[Any]],
) -> None:
    with pytest.raises(Refused):
        await ensure(name="Not A Name")


async def test_failures_become_ours(
    ensure: Callable[..., Awaitable[Any]], pinecone: PineconeVendor
) -> None:
    pinecone.faults.add("describe_index", Fault("status", status=503), times=1)
    with pytest.raises(Unavailable, match="index: answered 503"):
        await ensure()
    pinecone.faults.add("create_index", Fault("status", status=403), times=1)
    with pytest.raises(Refused, match="index: answered 403"):
        await ensure()
    assert len(pinecone.asked("create_index")) == 1


async def test_losing_the_race_to_create_it_is_no_error(
    ensure: Callable[..., Awaitable[Any]], pinecone: PineconeVendor
) -> None:
    pinecone.create("docs", schema(8)["fields"])
    pinecone.faults.add("describe_index", Fault("status", status=404), times=1)
    assert (await ensure()).host == pinecone.host("docs")
