"""What vendors charge, in US dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

AS_OF = date(2026, 11, 25)
"""When the prices of models were last compared with OpenAI's pages."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Dollars for a million tokens, read (`input_usd`) and written (`output_usd`)."""

    input_usd: float
    output_usd: float = 0.0


FREE = ModelPrice(0.0)

MODELS: Mapping[str, ModelPrice] = {
    "text-embedding-3-small": ModelPrice(0.02),
    "text-embedding-3-large": ModelPrice(0.13),
    "text-embedding-ada-002": ModelPrice(0.10),
    "gpt-6-luna": ModelPrice(0.10, 0.50),
    "gpt-6.1-terra": ModelPrice(1.00, 5.00),
    "gpt-6-sol": ModelPrice(2.00, 10.00),
    "gpt-6.1-sol": ModelPrice(2.00, 10.00),
    "gpt-6.2-sol": ModelPrice(2.00, 10.00),
    "gpt-4o-mini": ModelPrice(0.15, 0.60),
    "gpt-4o": ModelPrice(2.50, 10.00),
}
"""OpenAI's standard rates for prompts under 272,000 tokens
(developers.openai.com/api/docs/pricing). Cached input costs less: what is charged is at most
this."""

RERANK_USD = 0.002
"""One call of a reranker hosted by Pinecone, $2 for a thousand as its price list had it in 2025.
The most of a search's cost: compare it with your own bill."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a service's own parts cost. `embedding` is None where the model's price is not
    known, and so is a model in `chat`; then no request has a cost. `rerank_usd` is for one
    search's reranking."""

    embedding: ModelPrice | None = FREE
    chat: Mapping[str, ModelPrice | None] = field(default_factory=dict)
    rerank_usd: float = 0.0

    def embedded(self, tokens: int) -> float | None:
        """What embedding cost, in dollars; None where it is not known."""
        if not tokens:
            return 0.0
        return None if self.embedding is None else self.embedding.input_usd * tokens / 1e6

    def generated(self, model: str, *, prompt: int, completion: int) -> float | None:
        """What an answer of `model` cost, by its tokens, in dollars; None where it is not known.
        A model that is not in `chat` runs here and costs nothing."""
        price = self.chat.get(model, FREE)
        if price is None:
            return None
        return (price.input_usd * prompt + price.output_usd * completion) / 1e6
