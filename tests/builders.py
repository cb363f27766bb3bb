"""Small builders for the values tests need most."""

import zlib
from array import array
from typing import Any

from steadyrag.domain.models import Block, Chunk, EmbeddedChunk, Hit


def chunk(text: str = "Seoul is the capital of Korea.", **changes: Any) -> Chunk:
    values: dict[str, Any] = {
        "id": f"c{zlib.crc32(text.encode())}",
        "document_id": "doc",
        "title": "",
        "context": "",
        "text": text,
        "tokens": len(text.split()),
    }
    return Chunk(**(values | changes))


def hit(text: str = "Seoul is the capital of Korea.", score: float = 0.9, **changes: Any) -> Hit:
    return Hit(chunk(text, **changes), score)


def block(number: int, text: str = "Seoul is the capital of Korea.", **changes: Any) -> Block:
    return Block(number=number, hit=hit(text, **changes), text=text, tokens=len(text.split()))


def embedded(made: Chunk, *vector: float) -> EmbeddedChunk:
    return EmbeddedChunk(made, array("f", vector or (1.0, 0.0)))
