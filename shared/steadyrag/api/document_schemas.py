"""The wire format of the document routes."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from steadyrag.api import patterns
from steadyrag.domain.document_ids import (
    LONGEST_ID_BYTES,
    LONGEST_TITLE,
    LONGEST_URL,
    clean_document_id,
    clean_metadata,
    clean_url,
)
from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.ledger import Entry, Upload
from steadyrag.domain.objects import Attributes, Place
from steadyrag.domain.text import clean_namespace, clean_text, mended

Format = Literal["markdown", "text", "html", "pdf", "docx"]


class DocumentRequest(BaseModel):
    """A document, or its next version: `text`, `content`, or leave to send it oneself."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "handbook/leave.md",
                    "text": "# Annual leave\n\nEverybody has 25 days.",
                    "url": "https://handbook.example.com/leave",
                    "metadata": {"year": 2026},
                }
            ],
            "oneOf": [
                {
                    "title": "Text",
                    "required": ["text"],
                    "properties": {
                        "text": {"type": "string"},
                        "content": {"type": "null"},
                        "upload": {"const": False},
                    },
                },
                {
                    "title": "Content",
                    "required": ["content"],
                    "properties": {
                        "text": {"type": "null"},
                        "content": {"type": "string"},
                        "upload": {"const": False},
                    },
                },
                {
                    "title": "Upload",
                    "required": ["upload"],
                    "properties": {
                        "text": {"type": "null"},
                        "content": {"type": "null"},
                        "upload": {"const": True},
                    },
                },
            ],
        },
    )

    id: Annotated[
        str,
        Field(
            description=(
                "Its name in the namespace, such as a path; 900 bytes of UTF-8 at most, no part "
                "of it `.` or `..`, no white space around it."
            ),
            json_schema_extra=patterns.text(LONGEST_ID_BYTES, pattern=patterns.DOCUMENT_ID),
        ),
    ]
    namespace: Annotated[
        str,
        Field(
            description="The set it belongs to.",
            json_schema_extra={"pattern": patterns.NAMESPACE},
        ),
    ] = "default"
    text: Annotated[
        Annotated[str, Field(json_schema_extra={"pattern": patterns.NOT_BLANK})] | None,
        Field(description="Its text, in Markdown unless `format` or the id says."),
    ] = None
    content: Annotated[
        Annotated[str, Field(json_schema_extra={"pattern": patterns.BASE64})] | None,
        Field(description="Its bytes, in base64: PDF, DOCX."),
    ] = None
    upload: Annotated[
        bool,
        Field(description="true: answer with where to send the bytes, up to 100 MB of them."),
    ] = False
    format: Annotated[
        Format | None, Field(description="What it is, where the id's suffix does not say.")
    ] = None
    title: Annotated[
        Annotated[str, Field(json_schema_extra=patterns.text(LONGEST_TITLE))] | None,
        Field(description="Its title, where it does not say."),
    ] = None
    url: Annotated[
        Annotated[
            str,
            Field(json_schema_extra=patterns.text(LONGEST_URL, pattern=patterns.WEB_ADDRESS)),
        ]
        | None,
        Field(description="Where readers find it. It is shown, never fetched."),
    ] = None
    metadata: Annotated[
        dict[str, Any],
        Field(
            description=(
                "What filters can use: texts, numbers (integers below 10^15), booleans; with title "
                "and url 2,000 bytes at most, where a Korean letter takes 6."
            )
        ),
        WithJsonSchema(patterns.METADATA),
    ] = {}

    def place(self) -> Place:
        return Place(clean_namespace(self.namespace), clean_document_id(self.id))

    def attributes(self) -> Attributes:
        title = self.title
        return Attributes(
            format=self.format or ("markdown" if self.text is not None else None),
            title=None if title is None else clean_text(title, "title", longest=LONGEST_TITLE),
            url=None if self.url is None else clean_url(self.url),
            metadata=clean_metadata(self.metadata),
        )

    def bytes(self) -> bytes | None:
        """The content; None where it will be uploaded. Raises `InvalidInput` unless exactly
        one of the three ways was chosen."""
        ways = [self.text is not None, self.content is not None, self.upload]
        if ways.count(True) != 1:
            raise InvalidInput("text", "send exactly one of text, content and upload: true")
        if self.text is not None:
            if not self.text.strip():
                raise InvalidInput("text", "must not be empty or blank")
            if mended(self.text) != self.text:
                raise InvalidInput("text", "holds NUL or half of a surrogate pair")
            return self.text.encode()
        if self.content is None:
            return None
        try:
            content = base64.b64decode(self.content, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput("content", "is not base64") from None
        if not content:
            raise InvalidInput("content", "must not be empty")
        return content


class UploadOut(BaseModel):
    """Send an HTTP POST with a multipart form: `fields`, then the content as `file`."""

    url: str
    fields: dict[str, str]
    expires_at: str
    max_bytes: int


class DocumentResponse(BaseModel):
    """What became of a document."""

    id: str
    namespace: str
    status: Literal["uploading", "pending", "indexing", "indexed", "failed", "deleting", "deleted"]
    reason: str | None = Field(description="Why it failed, or what it is waiting for.")
    title: str | None
    size_bytes: int | None
    chunks: int = Field(description="Passages of it that can be found.")
    updated_at: str | None
    upload: UploadOut | None = None


def document_body(place: Place, entry: Entry) -> dict[str, Any]:
    return {
        "id": place.document_id,
        "namespace": place.namespace,
        "status": entry.status,
        "reason": entry.reason,
        "title": entry.title or None,
        "size_bytes": entry.size_bytes or None,
        "chunks": entry.chunks,
        "updated_at": _time(entry.updated_at) if entry.updated_at else None,
    }


def upload_body(place: Place, attributes: Attributes, upload: Upload) -> dict[str, Any]:
    return {
        "id": place.document_id,
        "namespace": place.namespace,
        "status": "uploading",
        "reason": None,
        "title": attributes.title,
        "size_bytes": None,
        "chunks": 0,
        "updated_at": None,
        "upload": {
            "url": upload.url,
            "fields": dict(upload.fields),
            "expires_at": _time(upload.expires_at),
            "max_bytes": upload.max_bytes,
        },
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
