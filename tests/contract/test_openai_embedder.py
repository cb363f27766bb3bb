"""`OpenAIEmbedder` through OpenAI's own SDK, over HTTP."""

import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from steadyrag.adapters.openai_embedder import OpenAIEmbedder
from steadyrag.domain.errors import DependencyError, Refused, Rejected, Throttled, Unavailable
from steadyrag.domain.models import Vector
from steadyrag.resilience.batching import BatchedEmbedder
from vendors import Fault, OpenAIVendor, serving

KEY = "sk-local-openai-secret"


@pytest.fixture(scope="module")
def served() -> Iterator[OpenAIVendor]:
    with serving(OpenAIVendor(api_key=KEY)) as vendor:
        yield vendor


@pytest.fixture
def openai(served: OpenAIVendor) -> OpenAIVendor:
    served.faults.clear()
    served.requests.clear()
    return served


@pytest.fixture
async def embedder(openai: OpenAIVendor) -> AsyncIterator[OpenAIEmbedder]:
    adapter = OpenAIEmbedder(api_key=KEY, base_url=openai.base_url, timeout_s=0.5)
    yield adapter
    await adapter.aclose()


def cosine(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


async def test_a_query_becomes_a_float32_vector_with_its_tokens(
    embedder: OpenAIEmbedder,
) -> None:
    found = await embedder.embed_query("How do I rotate a key?")
    assert found.vector.typecode == "f"
    assert len(found.vector) == 1536
    assert found.tokens == 8


async def test_passages_keep_their_order_in_one_request(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    texts = [f"Passage number {i} about {topic}" for i, topic in enumerate("abcdefgh")]
    found = await embedder.embed_passages(texts)
    assert len(openai.requests) == 1
    for text, vector in zip(texts, found.vectors, strict=True):
        assert vector == (await embedder.embed_query(text)).vector


async def test_an_answer_in_another_order_is_put_right(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    straight = await embedder.embed_passages(["one fish", "two birds"])
    openai.faults.add("embeddings", Fault("shuffled"), times=1)
    assert await embedder.embed_passages(["one fish", "two birds"]) == straight


async def test_it_asks_for_base64_and_names_model_and_dimension(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    await embedder.embed_query("안녕하세요")
    (request,) = openai.requests
    assert request.json == {
        "model": "text-embedding-3-small",
        "input": ["안녕하세요"],
        "dimensions": 1536,
        "encoding_format": "base64",
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_a_model_of_fixed_length_is_not_asked_for_another(openai: OpenAIVendor) -> None:
    adapter = OpenAIEmbedder(api_key=KEY, base_url=openai.base_url, model="text-embedding-ada-002")
    assert len((await adapter.embed_query("x")).vector) == 1536
    assert "dimensions" not in openai.requests[0].json
    await adapter.aclose()


async def test_a_shorter_dimension_is_a_different_embedder(openai: OpenAIVendor) -> None:
    adapter = OpenAIEmbedder(api_key=KEY, base_url=openai.base_url, dimension=256)
    assert len((await adapter.embed_query("x")).vector) == 256
    assert adapter.name == "text-embedding-3-small/256"
    await adapter.aclose()


async def test_more_than_a_hundred_texts_are_refused_before_anything_is_sent(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        await embedder.embed_passages(["x"] * 101)
    assert not openai.requests


async def test_related_texts_are_near(embedder: OpenAIEmbedder) -> None:
    found = await embedder.embed_passages(
        [
            "비밀번호를 재설정하는 방법",
            "비밀번호 재설정은 계정 화면에서 합니다",
            "Volcanoes of Iceland",
        ]
    )
    question, near, far = found.vectors
    assert cosine(question, near) > cosine(question, far) + 0.2


async def test_calls_share_a_connection(embedder: OpenAIEmbedder, openai: OpenAIVendor) -> None:
    for _ in range(3):
        await embedder.embed_query("again")
    assert len({request.connection for request in openai.requests}) == 1


async def test_after_closing_it_opens_a_new_connection(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    await embedder.embed_query("before")
    await embedder.aclose()
    await embedder.aclose()
    await embedder.embed_query("after")
    before, after = openai.requests
    assert before.connection != after.connection


def test_it_works_on_one_loop_after_another(openai: OpenAIVendor) -> None:
    adapter = OpenAIEmbedder(api_key=KEY, base_url=openai.base_url)

    async def once() -> int:
        found = await adapter.embed_query("loop")
        await adapter.aclose()
        return len(found.vector)

    assert [asyncio.run(once()), asyncio.run(once())] == [1536, 1536]


async def test_a_rotated_key_is_used_from_the_next_request(openai: OpenAIVendor) -> None:
    keys = ["sk-old"]

    async def current() -> str:
        return keys[-1]

    adapter = OpenAIEmbedder(api_key=current, base_url=openai.base_url)
    with pytest.raises(Refused):
        await adapter.embed_query("x")
    keys.append(KEY)
    await adapter.embed_query("x")
    await adapter.aclose()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status", status=401), Refused),
        (Fault("status", status=403), Refused),
        (Fault("status", status=404), Refused),
        (Fault("status", status=400), Refused),  # it names no part of the request
        (Fault("status", status=429, code="insufficient_quota"), Refused),
        (Fault("status", status=429, code="credit_balance_exhausted"), Refused),
        (Fault("status", status=429), Throttled),
        (Fault("status", status=408), Unavailable),
        (Fault("status", status=500), Unavailable),
        (Fault("status", status=503), Unavailable),
        (Fault("reset"), Unavailable),
        (Fault("half"), Unavailable),
        (Fault("garbage"), Unavailable),
        (Fault("nonsense"), Unavailable),
        (Fault("hang"), Unavailable),
        (Fault("drip", drip_s=0.01), Unavailable),
        (Fault("wrong_dimension"), Unavailable),
        (Fault("missing"), Unavailable),
    ],
    ids=lambda value: (
        f"{value.kind}-{value.code or value.status}" if isinstance(value, Fault) else value.__name__
    ),
)
async def test_every_failure_becomes_one_of_ours_after_one_request(
    embedder: OpenAIEmbedder, openai: OpenAIVendor, fault: Fault, expected: type[DependencyError]
) -> None:
    openai.faults.add("embeddings", fault)
    with pytest.raises(DependencyError) as caught:
        await embedder.embed_query("a question")
    assert type(caught.value) is expected
    assert caught.value.dependency == "embedding"
    assert len(openai.requests) == 1
    assert KEY not in str(caught.value)


async def test_questions_share_a_request_and_have_the_time_of_a_question(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    texts = ["first question", "second question"]
    found = await embedder.embed_queries(texts)
    assert len(openai.requests) == 1
    assert list(found.vectors) == [(await embedder.embed_query(text)).vector for text in texts]
    openai.faults.latency_ms["embeddings"] = 600
    with pytest.raises(Unavailable):
        await embedder.embed_queries(texts)


async def test_a_setting_that_does_not_fit_is_no_callers_fault(openai: OpenAIVendor) -> None:
    adapter = OpenAIEmbedder(api_key=KEY, base_url=openai.base_url, dimension=9999)
    with pytest.raises(Refused, match="dimensions") as caught:
        await adapter.embed_query("x")
    assert type(caught.value) is Refused
    await adapter.aclose()


async def test_a_text_that_is_too_long_fails_alone_in_a_batch(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    batched = BatchedEmbedder(embedder)
    texts = [f"question {i}" for i in range(8)] + ["word " * 9000]
    found = await asyncio.gather(*map(batched.embed_query, texts), return_exceptions=True)
    assert type(found[-1]) is Rejected
    for text, result in zip(texts[:-1], found[:-1], strict=True):
        assert result.vector == (await embedder.embed_query(text)).vector
    assert openai.requests[0].json["input"] == texts


async def test_a_hundred_questions_at_once_are_one_request(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    batched = BatchedEmbedder(embedder)
    found = await asyncio.gather(*(batched.embed_query(f"question {i}") for i in range(100)))
    assert len(openai.requests) == 1
    assert sum(embedding.tokens for embedding in found) == 300


async def test_the_last_caller_to_leave_closes_the_connection(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    batched = BatchedEmbedder(embedder)
    openai.faults.add("embeddings", Fault("hang"))

    async def ask(text: str) -> None:
        async with asyncio.timeout(0.1):
            await batched.embed_query(text)

    found = await asyncio.gather(ask("a"), ask("b"), return_exceptions=True)
    assert [type(result) for result in found] == [TimeoutError, TimeoutError]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nobody_listening_is_unavailable() -> None:
    adapter = OpenAIEmbedder(api_key=KEY, base_url="http://127.0.0.1:1/v1")
    with pytest.raises(Unavailable, match="could not be reached"):
        await adapter.embed_query("x")
    await adapter.aclose()


async def test_a_throttled_answer_says_how_long_to_wait(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    openai.faults.add("embeddings", Fault("status", status=429, retry_after_s=2.5))
    with pytest.raises(Throttled) as caught:
        await embedder.embed_query("x")
    assert caught.value.retry_after_s == 2.5


async def test_a_drip_that_keeps_the_socket_busy_still_ends_in_time(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    openai.faults.add("embeddings", Fault("drip", drip_s=0.05))
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable, match=r"no answer within 0\.5 s"):
        await embedder.embed_query("x")
    assert asyncio.get_running_loop().time() - started < 0.8


async def test_passages_have_more_time_than_a_question(
    embedder: OpenAIEmbedder, openai: OpenAIVendor
) -> None:
    openai.faults.latency_ms["embeddings"] = 600
    with pytest.raises(Unavailable):
        await embedder.embed_query("x")
    await embedder.embed_passages(["x"])


async def test_cancelling_passes_through(embedder: OpenAIEmbedder, openai: OpenAIVendor) -> None:
    openai.faults.add("embeddings", Fault("hang"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await embedder.embed_query("x")


async def test_an_error_shows_no_part_of_a_wrong_key(openai: OpenAIVendor) -> None:
    wrong = "sk-proj-very-long-and-wrong-key-7890"
    adapter = OpenAIEmbedder(api_key=wrong, base_url=openai.base_url)
    with pytest.raises(Refused) as caught:
        await adapter.embed_query("x")
    assert str(caught.value) == "embedding: answered 401 invalid_api_key"
    assert wrong not in repr(adapter)
    await adapter.aclose()


def test_importing_the_adapters_does_not_import_the_sdk() -> None:
    code = (
        "import sys\n"
        "import steadyrag.adapters.openai_embedder, steadyrag.adapters.openai_generator\n"
        "steadyrag.adapters.openai_embedder.OpenAIEmbedder(api_key='k')\n"
        "assert not {'openai', 'httpx', 'httpx2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
