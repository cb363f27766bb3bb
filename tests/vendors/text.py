"""Texts as the vendor servers read them: tokens, meaning, likeness. Deterministic."""

import math
import re
import zlib
from array import array
from collections.abc import Iterator

_WORD = re.compile(r"[\uac00-\ud7a3]+|[^\W\uac00-\ud7a3]+")
_TOKEN = re.compile(r"[\uac00-\ud7a3]{1,2}|[^\W\uac00-\ud7a3]{1,5}|[^\w\s]")
_COMMON_WORDS = (
    "a an and are as at be by can do does for from has have how i in is it its of on or that "
    "the this to was we what when where which who why will with you your"
)
_COMMON = frozenset(_COMMON_WORDS.split())


def count_tokens(text: str) -> int:
    """About what a byte-pair tokeniser would count."""
    return len(_TOKEN.findall(text))


def cut(text: str, tokens: int) -> str:
    """The first `tokens` tokens of `text`."""
    spans = list(_TOKEN.finditer(text))
    return text if len(spans) <= tokens else text[: spans[tokens - 1].end()] if tokens > 0 else ""


def features(text: str) -> Iterator[tuple[str, float]]:
    """Words and the pieces of them, with weights: what two texts can have in common."""
    for word in _WORD.findall(text.casefold()):
        if "\uac00" <= word[0] <= "\ud7a3":
            yield word, 0.5
            for i in range(len(word) - 1):
                yield word[i : i + 2], 1.0
        elif word not in _COMMON:
            yield word, 1.0
            for i in range(len(word) - 3):
                yield f"~{word[i : i + 4]}", 0.4


def embed(text: str, dimension: int) -> array[float]:
    """A unit vector; texts that share words and pieces of words are near."""
    sums = [0.0] * dimension
    for feature, weight in features(text):
        bucket = zlib.crc32(feature.encode())
        sums[bucket % dimension] += weight if bucket & 1 << 31 else -weight
    length = math.sqrt(math.fsum(x * x for x in sums))
    if not length:
        sums[0] = length = 1.0
    return array("f", [x / length for x in sums])


def overlap(question: str, passage: str) -> float:
    """The share of the question's features that the passage has, in [0, 1]."""
    asked = dict(features(question))
    there = {feature for feature, _ in features(passage)}
    whole = sum(asked.values())
    return sum(w for feature, w in asked.items() if feature in there) / whole if whole else 0.0
