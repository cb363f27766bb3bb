"""What holds for every `domain.ledger.Bucket`, whatever keeps the objects.

A test class inherits from `BucketContract` and provides fixtures: `bucket`, which is empty,
and `post`, which does with an `Upload` what a client would, and says whether it was taken;
None where the bucket takes none.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.ledger_contract import IDS
from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.ledger import Bucket, Changed, Upload
from steadyrag.domain.objects import Attributes

type Post = Callable[[Upload, bytes], Awaitable[bool]] | None

ALL_SAID = Attributes(
    format="markdown",
    title='휴가 규정 🧭 "quoted" & <b>\'\\n',
    url="https://example.com/휴가?a=1&b=%20",
    metadata={"year": 2026, "share": 0.5, "draft": False, "부서": ["인사", "총무"], "x": ""},
)


async def keys_of(bucket: Bucket, prefix: str = "", **request: Any) -> list[str]:
    return [one.key async for one in bucket.objects(prefix, **request)]


class BucketContract:
    async def test_what_is_put_can_be_read_at_once(self, bucket, tmp_path):
        content = "안녕하세요\0\r\n".encode() * 1000
        put = await bucket.put("documents/a/b.md", content, ALL_SAID)
        assert (put.key, put.size_bytes, put.attributes) == (
            "documents/a/b.md",
            len(content),
            ALL_SAID,
        )
        assert await bucket.head("documents/a/b.md") == put
        fetched = await bucket.fetch("documents/a/b.md", str(tmp_path / "copy"))
        assert fetched.object == put
        assert fetched.sha256 == hashlib.sha256(content).hexdigest()
        assert (tmp_path / "copy").read_bytes() == content

    async def test_nothing_is_there_before_and_after(self, bucket, tmp_path):
        async def is_missing() -> bool:
            assert await keys_of(bucket) == []
            return (
                await bucket.head("k") is None
                and await bucket.fetch("k", str(tmp_path / "copy")) is None
            )

        assert await is_missing()
        await bucket.delete("k")
        await bucket.put("k", b"1", Attributes())
        await bucket.put("k", b"2", Attributes())
        await bucket.delete("k")
        await bucket.delete("k")
        assert await is_missing()
        assert await bucket.folders("") == []

    async def test_an_object_is_replaced_by_whoever_has_seen_it_last(self, bucket, tmp_path):
        with pytest.raises(Changed):
            await bucket.replace("k", b"0", stamp="nothing@0")
        await bucket.replace("k", b"1", stamp="")
        first = (await bucket.head("k")).stamp
        with pytest.raises(Changed):
            await bucket.replace("k", b"2", stamp="")
        await bucket.replace("k", b"3", stamp=first)
        with pytest.raises(Changed):
            await bucket.replace("k", b"4", stamp=first)
        await bucket.fetch("k", str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_bytes() == b"3"
        third = (await bucket.head("k")).stamp
        await bucket.delete("k")
        with pytest.raises(Changed):
            await bucket.replace("k", b"5", stamp=third)
        assert await keys_of(bucket) == []

    async def test_of_many_who_replace_at_once_one_does(self, bucket):
        await bucket.put("k", b"0", Attributes())
        stamp = (await bucket.head("k")).stamp

        async def replaced(n: int) -> bool:
            try:
                await bucket.replace("k", b"x" * n, stamp=stamp)
            except Changed:
                return False
            return True

        done = await asyncio.gather(*(replaced(n) for n in range(1, 13)))
        assert sum(done) == 1
        assert (await bucket.head("k")).size_bytes == done.index(True) + 1

    async def test_an_object_may_be_empty_and_say_nothing(self, bucket, tmp_path):
        put = await bucket.put("empty", b"", Attributes())
        assert (put.size_bytes, put.attributes) == (0, Attributes())
        fetched = await bucket.fetch("empty", str(tmp_path / "copy"))
        assert fetched.sha256 == hashlib.sha256(b"").hexdigest()
        assert (tmp_path / "copy").read_bytes() == b""

    async def test_a_fetch_replaces_the_file(self, bucket, tmp_path):
        (tmp_path / "copy").write_bytes(b"x" * 100)
        await bucket.put("k", b"short", Attributes())
        await bucket.fetch("k", str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_bytes() == b"short"

    async def test_another_content_is_another_version_with_another_stamp(self, bucket):
        first = await bucket.put("k", b"1", Attributes(title="T"))
        second = await bucket.put("k", b"2", Attributes())
        assert first.version != second.version
        assert first.stamp != second.stamp
        assert (await bucket.head("k")) == second

    async def test_a_listing_says_the_stamp_that_the_object_has(self, bucket):
        put = [await bucket.put(key, key.encode(), ALL_SAID) for key in ("a", "b")]
        listed = [one async for one in bucket.objects("")]
        told = [replace(one, version="") for one in listed]
        assert told == [replace(one, version="", attributes=None) for one in put]

    @pytest.mark.parametrize("document_id", IDS)
    async def test_every_key_is_kept_as_it_was_given(self, bucket, tmp_path, document_id):
        key = f"documents/default/{document_id}"
        await bucket.put(key, document_id.encode(), ALL_SAID)
        assert await keys_of(bucket) == [key]
        assert (await bucket.head(key)).attributes == ALL_SAID
        fetched = await bucket.fetch(key, str(tmp_path / "copy"))
        assert fetched.object.key == key
        assert (tmp_path / "copy").read_bytes() == document_id.encode()
        await bucket.delete(key)
        assert await keys_of(bucket) == []

    async def test_objects_come_in_the_order_of_their_keys_bytes(self, bucket):
        keys = [f"documents/ns/{document_id}" for document_id in IDS]
        for key in keys:
            await bucket.put(key, b"1", Attributes())
        await bucket.put("documents/other/a", b"1", Attributes())
        await bucket.put("elsewhere", b"1", Attributes())
        expected = sorted(keys, key=str.encode)
        assert await keys_of(bucket, "documents/ns/") == expected
        for at, key in enumerate(expected):
            assert await keys_of(bucket, "documents/ns/", after=key) == expected[at + 1 :]
        beyond = await keys_of(bucket, "documents/ns/", after="documents/ns/a/")
        assert beyond == [key for key in expected if key.encode() > b"documents/ns/a/"]

    async def test_a_thousand_objects_are_listed_once_each(self, bucket):
        keys = sorted(f"documents/ns/문서-{n}.md" for n in range(1005))
        for some in (keys[start : start + 67] for start in range(0, 1005, 67)):
            await asyncio.gather(*(bucket.put(key, b"1", Attributes()) for key in some))
        assert await keys_of(bucket, "documents/") == keys
        assert await keys_of(bucket, "documents/", after=keys[2]) == keys[3:]

    async def test_folders_are_what_stands_before_the_next_slash(self, bucket):
        for key in ("documents/b/1", "documents/a/x/2", "documents/a/3", "documents/4", "z/5"):
            await bucket.put(key, b"1", Attributes())
        assert await bucket.folders("documents/") == ["a", "b"]
        assert await bucket.folders("documents/a/") == ["x"]
        assert await bucket.folders("") == ["documents", "z"]
        assert await bucket.folders("nothing/") == []

    async def test_more_than_fits_beside_an_object_is_refused_by_name(self, bucket):
        said = Attributes(metadata={"부서": "인사" * 200})
        with pytest.raises(InvalidInput, match="2,000") as refused:
            await bucket.put("k", b"1", said)
        assert refused.value.field == "metadata"
        assert await bucket.head("k") is None
        await bucket.put("k", b"1", Attributes(metadata={"department": "i" * 1900}))

    async def test_a_fetch_gets_one_version_whole_while_others_are_put(self, bucket, tmp_path):
        versions = [bytes([n]) * 300_000 for n in range(8)]
        sums = {hashlib.sha256(version).hexdigest(): version for version in versions}
        await bucket.put("k", versions[0], Attributes(title="0"))

        async def keep_putting() -> None:
            for n, version in enumerate(versions):
                await bucket.put("k", version, Attributes(title=str(n)))

        async def fetch(n: int) -> None:
            fetched = await bucket.fetch("k", str(tmp_path / f"copy-{n}"))
            content = (tmp_path / f"copy-{n}").read_bytes()
            assert sums[fetched.sha256] == content
            assert fetched.object.attributes.title == str(content[0])

        await asyncio.gather(keep_putting(), *(fetch(n) for n in range(20)))

    async def test_an_upload_puts_one_object_with_what_is_said_of_it(self, bucket, post: Post):
        if post is None:
            with pytest.raises(NotImplementedError):
                await bucket.upload("k", ALL_SAID, max_bytes=100, lives_s=60)
            return
        key = "documents/default/가이드/a 'b'.md"
        upload = await bucket.upload(key, ALL_SAID, max_bytes=100, lives_s=60)
        assert upload.max_bytes == 100
        assert await bucket.head(key) is None
        assert await post(upload, b"x" * 100)
        found = await bucket.head(key)
        assert (found.size_bytes, found.attributes) == (100, ALL_SAID)
        with pytest.raises(InvalidInput):
            await bucket.upload(
                key, Attributes(metadata={"a": "x" * 3000}), max_bytes=100, lives_s=60
            )

    async def test_a_closed_bucket_can_be_used_again(self, bucket):
        await bucket.put("k", b"1", Attributes())
        await bucket.aclose()
        await bucket.aclose()
        assert (await bucket.head("k")).size_bytes == 1


async def fetches_in_little_memory(bucket: Bucket, key: str, folder: Path) -> None:
    """For an object of 100 MB of `A`."""
    import tracemalloc

    tracemalloc.start()
    try:
        fetched = await bucket.fetch(key, str(folder / "copy"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fetched is not None
    assert fetched.object.size_bytes == (folder / "copy").stat().st_size == 100_000_000
    assert fetched.sha256 == hashlib.sha256(b"A" * 100_000_000).hexdigest()
    assert peak < 16_000_000, f"{peak:,} bytes at the most"
