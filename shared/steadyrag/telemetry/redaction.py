"""User text as far as logs, records and traces may show it."""

from __future__ import annotations

import hmac
import os
import unicodedata
from typing import Literal

type How = Literal["hash", "truncated", "full"]

SHOWN = 40
"""Characters of a truncated text."""

_key = os.urandom(32)


def configure(key: bytes) -> None:
    """The key of hashes. Without one they are this process's own."""
    global _key
    _key = key


class Redacted(str):
    """Text that has been through `redact`. A log line shows no other text of users."""

    __slots__ = ()


def redact(text: str, how: How) -> Redacted:
    """`text` by the setting, the same again for what is redacted already.

    hash: tells whether two texts are the same, but for how their letters are encoded (NFC), where
    the key is the same. Nobody without the key can try what a text may have been, so numbers and
    addresses in it need no masking.
    truncated: its beginning; full: all of it. Both without mail addresses, phone and card
    numbers and Korean resident numbers.
    """
    if isinstance(text, Redacted):
        return text
    if how == "hash":
        encoded = unicodedata.normalize("NFC", text).encode(errors="surrogatepass")
        return Redacted("hmac:" + hmac.digest(_key, encoded, "sha256").hex()[:16])
    # Imported here: its patterns take a while to compile, and most stacks only hash.
    from steadyrag.domain.masking import mask

    masked = mask(text)
    if how == "full" or len(masked) <= SHOWN:
        return Redacted(masked)
    return Redacted(masked[:SHOWN] + "…")
