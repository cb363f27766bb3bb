"""The production adapters, wired by settings, over the local vendor servers."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from steadyrag.adapters.pinecone_schema import schema
from vendors import OpenAIVendor, PineconeVendor, serving

OPENAI_KEY = "sk-local-openai-secret"
PINECONE_KEY = "pc-local-secret"
SEARCH_ID_KEY = "local-secret-that-signs-search-ids"
DIMENSION = 256


@dataclass(frozen=True, slots=True)
class Vendors:
    """Both vendors, and the environment that leads to them."""

    openai: OpenAIVendor
    pinecone: PineconeVendor
    environment: Mapping[str, str]

    def slow(self, **latency_ms: float) -> None:
        """Latency by operation: embeddings, vector_search, keyword_search, rerank, chat."""
        for vendor in (self.openai, self.pinecone):
            vendor.faults.latency_ms.update(latency_ms)

    def forget(self) -> None:
        for vendor in (self.openai, self.pinecone):
            vendor.faults.clear()
            vendor.requests.clear()


@contextlib.contextmanager
def vendors() -> Iterator[Vendors]:
    with (
        serving(OpenAIVendor(api_key=OPENAI_KEY)) as openai,
        serving(PineconeVendor(api_key=PINECONE_KEY, visible_after_s=0)) as pinecone,
    ):
        host = pinecone.create("docs", schema(DIMENSION)["fields"])
        yield Vendors(
            openai,
            pinecone,
            {
                "STEADYRAG_EMBEDDER": "openai",
                "STEADYRAG_INDEX": "pinecone",
                "STEADYRAG_RERANKER": "pinecone",
                "STEADYRAG_GENERATOR": "openai",
                "STEADYRAG_EMBEDDING_DIMENSION": str(DIMENSION),
                "OPENAI_API_KEY": OPENAI_KEY,
                "OPENAI_BASE_URL": openai.base_url,
                "PINECONE_API_KEY": PINECONE_KEY,
                "PINECONE_CONTROLLER_HOST": pinecone.url,
                "STEADYRAG_PINECONE_INDEX_HOST": host,
                "STEADYRAG_SEARCH_ID_KEY": SEARCH_ID_KEY,
            },
        )


TEXTS = {
    "seoul": "Seoul is the capital of South Korea and its largest city.",
    "bread": "Sourdough bread needs flour, water, salt and a great deal of time.",
    "hangul": "한글은 세종대왕이 1443년에 창제하고 1446년에 반포한 문자이다.",
    "kimchi": "김치는 배추와 무를 소금에 절여 발효시킨 한국의 음식이다.",
}
