"""Text as callers send it, made safe to search with."""

import re
import unicodedata

from steadyrag.domain.errors import InvalidInput

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def clean_text(value: str, field: str, *, longest: int) -> str:
    """`value` in NFC without surrounding white space.

    Raises `InvalidInput` naming `field` for what is empty, blank, longer than `longest`
    characters, or no text: NUL and lone surrogates.
    """
    if len(value) > longest:
        raise InvalidInput(
            field, f"is {len(value):,} characters long; at most {longest:,} are allowed"
        )
    if "\0" in value:
        raise InvalidInput(field, "holds a NUL character")
    if _SURROGATE.search(value):
        raise InvalidInput(field, "holds half of a surrogate pair, which is not text")
    cleaned = unicodedata.normalize("NFC", value).strip()
    if not any(c.isprintable() and not c.isspace() for c in cleaned):
        raise InvalidInput(field, "must not be empty or blank")
    return cleaned


def mended(value: str) -> str:
    """`value` with U+FFFD for what can't be encoded or kept: NUL and lone surrogates, which
    JSON may carry and so a vendor may send."""
    return _NO_TEXT.sub("\ufffd", value)


def clean_namespace(value: str, field: str = "namespace") -> str:
    """A namespace name; raises `InvalidInput` for anything else."""
    if not _NAMESPACE.fullmatch(value):
        raise InvalidInput(
            field,
            "must be 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit",
        )
    return value
