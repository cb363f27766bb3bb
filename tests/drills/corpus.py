"""Documents and the questions that people ask of them."""

import random
from collections.abc import Sequence

SUBJECTS = (
    "backups", "certificates", "deployments", "invoices", "holidays", "laptops", "passwords",
    "payroll", "printers", "releases", "reviews", "travel", "vacation", "visitors", "warehouse",
    "contracts", "expenses", "incidents", "interviews", "licenses", "mentoring", "onboarding",
    "parking", "training",
)  # fmt: skip
WORDS = ("rules", "owner", "deadline", "request", "approval", "renewal")

QUESTIONS: Sequence[str] = [f"{subject} {word}" for subject in SUBJECTS for word in WORDS]

USUALLY_FRESH = 0.2


def documents() -> dict[str, str]:
    """By id: a document on each subject, which answers every question about it."""
    told = " ".join(f"The {word} of it: ask the desk." for word in WORDS)
    return {subject: f"All about {subject}. {told}" for subject in SUBJECTS}


class Curiosity:
    """Which question is next. A few are asked again and again, as the search log of any
    intranet shows; `fresh` is the share of those nobody has asked before."""

    def __init__(self, rng: random.Random, *, fresh: float = USUALLY_FRESH) -> None:
        self._rng = rng
        self.fresh = fresh
        self._weights = [1 / (rank + 1) for rank in range(len(QUESTIONS))]
        self._order = rng.sample(QUESTIONS, len(QUESTIONS))
        self._asked = 0

    def next(self) -> str:
        (question,) = self._rng.choices(self._order, self._weights)
        if self._rng.random() >= self.fresh:
            return question
        self._asked += 1
        return f"{question} {self._asked}"
