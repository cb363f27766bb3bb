"""`PineconeIndex` through Pinecone's own SDK, over HTTP."""

import asyncio
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator, Iterator

import pytest

from contract.index_contract import DIMENSION, EAST, NORTH, IndexContract, embedded, ids
from steadyrag.adapters.pinecone_index import PineconeIndex
from steadyrag.adapters.pinecone_schema import schema
from steadyrag.domain.errors import DependencyError, Refused, Rejected, Throttled, Unavailable
from steadyrag.domain.filters import Filter, parse_filter
from vendors import Fault, PineconeVendor, serving

KEY = "pcsk-local-secret"
EVERYTHING = Filter()


@pytest.fixture(scope="module")
def served() -> Iterator[PineconeVendor]:
    with serving(PineconeVendor(api_key=KEY, visible_after_s=3600)) as vendor:
        yield vendor


@pytest.fixture
def pinecone(served: PineconeVendor) -> PineconeVendor:
    served.faults.clear()
    served.requests.clear()
    served.strict_namespaces = False
    served.forget("docs")
    served.create("docs", schema(DIMENSION)["fields"])
    return served


@pytest.fixture
async def index(pinecone: PineconeVendor) -> AsyncIterator[PineconeIndex]:
    adapter = PineconeIndex(api_key=KEY, host=pinecone.host("docs"), dimension=DIMENSION)
    yield adapter
    await adapter.aclose()


class TestPineconeIndex(IndexContract):
    @pytest.fixture(autouse=True)
    def _vendor(self, pinecone: PineconeVendor) -> None:
        self.vendor = pinecone

    async def settled(self) -> None:
        self.vendor.settle()


async def test_writes_show_up_later(index: PineconeIndex, pinecone: PineconeVendor) -> None:
    await index.upsert("default", [embedded("c")])
    look = {"top_k": 5, "namespace": "default", "filter": EVERYTHING}
    assert await index.vector_search(array("f", EAST), **look) == []
    pinecone.settle()
    assert ids(await index.vector_search(array("f", EAST), **look)) == ["c"]
    await index.delete("default", ["c"])
    assert ids(await index.keyword_search("words", **look)) == ["c"]
    pinecone.settle()
    assert await index.keyword_search("words", **look) == []


async def test_a_vector_search_asks_for_the_fields_of_a_hit_and_no_vector(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    await index.vector_search(
        array("f", EAST), top_k=7, namespace="team a", filter=parse_filter({"year": 2024})
    )
    (request,) = pinecone.requests
    assert request.path == "/_index/docs/namespaces/team%20a/documents/search"
    assert request.headers["api-key"] == KEY
    assert request.headers["x-pinecone-api-version"] == "2026-07"
    assert request.json == {
        "score_by": [{"type": "dense_vector", "values": [1, 0, 0, 0], "field": "embedding"}],
        "top_k": 7,
        "include_fields": [
            "document_id",
            "title",
            "context",
            "text",
            "tokens",
            "url",
            "metadata",
        ],
        "filter": {"meta_year": {"$eq": 2024}},
    }


async def test_a_keyword_search_sends_analysed_terms(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    await index.keyword_search(
        "비밀번호 AND rotating", top_k=3, namespace="default", filter=EVERYTHING
    )
    body = pinecone.requests[0].json
    assert body["score_by"] == [
        {"type": "text", "query": "비밀 밀번 번호 and rotat", "fields": ["terms"]}
    ]
    assert "filter" not in body


async def test_a_question_without_terms_is_not_sent(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    await index.keyword_search("?!", top_k=3, namespace="default", filter=EVERYTHING)
    assert not pinecone.requests


async def test_a_document_holds_its_terms_and_its_metadata_for_filters(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    await index.upsert("default", [embedded("c", "회의실 booking", context="Rooms", floor=3)])
    (document,) = pinecone.requests[0].json["documents"]
    assert document["terms"] == "room 회의 의실 book"
    assert document["meta_floor"] == 3
    assert "url" not in document


async def test_searches_share_a_pool_and_run_side_by_side(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    pinecone.faults.latency_ms.update(vector_search=100, keyword_search=100)
    look = {"top_k": 5, "namespace": "default", "filter": EVERYTHING}
    await index.vector_search(array("f", EAST), **look)
    started = asyncio.get_running_loop().time()
    await asyncio.gather(
        index.vector_search(array("f", EAST), **look), index.keyword_search("x", **look)
    )
    assert asyncio.get_running_loop().time() - started < 0.18
    await index.vector_search(array("f", EAST), **look)
    assert len({request.connection for request in pinecone.requests}) == 2


async def test_large_upserts_are_cut_into_requests_the_vendor_takes(
    pinecone: PineconeVendor,
) -> None:
    pinecone.forget("wide")
    host = pinecone.create("wide", schema(1536)["fields"])
    adapter = PineconeIndex(api_key=KEY, host=host, dimension=1536)
    vector = [1 / (i + 3) for i in range(1536)]
    chunks = [embedded(f"c{i}", "긴 문단입니다. " * 100, vector) for i in range(120)]
    await adapter.upsert("default", chunks)
    pinecone.settle()
    assert (await adapter.status()).chunks == 120
    sizes = [len(request.body) for request in pinecone.asked("upsert")]
    assert len(sizes) > 2
    assert 1_000_000 < max(sizes) < 2 * 1024 * 1024
    await adapter.aclose()


async def test_a_partial_failure_says_how_many_chunks_did_not_get_in(
    pinecone: PineconeVendor,
) -> None:
    adapter = PineconeIndex(api_key=KEY, host=pinecone.host("docs"), dimension=DIMENSION)
    pinecone.faults.add("upsert", Fault("status", status=503), times=1, after=1)
    chunks = [embedded(f"c{i}") for i in range(1200)]
    with pytest.raises(Unavailable, match=r"stored 700 of 1200 chunks; answered 503") as caught:
        await adapter.upsert("default", chunks)
    assert caught.value.dependency == "index"
    assert len(pinecone.asked("upsert")) == 3
    await adapter.aclose()


async def test_a_throttled_batch_passes_on_how_long_to_wait(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    pinecone.faults.add("upsert", Fault("status", status=429, retry_after_s=4), times=1)
    with pytest.raises(Throttled, match="stored 0 of 1") as caught:
        await index.upsert("default", [embedded("c")])
    assert caught.value.retry_after_s == 4


async def test_the_gravest_failure_of_a_batch_is_the_one_raised(
    pinecone: PineconeVendor,
) -> None:
    adapter = PineconeIndex(api_key=KEY, host=pinecone.host("docs"), dimension=DIMENSION)
    pinecone.faults.add("upsert", Fault("status", status=503), times=1)
    pinecone.faults.add("upsert", Fault("status", status=403), times=1)
    with pytest.raises(Refused, match="stored 200 of 1200"):
        await adapter.upsert("default", [embedded(f"c{i}") for i in range(1200)])
    await adapter.aclose()


async def test_what_a_document_says_may_be_rejected_and_how_we_ask_is_refused(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    chunks = [embedded("c"), embedded("d", notes=["a note on it"] * 4000)]
    with pytest.raises(Rejected, match=r"stored 0 of 2 chunks; answered 400 INVALID_ARGUMENT"):
        await index.upsert("default", chunks)
    for status in (413, 422):
        pinecone.faults.add("upsert", Fault("status", status=status), times=1)
        with pytest.raises(Rejected, match=f"answered {status}"):
            await index.upsert("default", [embedded("c")])
    for status in (401, 403, 404, 409):
        pinecone.faults.add("upsert", Fault("status", status=status), times=1)
        with pytest.raises(Refused) as caught:
            await index.upsert("default", [embedded("c")])
        assert type(caught.value) is Refused


@pytest.mark.parametrize(
    ("statuses", "kind", "why"),
    [((503, 400), Rejected, 400), ((400, 403), Refused, 403), ((429, 503), Unavailable, 503)],
)
async def test_of_several_failures_the_reason_told_is_the_gravest_ones(
    index: PineconeIndex,
    pinecone: PineconeVendor,
    statuses: tuple[int, int],
    kind: type[DependencyError],
    why: int,
) -> None:
    for status in statuses:
        pinecone.faults.add("upsert", Fault("status", status=status), times=1)
    with pytest.raises(
        DependencyError, match=f"stored 200 of 1200 chunks; answered {why}"
    ) as caught:
        await index.upsert("default", [embedded(f"c{i}") for i in range(1200)])
    assert type(caught.value) is kind


async def test_a_vector_of_another_dimension_is_refused_before_anything_is_sent(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    with pytest.raises(ValueError, match="c: 5 dimensions, not 4"):
        await index.upsert("default", [embedded("c", direction=(1, 0, 0, 0, 0))])
    assert not pinecone.requests


async def test_an_index_of_another_dimension_is_not_ready(pinecone: PineconeVendor) -> None:
    adapter = PineconeIndex(api_key=KEY, host=pinecone.host("docs"), dimension=1536)
    status = await adapter.status()
    assert not status.ready
    assert status.detail == "holds vectors of 4 dimensions, not 1536"
    await adapter.aclose()


async def test_a_namespace_that_is_not_there_is_empty_and_a_wrong_host_is_refused(
    index: PineconeIndex, pinecone: PineconeVendor
) -> None:
    pinecone.strict_namespaces = True
    look = {"top_k": 5, "namespace": "nobody", "filter": EVERYTHING}
    assert await index.vector_search(array("f", EAST), **look) == []
    await index.delete("nobody", ["x"])
    astray = PineconeIndex(api_key=KEY, host=pinecone.host("other"), dimension=DIMENSION)
    with pytest.raises(Refused):
        await astray.vector_search(array("f", EAST), **look)
    with pytest.raises(Refused):
        await astray.delete("nobody", ["x"])
    await astray.aclose()


async def test_a_rotated_key_is_used_from_the_next_request(pinecone: PineconeVendor) -> None:
    keys = ["pcsk-old"]

    async def current() -> str:
        return keys[-1]

    adapter = PineconeIndex(api_key=current, host=pinecone.host("docs"), dimension=DIMENSION)
    with pytest.raises(Refused, match="401"):
        await adapter.status()
    keys.append(KEY)
    await adapter.status()
    assert len({request.connection for request in pinecone.requests}) == 1
    await adapter.aclose()


FAILURES = [
    (Fault("status", status=400), Refused),
    (Fault("status", status=401), Refused),
    (Fault("status", status=403), Refused),
    (Fault("status", status=429, retry_after_s=2), Throttled),
    (Fault("status", status=500), Unavailable),
    (Fault("status", status=503), Unavailable),
    (Fault("reset"), Unavailable),
    (Fault("garbage"), Unavailable),
    (Fault("hang"), Unavailable),
]
BROKEN_ANSWERS = [
    (Fault("half"), Unavailable),
    (Fault("drip"), Unavailable),
    (Fault("nonsense"), Unavailable),
]
OPERATIONS = {  # a delete is answered with `{}`, which has nothing in it to break
    "vector_search": FAILURES + BROKEN_ANSWERS,
    "keyword_search": FAILURES + BROKEN_ANSWERS,
    "stats": FAILURES + BROKEN_ANSWERS,
    "delete": FAILURES,
}


@pytest.mark.parametrize(
    ("operation", "fault", "expected"),
    [(name, *case) for name, cases in OPERATIONS.items() for case in cases],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else None,
)
async def test_every_failure_becomes_one_of_ours_after_one_request(
    pinecone: PineconeVendor, operation: str, fault: Fault, expected: type[DependencyError]
) -> None:
    index = PineconeIndex(
        api_key=KEY,
        host=pinecone.host("docs"),
        dimension=DIMENSION,
        timeout_s=0.4 if fault.kind in ("hang", "drip") else 10,
        write_timeout_s=0.4 if fault.kind in ("hang", "drip") else 10,
    )
    await index.upsert("default", [embedded("c", direction=NORTH)])
    pinecone.settle()
    await index.aclose()  # a new connection: a reset on a kept one is met by another
    pinecone.faults.add(operation, fault)
    look = {"top_k": 5, "namespace": "default", "filter": EVERYTHING}
    calls = {
        "vector_search": lambda: index.vector_search(array("f", EAST), **look),
        "keyword_search": lambda: index.keyword_search("words", **look),
        "stats": lambda: index.status(),
        "delete": lambda: index.delete("default", ["c"]),
    }
    with pytest.raises(DependencyError) as caught:
        await calls[operation]()
    assert type(caught.value) is expected
    assert caught.value.dependency == "index"
    assert caught.value.retry_after_s == fault.retry_after_s
    assert len(pinecone.asked(operation)) == 1
    assert KEY not in str(caught.value)
    await index.aclose()


async def test_nobody_listening_is_unavailable() -> None:
    adapter = PineconeIndex(api_key=KEY, host="http://127.0.0.1:1", dimension=DIMENSION)
    with pytest.raises(Unavailable, match="could not be reached"):
        await adapter.status()
    await adapter.aclose()


async def test_cancelling_passes_through(index: PineconeIndex, pinecone: PineconeVendor) -> None:
    pinecone.faults.add("stats", Fault("hang"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await index.status()


def test_importing_the_adapters_does_not_import_the_sdk() -> None:
    code = (
        "import sys\n"
        "from steadyrag.adapters.pinecone_index import PineconeIndex\n"
        "from steadyrag.adapters.pinecone_reranker import PineconeReranker\n"
        "PineconeIndex(api_key='k', host='h.example', dimension=4); PineconeReranker(api_key='k')\n"
        "assert not {'pinecone', 'httpx', 'httpx2', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
