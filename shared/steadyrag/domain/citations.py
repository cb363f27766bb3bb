"""Citations: `[n]` in an answer, and the sources they stand for."""

import re
from collections.abc import Sequence

from steadyrag.domain.models import Block, Hit

_CITATION = re.compile(r"\s?\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")


def resolve_citations(
    text: str, blocks: Sequence[Block], hits: Sequence[Hit]
) -> tuple[str, list[Hit]]:
    """The answer renumbered, and the hits in the order its citations ask for.

    Sources cited come first, in the order of their first citation, then the rest as ranked;
    `[n]` in the returned text is the n-th of the returned hits. A citation of a block that
    does not exist is taken out.
    """
    by_number = {block.number: block.hit for block in blocks}
    cited: dict[str, int] = {}
    order: list[Hit] = []

    def renumber(match: re.Match[str]) -> str:
        places: dict[int, None] = {}
        for part in re.split(r"\s*[,;]\s*", match[1]):
            hit = by_number.get(int(part))
            if hit is None:
                continue
            if hit.chunk.id not in cited:
                order.append(hit)
                cited[hit.chunk.id] = len(order)
            places[cited[hit.chunk.id]] = None
        lead = " " if match[0].startswith((" ", "\n")) and places else ""
        return lead + "".join(f"[{place}]" for place in places)

    renumbered = _CITATION.sub(renumber, text)
    order.extend(hit for hit in hits if hit.chunk.id not in cited)
    return renumbered, order
