"""The wire format of requests and responses; OpenAPI is made from these."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from steadyrag.api import patterns
from steadyrag.domain.filters import parse_filter
from steadyrag.domain.models import Answer, CacheStatus, Query
from steadyrag.domain.text import clean_namespace, clean_text

MAX_QUERY_CHARS = 2000
MAX_TOP_K = 50
MAX_USER_CHARS = 128


def whole(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is an integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class SearchRequest(BaseModel):
    """A question and how to answer it."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"query": "What happens when the reranker is down?"}]},
    )

    query: Annotated[
        str,
        Field(
            description=f"The question, in Korean or English; 1 to {MAX_QUERY_CHARS} characters.",
            json_schema_extra=patterns.text(MAX_QUERY_CHARS),
        ),
    ]
    top_k: Annotated[
        int,
        Field(ge=1, le=MAX_TOP_K, description="How many sources to return."),
        BeforeValidator(whole),
    ] = 5
    namespace: Annotated[
        str,
        Field(
            description="Which set of documents to search.",
            json_schema_extra={"pattern": patterns.NAMESPACE},
        ),
    ] = "default"
    filter: Annotated[
        dict[str, Any],
        Field(
            description=(
                'Conditions on metadata, such as `{"year": {"$gte": 2024}}`. Operators: `$eq`, '
                "`$ne`, `$in`, `$nin`, `$gt`, `$gte`, `$lt`, `$lte`, `$exists`, `$and`, `$or`."
            )
        ),
    ] = {}
    generate: Annotated[bool, Field(description="false: ranked sources only, no answer.")] = True
    user: Annotated[
        Annotated[str, Field(json_schema_extra=patterns.text(MAX_USER_CHARS))] | None,
        Field(description="An opaque id of the end user, from a trusted caller."),
    ] = None

    def to_query(self) -> Query:
        """The domain's query; raises `InvalidInput` naming the field."""
        return Query(
            text=clean_text(self.query, "query", longest=MAX_QUERY_CHARS),
            top_k=self.top_k,
            namespace=clean_namespace(self.namespace),
            filter=parse_filter(self.filter),
            generate=self.generate,
            user=(
                None if self.user is None else clean_text(self.user, "user", longest=MAX_USER_CHARS)
            ),
        )


class SourceOut(BaseModel):
    """A passage found. `[rank]` in the answer cites it."""

    id: str
    document_id: str
    title: str
    url: str | None
    text: str
    score: float = Field(description="Relevance from 0 to 1; comparable when `calibrated`.")
    rank: int


class UsageOut(BaseModel):
    embedding_tokens: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None = Field(
        description="What vendors charge, in US dollars; null where a price is not known."
    )


class CacheOut(BaseModel):
    """Where the answer came from."""

    status: CacheStatus = Field(
        description=(
            "hit: held, or joined to a concurrent request. miss: computed. stale: the last good "
            "one, since the index is lost. bypass: a new one was asked for. off: no cache."
        )
    )
    tier: str | None = Field(description="`memory`, `flight` (joined), `valkey` or `dynamodb`.")
    age_s: int | None = Field(description="Seconds since it was computed.")


class SearchResponse(BaseModel):
    """The answer, its sources (cited ones first), and how it came about."""

    model_config = ConfigDict(from_attributes=True)

    search_id: str
    answer: str | None = Field(description="Cites sources as `[n]`; null with `generate: false`.")
    sources: list[SourceOut]
    mode: Literal["full", "partial", "keyword_only", "cached", "canned"] = Field(
        description="Which rung of the fallback ladder this is."
    )
    degraded: list[str] = Field(description="The stages that were lost on the way.")
    calibrated: bool = Field(description="Whether scores are probabilities of relevance.")
    cache: CacheOut
    model: str | None
    variant: str
    usage: UsageOut
    timings_ms: dict[str, float] = Field(
        description=(
            "Milliseconds by stage. `sources` and `total` count from the question, to its ranked "
            "sources and to its answer."
        )
    )


class FieldProblem(BaseModel):
    field: str
    problem: str


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


class CheckOut(BaseModel):
    status: Literal["ok", "empty", "failed"]
    latency_ms: float
    detail: str | None = None


class HealthResponse(BaseModel):
    status: Literal["ok", "degraded", "failed"]
    version: str
    checks: dict[str, CheckOut] = {}
    breakers: dict[str, Literal["closed", "open", "half_open"]] = Field(
        {}, description="Circuit breakers of dependencies that failed lately."
    )


def search_body(answer: Answer) -> dict[str, Any]:
    """The response as plain data. Built by hand: validating our own output buys nothing on
    the request path, and a test holds it against `SearchResponse`."""
    usage = answer.usage
    return {
        "search_id": answer.search_id,
        "answer": answer.answer,
        "sources": [
            {
                "id": source.id,
                "document_id": source.document_id,
                "title": source.title,
                "url": source.url,
                "text": source.text,
                "score": source.score,
                "rank": source.rank,
            }
            for source in answer.sources
        ],
        "mode": answer.mode,
        "degraded": list(answer.degraded),
        "calibrated": answer.calibrated,
        "cache": {
            "status": answer.cache.status,
            "tier": answer.cache.tier,
            "age_s": answer.cache.age_s,
        },
        "model": answer.model,
        "variant": answer.variant,
        "usage": {
            "embedding_tokens": usage.embedding_tokens,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cost_usd": usage.cost_usd,
        },
        "timings_ms": dict(answer.timings_ms),
    }
