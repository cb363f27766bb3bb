"""Chooses what the generator gets to read, within a token budget."""

from steadyrag.domain.models import Block, Ranking
from steadyrag.domain.sentences import sentence_spans

BLOCK_OVERHEAD = 12
"""Tokens that a block's delimiters and number cost."""
SMALLEST_CUT = 48
"""Tokens under which a cut block is not worth its delimiters."""


def build_context(ranking: Ranking, budget_tokens: int) -> list[Block]:
    """Numbered blocks for the best hits, in their order, that fit `budget_tokens` together.

    Tokens are counted at ingest, so counting here is adding. The hit that no longer fits is
    cut at the end of a sentence; what follows it is left out. The first hit always gets in.
    """
    blocks: list[Block] = []
    left = budget_tokens
    for number, hit in enumerate(ranking.hits, 1):
        text, tokens = hit.chunk.searchable, hit.chunk.tokens + BLOCK_OVERHEAD
        whole = tokens <= left
        if not whole:
            if left < SMALLEST_CUT and blocks:
                break
            text = _cut(text, max(left - BLOCK_OVERHEAD, 1) / max(hit.chunk.tokens, 1))
            tokens = left
        if text:
            blocks.append(Block(number, hit, text, tokens, calibrated=ranking.calibrated))
        left -= tokens
        if not whole:
            break
    return blocks


def _cut(text: str, share: float) -> str:
    """The leading sentences that make up at most `share` of the text's characters, or the
    first sentence's beginning when even that is too long."""
    length = int(len(text) * share)
    fitting = [end for _, end in sentence_spans(text) if end <= length]
    return text[: fitting[-1]] if fitting else text[:length].rstrip()
