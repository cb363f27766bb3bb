"""A retrieval test set in BEIR's layout: documents, questions, and who judged what relevant.

corpus.jsonl    {"_id" or "id", "title"?, "text"}
queries.jsonl   {"_id" or "id", "text", "answers"?: [...]}
qrels/test.tsv or qrels.tsv    question id, document id, grade; with or without a header
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steadyrag.domain.documents import sound
from steadyrag.domain.errors import InvalidInput, SteadyragError
from steadyrag.domain.text import clean_text

QRELS = ("qrels/test.tsv", "qrels.tsv")
LONGEST_QUESTION_CHARS = 100_000


class BrokenDataset(SteadyragError):
    """A folder that is not a test set. The message names the file, and the line if one is bad."""


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question whose answer is known.

    `judged` is the grade by document id, above 0 where the document is relevant. `answers`
    are the accepted wordings of the answer; empty where the set has none.
    """

    id: str
    text: str
    judged: Mapping[str, int]
    answers: tuple[str, ...] = ()

    @property
    def relevant(self) -> frozenset[str]:
        return frozenset(key for key, grade in self.judged.items() if grade > 0)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A test set. `texts` is title and text by document id, in the corpus' order; `questions`
    are those with at least one relevant document; `limit` is set where it is a subset."""

    folder: Path
    texts: Mapping[str, str]
    questions: Sequence[GoldQuestion]
    limit: int | None = None

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def content_hash(self) -> str:
        """Names the documents: 16 hexadecimal digits that change with any id or text."""
        digest = hashlib.sha256()
        for key in sorted(self.texts):
            for part in (key, self.texts[key]):
                data = part.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8) + data)
        return digest.hexdigest()[:16]


def read_dataset(folder: Path) -> Dataset:
    """Reads the folder; raises `BrokenDataset` for one that is not a test set."""
    if not folder.is_dir():
        raise BrokenDataset(f"{folder} is not a folder")
    for name in ("corpus.jsonl", "queries.jsonl"):
        if not (folder / name).is_file():
            raise BrokenDataset(f"{folder} has no {name}; a BEIR folder is expected")
    qrels = next((folder / name for name in QRELS if (folder / name).is_file()), None)
    if qrels is None:
        raise BrokenDataset(f"{folder} has neither {QRELS[0]} nor {QRELS[1]}")
    texts = {
        key: f"{_text(line, row, 'title', '')}\n{_text(line, row, 'text')}"
        for key, line, row in _rows(folder / "corpus.jsonl")
    }
    asked = {key: (line, row) for key, line, row in _rows(folder / "queries.jsonl")}
    questions = [
        _question(key, *asked[key], judged)
        for key, judged in _judgements(qrels, asked).items()
        if any(grade > 0 for grade in judged.values())
    ]
    if not texts:
        raise BrokenDataset(f"{folder / 'corpus.jsonl'} holds no document")
    if not questions:
        raise BrokenDataset(f"{qrels} judges no document relevant")
    return Dataset(folder, texts, questions)


def limited(dataset: Dataset, documents: int) -> Dataset:
    """The subset of at most `documents` documents, the same on every machine.

    Documents judged for any question come first, then the others, each in the order of
    the SHA-256 of their id. Questions stay whose judged documents are all in.
    """
    if documents >= len(dataset.texts):
        return dataset
    judged = {key for question in dataset.questions for key in question.judged}
    order = sorted(dataset.texts, key=lambda key: (key not in judged, _sha256(key)))
    kept = set(order[:documents])
    absent = judged - dataset.texts.keys()
    questions = [q for q in dataset.questions if q.judged.keys() - absent <= kept]
    if not questions:
        raise BrokenDataset(
            f"no question has all its judged documents among {documents:,}; take more"
        )
    return replace(
        dataset,
        texts={key: text for key, text in dataset.texts.items() if key in kept},
        questions=questions,
        limit=documents,
    )


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a row stands, for messages."""

    path: Path
    number: int

    def error(self, problem: str) -> BrokenDataset:
        return BrokenDataset(f"{self.path}, line {self.number}: {problem}")


def _lines(path: Path) -> Iterator[tuple[_Line, str]]:
    """Lines that are not blank."""
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            line = _Line(path, number)
            try:
                text = data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise line.error("is not UTF-8") from None
            if text.strip():
                yield line, text


def _rows(path: Path) -> Iterator[tuple[str, _Line, Mapping[str, Any]]]:
    """Objects of a JSON Lines file with their ids, which are unique."""
    seen: set[str] = set()
    for line, text in _lines(path):
        try:
            row = json.loads(text)
        except ValueError as error:
            raise line.error(f"is not JSON ({error})") from None
        if not isinstance(row, dict):
            raise line.error("is not a JSON object")
        key = row.get("_id", row.get("id"))
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str) or not (key := _id(key)):
            raise line.error('has no "_id" or "id"')
        if key in seen:
            raise line.error(f"repeats the id {key!r}")
        seen.add(key)
        yield key, line, row


def _id(value: str) -> str:
    """An id as ingest keeps it."""
    return sound(value).strip()


def _text(line: _Line, row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise line.error(f'"{name}" is not a string')
    return value


def _question(
    key: str, line: _Line, row: Mapping[str, Any], judged: Mapping[str, int]
) -> GoldQuestion:
    try:
        text = clean_text(_text(line, row, "text"), "text", longest=LONGEST_QUESTION_CHARS)
    except InvalidInput as error:
        raise line.error(str(error)) from None
    answers = row.get("answers") or []
    if isinstance(answers, str):
        answers = [answers]
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise line.error('"answers" is not a list of strings')
    return GoldQuestion(key, text, judged, tuple(answers))


def _judgements(path: Path, asked: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Grades by question id and document id."""
    judgements: dict[str, dict[str, int]] = {}
    for line, text in _lines(path):
        fields = text.rstrip("\r\n").split("\t")
        if len(fields) != 3:
            raise line.error(f"has {len(fields)} columns, not 3 separated by tabs")
        question, document, grade = _id(fields[0]), _id(fields[1]), fields[2].strip()
        try:
            graded = int(grade)
        except ValueError:
            if line.number == 1:
                continue
            raise line.error(f"the grade {grade!r} is not a whole number") from None
        if question not in asked:
            raise line.error(f"no question {question!r} in queries.jsonl")
        judgements.setdefault(question, {})[document] = graded
    return judgements
