"""User text as far as logs, records and traces may show it."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal

type How = Literal["hash", "truncated", "full"]

SHOWN = 40
"""Characters of a truncated text."""


class Redacted(str):
    """Text that has been through `redact`. A log line shows no other text of users."""

    __slots__ = ()


def redact(text: str, how: How) -> Redacted:
    """`text` by the setting, the same again for what is redacted already.

    hash: tells whether two texts are the same, but for how their letters are encoded (NFC).
    truncated: its beginning; full: all of it. Both without mail addresses, phone and card
    numbers and Korean resident numbers.
    """
    if isinstance(text, Redacted):
        return text
    if how == "hash":
        encoded = unicodedata.normalize("NFC", text).encode(errors="surrogatepass")
        return Redacted("sha256:" + hashlib.sha256(encoded).hexdigest()[:16])
    # Imported here: its patterns take a while to compile, and most stacks only hash.
    from steadyrag.domain.masking import mask

    masked = mask(text)
    if how == "full" or len(masked) <= SHOWN:
        return Redacted(masked)
    return Redacted(masked[:SHOWN] + "…")
