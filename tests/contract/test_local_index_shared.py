# ruff: noqa: ASYNC240
"""The local index under other processes: their writes, their deaths, their mistakes."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.local_index import EVERYTHING, a_chunk, an_index, texts, vector_of
from steadyrag.adapters.local.catalogue import SqliteCatalogue
from steadyrag.domain.errors import ConfigError, Unavailable
from steadyrag.domain.models import Hit, Question
from steadyrag.domain.ports import DocumentRecord

WRITER = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from contract.local_index import a_chunk, an_index

async def main(path, worker, rounds):
    index = an_index(Path(path))
    for turn in range(rounds):
        state = f"state{{worker}}x{{turn}}"
        text = f"{{state}} shared words stand here. The second sentence is about {{state}}."
        chunks = [
            a_chunk(text, id=f"{{worker}}-{{n}}") for n in range(20)
        ]
        await index.upsert("default", chunks)
        print(turn, flush=True)
    await index.aclose()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


@pytest.fixture
def start_writer(path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a process that rewrites the same twenty chunks, one state after the other."""
    started: list[subprocess.Popen[str]] = []
    code = WRITER.format(paths=[p for p in sys.path if p])

    def start(*, worker: int = 0, rounds: int = 1_000_000) -> "subprocess.Popen[str]":
        arguments = [sys.executable, "-c", code, str(path), str(worker), str(rounds)]
        started.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


async def held_states(path: Path) -> Counter[str]:
    """How many chunks of each writer's state the index holds, read from its file alone."""
    index = an_index(path)
    hits = await index.keyword_search(
        "shared words", top_k=1000, namespace="default", filter=EVERYTHING
    )
    states = Counter(hit.chunk.text.split()[0] for hit in hits)
    vector = vector_of("anything")
    evidence = await index.evidence(Question("shared", "en", vector), hits)
    assert [len(cosines) for cosines in evidence.sentences] == [2] * len(hits)
    assert await texts(index, "anything", by="vector", top_k=1000)
    await index.aclose()
    return states


async def test_a_writer_killed_at_any_moment_leaves_one_whole_state(
    path: Path, start_writer: Callable[..., "subprocess.Popen[str]"]
) -> None:
    moments = random.Random(7)  # noqa: S311
    for _ in range(6):
        writer = start_writer()
        assert writer.stdout is not None
        confirmed = int(writer.stdout.readline())
        await asyncio.sleep(moments.uniform(0, 0.15))
        writer.kill()
        confirmed = max([confirmed, *map(int, writer.stdout.read().split())])
        writer.wait()
        ((state, chunks),) = (await held_states(path)).items()
        assert chunks == 20
        assert int(state.split("x")[1]) in (confirmed, confirmed + 1)
        with sqlite3.connect(path) as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        db.close()


async def test_writers_in_several_processes_lose_nothing(
    path: Path, start_writer: Callable[..., "subprocess.Popen[str]"]
) -> None:
    writers = [start_writer(worker=worker, rounds=8) for worker in range(3)]
    for writer in writers:
        assert await asyncio.to_thread(writer.wait) == 0
    assert await held_states(path) == {f"state{worker}x7": 20 for worker in range(3)}


async def test_what_another_process_writes_becomes_visible(path: Path) -> None:
    server, command = an_index(path), an_index(path)
    assert await texts(server, "rose") == []
    await command.upsert("default", [a_chunk("a rose", id="1")])
    assert await texts(server, "rose") == ["a rose"]
    await command.upsert("default", [a_chunk("a rose tree", id="1"), a_chunk("rose two")])
    assert set(await texts(server, "rose")) == {"a rose tree", "rose two"}
    await command.delete("default", ["1"])
    assert await texts(server, "rose") == ["rose two"]
    await server.aclose()
    await command.aclose()


async def test_a_search_does_not_wait_for_a_slow_load_and_sees_one_whole_state(
    path: Path,
) -> None:
    server, command = an_index(path, fresh_wait_s=0.01), an_index(path)
    await command.upsert("default", [a_chunk("old rose", id="1"), a_chunk("old tulip", id="2")])
    assert await texts(server, "rose") == ["old rose"]
    done = threading.Event()
    server._loading.submit(done.wait)
    await command.upsert("default", [a_chunk("new rose", id="1"), a_chunk("new tulip", id="2")])
    assert await texts(server, "rose") == ["old rose"]
    assert await texts(server, "tulip") == ["old tulip"]
    done.set()
    deadline = time.monotonic() + 10
    while await texts(server, "rose") != ["new rose"] and time.monotonic() < deadline:
        pass
    assert await texts(server, "tulip") == ["new tulip"]
    await server.aclose()
    await command.aclose()


async def test_ones_own_writes_are_visible_however_short_the_patience(path: Path) -> None:
    index = an_index(path, fresh_wait_s=0.0)
    for turn in range(10):
        await index.upsert("default", [a_chunk(f"rose number{turn}")])
        assert (await texts(index, f"number{turn}"))[0] == f"rose number{turn}"
    await index.aclose()


async def test_searches_at_once_share_one_load(path: Path) -> None:
    index = an_index(path)
    await index.upsert("default", [a_chunk("a rose")])
    found = await asyncio.gather(*(texts(index, "rose") for _ in range(20)))
    assert found == [["a rose"]] * 20
    await index.aclose()


async def test_a_cancelled_search_does_not_cancel_the_load_for_others(path: Path) -> None:
    writer = an_index(path)
    await writer.upsert("default", [a_chunk("a rose")])
    index = an_index(path)
    first = asyncio.create_task(texts(index, "rose"))
    second = asyncio.create_task(texts(index, "rose"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["a rose"]
    with pytest.raises(asyncio.CancelledError):
        await first
    await index.aclose()
    await writer.aclose()


async def test_a_file_deleted_and_made_again_is_noticed(path: Path) -> None:
    server, command = an_index(path), an_index(path)
    await command.upsert("default", [a_chunk("a rose")])
    assert await texts(server, "rose") == ["a rose"]
    for file in path.parent.iterdir():
        file.unlink()
    assert await texts(server, "rose") == []
    await command.upsert("default", [a_chunk("another rose")])
    assert await texts(server, "rose") == ["another rose"]
    await server.aclose()
    await command.aclose()


async def test_another_embedder_is_refused_and_the_way_out_is_named(path: Path) -> None:
    first = an_index(path)
    await first.upsert("default", [a_chunk("a rose")])
    other = an_index(path, embedder="other/64")
    with pytest.raises(ConfigError, match=r"fake/64.*other/64.*steadyrag ingest --rebuild"):
        await other.warm()
    with pytest.raises(ConfigError, match="--rebuild"):
        await other.upsert("default", [a_chunk("a river")])
    with pytest.raises(Unavailable):
        await other.status()
    await other.erase()
    await other.warm()
    await other.upsert("default", [a_chunk("a river")])
    assert await texts(other, "river") == ["a river"]
    with pytest.raises(Unavailable, match="other/64"):
        await texts(first, "rose")
    await first.aclose()
    await other.aclose()


async def test_erasing_forgets_the_catalogue_too(path: Path) -> None:
    index, catalogue = an_index(path), SqliteCatalogue(path)
    await index.upsert("default", [a_chunk("a rose")])
    await catalogue.put("default", DocumentRecord("d", "d.md", "f", ("1",)))
    await index.erase()
    assert await catalogue.records("default") == {}
    assert await texts(index, "rose", by="vector") == []
    await index.upsert("default", [a_chunk("a tulip")])
    assert await texts(index, "tulip") == ["a tulip"]
    assert await texts(index, "rose") == []
    await index.aclose()
    await catalogue.aclose()


async def test_a_hit_from_before_a_rebuild_is_not_mistaken_for_a_new_chunk(path: Path) -> None:
    index = an_index(path)
    await index.upsert("default", [a_chunk("a rose", id="old")])
    await index.erase()
    await index.upsert("default", [a_chunk("a tulip", id="new")])
    old = Hit(a_chunk("a rose", id="old").chunk, score=0.5, dense=0.5)
    evidence = await index.evidence(Question("tulip", "en", vector_of("tulip")), [old])
    assert evidence.dense is not None
    assert evidence.dense[0] == 0.5
    assert len(evidence.sentences[0]) == 0
    await index.aclose()


@pytest.mark.parametrize("content", [b"no database at all, " * 300, b"SQLite format 3\0garbage"])
async def test_a_damaged_file_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    index = an_index(path)
    with pytest.raises(ConfigError, match=r"index\.sqlite is damaged.*steadyrag ingest"):
        await index.warm()
    with pytest.raises(ConfigError, match=r"index\.sqlite"):
        await index.upsert("default", [a_chunk("a rose")])
    with pytest.raises(Unavailable, match=r"index\.sqlite"):
        await texts(index, "rose")
    await index.aclose()
    assert path.read_bytes() == content


async def test_a_file_damaged_in_the_middle_is_named(path: Path) -> None:
    writer = an_index(path)
    await writer.upsert("default", [a_chunk(f"rose {n} " * 50) for n in range(100)])
    await writer.aclose()
    content = bytearray(path.read_bytes())
    content[8192 : len(content)] = bytes(len(content) - 8192)
    path.write_bytes(content)
    index = an_index(path)
    with pytest.raises(ConfigError, match=r"index\.sqlite is damaged"):
        await index.warm()
    await index.aclose()


async def test_an_empty_file_is_an_empty_index(path: Path) -> None:
    path.touch()
    index = an_index(path)
    await index.warm()
    assert (await index.status()).chunks == 0
    await index.upsert("default", [a_chunk("a rose")])
    assert await texts(index, "rose") == ["a rose"]
    await index.aclose()


async def test_another_programs_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table accounts(name text)")
    db.close()
    before = path.read_bytes()
    index, catalogue = an_index(path), SqliteCatalogue(path)
    with pytest.raises(ConfigError, match="another program"):
        await index.warm()
    with pytest.raises(ConfigError, match="another program"):
        await index.upsert("default", [a_chunk("a rose")])
    with pytest.raises(ConfigError, match="another program"):
        await index.erase()
    with pytest.raises(ConfigError, match="another program"):
        await catalogue.put("default", DocumentRecord("d", "d.md", "f", ()))
    assert path.read_bytes() == before
    await index.aclose()
    await catalogue.aclose()


async def test_an_index_of_a_later_version_is_refused(path: Path) -> None:
    index = an_index(path)
    await index.upsert("default", [a_chunk("a rose")])
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 99")
    db.close()
    later = an_index(path)
    with pytest.raises(ConfigError, match="another version"):
        await later.warm()
    await index.aclose()
    await later.aclose()


async def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    index = an_index(tmp_path / "taken" / "index.sqlite")
    with pytest.raises(ConfigError, match="taken"):
        await index.warm()
    with pytest.raises(ConfigError, match="taken"):
        await index.upsert("default", [a_chunk("a rose")])
    with pytest.raises(Unavailable, match="taken"):
        await texts(index, "rose")
    await index.aclose()
