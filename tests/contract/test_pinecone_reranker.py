"""`PineconeReranker` through Pinecone's own SDK, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from steadyrag.adapters.pinecone_reranker import PineconeReranker
from steadyrag.calibrate import Calibratable
from steadyrag.domain.errors import DependencyError, Refused, Throttled, Unavailable
from steadyrag.domain.models import Chunk, Hit, Question
from steadyrag.domain.ports import Pingable
from vendors import Fault, PineconeVendor, serving

KEY = "pcsk-local-secret"
QUESTION = Question("비밀번호는 며칠마다 바꿔야 하나요?", "ko")


@pytest.fixture(scope="module")
def served() -> Iterator[PineconeVendor]:
    with serving(PineconeVendor(api_key=KEY)) as vendor:
        yield vendor


@pytest.fixture
def pinecone(served: PineconeVendor) -> PineconeVendor:
    served.faults.clear()
    served.requests.clear()
    return served


@pytest.fixture
async def reranker(pinecone: PineconeVendor) -> AsyncIterator[PineconeReranker]:
    adapter = PineconeReranker(api_key=KEY, controller_host=pinecone.url, timeout_s=0.5)
    yield adapter
    await adapter.aclose()


def hit(chunk_id: str, text: str, context: str = "") -> Hit:
    chunk = Chunk(chunk_id, "d", "T", context, text, 9)
    return Hit(chunk, score=0.5, dense=0.8, keyword=3.0)


HITS = [
    hit("gate", "정문은 아홉 시에 엽니다."),
    hit("pw", "비밀번호는 90일마다 바꿔야 합니다."),
    hit("bees", "Bees make honey."),
]


async def test_the_best_comes_first_and_keeps_what_the_searches_said(
    reranker: PineconeReranker,
) -> None:
    ranking = await reranker.rerank(QUESTION, HITS, top_k=2)
    best, second = ranking.hits
    assert best.chunk.id == "pw"
    assert 1 >= best.score > second.score >= 0
    assert (best.dense, best.keyword) == (0.8, 3.0)
    assert not ranking.calibrated


async def test_it_sends_passages_with_their_headings_and_lets_the_vendor_cut(
    reranker: PineconeReranker, pinecone: PineconeVendor
) -> None:
    await reranker.rerank(QUESTION, [hit("a", "본문", context="제목 › 절")], top_k=5)
    (request,) = pinecone.requests
    assert request.path == "/rerank"
    assert request.headers["api-key"] == KEY
    assert request.json == {
        "model": "bge-reranker-v2-m3",
        "query": QUESTION.text,
        "documents": [{"text": "제목 › 절\n본문"}],
        "rank_fields": ["text"],
        "return_documents": False,
        "top_n": 1,
        "parameters": {"truncate": "END"},
    }


async def test_a_passage_longer_than_the_model_reads_is_no_error(
    reranker: PineconeReranker, pinecone: PineconeVendor
) -> None:
    ranking = await reranker.rerank(QUESTION, [hit("long", "단어 " * 20_000), *HITS], top_k=1)
    assert ranking.hits[0].chunk.id == "pw"
    assert len(pinecone.requests[0].json["documents"][0]["text"]) == 8_000


async def test_more_hits_than_a_call_takes_are_asked_for_side_by_side(
    reranker: PineconeReranker, pinecone: PineconeVendor
) -> None:
    many = [hit(f"h{i}", f"Passage {i}") for i in range(250)]
    ranking = await reranker.rerank(QUESTION, [*many, *HITS], top_k=3)
    assert len(pinecone.requests) == 3
    assert len(ranking.hits) == 3
    assert ranking.hits[0].chunk.id == "pw"


async def test_nothing_to_rank_is_not_worth_a_call(
    reranker: PineconeReranker, pinecone: PineconeVendor
) -> None:
    assert (await reranker.rerank(QUESTION, [], top_k=5)).hits == ()
    assert not pinecone.requests


async def test_with_a_calibration_scores_are_calibrated(pinecone: PineconeVendor) -> None:
    adapter = PineconeReranker(
        api_key=KEY,
        controller_host=pinecone.url,
        calibrate=lambda scores: [score / 2 for score in scores],
    )
    ranking = await adapter.rerank(QUESTION, HITS, top_k=3)
    assert ranking.calibrated
    assert max(h.score for h in ranking.hits) <= 0.5
    await adapter.aclose()


def alike(scores: Sequence[float]) -> list[float]:
    return [0.5] * len(scores)


async def test_scores_that_a_calibration_makes_alike_keep_the_models_order(
    pinecone: PineconeVendor,
) -> None:
    adapter = PineconeReranker(api_key=KEY, controller_host=pinecone.url, calibrate=alike)
    plain = PineconeReranker(api_key=KEY, controller_host=pinecone.url)
    many = [hit(f"h{i}", "비밀번호는 " * (i % 2) + f"{i}일마다") for i in range(120)]
    found, expected = [await a.rerank(QUESTION, [*many, *HITS], top_k=20) for a in (adapter, plain)]
    assert [h.chunk.id for h in found.hits] == [h.chunk.id for h in expected.hits]
    assert {h.score for h in found.hits} == {0.5}
    await adapter.aclose()
    await plain.aclose()


async def test_a_calibration_is_fitted_on_all_hits_with_the_models_own_scores(
    pinecone: PineconeVendor,
) -> None:
    adapter = PineconeReranker(api_key=KEY, controller_host=pinecone.url, calibrate=alike)
    plain = PineconeReranker(api_key=KEY, controller_host=pinecone.url)
    assert isinstance(adapter, Calibratable)
    many = [*HITS, *(hit(f"h{i}", f"Passage {i}") for i in range(120))]
    found = await adapter.rank_uncalibrated(QUESTION, many)
    assert found == list((await plain.rerank(QUESTION, many, top_k=len(many))).hits)
    assert len(found) == len(many)
    assert await adapter.rank_uncalibrated(QUESTION, []) == []
    await adapter.aclose()
    await plain.aclose()


async def test_calls_share_a_connection(
    reranker: PineconeReranker, pinecone: PineconeVendor
) -> None:
    for _ in range(3):
        await reranker.rerank(QUESTION, HITS, top_k=3)
    assert len({request.connection for request in pinecone.requests}) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status", status=400), Refused),
        (Fault("status", status=401), Refused),
        (Fault("status", status=403), Refused),
        (Fault("status", status=404), Refused),
        (Fault("status", status=429, retry_after_s=2), Throttled),
        (Fault("status", status=500), Unavailable),
        (Fault("status", status=503, retry_after_s=1), Unavailable),
        (Fault("reset"), Unavailable),
        (Fault("half"), Unavailable),
        (Fault("garbage"), Unavailable),
        (Fault("nonsense"), Unavailable),
        (Fault("missing"), Unavailable),
        (Fault("hang"), Unavailable),
        (Fault("drip"), Unavailable),
    ],
    ids=lambda value: (
        f"{value.kind}-{value.status}" if isinstance(value, Fault) else value.__name__
    ),
)
async def test_every_failure_becomes_one_of_ours_after_one_request(
    reranker: PineconeReranker,
    pinecone: PineconeVendor,
    fault: Fault,
    expected: type[DependencyError],
) -> None:
    pinecone.faults.add("rerank", fault)
    with pytest.raises(DependencyError) as caught:
        await reranker.rerank(QUESTION, HITS, top_k=3)
    assert type(caught.value) is expected
    assert caught.value.dependency == "reranker"
    assert caught.value.retry_after_s == fault.retry_after_s
    assert len(pinecone.requests) == 1
    assert KEY not in str(caught.value)


async def test_a_model_that_does_not_exist_is_refused(pinecone: PineconeVendor) -> None:
    adapter = PineconeReranker(api_key=KEY, controller_host=pinecone.url, model="bge-v1")
    with pytest.raises(Refused, match="404"):
        await adapter.rerank(QUESTION, HITS, top_k=1)
    await adapter.aclose()


async def test_without_a_key_nothing_is_sent(pinecone: PineconeVendor) -> None:
    adapter = PineconeReranker(api_key="", controller_host=pinecone.url)
    with pytest.raises(Refused, match="reranker: has no API key"):
        await adapter.rerank(QUESTION, HITS, top_k=1)
    assert not pinecone.requests


async def test_a_ping_looks_the_model_up_and_reranks_nothing(
    reranker: PineconeReranker, pinecone: PineconeVendor
) -> None:
    assert isinstance(reranker, Pingable)
    await reranker.ping()
    (request,) = pinecone.requests
    assert (request.method, request.path) == ("GET", "/models/bge-reranker-v2-m3")
    assert request.headers["api-key"] == KEY


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("bge-v1", "answered 404 NOT_FOUND"),
        ("../indexes", "answered 404 NOT_FOUND"),
        ("multilingual-e5-large", "set STEADYRAG_RERANK_MODEL"),
    ],
)
async def test_a_ping_for_a_model_that_is_no_reranker_is_refused(
    pinecone: PineconeVendor, model: str, said: str
) -> None:
    adapter = PineconeReranker(api_key=KEY, controller_host=pinecone.url, model=model)
    with pytest.raises(Refused, match=said):
        await adapter.ping()
    assert pinecone.asked("describe_model") == pinecone.requests
    await adapter.aclose()


async def test_a_ping_with_a_wrong_key_is_refused(pinecone: PineconeVendor) -> None:
    adapter = PineconeReranker(api_key="pcsk-another", controller_host=pinecone.url)
    with pytest.raises(Refused, match="answered 401 UNAUTHENTICATED"):
        await adapter.ping()
    await adapter.aclose()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status", status=429, retry_after_s=2), Throttled),
        (Fault("status", status=503, retry_after_s=1), Unavailable),
        (Fault("reset"), Unavailable),
        (Fault("nonsense"), Unavailable),
        (Fault("hang"), Unavailable),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else value.__name__,
)
async def test_a_ping_that_fails_says_so_after_one_request(
    reranker: PineconeReranker,
    pinecone: PineconeVendor,
    fault: Fault,
    expected: type[DependencyError],
) -> None:
    pinecone.faults.add("describe_model", fault)
    with pytest.raises(DependencyError) as caught:
        await reranker.ping()
    assert type(caught.value) is expected
    assert caught.value.dependency == "reranker"
    assert caught.value.retry_after_s == fault.retry_after_s
    assert len(pinecone.requests) == 1


async def test_cancelling_passes_through(
    reranker: PineconeReranker, pinecone: PineconeVendor
) -> None:
    pinecone.faults.add("rerank", Fault("hang"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reranker.rerank(QUESTION, HITS, top_k=1)
