"""The block between `---` lines at the head of a Markdown file.

Only what a filter can use is read: `key: value` with a string, a number, true or false, and
lists of strings, in either spelling. Anything nested is passed over.
"""

import re

from steadyrag.domain.documents import one_line
from steadyrag.domain.models import MetadataValue

_BLOCK = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.M)
_PAIR = re.compile(r"([A-Za-z_가-힣][\w가-힣-]{0,63}):(?:[ \t]+(.*))?")
_ELEMENT = re.compile(r"[ \t]*-[ \t]+(.*)")
_MOST_KEYS = 32


def split_front_matter(text: str) -> tuple[dict[str, MetadataValue], str]:
    """The metadata and the text after it; no metadata where there is no such block."""
    block = _BLOCK.match(text)
    if not block:
        return {}, text
    found: dict[str, MetadataValue] = {}
    open_list: list[str] | None = None
    for line in block.group(1).splitlines():
        if open_list is not None and (element := _ELEMENT.fullmatch(line)):
            open_list.append(_unquoted(element.group(1)))
            continue
        open_list = None
        pair = _PAIR.fullmatch(line)
        if not pair or len(found) == _MOST_KEYS:
            continue
        key, value = pair.group(1), (pair.group(2) or "").strip()
        if not value:
            found[key] = open_list = []
        elif value.startswith("[") and value.endswith("]"):
            found[key] = [_unquoted(part) for part in value[1:-1].split(",") if part.strip()]
        elif value[0] not in "{|>&*":
            found[key] = _scalar(value)
    return {key: value for key, value in found.items() if value != []}, text[block.end() :]


def _scalar(value: str) -> MetadataValue:
    if value in ("true", "false"):
        return value == "true"
    if re.fullmatch(r"[+-]?[0-9]{1,15}", value):
        return int(value)
    if re.fullmatch(r"[+-]?[0-9]{1,15}\.[0-9]{1,15}", value):
        return float(value)
    return _unquoted(value)


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return one_line(value[1:-1])
    return one_line(re.sub(r"\s#.*", "", value))
