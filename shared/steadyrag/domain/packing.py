"""Packs consecutive pieces of text into chunks of even size under a token limit."""

import math
from collections.abc import Sequence


def pack(sizes: Sequence[int], limit: int) -> list[range]:
    """Groups consecutive pieces so that no group exceeds `limit`, and groups are even.

    `sizes` are tokens per piece. A piece larger than `limit` stands alone. Evening
    out avoids a full chunk followed by a crumb of two sentences, which embeds badly.
    """
    total = sum(sizes)
    if not sizes:
        return []
    target = total / max(1, math.ceil(total / limit))
    groups: list[range] = []
    start, filled = 0, 0
    for i, size in enumerate(sizes):
        overfull = filled + size > limit
        nearer_without = filled > 0 and (filled + size - target) > (target - filled)
        if i > start and (overfull or nearer_without):
            groups.append(range(start, i))
            start, filled = i, 0
        filled += size
    groups.append(range(start, len(sizes)))
    return groups
