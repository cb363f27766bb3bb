"""Ingest on a bad day: vendors that fail, processes that die, runs that meet."""

import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeEmbedder, InMemoryCatalogue, InMemoryIndex
from ingest_rig import ListedCorpus, Rig, section
from steadyrag.adapters.local.ingest_lock import IngestLock
from steadyrag.domain.errors import ConfigError, Refused, Throttled, Unavailable

DOWN = Unavailable("embedding", "could not be reached")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "docs")


def listed(count: int, first: int = 0) -> ListedCorpus:
    return ListedCorpus((f"d{n}", f"Text number {n}.") for n in range(first, first + count))


async def test_a_hiccup_is_retried_after_as_long_as_the_vendor_asks(rig: Rig) -> None:
    rig.embedder.fail(Throttled("embedding", "slow down", retry_after_s=7), times=1)
    rig.embedder.fail(DOWN, times=2)
    summary = await rig.run(corpus=listed(3))
    assert (summary.added, summary.failed) == (3, [])
    assert rig.pauses_s == [7, 2, 4]


async def test_a_vendor_that_asks_for_an_hour_is_not_waited_for(rig: Rig) -> None:
    rig.embedder.fail(Throttled("embedding", "slow down", retry_after_s=3600), times=1)
    await rig.run(corpus=listed(1))
    assert rig.pauses_s == [30]


async def test_a_lost_batch_fails_its_documents_and_the_next_run_takes_them_in(rig: Rig) -> None:
    rig.embedder.fail(DOWN, times=5)
    summary = await rig.run(corpus=listed(150))
    assert len(summary.failed) == 100
    assert summary.failed[0] == ("d0", str(DOWN))
    assert (summary.added, summary.stopped) == (50, None)
    again = await rig.run(corpus=listed(150))
    assert (again.added, again.unchanged, again.failed) == (100, 50, [])
    assert len(rig.held()) == 150


async def test_a_refusal_stops_the_run_at_once_and_removes_nothing(rig: Rig) -> None:
    await rig.run(corpus=listed(5))
    rig.embedder.fail(Refused("embedding", "answered 401"))
    summary = await rig.run(corpus=listed(300, first=3))
    assert summary.stopped == "embedding: answered 401"
    assert rig.embedder.calls["embed_passages"] == 1 + 3  # all, and each half
    assert (summary.removed, summary.unchanged) == (0, 2)
    assert len(rig.held()) == 5
    assert rig.pauses_s == []


async def test_a_dead_vendor_ends_the_run_after_three_batches(rig: Rig) -> None:
    rig.embedder.fail(DOWN)
    summary = await rig.run(corpus=listed(10_000))
    assert summary.stopped == str(DOWN)
    assert len(summary.failed) == 300


async def test_one_text_that_is_refused_fails_only_its_own_document(rig: Rig) -> None:
    embed = rig.embedder.embed_passages

    async def picky(texts):
        if any("number 42." in text for text in texts):
            raise Refused("embedding", "answered 400")
        return await embed(texts)

    rig.embedder.embed_passages = picky
    summary = await rig.run(corpus=listed(150))
    assert summary.failed == [("d42", "embedding: answered 400")]
    assert summary.stopped is None
    assert len(rig.held()) == 149


async def test_an_index_that_fails_leaves_documents_for_the_next_run(rig: Rig) -> None:
    rig.index.fail(Unavailable("index", "down"), on="upsert", times=5)
    summary = await rig.run(corpus=listed(20))
    assert len(summary.failed) == 20
    again = await rig.run(corpus=listed(20))
    assert again.failed == []
    assert len(rig.held()) == 20


async def test_a_catalogue_that_fails_is_never_ahead_of_the_index(rig: Rig) -> None:
    rig.catalogue.fail(Unavailable("catalogue", "down"), on="put", times=2 * 5)
    summary = await rig.run(corpus=listed(2))
    assert len(summary.failed) == 2
    again = await rig.run(corpus=listed(2))
    assert again.failed == []
    assert len(rig.held()) == 2


async def test_a_large_document_lost_halfway_keeps_what_was_paid_for(rig: Rig) -> None:
    rig.write("a.md", "\n".join(section(f"Part {n}") for n in range(150)))
    embed = rig.embedder.embed_passages
    calls = iter([embed])

    async def dies_after_one(texts):
        if (call := next(calls, None)) is None:
            raise DOWN
        return await call(texts)

    rig.embedder.embed_passages = dies_after_one
    summary = await rig.run()
    assert len(summary.failed) == 1
    rig.embedder.embed_passages = embed
    rig.embedder.texts.clear()
    again = await rig.run()
    assert len(rig.embedder.texts) == 50
    assert (again.chunks_embedded, again.chunks_kept) == (50, 100)
    assert len(rig.held()["docs/a.md"]) == 150


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Mortal:
    """Passes calls through to a port and dies at the `last`-th of all, before or after it."""

    def __init__(self, part: Any, clock: Iterator[int], last: int, *, after: bool) -> None:
        self._part, self._clock, self._last, self._after = part, clock, last, after

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._part, name)
        if name not in ("put", "remove", "upsert", "delete", "embed_passages"):
            return attribute

        async def call(*args: Any) -> Any:
            now = next(self._clock)
            if now > self._last or (now == self._last and not self._after):
                raise Killed
            result = await attribute(*args)
            if now == self._last:
                raise Killed
            return result

        return call


VERSIONS = {
    "first": {"a.md": ["One", "Two", "Three"], "b.md": ["Four"], "c.md": ["Five", "Six"]},
    "second": {"a.md": ["One", "Zwei", "Three", "New"], "c.md": ["Five"], "d.md": ["Seven"]},
    "third": {"a.md": ["Two", "Three"], "b.md": ["Four"], "d.md": ["Seven", "Eight"]},
}


def write_version(rig: Rig, version: str) -> None:
    for path in rig.folder.glob("*.md"):
        path.unlink()
    for name, parts in VERSIONS[version].items():
        rig.write(name, "# Manual\n\n" + "".join(section(part) for part in parts))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("then", ["first", "second", "third"])
async def test_a_kill_at_any_step_is_healed_by_the_next_run(
    tmp_path: Path, then: str, after: bool
) -> None:
    """Whatever happened to the folder in between: undone, as it was, changed again."""
    clean = Rig(tmp_path / "docs")
    write_version(clean, then)
    await clean.run()

    survived = False
    for last in range(1, 100):
        rig = Rig(tmp_path / "docs")
        write_version(rig, "first")
        await rig.run()
        write_version(rig, "second")
        whole = (rig.embedder, rig.index, rig.catalogue)
        clock = iter(range(1, 1000))
        rig.embedder, rig.index, rig.catalogue = (
            Mortal(part, clock, last, after=after) for part in whole
        )
        try:
            await rig.run()
            survived = True
        except Killed:
            pass
        rig.embedder, rig.index, rig.catalogue = whole
        write_version(rig, then)
        assert (await rig.run()).failed == []
        assert rig.held() == clean.held(), f"killed at call {last}"
        settled = await rig.run()
        assert settled.unchanged == len(VERSIONS[then])
        assert (settled.chunks_embedded, settled.chunks_deleted) == (0, 0)
        if survived:
            break
    assert survived
    assert last > 10


async def test_vectors_never_mix_two_embedders_even_after_a_kill(tmp_path: Path) -> None:
    class Shifted(FakeEmbedder):
        def _vector(self, text: str) -> array[float]:
            return array("f", reversed(super()._vector(text)))

    for last in range(1, 30):
        rig = Rig(tmp_path / "docs")
        write_version(rig, "first")
        await rig.run()
        new = Shifted(name="shifted/64")
        clock = iter(range(1, 1000))
        index, catalogue = rig.index, rig.catalogue
        rig.embedder = new
        rig.index = Mortal(index, clock, last, after=True)
        rig.catalogue = Mortal(catalogue, clock, last, after=True)
        try:
            await rig.run()
            done = True
        except Killed:
            done = False
        rig.index, rig.catalogue = index, catalogue
        await rig.run()
        for embedded in index.held().values():
            assert embedded.vector == new._vector(embedded.chunk.searchable)
        if done:
            return
    pytest.fail("the run never survived")


async def test_two_processes_do_not_ingest_into_one_namespace_at_once(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; "
        "from steadyrag.adapters.local.ingest_lock import IngestLock\n"
        "with IngestLock(Path(sys.argv[1]))('default'): print('held', flush=True); input()"
    )
    with subprocess.Popen(  # noqa: ASYNC220 -- nothing else runs on this loop
        [sys.executable, "-c", hold, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        rig = Rig(tmp_path / "docs", lock=IngestLock(tmp_path))
        with pytest.raises(ConfigError, match=f"process {other.pid}"):
            await rig.run(corpus=listed(1))
        assert (await rig.run(corpus=listed(1), namespace="other")).added == 1
        other.kill()
    assert (await rig.run(corpus=listed(1))).added == 1


async def test_a_catalogue_that_cannot_be_read_is_said_before_anything_is_embedded() -> None:
    rig = Rig(Path(), embedder=FakeEmbedder(), index=InMemoryIndex(), catalogue=InMemoryCatalogue())
    rig.catalogue.fail(Unavailable("catalogue", "down"), on="records")
    with pytest.raises(Unavailable):
        await rig.run(corpus=listed(1))
    assert rig.embedder.texts == []
