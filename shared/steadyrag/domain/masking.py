"""Personal numbers and addresses in text, replaced by what they are.

They are looked for in a plain reading of it: NFKC, every dash as one of its kind, every space, tab
and end of a line as a space, no invisible characters. Every pattern is bounded and tried wherever
it may begin, so the time grows with the text's length alone, and no number before it hides another.

Numbers that belong to nobody, such as 1588-1234, are left alone, and so is what somebody has
masked already: 900101-1******.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

type Found = tuple[int, int, str]
"""Where it begins and ends, and what stands in its place."""

_DATE = (
    r"(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)|02(?:0[1-9]|[12][0-9]))"
)
_RESIDENT = re.compile(rf"(?<![0-9])[0-9]{{2}}{_DATE} ?[-/_]? ?[1-8][0-9]{{6}}(?![0-9])")
"""A date of birth, then century and sex: 1 to 4, of foreigners 5 to 8. Numbers given since
October 2020 have no check digit."""

_GAP = r"[ .()\-]"
_ALONE = r"(?<![0-9])(?<![0-9]{4}[./_-][0-9]{2}[./_-])"
"""Not within a number, nor the day of a date: 2024-01-02 1000 1000."""

_AREA = r"(?:1[016-9]|2|[3-6][1-5]|70|80|50[2-8]?)"
_KOREAN = rf"{_AREA}{_GAP}{{0,3}}[0-9]{{3,4}}{_GAP}{{0,3}}[0-9]{{4}}(?![0-9])"
_PHONES = [
    re.compile(pattern)
    for pattern in (
        rf"{_ALONE}\(?0{_KOREAN}",
        rf"(?<![0-9])(?:(?:00|\+)82{_GAP}{{0,3}}|82{_GAP}{{1,3}}|82(?=10[0-9]{{8}}(?![0-9])))"
        rf"(?:0{_GAP}{{0,3}})?{_KOREAN}",
        rf"{_ALONE}\(?0[1-9][0-9]{{0,3}}{_GAP}{{1,3}}[0-9]{{3,4}}{_GAP}{{1,3}}[0-9]{{4}}(?![0-9])",
        rf"(?:{_ALONE}0|(?<![0-9])(?:00|\+)82( ?[/_] ?)0?){_AREA}( ?[/_] ?)[0-9]{{3,4}}\2[0-9]{{4}}"
        r"(?![0-9])",
        r"(?<![0-9])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.\-])[2-9][0-9]{2}[ .\-][0-9]{4}(?![0-9])",
        rf"\+[1-9](?:{_GAP}{{0,3}}[0-9]){{7,14}}(?![0-9])",
    )
]
"""Korean ones from within and from abroad; then others that begin with 0; Korean ones with the
same slash or underline throughout, which dates and paths have too; North America's; and E.164,
which has at most 15 digits."""

_DIGITS = re.compile(r"[0-9]+")
_BETWEEN = frozenset({" ", "  ", "-", ".", "/", "_", " - ", " / "})
_SCHEMES = re.compile(r"2[2-7]|[3-6]|81|9")
"""What the numbers of payment schemes begin with, Korea's own (9) among them; years do not."""

_DOMAINS = [
    re.compile(pattern)
    for pattern in (
        r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,12}[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]",
        r"(?:[^\W_][\w-]{0,62}\.){1,12}[^\W\d_]{2,63}",
    )
]
"""In ASCII, where a Korean particle may follow at once, or else in any letters."""

_BREAKS_OF_TEXT = "\t\n\v\f\r\x85"
_BREAKS = str.maketrans(_BREAKS_OF_TEXT, " " * len(_BREAKS_OF_TEXT))

_IN_NAMES = frozenset("!#$%&'*+-/=?^_`{|}~.")


def mask(text: str) -> str:
    """`text` with `[e-mail]`, `[phone]`, `[card]` and `[resident number]` for those in it."""
    plain, origin = _plain(text)
    found = [*_residents(plain), *_cards(plain), *_phones(plain), *_mails(plain)]
    pieces, done = [], 0
    for start, end, token in _apart(found):
        pieces += [text[done : origin[start]], token]
        done = origin[end]
    return "".join((*pieces, text[done:]))


def _plain(text: str) -> tuple[str, Sequence[int]]:
    """The plain reading, and for each of its characters, and its end, the place in `text`."""
    if text.isascii():
        return text.translate(_BREAKS), range(len(text) + 1)
    read = [_fold(character) for character in text]
    origin = [place for place, letters in enumerate(read) for _ in letters]
    return "".join(read), [*origin, len(text)]


@lru_cache(maxsize=8192)
def _fold(character: str) -> str:
    match unicodedata.category(character):
        case "Nd":
            return str(unicodedata.decimal(character))
        case "Pd":
            return "-"
        case "Zs" | "Zl" | "Zp":
            return " "
        case "Cc" if character in _BREAKS_OF_TEXT:
            return " "
        case "Cf" | "Mn" | "Me":
            return ""
    if character in "−ㅡー":  # a minus, and letters that are written as dashes
        return "-"
    return unicodedata.normalize("NFKC", character)


def _apart(found: list[Found]) -> Iterator[Found]:
    """Those that overlap as one: the first, up to where the last of them ends."""
    held: Found | None = None
    for start, end, token in sorted(found, key=lambda one: one[0]):
        if held and start < held[1]:
            held = (held[0], max(end, held[1]), held[2])
            continue
        if held:
            yield held
        held = (start, end, token)
    if held:
        yield held


def _everywhere(pattern: re.Pattern[str], text: str, token: str) -> Iterator[Found]:
    """From each place where it matches, those inside of others too."""
    at = 0
    while match := pattern.search(text, at):
        yield match.start(), match.end(), token
        at = match.start() + 1


def _residents(text: str) -> Iterator[Found]:
    return _everywhere(_RESIDENT, text, "[resident number]")


def _phones(text: str) -> Iterator[Found]:
    for pattern in _PHONES:
        yield from _everywhere(pattern, text, "[phone]")


def _cards(text: str) -> Iterator[Found]:
    """Runs of 13 to 19 digits, whole or in groups of four and more up to the last, which may
    be shorter."""
    groups = [match.span() for match in _DIGITS.finditer(text)]
    for place, (start, end) in enumerate(groups):
        digits, ends_at = text[start:end], 0
        for following, stop in groups[place + 1 : place + 6]:
            if len(digits) > 19:
                break
            if _is_card(digits):
                ends_at = end
            if text[end:following] not in _BETWEEN or end - start < 4:
                break
            start, end = following, stop
            digits += text[start:end]
        if _is_card(digits):
            ends_at = end
        if ends_at:
            yield groups[place][0], ends_at, "[card]"


def _is_card(digits: str) -> bool:
    """By length, beginning, and Luhn's check digit (ISO/IEC 7812-1)."""
    if not 13 <= len(digits) <= 19 or not _SCHEMES.match(digits):
        return False
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _mails(text: str) -> Iterator[Found]:
    at = text.find("@")
    while at >= 0:
        domain = next((m for d in _DOMAINS if (m := d.match(text, at + 1))), None)
        start = _name_before(text, at)
        if domain and start < at:
            yield start, domain.end(), "[e-mail]"
        at = text.find("@", at + 1)


def _name_before(text: str, at: int) -> int:
    """Where the name before an @ begins: in Hangul only if nothing else is there, since a word
    may stand before an address without a space."""
    for hangul in (False, True):
        start = at
        while start and _in_name(text[start - 1], hangul):
            start -= 1
        if start < at:
            return start
    return at


def _in_name(character: str, hangul: bool) -> bool:
    if "가" <= character <= "힣":
        return hangul
    return character.isalnum() or character in _IN_NAMES
