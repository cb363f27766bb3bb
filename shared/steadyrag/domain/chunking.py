"""Documents to chunks along their structure: sections first, then sentences."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from steadyrag.domain.documents import ParsedDocument
from steadyrag.domain.models import Chunk
from steadyrag.domain.packing import pack
from steadyrag.domain.ports import CountTokens
from steadyrag.domain.sentences import Span, sentence_spans

CHUNKER = "1"
"""Raised whenever the same document would give other chunks than before."""

MAX_TOKENS = 480
RESERVED = 4
"""Tokens that an embedding model adds of its own: a prefix, a start and an end."""

_JOINT = " › "
_LONGEST_TOKEN = 20
"""Characters per token that no prose reaches; longer texts need no counting to be too long."""


def chunk_document(
    document: ParsedDocument, count: CountTokens, *, max_tokens: int = MAX_TOKENS
) -> list[Chunk]:
    """Chunks of at most `max_tokens`, context included, in reading order.

    A document that fits is one chunk. In a longer one, neighbouring sections that fit
    together share a chunk, whose context is the headings they have in common; a section
    that is too long is packed by sentences. A document without text has no chunks, one
    with nothing but a title has that as its text.
    """
    passages = _Chunker(count, max_tokens).passages(_tree(document))
    if not passages and document.title:
        passages = [_Passage("", document.title)]
    metadata = json.dumps(dict(document.metadata), sort_keys=True, ensure_ascii=False)
    owner = _hash(document.document_id)
    seen: dict[str, int] = {}
    chunks: list[Chunk] = []
    for passage in passages:
        content = _hash(document.title, passage.context, passage.text, document.url or "", metadata)
        seen[content] = seen.get(content, 0) + 1
        repeat = f"-{seen[content]}" if seen[content] > 1 else ""
        chunks.append(
            Chunk(
                id=f"{owner}-{content}{repeat}",
                document_id=document.document_id,
                title=document.title,
                context=passage.context,
                text=passage.text,
                tokens=count(passage.searchable),
                url=document.url,
                metadata=document.metadata,
            )
        )
    return chunks


@dataclass(frozen=True, slots=True)
class _Passage:
    context: str
    text: str

    @property
    def searchable(self) -> str:
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass(slots=True)
class _Node:
    """A heading with what stands below it. `own` are texts directly under it."""

    path: tuple[str, ...]
    parts: list["str | _Node"] = field(default_factory=list)

    @property
    def context(self) -> str:
        return _JOINT.join(self.path)

    def written_out(self, *, heading: bool) -> str:
        """Its text with the headings inside it as lines."""
        body = "\n\n".join(map(_written, self.parts))
        return f"{self.path[-1]}\n{body}" if heading else body


def _tree(document: ParsedDocument) -> _Node:
    root = _Node((document.title,) if document.title else ())
    open_nodes = [root]
    for section in document.sections:
        if not section.text.strip():
            continue
        depth = 0
        while (
            depth < min(len(section.headings), len(open_nodes) - 1)
            and open_nodes[depth + 1].path[-1] == section.headings[depth]
        ):
            depth += 1
        del open_nodes[depth + 1 :]
        for heading in section.headings[depth:]:
            node = _Node((*open_nodes[-1].path, heading))
            open_nodes[-1].parts.append(node)
            open_nodes.append(node)
        open_nodes[-1].parts.append(section.text)
    return root


@dataclass(frozen=True, slots=True)
class _Chunker:
    count: CountTokens
    max_tokens: int

    def passages(self, node: _Node) -> list[_Passage]:
        if len(node.parts) == 1:
            (only,) = node.parts
            if isinstance(only, str):
                return self._by_sentence(node.context, only)
            return self.passages(only)
        whole = _Passage(self._clipped(node.context), node.written_out(heading=False))
        if node.parts and self._fits(whole):
            return [whole]
        passages: list[_Passage] = []
        for run in self._runs(node):
            passages.extend(self._joined(node, run))
        return passages

    def _runs(self, node: _Node) -> Iterable[list[str | _Node]]:
        """Consecutive parts that each fit a chunk, and each other part alone."""
        run: list[str | _Node] = []
        for part in node.parts:
            if self._fits(self._as_passage(node, [part])):
                run.append(part)
            else:
                if run:
                    yield run
                    run = []
                yield [part]
        if run:
            yield run

    def _joined(self, node: _Node, run: Sequence[str | _Node]) -> list[_Passage]:
        passage = self._as_passage(node, run)
        if self._fits(passage):
            return [passage]
        if len(run) == 1:
            (only,) = run
            if isinstance(only, str):
                return self._by_sentence(node.context, only)
            return self.passages(only)
        sizes = [self.count(_written(part)) for part in run]
        groups = pack(sizes, self._room(self._clipped(node.context)))
        if len(groups) == 1:  # together they fit by size, but not with what joins them
            groups = _halves(groups[0])
        return [p for group in groups for p in self._joined(node, run[group.start : group.stop])]

    def _as_passage(self, node: _Node, run: Sequence[str | _Node]) -> _Passage:
        if len(run) == 1 and isinstance(run[0], _Node):
            only = run[0]
            return _Passage(self._clipped(only.context), only.written_out(heading=False))
        return _Passage(self._clipped(node.context), "\n\n".join(map(_written, run)))

    def _by_sentence(self, context: str, text: str) -> list[_Passage]:
        context = self._clipped(context)
        room = self._room(context)
        spans: list[Span] = []
        sizes: list[int] = []
        for start, end in sentence_spans(text):
            for a, b in self._cut(text, start, end, room):
                spans.append((a, b))
                sizes.append(self.count(text[a:b]))
        passages: list[_Passage] = []
        groups = pack(sizes, room)[::-1]
        while groups:
            group = groups.pop()
            passage = _Passage(context, text[spans[group.start][0] : spans[group.stop - 1][1]])
            if len(group) > 1 and not self._fits(passage):
                groups.extend(_halves(group)[::-1])
            else:
                passages.append(passage)
        return passages

    def _cut(self, text: str, start: int, end: int, room: int) -> list[Span]:
        """A sentence as spans that each fit: halved at the word boundary nearest to its
        middle, or through a word that is too long itself."""
        if end - start < 2 or self.count(text[start:end]) <= room:
            return [(start, end)]
        middle = (start + end) // 2
        before, after = text.rfind(" ", start, middle), text.find(" ", middle, end)
        spaces = [at for at in (before, after) if at > start]
        cut = min(spaces, key=lambda at: abs(at - middle), default=middle)
        left_end = start + len(text[start:cut].rstrip())
        right_start = end - len(text[cut:end].lstrip())
        return self._cut(text, start, left_end, room) + self._cut(text, right_start, end, room)

    def _room(self, context: str) -> int:
        return self.max_tokens - RESERVED - (self.count(context) if context else 0)

    def _fits(self, passage: _Passage) -> bool:
        if len(passage.text) > self.max_tokens * _LONGEST_TOKEN:
            return False
        head = self.count(passage.context) if passage.context else 0
        return head + self.count(passage.text) <= self.max_tokens - RESERVED

    def _clipped(self, context: str) -> str:
        """Headings may fill half a chunk; beyond that the outermost go first, as the inner
        ones say more of the passage."""
        while self.count(context) > self.max_tokens // 2:
            _, joint, inner = context.partition(_JOINT)
            context = inner if joint else context[: len(context) // 2].rstrip()
        return context


def _written(part: str | _Node) -> str:
    return part if isinstance(part, str) else part.written_out(heading=True)


def _halves(group: range) -> list[range]:
    middle = (group.start + group.stop) // 2
    return [range(group.start, middle), range(middle, group.stop)]


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()
