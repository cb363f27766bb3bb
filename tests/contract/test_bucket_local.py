"""`LocalBucket` keeps the promises of a bucket, in a folder."""

from pathlib import Path

import pytest

from contract.bucket_contract import BucketContract, Post, fetches_in_little_memory, keys_of
from steadyrag.adapters.local.bucket import LocalBucket
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.objects import Attributes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bucket"


@pytest.fixture
def bucket(folder: Path) -> LocalBucket:
    return LocalBucket(folder)


class TestLocalBucket(BucketContract):
    @pytest.fixture
    def post(self) -> Post:
        return None


@pytest.mark.parametrize(
    "key", ["../../escaped", "/etc/passwd", "a/../../b", "..", ".", "nul\0byte", "k" * 5000, "con"]
)
async def test_no_key_leads_out_of_the_folder(bucket, folder, tmp_path, key):
    await bucket.put(key, b"1", Attributes())
    assert await keys_of(bucket) == [key]
    inside = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent for path in inside] == [folder]


async def test_keys_that_a_file_system_may_take_for_one_are_two(bucket):
    for key in ("a", "A", "é", "e\u0301", "a/", "a%2F", "a//b", "a/b"):
        await bucket.put(key, key.encode(), Attributes())
    assert len(await keys_of(bucket)) == 8


async def test_looking_makes_no_folder(bucket, folder):
    assert await bucket.head("k") is None
    assert await keys_of(bucket) == []
    await bucket.delete("k")
    assert not folder.parent.exists()


async def test_another_process_sees_it(bucket, folder):
    put = await bucket.put("k", b"1", Attributes(title="T"))
    assert await LocalBucket(folder).head("k") == put
    assert bucket.name == "bucket"
    assert LocalBucket(folder, name="local").name == "local"


async def test_a_large_object_is_fetched_in_little_memory(bucket, tmp_path):
    await bucket.put("large", b"A" * 100_000_000, Attributes())
    await fetches_in_little_memory(bucket, "large", tmp_path)


async def test_what_was_not_written_to_its_end_is_no_object(bucket, folder):
    await bucket.put("k", b"1", Attributes())
    (folder / "0123.part").write_bytes(b'{"key": "other"')
    assert await keys_of(bucket) == ["k"]


async def test_a_file_of_somebody_else_is_named(bucket, folder):
    folder.mkdir(parents=True)
    (folder / "mine.object").write_bytes(b"x" * 100_000)
    with pytest.raises(Unavailable, match=r"mine\.object"):
        await keys_of(bucket)


async def test_a_copy_that_can_not_be_written_is_not_taken_for_a_missing_object(bucket, tmp_path):
    await bucket.put("k", b"1", Attributes())
    with pytest.raises(Unavailable):
        await bucket.fetch("k", str(tmp_path / "no folder" / "copy"))


async def test_a_folder_that_can_not_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="file"):
        await LocalBucket(tmp_path / "file" / "bucket").put("k", b"1", Attributes())
