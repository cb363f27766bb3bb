"""Whether a known answer is to be read where it should be.

Wordings are compared without regard to case, width, white space and punctuation: Korean
spacing is a matter of taste.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from steadyrag.domain.citations import resolve_citations


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where one question's answer was seen. `literal` says whether a relevant document holds
    it word for word: where none does, nothing that quotes can show it."""

    literal: bool
    sources: bool
    context: bool
    answer: bool


def normalised(text: str) -> str:
    """NFKC, case folded, letters, digits and symbols only."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in folded if unicodedata.category(c)[0] not in "PZC")


def seen(answers: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether one of the texts holds one of the answers, normalised."""
    wanted = [form for answer in answers if (form := normalised(answer))]
    return any(form in held for held in map(normalised, texts) for form in wanted)


def without_citations(text: str) -> str:
    """An answer without its `[n]`, which would stand between words."""
    return resolve_citations(text, (), ())[0]
