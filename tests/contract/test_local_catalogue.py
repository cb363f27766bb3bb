# ruff: noqa: ASYNC240
import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from steadyrag.adapters.local.catalogue import SqliteCatalogue
from steadyrag.adapters.local.database import Database
from steadyrag.domain.errors import ConfigError
from steadyrag.domain.ports import DocumentRecord


@pytest_asyncio.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[SqliteCatalogue]:
    catalogue = SqliteCatalogue(tmp_path / "data" / "catalogue.sqlite")
    yield catalogue
    await catalogue.aclose()


def a_record(document_id: str, fingerprint: str = "f") -> DocumentRecord:
    return DocumentRecord(document_id, f"문서/{document_id}.md", fingerprint, ("c1", "c2"))


async def test_what_was_put_comes_back_by_document(catalogue: SqliteCatalogue) -> None:
    one, two = a_record("하나"), a_record("two")
    await catalogue.put("default", one)
    await catalogue.put("default", two)
    assert await catalogue.records("default") == {"하나": one, "two": two}


async def test_a_second_put_replaces_the_first(catalogue: SqliteCatalogue) -> None:
    await catalogue.put("default", a_record("d", "before"))
    await catalogue.put("default", a_record("d", "after"))
    assert await catalogue.records("default") == {"d": a_record("d", "after")}


async def test_namespaces_are_kept_apart(catalogue: SqliteCatalogue) -> None:
    await catalogue.put("a", a_record("d"))
    await catalogue.put("b", a_record("d"))
    await catalogue.remove("a", "d")
    await catalogue.remove("a", "never there")
    assert await catalogue.records("a") == {}
    assert list(await catalogue.records("b")) == ["d"]


async def test_reading_what_was_never_written_makes_no_file(
    catalogue: SqliteCatalogue, tmp_path: Path
) -> None:
    assert await catalogue.records("default") == {}
    assert list(tmp_path.iterdir()) == []


async def test_another_catalogue_on_the_file_sees_it(
    catalogue: SqliteCatalogue, tmp_path: Path
) -> None:
    await catalogue.put("default", a_record("d"))
    other = SqliteCatalogue(tmp_path / "data" / "catalogue.sqlite")
    assert await other.records("default") == {"d": a_record("d")}
    await other.aclose()


async def test_catalogues_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    catalogues = [SqliteCatalogue(tmp_path / "c.sqlite") for _ in range(4)]
    await asyncio.gather(
        *(
            c.put("default", a_record(f"{i}-{n}"))
            for n in range(5)
            for i, c in enumerate(catalogues)
        )
    )
    assert len(await catalogues[0].records("default")) == 20
    for catalogue in catalogues:
        await catalogue.aclose()


def test_writers_that_make_the_file_at_once_are_not_in_each_others_way(tmp_path: Path) -> None:
    def write(path: Path, worker: int) -> None:
        for n in range(3):
            with Database(path).writing() as db:
                db.execute("insert into meta values(?, 'x')", (f"{worker}-{n}",))

    with ThreadPoolExecutor(6) as threads:
        for turn in range(15):
            path = tmp_path / f"{turn}.sqlite"
            list(threads.map(write, [path] * 6, range(6)))
            with Database(path).reading() as db:
                (mode,) = db.execute("pragma journal_mode").fetchone()
            assert mode == "wal"


def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "c.sqlite")

    def fill() -> None:
        with database.writing() as db:
            (pages,) = db.execute("pragma page_count").fetchone()
            db.execute(f"pragma max_page_count = {pages}")
            db.execute("insert into meta values('large', ?)", ("x" * 100_000,))

    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill()
    with database.reading() as db:
        assert db is None


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"not a database " * 100)
    catalogue = SqliteCatalogue(tmp_path / "c.sqlite")
    with pytest.raises(ConfigError, match=r"c\.sqlite is damaged"):
        await catalogue.records("default")
    await catalogue.aclose()
