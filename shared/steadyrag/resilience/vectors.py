"""Question embeddings as the caches hold them: the tokens they cost, then raw float32."""

import math
import struct
import sys
from array import array

from steadyrag.domain.models import Embedding, Vector

_TOKENS = struct.Struct("<I")


def pack_vector(embedding: Embedding) -> bytes:
    """Little-endian: 4 bytes of tokens, 4 for each dimension."""
    return _TOKENS.pack(min(embedding.tokens, 0xFFFFFFFF)) + _little_endian(embedding.vector)


def unpack_vector(packed: bytes, *, dimension: int) -> Embedding | None:
    """None for what is not a vector of this dimension, of numbers. `tokens` are those it cost
    once."""
    if len(packed) != _TOKENS.size + 4 * dimension:
        return None
    vector = array("f", packed[_TOKENS.size :])
    if sys.byteorder == "big":
        vector.byteswap()
    if not math.isfinite(sum(vector)):
        return None
    return Embedding(vector, _TOKENS.unpack_from(packed)[0])


def _little_endian(vector: Vector) -> bytes:
    if sys.byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return vector.tobytes()
