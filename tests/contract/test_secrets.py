"""Keys from Secrets Manager and SSM through Powertools, over HTTP."""

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from steadyrag.adapters import secrets
from steadyrag.adapters.secrets import MAX_AGE_S, RETRY_S, StoredKey
from steadyrag.domain.errors import DependencyError, Refused, Throttled, Unavailable
from vendors import Fault, KeyStore, serving


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyStore]:
    with serving(KeyStore()) as vendor:
        monkeypatch.setenv("AWS_ENDPOINT_URL", vendor.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        secrets.prepare.cache_clear()
        yield vendor
        secrets.prepare.cache_clear()


class Clock:
    def __init__(self) -> None:
        self.time_s = 1_000_000.0

    def __call__(self) -> float:
        return self.time_s


@pytest.mark.parametrize(
    ("reference", "key"),
    [("secretsmanager:rag/openai", "sk-first"), ("ssm:/rag/pinecone", "pc-first")],
)
async def test_a_key_is_read_by_its_name_from_either_store(
    store: KeyStore, reference: str, key: str
) -> None:
    assert await StoredKey(reference)() == key


async def test_reading_a_key_holds_nothing_else_up(store: KeyStore) -> None:
    secrets.prepare("secretsmanager")
    store.faults.latency_ms["GetSecretValue"] = 400
    longest_s, last = 0.0, time.perf_counter()
    reading = asyncio.create_task(StoredKey("secretsmanager:rag/openai")())
    while not reading.done():
        await asyncio.sleep(0.005)
        longest_s, last = max(longest_s, time.perf_counter() - last), time.perf_counter()
    assert await reading == "sk-first"
    assert longest_s < 0.3


async def test_a_slow_store_cannot_outlast_the_callers_patience(store: KeyStore) -> None:
    secrets.prepare("secretsmanager")
    store.faults.latency_ms["GetSecretValue"] = 800
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await StoredKey("secretsmanager:rag/openai")()
    assert time.perf_counter() - started < 0.5


async def test_many_askers_read_once(store: KeyStore) -> None:
    key = StoredKey("secretsmanager:rag/openai")
    assert set(await asyncio.gather(*(key() for _ in range(8)))) == {"sk-first"}
    assert len(store.requests) == 1


async def test_many_askers_leave_the_threads_to_others(store: KeyStore) -> None:
    secrets.prepare("secretsmanager")
    store.faults.latency_ms["GetSecretValue"] = 500
    key = StoredKey("secretsmanager:rag/openai")
    askers = [asyncio.create_task(key()) for _ in range(100)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(0.3):
        await asyncio.to_thread(lambda: None)
    await asyncio.gather(*askers)


async def test_an_asker_that_gives_up_leaves_the_others_alone(store: KeyStore) -> None:
    secrets.prepare("secretsmanager")
    store.faults.latency_ms["GetSecretValue"] = 100
    key = StoredKey("secretsmanager:rag/openai")
    first, second = asyncio.create_task(key()), asyncio.create_task(key())
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "sk-first"
    assert len(store.requests) == 1


def test_a_key_serves_one_loop_after_another(store: KeyStore) -> None:
    clock = Clock()
    key = StoredKey("secretsmanager:rag/openai", now=clock)
    for _ in range(2):
        assert asyncio.run(key()) == "sk-first"
        clock.time_s += MAX_AGE_S + 1


async def test_a_clock_set_back_does_not_keep_a_key_for_ever(store: KeyStore) -> None:
    clock = Clock()
    key = StoredKey("secretsmanager:rag/openai", now=clock)
    await key()
    store.values["rag/openai"] = "sk-second"
    clock.time_s -= 86_400
    assert await key() == "sk-second"


async def test_a_rotated_key_is_picked_up_once_the_old_one_is_old(store: KeyStore) -> None:
    clock = Clock()
    key = StoredKey("secretsmanager:rag/openai", now=clock)
    await key()
    store.values["rag/openai"] = "sk-second"
    clock.time_s += MAX_AGE_S - 1
    assert await key() == "sk-first"
    clock.time_s += 2
    assert await key() == "sk-second"


async def test_an_old_key_serves_while_the_store_is_down(
    store: KeyStore, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    key = StoredKey("secretsmanager:rag/openai", now=clock)
    await key()
    store.faults.add("*", Fault("status", status=500))
    clock.time_s += MAX_AGE_S + 1
    log = logging.getLogger("steadyrag.adapters.secrets")
    log.addHandler(caplog.handler)
    try:
        assert [await key(), await key()] == ["sk-first", "sk-first"]
    finally:
        log.removeHandler(caplog.handler)
    assert len(store.requests) == 3  # the second reading tries twice, the third waits
    assert {record.message for record in caplog.records} == {"old key kept"}
    store.faults.clear()
    store.values["rag/openai"] = "sk-second"
    clock.time_s += RETRY_S + 1
    assert await key() == "sk-second"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status", status=400, code="AccessDeniedException"), Refused),
        (Fault("status", status=400, code="ResourceNotFoundException"), Refused),
        (Fault("status", status=400, code="ThrottlingException"), Throttled),
        (Fault("status", status=500, code="InternalServiceError"), Unavailable),
        (Fault("reset"), Unavailable),
    ],
    ids=lambda value: value.code or value.kind if isinstance(value, Fault) else value.__name__,
)
async def test_a_key_that_cannot_be_read_says_why(
    store: KeyStore, fault: Fault, expected: type[DependencyError]
) -> None:
    store.faults.add("*", fault)
    with pytest.raises(DependencyError, match="secretsmanager:rag/openai can't be re") as caught:
        await StoredKey("secretsmanager:rag/openai")()
    assert type(caught.value) is expected


async def test_a_store_without_a_region_says_so(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(Refused, match="NoRegionError"):
        await StoredKey("secretsmanager:rag/openai")()


@pytest.mark.parametrize("value", ['{"OPENAI_API_KEY": "sk-x"}', "sk-a\nsk-b", "sk–x", " "])
async def test_what_is_no_bare_key_is_refused_without_being_shown(
    store: KeyStore, value: str
) -> None:
    store.values["rag/openai"] = value
    with pytest.raises(Refused, match="something else than a bare key") as caught:
        await StoredKey("secretsmanager:rag/openai")()
    assert "sk" not in str(caught.value)


async def test_a_line_break_at_the_end_is_no_part_of_a_key(store: KeyStore) -> None:
    store.values["rag/openai"] = "sk-first\n"
    assert await StoredKey("secretsmanager:rag/openai")() == "sk-first"
