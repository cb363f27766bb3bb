"""`S3Bucket` keeps the promises of a bucket."""

import asyncio
import base64
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import boto3
import pytest

from contract.bucket_contract import ALL_SAID, BucketContract, Post, fetches_in_little_memory
from servers import REGION, unique
from steadyrag.adapters.s3 import S3Bucket
from steadyrag.domain.errors import ConfigError, InvalidInput, Refused
from steadyrag.domain.ledger import Upload
from steadyrag.domain.objects import Attributes


@pytest.fixture
def s3(local_aws) -> Any:
    client = boto3.client("s3", endpoint_url=local_aws.url, region_name=REGION)
    yield client
    client.close()


@pytest.fixture(params=["versions", "no versions"])
def name(request, s3) -> str:
    """A new, empty bucket."""
    name = unique("documents")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    if request.param == "versions":
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
async def bucket(local_aws, name: str) -> AsyncIterator[S3Bucket]:
    opened = S3Bucket(name, endpoint_url=local_aws.url, region=REGION, timeout_s=20.0)
    yield opened
    await opened.aclose()


def form(fields: dict[str, str], content: bytes) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
    parts += [head.encode(), b"Content-Type: text/plain\r\n\r\n", content]
    return b"".join(parts) + f"\r\n--{boundary}--\r\n".encode(), boundary


async def post_form(upload: Upload, content: bytes) -> bool:
    body, boundary = form(dict(upload.fields), content)
    request = urllib.request.Request(upload.url, data=body, method="POST")  # noqa: S310
    request.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")

    def send() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status in (200, 201, 204)
        except urllib.error.HTTPError as refused:
            with refused:
                return False

    return await asyncio.to_thread(send)


class TestS3Bucket(BucketContract):
    @pytest.fixture
    def post(self) -> Post:
        return post_form


async def test_a_version_is_the_buckets_own_where_it_keeps_them(bucket, name, s3):
    put = await bucket.put("k", b"1", Attributes())
    versions = s3.get_bucket_versioning(Bucket=name).get("Status") == "Enabled"
    assert (put.version == put.stamp) is not versions
    if versions:
        assert s3.head_object(Bucket=name, Key="k", VersionId=put.version)["ContentLength"] == 1


async def test_a_large_object_is_fetched_in_little_memory(bucket, name, s3, tmp_path):
    s3.put_object(Bucket=name, Key="large", Body=b"A" * 100_000_000)
    await fetches_in_little_memory(bucket, "large", tmp_path)


async def test_an_upload_is_bound_to_one_key_one_size_and_what_is_said(bucket):
    upload = await bucket.upload("documents/default/a.md", ALL_SAID, max_bytes=100, lives_s=60)
    conditions = json.loads(base64.b64decode(upload.fields["policy"]))["conditions"]
    assert {"key": "documents/default/a.md"} in conditions
    assert ["content-length-range", 1, 100] in conditions
    said = {"x-amz-meta-steadyrag": upload.fields["x-amz-meta-steadyrag"]}
    assert said in conditions
    assert ["starts-with", "$Content-Type", ""] in conditions
    assert all(value.isascii() for name, value in upload.fields.items() if name != "key")


async def test_a_key_that_s3_would_fill_in_gets_no_upload(bucket):
    with pytest.raises(InvalidInput) as refused:
        await bucket.upload("documents/default/${filename}", ALL_SAID, max_bytes=9, lives_s=60)
    assert refused.value.field == "id"


async def test_what_somebody_said_by_hand_is_read(bucket, name, s3):
    encoded = "=?UTF-8?B?" + base64.b64encode("휴가".encode()).decode() + "?="
    plain = {"title": encoded, "url": "https://example.com/a", "other": "x"}
    s3.put_object(Bucket=name, Key="plain", Body=b"1", Metadata=plain)
    found = await bucket.head("plain")
    assert found.attributes == Attributes(title="휴가", url="https://example.com/a")


@pytest.mark.parametrize(
    "said",
    [
        "{half",
        "[]",
        '{"title": 7}',
        '{"title": "half \\ud800"}',
        '{"metadata": {"a": {"b": 1}}}',
        '{"metadata": {"a": NaN}}',
        '{"metadata": [1]}',
        '{"url": ["x"]}',
        "[" * 2000,
    ],
)
async def test_metadata_that_is_not_ours_is_ignored_and_logged(bucket, name, s3, caplog, said):
    s3.put_object(
        Bucket=name, Key="foreign", Body=b"1", Metadata={"steadyrag": said, "title": "no"}
    )
    assert (await bucket.head("foreign")).attributes == Attributes()
    assert "ignored" in caplog.text
    assert "foreign" not in caplog.text


async def test_a_missing_bucket_is_not_taken_for_missing_documents(local_aws, tmp_path):
    bucket = S3Bucket("no-such-bucket", endpoint_url=local_aws.url, region=REGION)
    for attempt in (
        bucket.head("k"),
        bucket.fetch("k", str(tmp_path / "copy")),
        bucket.put("k", b"1", Attributes()),
        bucket.folders(""),
    ):
        with pytest.raises(Refused):
            await attempt
    with pytest.raises(Refused):
        async for _ in bucket.objects(""):
            pass
    await bucket.aclose()


async def test_an_upload_goes_to_the_regions_own_endpoint(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    bucket = S3Bucket("some-bucket", region=REGION)
    upload = await bucket.upload("k", Attributes(), max_bytes=9, lives_s=60)
    assert upload.url == f"https://some-bucket.s3.{REGION}.amazonaws.com/"
    await bucket.aclose()


def test_made_up_credentials_never_leave_this_machine():
    with pytest.raises(ConfigError, match="this machine"):
        S3Bucket("b", endpoint_url="https://s3.amazonaws.com", local=True)
