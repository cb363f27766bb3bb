"""An answer made of the sources' own sentences.

Nothing is written that a source does not say, and nothing a source says is obeyed: the worst
that an instruction hidden in a document can do is to be quoted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from steadyrag.domain.analysis import analyse
from steadyrag.domain.messages import message
from steadyrag.domain.models import Block, Language, Question
from steadyrag.domain.sentences import language_of, sentence_spans
from steadyrag.domain.tokens import estimate_tokens

type Similarities = Sequence[Mapping[str, float]]
"""Per block, the cosine of the question with sentences of it, by their text."""

MOST_SENTENCES = 3
SAME_SOURCE = 0.5
"""Share of the best sentence's score that another one of the same source must reach."""
OTHER_SOURCE = 0.9
"""The same for a sentence of another source: the answer should not wander."""
LEAST_OVERLAP = 0.1
"""Share of the question's term weight that the sources must hold where nothing else speaks
for them."""

_CITATION = re.compile(r"\[(\s*\d[\d\s,;]*)\]")
_MARKER = re.compile(r"^(?:[-*+•>|]|#{1,6}|\d{1,2}[.)])\s+")
_CODE = re.compile(r'^\s*(?:[{}<$#]|"[^"]*":|-{1,2}\w)|[{};\\]\s*$')
"""A line of a program, a command or JSON: it may be found by, but does not read as an answer."""
_LETTERS = re.compile(r"[^\W\d_]{2}")
_ENDS = re.compile(r"[.!?。！？…:;][\"'”’»)\]`*\s]*$")
_LEANS_BACK = re.compile(
    r"(?:it|its|they|their|them|this|these|those|such|he|she|his|her|however|but|also|then)\b"
    r"|이는|이를|이로|이것|이들|이런|이러한|이렇게|이 |그는|그녀|그들|그것|그런|그러|그래서|그 "
    r"|또한|하지만|따라서",
    re.IGNORECASE,
)
_LEAD: Mapping[Language, str] = {"en": "From the source:", "ko": "원문에서 찾은 내용입니다:"}


@dataclass(frozen=True, slots=True)
class Extract:
    """`text` cites blocks as `[n]`; `found` is False when it says that it found nothing."""

    text: str
    found: bool


@dataclass(frozen=True, slots=True)
class _Sentence:
    block: int
    place: int
    text: str
    terms: frozenset[str]
    similarity: float | None


def extract(
    question: Question,
    blocks: Sequence[Block],
    *,
    max_tokens: int,
    abstain_below: float,
    similarities: Similarities = (),
) -> Extract:
    """One to three sentences of `blocks` that answer `question` best, cited.

    A sentence is scored by the share of the question's terms in it (weighted by how rare they
    are among the sentences), by its similarity where that is known, and by its source's
    relevance. Where that relevance is calibrated and the best is below `abstain_below`, or
    nothing in the sources touches the question, the answer is that there is none.
    """
    sentences = _sentences(blocks, similarities)
    weights = _term_weights(question.text, sentences)
    if not sentences or not _relevant(blocks, sentences, weights, abstain_below):
        return Extract(message("not_found", question.language), found=False)
    scores = _scores(sentences, blocks, weights)
    chosen = _chosen(sentences, scores, max_tokens)
    return Extract(_composed(chosen, blocks, question.language, max_tokens), found=True)


def _sentences(blocks: Sequence[Block], similarities: Similarities) -> list[_Sentence]:
    sentences: list[_Sentence] = []
    for i, block in enumerate(blocks):
        known = similarities[i] if i < len(similarities) else {}
        body = block.text.removeprefix(f"{block.hit.chunk.context}\n")
        texts = [body[start:end] for start, end in sentence_spans(body)]
        sentences.extend(
            _Sentence(i, place, quoted, frozenset(analyse(text)), known.get(text))
            for place, text in enumerate(texts)
            if _LETTERS.search(quoted := _quotable(text))
        )
    return [s for s in sentences if not _CODE.search(s.text)] or sentences


def _quotable(text: str) -> str:
    """`text` on one line, without list markers, and without what would read as a citation."""
    line = " ".join(text.split())
    return _CITATION.sub(r"(\1)", _MARKER.sub("", line))


def _term_weights(text: str, sentences: Sequence[_Sentence]) -> dict[str, float]:
    """The question's terms with their inverse frequency among the sentences; together 1."""
    frequency = Counter(term for sentence in sentences for term in sentence.terms)
    total = len(sentences)
    weights = {
        term: math.log(1 + (total - frequency[term] + 0.5) / (frequency[term] + 0.5))
        for term in set(analyse(text))
    }
    mass = sum(weights.values())
    return {term: weight / mass for term, weight in weights.items()}


def _overlap(terms: Iterable[str], weights: Mapping[str, float]) -> float:
    return sum(weights.get(term, 0.0) for term in terms)


def _relevant(
    blocks: Sequence[Block],
    sentences: Sequence[_Sentence],
    weights: Mapping[str, float],
    abstain_below: float,
) -> bool:
    if all(block.calibrated for block in blocks):
        return max(block.hit.score for block in blocks) >= abstain_below
    if any(sentence.similarity is not None for sentence in sentences):
        return True
    return max(_overlap(s.terms, weights) for s in sentences) >= LEAST_OVERLAP


def _scores(
    sentences: Sequence[_Sentence], blocks: Sequence[Block], weights: Mapping[str, float]
) -> list[float]:
    """Overlap, similarity and the source's relevance, each in [0, 1], with equal weight."""
    known = [s.similarity for s in sentences if s.similarity is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    best_source = max((block.hit.score for block in blocks), default=0.0)

    def score(sentence: _Sentence) -> float:
        overlap = _overlap(sentence.terms, weights)
        relevance = blocks[sentence.block].hit.score / best_source if best_source > 0 else 1.0
        if high == low:
            return overlap + relevance
        similarity = low if sentence.similarity is None else sentence.similarity
        return overlap + relevance + (similarity - low) / (high - low)

    return [score(sentence) for sentence in sentences]


def _chosen(
    sentences: Sequence[_Sentence], scores: Sequence[float], max_tokens: int
) -> list[_Sentence]:
    """The best sentence, what it needs beside it to be understood, and others nearly as good,
    as far as they fit."""
    order = sorted(range(len(sentences)), key=lambda i: -scores[i])
    best = order[0]
    wanted = [best, *_company(sentences, best)]
    for i in order[1:]:
        same = sentences[i].block == sentences[best].block
        if scores[i] >= scores[best] * (SAME_SOURCE if same else OTHER_SOURCE):
            wanted.append(i)
    chosen: dict[str, _Sentence] = {}
    left = max_tokens
    for i in wanted:
        sentence = sentences[i]
        tokens = estimate_tokens(f"{sentence.text} [{sentence.block + 1}]")
        if len(chosen) < MOST_SENTENCES and sentence.text not in chosen and tokens <= left:
            chosen[sentence.text] = sentence
            left -= tokens
    return list(chosen.values()) or [sentences[best]]


def _company(sentences: Sequence[_Sentence], i: int) -> list[int]:
    """The sentence before one that refers back, or after one that asks."""
    text = sentences[i].text
    neighbour = i + 1 if text.endswith(("?", "？")) else i - 1 if _LEANS_BACK.match(text) else -1
    if not 0 <= neighbour < len(sentences):
        return []
    return [neighbour] if sentences[neighbour].block == sentences[i].block else []


def _composed(
    chosen: Sequence[_Sentence], blocks: Sequence[Block], language: Language, max_tokens: int
) -> str:
    """The best sentence's source first, the others in their order; sentences of one source
    as they stand there, with one citation after the last."""
    first = chosen[0].block
    parts: list[str] = []
    for block in sorted({s.block for s in chosen}, key=lambda block: (block != first, block)):
        own = sorted((s for s in chosen if s.block == block), key=lambda s: s.place)
        quote = " ".join([*(_closed(s.text) for s in own[:-1]), own[-1].text])
        parts.append(f"{_cut(quote, max_tokens)} [{blocks[block].number}]")
    answer = " ".join(parts)
    return answer if language_of(answer) == language else f"{_LEAD[language]} {answer}"


def _closed(text: str) -> str:
    return text if _ENDS.search(text) else f"{text}."


def _cut(quote: str, max_tokens: int) -> str:
    """`quote`, or its leading words with an ellipsis when one sentence alone is too long."""
    if estimate_tokens(quote) <= max_tokens:
        return quote
    share = max_tokens / estimate_tokens(quote)
    return f"{quote[: int(len(quote) * share)].rsplit(' ', 1)[0]}…"
