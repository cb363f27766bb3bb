"""Text to search terms: one analyser for queries, the local index and the hosted one.

Every term is a single run of letters and digits, shorter than 40 characters, so that an
analyser which splits on white space and punctuation passes it through untouched.

- Hangul, Han and kana become overlapping character pairs: no dictionary, and a noun is found
  whatever particle follows it.
- Other words are folded (case, width, accents) and stemmed by Snowball's English rules, which
  leave words of other languages nearly alone.
- A name that people write in several ways gives its parts along with the whole: `IL-10`,
  `IL10` and `il 10` share terms, and so do `up-regulated` and `upregulated`.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

LONGEST_TERM = 39

_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"
_HAN_KANA = "\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_WORD = rf"[^\W_{_HANGUL}{_HAN_KANA}]+"
# The look-ahead leaves out what those blocks hold besides letters, such as a middle dot.
_RUN = re.compile(
    rf"(?P<pairs>(?:(?=\w)[{_HANGUL}])+|(?:(?=\w)[{_HAN_KANA}])+)|{_WORD}(?:[-‐‑–]{_WORD})*"
)
_PART = re.compile(r"\d+|[^\W\d_]+")
_GREEK = re.compile(r"[α-ω]")
_GREEK_WORD = re.compile(r"[α-ω]+")


def analyse(text: str) -> list[str]:
    """The terms of `text` in order, repeated as often as they occur."""
    terms: list[str] = []
    for run in _RUN.finditer(_folded(text)):
        if run["pairs"]:
            terms.extend(_pairs(run["pairs"]))
        else:
            terms.extend(_words(run[0]))
    return terms


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold().lower()  # Cherokee folds to capitals
    return folded if folded.isascii() else unicodedata.normalize("NFKC", folded)


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def _words(run: str) -> Iterator[str]:
    """Terms of words joined by hyphens: each word, its letters and digits apart, the whole."""
    words = [_spelled(word) for word in re.split("[-‐‑–]", run)]
    for word in words:
        yield _term(word)
        parts = _PART.findall(word)
        if len(parts) > 1:
            yield from map(_term, parts)
    if len(words) > 1:
        yield _term("".join(words))


def _spelled(word: str) -> str:
    """The word without accents; `β` and `tgfβ` as `beta` and `tgfbeta`, Greek words as Greek."""
    if word.isascii():
        return word
    bare = "".join(filter(str.isalnum, unicodedata.normalize("NFKD", word)))
    if len(bare) > 1 and _GREEK_WORD.fullmatch(bare):
        return bare
    return _GREEK.sub(_letter_name, bare)


def _letter_name(letter: re.Match[str]) -> str:
    name = unicodedata.name(letter[0]).split()[-1].lower()
    return "lambda" if name == "lamda" else name


@lru_cache(maxsize=50_000)
def _term(word: str) -> str:
    # A stemmer holds the word it is working on, so sharing one between threads corrupts both.
    # Imported late: the package loads every language it has, which a cache hit never needs.
    from snowballstemmer.english_stemmer import EnglishStemmer

    stem: str = EnglishStemmer().stemWord(word[:LONGEST_TERM])
    return stem
