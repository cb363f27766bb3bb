"""Ids of searches. What a caller gets is bound to that caller, so that feedback can be checked
without looking anything up: who changes a letter, or is somebody else, has no such search.

    01jdhm3q9kfa8v7w2c5x6y0ztr.k3v9q2m5n8c1x4z7
    ╰ time ──╯╰ chance ──────╯ ╰ HMAC ────────╯
"""

import base64
import hashlib
import hmac
import secrets
import time

LONGEST = 64
"""Characters of a signed id, at most."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32."""
_MAC_BYTES = 10


def new_id(now_s: float | None = None) -> str:
    """26 characters for a URL or a header, as a ULID in lower case: 48 bits of milliseconds,
    so that later ids sort after earlier ones, then 80 random bits."""
    now_ms = int((time.time() if now_s is None else now_s) * 1000)
    number = (now_ms << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def sign(search_id: str, caller: str, key: bytes) -> str:
    """The id as `caller` gets it."""
    return f"{search_id}.{_mac(search_id, caller, key)}"


def made_for(signed: str, caller: str, key: bytes) -> bool:
    """Whether `signed` is an id that `caller` got. Takes as long for any wrong guess."""
    search_id, _, mac = signed.rpartition(".")
    expected = _mac(search_id, caller, key)
    return hmac.compare_digest(_bytes(mac), expected.encode())


def _mac(search_id: str, caller: str, key: bytes) -> str:
    told = _bytes(f"{search_id}\0{caller}")
    digest = hmac.new(key, told, hashlib.sha256).digest()[:_MAC_BYTES]
    return base64.b32encode(digest).decode().lower()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
