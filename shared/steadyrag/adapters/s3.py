"""The documents' bucket in S3."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from datetime import datetime
from email.header import decode_header, make_header
from typing import Any, BinaryIO

from steadyrag.adapters.aws_client import AwsClient, reading
from steadyrag.domain import attributes as kept
from steadyrag.domain.errors import InvalidInput, Refused, Rejected, Unavailable
from steadyrag.domain.ledger import Changed, Fetched, Upload
from steadyrag.domain.objects import Attributes, StoredObject
from steadyrag.domain.text import mended

log = logging.getLogger(__name__)

NAME = "s3"

ATTRIBUTES = "steadyrag"
"""The user metadata (`x-amz-meta-steadyrag`) that says what `Attributes` do."""

PART_BYTES = 1 << 18
"""After each, a fetch that nobody waits for any more ends."""

_ONE_REQUEST_IS_WRONG = frozenset(
    {"EntityTooLarge", "InvalidObjectState", "InvalidURI", "KeyTooLongError", "MetadataTooLarge"}
)
"""InvalidObjectState: it lies in an archive."""


class S3Bucket:
    """Implements `Bucket`. Encryption is the bucket's own default.

    A call may take `timeout_s`; one that carries a document's content, `transfer_timeout_s`.
    `local` is as for `DynamoStore`.
    """

    def __init__(
        self,
        name: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        local: bool = False,
        clock: Callable[[], float] = time.time,
        timeout_s: float = 5.0,
        transfer_timeout_s: float = 120.0,
    ) -> None:
        self._name = name
        self._clock = clock
        self._transfer_timeout_s = transfer_timeout_s
        self._client = AwsClient(
            "s3",
            name=NAME,
            endpoint_url=endpoint_url,
            region=region,
            timeout_s=timeout_s,
            connect_timeout_s=timeout_s,
            local=local,
            clock=clock,
            told_apart=_told_apart,
            # Virtual: else uploads go to the global endpoint, which redirects to the region's.
            config={
                "signature_version": "s3v4",
                "s3": {"addressing_style": "path" if endpoint_url else "virtual"},
            },
        )

    @property
    def name(self) -> str:
        return self._name

    async def head(self, key: str) -> StoredObject | None:
        return await self._head(key)

    async def fetch(self, key: str, into: str) -> Fetched | None:
        given_up = threading.Event()

        def fetch(client: Any) -> Fetched:
            answer = client.get_object(Bucket=self._name, Key=key)
            with closing(answer["Body"]) as body, open(into, "wb") as file:
                return Fetched(_stored(key, answer), _streamed(body, file, given_up))

        try:
            return await self._client.run(fetch, within_s=self._transfer_timeout_s)
        except _NoSuchKey:
            return None
        finally:
            given_up.set()

    async def put(self, key: str, content: bytes, attributes: Attributes) -> StoredObject:
        said = {ATTRIBUTES: kept.written(attributes)}

        def put(client: Any) -> dict[str, Any]:
            answer: dict[str, Any] = client.put_object(
                Bucket=self._name, Key=key, Body=content, Metadata=said
            )
            return answer

        answer = await self._client.run(put, within_s=self._transfer_timeout_s)
        version = {"VersionId": answer["VersionId"]} if "VersionId" in answer else {}
        found = await self._head(key, **version)  # only that says when it was modified
        if found is None:
            raise Unavailable(NAME, "does not have what it has just been given")
        return found

    async def replace(self, key: str, content: bytes, *, stamp: str) -> None:
        """One request. It may say `Changed` of what it has put itself, when a kept connection
        was dropped before S3's answer came and the request was sent again."""
        etag, _, _ = stamp.partition("@")
        unless = {"IfMatch": f'"{etag}"'} if etag else {"IfNoneMatch": "*"}
        try:
            await self._client.call(
                "put_object", Bucket=self._name, Key=key, Body=content, **unless
            )
        except (_NoSuchKey, _ConditionFailed):
            raise Changed(f"{key}: somebody else has changed it") from None

    async def delete(self, key: str) -> None:
        await self._client.call("delete_object", Bucket=self._name, Key=key)

    async def upload(
        self, key: str, attributes: Attributes, *, max_bytes: int, lives_s: int
    ) -> Upload:
        """Where this process has temporary credentials, the leave ends with them."""
        if "${filename}" in key:
            raise InvalidInput("id", "must not hold ${filename}, which S3 replaces in an upload")
        said = {f"x-amz-meta-{ATTRIBUTES}": kept.written(attributes)}
        # S3 takes no field that the policy does not name, so the type is named, and free.
        fields = {**said, "Content-Type": "application/octet-stream"}
        conditions = [
            said,
            ["starts-with", "$Content-Type", ""],
            ["content-length-range", 1, max_bytes],
        ]
        expires_at = self._clock() + lives_s
        answer = await self._client.call(
            "generate_presigned_post",
            Bucket=self._name,
            Key=key,
            Fields=fields,
            Conditions=conditions,
            ExpiresIn=lives_s,
        )
        return Upload(answer["url"], answer["fields"], expires_at, max_bytes)

    async def objects(self, prefix: str, *, after: str = "") -> AsyncIterator[StoredObject]:
        async for page in self._pages(prefix, after=after):
            with reading(NAME):
                found = [_stored(one["Key"], one) for one in page.get("Contents", [])]
            for one in found:
                yield one

    async def folders(self, prefix: str) -> list[str]:
        names: set[str] = set()
        async for page in self._pages(prefix, Delimiter="/"):
            with reading(NAME):
                below = [one["Prefix"] for one in page.get("CommonPrefixes", [])]
            names.update(one.removeprefix(prefix).rstrip("/") for one in below)
        return sorted(names)

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        await self._client.aclose()

    async def _head(self, key: str, **version: str) -> StoredObject | None:
        try:
            answer = await self._client.call("head_object", Bucket=self._name, Key=key, **version)
        except _NoSuchKey:
            # A HEAD does not say what there is none of. If it is the bucket, all documents
            # would seem to be gone.
            try:
                await self._client.call("head_bucket", Bucket=self._name)
            except _NoSuchKey:
                raise Refused(NAME, f"there is no bucket {self._name}") from None
            return None
        with reading(NAME):
            return _stored(key, answer)

    async def _pages(
        self, prefix: str, *, after: str = "", **request: str
    ) -> AsyncIterator[dict[str, Any]]:
        request |= {"Bucket": self._name, "Prefix": prefix}
        if after:
            request["StartAfter"] = after
        while True:
            page = await self._client.call("list_objects_v2", **request)
            yield page
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return
            request["ContinuationToken"] = token


class _NoSuchKey(Exception):
    """There is no such object, or its newest version is a delete marker."""


class _ConditionFailed(Exception):
    """The object is another one, or becomes another one just now."""


def _told_apart(code: str, status: int, _response: Any) -> Exception | None:
    if code == "NoSuchKey" or (status == 404 and code in ("404", "NotFound", "NoSuchVersion")):
        return _NoSuchKey(code)
    if code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return _ConditionFailed(code)
    if code in _ONE_REQUEST_IS_WRONG:
        return Rejected(NAME, f"answered {status} {code}")
    if status == 403:
        problem = (
            "look at the role's policy: without s3:ListBucket, S3 says so of what is not there"
        )
        return Refused(NAME, f"answered 403 {code}; {problem}")
    return None


def _stored(key: str, answer: Mapping[str, Any]) -> StoredObject:
    """An object by the answer to GET, HEAD, or by its entry in a listing."""
    modified: datetime = answer["LastModified"]
    modified_at = int(modified.timestamp())
    etag = answer["ETag"].strip('"')
    stamp = f"{etag}@{modified_at}"
    version = answer.get("VersionId", "")
    listed = "Size" in answer
    return StoredObject(
        key=key,
        version=stamp if version in ("", "null") else version,
        stamp=stamp,
        size_bytes=answer["Size" if listed else "ContentLength"],
        modified_at=modified_at,
        attributes=None if listed else _attributes(key, answer.get("Metadata", {})),
    )


def _attributes(key: str, said: Mapping[str, str]) -> Attributes:
    """Ours, or else what somebody said by hand: a plain `title` and `url`."""
    ours = said.get(ATTRIBUTES)
    if ours is None:
        return Attributes(title=_plain(said, "title"), url=_plain(said, "url"))
    read = kept.read(ours)
    if read is None:
        log.warning("an object's metadata %s is not what Steadyrag writes: ignored", ATTRIBUTES)
    return read or Attributes()


def _plain(said: Mapping[str, str], name: str) -> str | None:
    """S3 gives back what is not ASCII as encoded words (RFC 2047)."""
    try:
        value = str(make_header(decode_header(said.get(name, ""))))
    except (LookupError, ValueError):
        value = said[name]
    return mended(value).strip() or None


def _streamed(body: Any, file: BinaryIO, given_up: threading.Event) -> str:
    """Copies a body to a file; its SHA-256. botocore raises where it ends too early."""
    sha256 = hashlib.sha256()
    while part := body.read(PART_BYTES):
        if given_up.is_set():
            raise Unavailable(NAME, "is not waited for any more")
        sha256.update(part)
        try:
            file.write(part)
        except OSError as error:
            raise Unavailable(NAME, f"its content can't be kept here ({error.strerror})") from None
    return sha256.hexdigest()
