"""Golden questions: which document each has to find, and how it stood when it was last asked.

A team pins them, one set for each namespace, because averages can't see a document that is lost.
Sets lie in the documents' bucket, outside of what is indexed:

    golden/<namespace>.json         {"questions": [{"question", "document", "top_k", "added_at"}]}
    golden/last/<namespace>.json    {"questions": {ID: {"rank", "asked_at", "lost_since"}}}

People may edit the first, and get to know of a key that isn't one of these: with the next question
that is added it would be gone. The second is written by whoever asks.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.models import Hit
from steadyrag.domain.text import clean_namespace, clean_text

PREFIX = "golden/"
MOST_QUESTIONS = 1000
"""Of one namespace."""
LONGEST_QUESTION = 2000
LONGEST_ID = 900
MOST_SOURCES = 50

_LAST = f"{PREFIX}last/"
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """`document_id` is to be among the first `top_k` sources of `text`. `added_at` in epoch
    seconds."""

    text: str
    document_id: str
    top_k: int = 5
    added_at: float = 0.0

    @property
    def id(self) -> str:
        """Stands for the text alone: a question is in a set once."""
        return question_id(self.text)

    def finds(self, rank: int | None) -> bool:
        return rank is not None and rank <= self.top_k


@dataclass(frozen=True, slots=True)
class Standing:
    """How a question stood when it was last asked.

    rank: place of the document's best passage, which may lie beyond the question's `top_k`;
    None where it was not found at all. Times in epoch seconds; `lost_since` is when it was
    first lost without being found again, None where it was found.
    """

    rank: int | None
    asked_at: float
    lost_since: float | None = None


def question_id(text: str) -> str:
    encoded = unicodedata.normalize("NFC", text).encode(errors="surrogatepass")
    return hashlib.sha256(encoded).hexdigest()[:12]


def rank_of(document_id: str, hits: Sequence[Hit]) -> int | None:
    """The place of a document's first passage among them."""
    places = (place for place, hit in enumerate(hits, 1) if hit.chunk.document_id == document_id)
    return next(places, None)


def stands(
    question: GoldenQuestion, rank: int | None, at: float, before: Standing | None
) -> Standing:
    """How it stands now that its document was found at `rank`, or was not."""
    if question.finds(rank):
        return Standing(rank, at)
    since = before.lost_since if before and before.lost_since is not None else at
    return Standing(rank, at, since)


def questions_key(namespace: str) -> str:
    return f"{PREFIX}{namespace}{_SUFFIX}"


def standings_key(namespace: str) -> str:
    """In a folder of its own: a namespace's name may end in anything but holds no slash."""
    return f"{_LAST}{namespace}{_SUFFIX}"


def namespace_of(key: str) -> str | None:
    """The namespace whose questions lie at `key`; None where something else does."""
    name = key.removeprefix(PREFIX)
    if name == key or not name.endswith(_SUFFIX):
        return None
    try:
        return clean_namespace(name.removesuffix(_SUFFIX))
    except InvalidInput:
        return None


def written_questions(questions: Sequence[GoldenQuestion]) -> bytes:
    """As people like to read and edit it."""
    listed = [
        {
            "question": one.text,
            "document": one.document_id,
            "top_k": one.top_k,
            "added_at": int(one.added_at),
        }
        for one in questions
    ]
    return json.dumps({"questions": listed}, ensure_ascii=False, indent=1).encode()


def read_questions(content: bytes) -> list[GoldenQuestion]:
    """Raises `InvalidInput`, which names what is wrong, such as `questions.3.top_k`. Of two with
    the same text the later counts."""
    with _sense("questions", "must be a list below the key `questions` of a JSON object"):
        whole = json.loads(content)
        listed = list(whole["questions"])
    _no_others("", whole, ("questions",))
    if len(listed) > MOST_QUESTIONS:
        problem = f"are {len(listed):,}; at most {MOST_QUESTIONS:,} are allowed"
        raise InvalidInput("questions", problem)
    questions = [_question(f"questions.{place}", one) for place, one in enumerate(listed)]
    return list({one.id: one for one in questions}.values())


def golden_question(
    text: str, document_id: str, *, top_k: int = 5, added_at: float = 0.0, field: str = ""
) -> GoldenQuestion:
    """Cleaned as searches clean theirs. Raises `InvalidInput` with `field` before the name."""
    if not 1 <= top_k <= MOST_SOURCES:
        raise InvalidInput(f"{field}top_k", f"must be from 1 to {MOST_SOURCES}")
    return GoldenQuestion(
        clean_text(text, f"{field}question", longest=LONGEST_QUESTION),
        clean_text(document_id, f"{field}document", longest=LONGEST_ID),
        top_k,
        added_at,
    )


def _question(field: str, said: Any) -> GoldenQuestion:
    with _sense(field, "must have the texts `question` and `document`, and may have numbers"):
        text, document_id = said["question"], said["document"]
        top_k, added_at = said.get("top_k", 5), said.get("added_at", 0)
        _no_others(f"{field}.", said, ("question", "document", "top_k", "added_at"))
        if not (isinstance(text, str) and isinstance(document_id, str)):
            raise TypeError("a text")
        if type(top_k) is not int or type(added_at) not in (int, float):
            raise TypeError("a number")
    return golden_question(text, document_id, top_k=top_k, added_at=added_at, field=f"{field}.")


def _no_others(within: str, said: Iterable[str], known: Sequence[str]) -> None:
    for name in said:
        if name not in known:
            problem = f"is unknown; known are {', '.join(known)}; take it out or correct it"
            raise InvalidInput(f"{within}{name}", problem)


def written_standings(standings: Mapping[str, Standing]) -> bytes:
    by_id = {
        name: {
            "rank": one.rank,
            "asked_at": int(one.asked_at),
            "lost_since": _whole(one.lost_since),
        }
        for name, one in standings.items()
    }
    return json.dumps({"questions": by_id}, separators=(",", ":")).encode()


def read_standings(content: bytes) -> dict[str, Standing]:
    """Raises `InvalidInput`."""
    with _sense("questions", "must be what `written_standings` writes"):
        return {
            str(name): Standing(
                None if one["rank"] is None else int(one["rank"]),
                float(one["asked_at"]),
                None if one["lost_since"] is None else float(one["lost_since"]),
            )
            for name, one in json.loads(content)["questions"].items()
        }


def _whole(at: float | None) -> int | None:
    return None if at is None else int(at)


@contextmanager
def _sense(field: str, problem: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        raise InvalidInput(field, problem) from None
