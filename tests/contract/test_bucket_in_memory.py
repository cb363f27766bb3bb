"""The fake keeps the promises that its users' tests rely on."""

import pytest

from contract.bucket_contract import BucketContract, Post
from contract.store_contract import Clock
from fakes import InMemoryBucket
from steadyrag.domain.ledger import Upload
from steadyrag.domain.objects import Attributes


class TestInMemoryBucket(BucketContract):
    @pytest.fixture
    def bucket(self) -> InMemoryBucket:
        return InMemoryBucket()

    @pytest.fixture
    def post(self, bucket: InMemoryBucket) -> Post:
        async def post(upload: Upload, content: bytes) -> bool:
            return bucket.posted(upload, content)

        return post


async def test_an_upload_takes_what_it_was_made_for_and_not_for_ever():
    clock = Clock()
    bucket = InMemoryBucket(clock=clock)
    upload = await bucket.upload("k", Attributes(), max_bytes=10, lives_s=60)
    assert not bucket.posted(upload, b"")
    assert not bucket.posted(upload, b"x" * 11)
    assert bucket.posted(upload, b"x" * 10)
    clock.passes(60)
    assert not bucket.posted(upload, b"x")
