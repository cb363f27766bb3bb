"""The local index tells its own version, so that processes need nobody else to agree."""

import pytest

from contract.local_index import a_chunk, an_index
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ports import Versioned


@pytest.fixture
async def index(tmp_path):
    index = an_index(tmp_path / "index.sqlite")
    yield index
    await index.aclose()


async def test_every_change_makes_a_new_version_and_nothing_else_does(index):
    assert isinstance(index, Versioned)
    versions = [await index.version()]
    await index.upsert("default", [a_chunk("Seoul", id="a"), a_chunk("Paris", id="b")])
    versions.append(await index.version())
    await index.status()
    assert await index.version() == versions[-1]
    await index.delete("default", ["a"])
    versions.append(await index.version())
    await index.erase()
    versions.append(await index.version())
    assert len(set(versions)) == 4
    assert all(version.isascii() and not version.split()[1:] for version in versions)


async def test_a_change_by_another_process_is_noticed(index, tmp_path):
    await index.upsert("default", [a_chunk("Seoul", id="a")])
    before = await index.version()
    other = an_index(tmp_path / "index.sqlite")
    assert await other.version() == before
    await other.upsert("default", [a_chunk("Paris", id="b")])
    assert await index.version() == await other.version() != before
    await other.aclose()


async def test_a_file_that_is_no_index_has_none(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 100)
    index = an_index(tmp_path / "index.sqlite")
    with pytest.raises(Unavailable):
        await index.version()
    await index.aclose()
