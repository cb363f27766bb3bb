"""Bytes to text, for files that may not say how they are encoded."""

import codecs

from steadyrag.domain.documents import UnreadableDocument

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


def decode(data: bytes, declared: str | None = None) -> str:
    """`data` as text: by its byte order mark, else as `declared`, UTF-8, or CP949 (which
    includes EUC-KR), whichever decodes without error.

    Raises `UnreadableDocument` for what is not text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data, encoding)
    head = data[:4096]
    if sum(byte in _CONTROLS for byte in head) > 2 + len(head) // 100:
        raise UnreadableDocument("is a binary file, not text")
    for candidate in (_known(declared), "utf-8", "cp949"):
        if candidate:
            try:
                return data.decode(candidate)
            except UnicodeDecodeError:
                continue
    raise UnreadableDocument(
        "is in an unknown encoding; save it as UTF-8 (UTF-16 with a byte order mark and CP949 "
        "are read too)"
    )


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableDocument(
            f"starts as {encoding.upper().removesuffix('-SIG')} text but is damaged "
            f"at byte {error.start:,}"
        ) from error


def _known(declared: str | None) -> str | None:
    if not declared:
        return None
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        return None
    if name.startswith(("utf-16", "utf-32")):
        return None  # a declaration that can be read as ASCII is not in these
    # What the web calls EUC-KR or KS C 5601 is in fact its superset.
    return "cp949" if name == "euc_kr" else name
