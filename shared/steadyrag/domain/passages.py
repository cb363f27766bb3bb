"""The sentences of a chunk: what is embedded one by one, reranked by, and quoted."""

from steadyrag.domain.models import Chunk
from steadyrag.domain.sentences import sentence_spans


def sentences_of(chunk: Chunk) -> list[str]:
    """`context` first where there is one, then each sentence of `text`, in order."""
    sentences = [chunk.text[start:end] for start, end in sentence_spans(chunk.text)]
    return [chunk.context, *sentences] if chunk.context else sentences
