"""Every environment variable the service reads: typed, bounded, frozen.

This is the only module that touches the process environment. A bad value stops the start
with a message that names the variable, what is wrong with it and what is allowed.
"""

import difflib
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from steadyrag.domain.access import parse_policy
from steadyrag.domain.errors import ConfigError
from steadyrag.domain.limits import parse_limit, parse_overrides
from steadyrag.domain.local_days import time_zone
from steadyrag.domain.platt import parse_fitted

PREFIX = "STEADYRAG_"

MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"
"""What metrics can be told apart by, `catalogue.MODEL`; ids of fine-tuned models are long."""


def _http_url(value: str) -> str:
    if not value.startswith(("https://", "http://")) or any(c.isspace() for c in value):
        raise ValueError("must be an http:// or https:// address")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_http_url)]
SecretName = Annotated[
    str,
    StringConstraints(pattern=r"^(secretsmanager:[A-Za-z0-9/_+=.@:-]+|ssm:/?[A-Za-z0-9/_.-]+)$"),
]


def _cache_url(value: str) -> str:
    if not value.startswith(("redis://", "rediss://")):
        raise ValueError("must start with redis:// or rediss://")
    return value


def _limit(value: str) -> str:
    parse_limit(value)
    return value


def _overrides(value: str) -> str:
    parse_overrides(value)
    return value


def _policy(value: str) -> str:
    parse_policy(value)
    return value


def _calibration(value: str) -> str:
    parse_fitted(value)
    return value


def _model(value: str) -> str:
    if not re.fullmatch(MODEL_NAME, value):
        raise ValueError(
            "must be at most 128 letters, digits and . _ : / @ -, and begin with a letter or digit"
        )
    return value


def _time_zone(value: str) -> str:
    time_zone(value)
    return value


def _long_enough(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value) < 16:
        raise ValueError("must have at least 16 characters, picked by chance")
    return value


CacheUrl = Annotated[str, AfterValidator(_cache_url)]
CacheUser = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$")]
CacheName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$")]
TablePrefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{2,62}$")]
TopicArn = Annotated[
    str, StringConstraints(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$")
]
ModelName = Annotated[str, AfterValidator(_model)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
RateLimitText = Annotated[str, AfterValidator(_limit)]
OverridesText = Annotated[str, AfterValidator(_overrides)]
PolicyText = Annotated[str, AfterValidator(_policy)]
CalibrationText = Annotated[str, AfterValidator(_calibration)]
ProfileName = Annotated[
    str, StringConstraints(pattern=r"^[^/\s]{1,128}/[^/\s]{1,128}/[^/\s]{1,128}$")
]


def _variable(name: str, default: Any, meaning: str, **bounds: Any) -> Any:
    return Field(default, alias=name, description=meaning, **bounds)


class Settings(BaseModel):
    """The service's configuration. Field aliases are the variables' names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    embedder: Literal["local", "openai"] = _variable(
        "STEADYRAG_EMBEDDER", "local", "who turns texts into vectors"
    )
    index: Literal["local", "pinecone"] = _variable(
        "STEADYRAG_INDEX", "local", "where chunks are kept and searched"
    )
    reranker: Literal["local", "pinecone", "none"] = _variable(
        "STEADYRAG_RERANKER", "local", "who orders the candidates by relevance"
    )
    generator: Literal["local", "openai"] = _variable(
        "STEADYRAG_GENERATOR", "local", "who writes the answer; local quotes the sources"
    )

    openai_api_key: SecretStr | None = _variable("OPENAI_API_KEY", None, "OpenAI key, locally")
    openai_api_key_from: SecretName | None = _variable(
        "STEADYRAG_OPENAI_API_KEY_FROM", None, "secretsmanager:NAME or ssm:/NAME that holds the key"
    )
    openai_base_url: Url | None = _variable("OPENAI_BASE_URL", None, "another OpenAI endpoint")
    embedding_model: ModelName = _variable(
        "STEADYRAG_EMBEDDING_MODEL", "text-embedding-3-small", "OpenAI embedding model"
    )
    embedding_dimension: int = _variable(
        "STEADYRAG_EMBEDDING_DIMENSION", 1536, "length of its vectors", ge=64, le=3072
    )
    chat_model: ModelName = _variable("STEADYRAG_CHAT_MODEL", "gpt-6-luna", "OpenAI chat model")
    answer_tokens: int = _variable(
        "STEADYRAG_ANSWER_TOKENS", 300, "longest answer in visible tokens", ge=16, le=4000
    )
    reasoning_tokens: int = _variable(
        "STEADYRAG_REASONING_TOKENS",
        1000,
        "allowance on top of the answer for models that reason; 0 for models that do not",
        ge=0,
        le=32000,
    )

    pinecone_api_key: SecretStr | None = _variable(
        "PINECONE_API_KEY", None, "Pinecone key, for local use"
    )
    pinecone_api_key_from: SecretName | None = _variable(
        "STEADYRAG_PINECONE_API_KEY_FROM",
        None,
        "secretsmanager:NAME or ssm:/NAME that holds the key",
    )
    pinecone_controller_host: Url | None = _variable(
        "PINECONE_CONTROLLER_HOST", None, "another Pinecone control plane"
    )
    pinecone_index_host: str | None = _variable(
        "STEADYRAG_PINECONE_INDEX_HOST", None, "the index's host, as `index create` prints it"
    )
    rerank_model: ModelName = _variable(
        "STEADYRAG_RERANK_MODEL", "bge-reranker-v2-m3", "Pinecone's hosted reranker"
    )
    rerank_calibration: CalibrationText | None = _variable(
        "STEADYRAG_RERANK_CALIBRATION",
        None,
        "makes that model's scores probabilities, as `steadyrag calibrate` prints it",
    )

    fusion: Literal["weighted", "rrf"] = _variable(
        "STEADYRAG_FUSION", "weighted", "how the two rankings become one"
    )
    dense_weight: float = _variable(
        "STEADYRAG_DENSE_WEIGHT", 0.5, "share of the vector score in weighted fusion", ge=0, le=1
    )
    candidates: int = _variable(
        "STEADYRAG_CANDIDATES", 50, "hits asked of each search", ge=5, le=200
    )
    rerank_candidates: int = _variable(
        "STEADYRAG_RERANK_CANDIDATES", 50, "fused hits that are reranked", ge=1, le=100
    )
    context_tokens: int = _variable(
        "STEADYRAG_CONTEXT_TOKENS",
        2000,
        "tokens of sources for the generator",
        ge=100,
        le=100_000,
    )
    chunk_tokens: int = _variable(
        "STEADYRAG_CHUNK_TOKENS", 480, "longest chunk, headings included", ge=64, le=480
    )
    abstain_below: float = _variable(
        "STEADYRAG_ABSTAIN_BELOW",
        0.2,
        "relevance of the best source under which the extractive answerer says it found nothing",
        ge=0,
        le=1,
    )

    chat_fallback_model: ModelName | None = _variable(
        "STEADYRAG_CHAT_FALLBACK_MODEL", None, "chat model asked when the first is lost"
    )
    cache_url: CacheUrl | None = _variable(
        "STEADYRAG_CACHE_URL", None, "Valkey: redis://… or rediss://…, a cluster or not"
    )
    cache_user: CacheUser | None = _variable(
        "STEADYRAG_CACHE_USER",
        None,
        "id of the ElastiCache user that AWS credentials sign in as, instead of a password",
    )
    cache_name: CacheName | None = _variable(
        "STEADYRAG_CACHE_NAME", None, "name of that ElastiCache Serverless cache"
    )
    table_prefix: TablePrefix | None = _variable(
        "STEADYRAG_TABLE_PREFIX", None, "DynamoDB tables, such as PREFIXcache; none without it"
    )
    documents_bucket: BucketName | None = _variable(
        "STEADYRAG_DOCUMENTS_BUCKET", None, "S3 bucket that documents are put into and taken from"
    )
    ingest_queue_url: Url | None = _variable(
        "STEADYRAG_INGEST_QUEUE_URL", None, "SQS queue of what happened in that bucket"
    )
    dead_queue_url: Url | None = _variable(
        "STEADYRAG_DEAD_QUEUE_URL", None, "SQS queue of what could not be taken in, with the reason"
    )
    local_dynamodb_url: Url | None = _variable(
        "STEADYRAG_LOCAL_DYNAMODB_URL",
        None,
        "a DynamoDB on this machine that takes any credentials, http://127.0.0.1:…; else AWS's",
    )
    local_aws: Path = _variable(
        "STEADYRAG_LOCAL_AWS",
        Path(".venv-cloud/bin/ministack"),
        "the local AWS's program, ministack, for `serve --stores`",
    )
    result_ttl_s: float = _variable(
        "STEADYRAG_RESULT_TTL_S", 3600, "how long an answer is given again", ge=0, le=604_800
    )
    embedding_ttl_s: float = _variable(
        "STEADYRAG_EMBEDDING_TTL_S",
        86_400,
        "how long a question's vector is kept",
        ge=0,
        le=2_592_000,
    )
    last_good_ttl_s: float = _variable(
        "STEADYRAG_LAST_GOOD_TTL_S",
        604_800,
        "how long an answer may stand in while the index is lost; not longer than tombstones live",
        ge=60,
        le=604_800,
    )
    settle_s: float = _variable(
        "STEADYRAG_SETTLE_S",
        10,
        "how long after a change answers are not kept, since the index may show it late",
        ge=0,
        le=600,
    )
    memory_answers: int = _variable(
        "STEADYRAG_MEMORY_ANSWERS", 500, "answers that one process remembers", ge=0, le=100_000
    )
    memory_embeddings: int = _variable(
        "STEADYRAG_MEMORY_EMBEDDINGS", 1000, "vectors that one process remembers", ge=0, le=100_000
    )
    embeddings_in_dynamodb: bool = _variable(
        "STEADYRAG_EMBEDDINGS_IN_DYNAMODB",
        False,
        "true keeps vectors there too: saves time, but a write costs more than a new vector",
    )
    rate_limit: RateLimitText | None = _variable(
        "STEADYRAG_RATE_LIMIT",
        None,
        "requests of one end user, such as 10/minute, or off; 10/minute where a store is shared",
    )
    key_rate_limit: RateLimitText = _variable(
        "STEADYRAG_KEY_RATE_LIMIT", "600/minute", "requests of one API key, or off"
    )
    rate_limit_overrides: OverridesText = _variable(
        "STEADYRAG_RATE_LIMIT_OVERRIDES",
        "",
        "other limits by key and route: key:ID=6000/minute, user:/search=20/minute",
    )
    trusted_keys: str = _variable(
        "STEADYRAG_TRUSTED_KEYS", "", "ids of API keys whose `user` field is believed, or *"
    )
    key_namespaces: PolicyText | None = _variable(
        "STEADYRAG_KEY_NAMESPACES",
        None,
        "what each API key may use: ID=hr+legal,ID=*,anonymous=public; * or nothing: all use all",
    )
    search_id_key: Annotated[SecretStr | None, AfterValidator(_long_enough)] = _variable(
        "STEADYRAG_SEARCH_ID_KEY",
        None,
        "signs search ids, the same for all who serve; without one the data directory keeps one",
    )
    live_config: ProfileName | None = _variable(
        "STEADYRAG_LIVE_CONFIG",
        None,
        "application/environment/profile in AWS AppConfig that replaces some settings meanwhile",
    )
    deadline_s: float = _variable(
        "STEADYRAG_DEADLINE_S", 25.0, "longest a request may take", ge=0.5, le=29
    )
    cors_origin: str = _variable(
        "STEADYRAG_CORS_ORIGIN", "*", "origin that browsers may call from", min_length=1
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _variable(
        "STEADYRAG_LOG_LEVEL", "INFO", "least severe log line printed"
    )
    log_text: Literal["hash", "truncated", "full"] = _variable(
        "STEADYRAG_LOG_TEXT",
        "hash",
        "how questions and answers get into the log; mail addresses and the like are always masked",
    )
    log_sample: float = _variable(
        "STEADYRAG_LOG_SAMPLE", 0.0, "share of requests whose DEBUG lines are printed", ge=0, le=1
    )
    metrics: Literal["off", "emf"] = _variable(
        "STEADYRAG_METRICS", "off", "emf prints metrics on standard output for CloudWatch"
    )
    service: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,128}$")] = _variable(
        "STEADYRAG_SERVICE", "steadyrag", "whose metrics these are; a stack's own name"
    )
    tracing: Literal["off", "xray"] = _variable(
        "STEADYRAG_TRACING", "off", "xray sends the stages of sampled requests to X-Ray"
    )
    api_key: SecretStr | None = _variable(
        "STEADYRAG_API_KEY", None, "key of a deployed service, for `steadyrag smoke`"
    )
    smoke_function: str | None = _variable(
        "STEADYRAG_SMOKE_FUNCTION",
        None,
        "ARN of the new version of search that the pre-traffic hook asks",
    )
    report_topic: TopicArn | None = _variable(
        "STEADYRAG_REPORT_TOPIC", None, "ARN of the SNS topic that gets the daily report"
    )
    report_hour: int = _variable(
        "STEADYRAG_REPORT_HOUR",
        7,
        "hour from which the report of the day before is sent",
        ge=0,
        le=23,
    )
    report_time_zone: TimeZone = _variable(
        "STEADYRAG_REPORT_TIME_ZONE",
        "UTC",
        "time zone of the report's days and hour, such as Asia/Seoul",
    )
    daily_budget_usd: float = _variable(
        "STEADYRAG_DAILY_BUDGET_USD",
        20.0,
        "what the vendors' calls of a day may cost, for the report",
        ge=0.01,
        le=1_000_000_000,
    )

    host: str = _variable("STEADYRAG_HOST", "127.0.0.1", "address to serve on", min_length=1)
    port: int = _variable("STEADYRAG_PORT", 8080, "port of the local server", ge=1, le=65535)
    data_dir: Path = _variable(
        "STEADYRAG_DATA_DIR", Path(".steadyrag"), "where the embedded default keeps its index"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Settings that need each other."""
        if "openai" in (self.embedder, self.generator) and not (
            self.openai_api_key or self.openai_api_key_from
        ):
            raise ValueError(
                "OPENAI_API_KEY or STEADYRAG_OPENAI_API_KEY_FROM is needed by "
                "STEADYRAG_EMBEDDER=openai and STEADYRAG_GENERATOR=openai"
            )
        if "pinecone" in (self.index, self.reranker) and not (
            self.pinecone_api_key or self.pinecone_api_key_from
        ):
            raise ValueError(
                "PINECONE_API_KEY or STEADYRAG_PINECONE_API_KEY_FROM is needed by "
                "STEADYRAG_INDEX=pinecone and STEADYRAG_RERANKER=pinecone"
            )
        if self.documents_bucket and not self.table_prefix:
            raise ValueError(
                "STEADYRAG_DOCUMENTS_BUCKET needs STEADYRAG_TABLE_PREFIX, whose table "
                "PREFIXdocuments holds what became of each document"
            )
        if bool(self.cache_user) is not bool(self.cache_name):
            raise ValueError(
                "STEADYRAG_CACHE_USER and STEADYRAG_CACHE_NAME need each other; "
                "set both to sign in to ElastiCache with AWS credentials, or neither"
            )
        if self.cache_user:
            address = urlsplit(self.cache_url or "")
            if address.scheme != "rediss" or "@" in address.netloc:
                raise ValueError(
                    "STEADYRAG_CACHE_USER signs in over TLS only: set STEADYRAG_CACHE_URL to "
                    "rediss://host:port, without a user or a password in it"
                )
        return self


VARIABLES: Mapping[str, FieldInfo] = {
    str(field.alias): field for field in Settings.model_fields.values()
}
"""Every variable by name."""


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings; an empty value counts as unset.

    Raises `ConfigError` with one line for each bad variable. A `STEADYRAG_` variable that
    is not a setting only warns, so that rolling back to older code always starts.
    """
    environment = os.environ if environment is None else environment
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in VARIABLES:
            near = difflib.get_close_matches(name, VARIABLES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            warnings.warn(f"{name} is not a setting and is ignored{hint}", stacklevel=2)
    given = {
        name: environment[name].strip() for name in VARIABLES if environment.get(name, "").strip()
    }
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        lines = [_explain(dict(part), given) for part in error.errors(include_context=True)]
        raise ConfigError("\n".join(lines)) from None


def of_lambda(name: str) -> str | None:
    """A variable that Lambda sets itself, and so no setting: `AWS_LAMBDA_FUNCTION_NAME`, or
    `_X_AMZN_TRACE_ID`, which is another before each invocation. None where there is none."""
    return os.environ.get(name)


def _explain(error: Mapping[str, Any], given: Mapping[str, str]) -> str:
    if not error["loc"]:
        return str(error["ctx"]["error"])
    name = str(error["loc"][0])
    field = VARIABLES[name]
    hidden = "key" in name.lower() or name == "STEADYRAG_CACHE_URL"  # it may hold a password
    shown = "the value given" if hidden else repr(given[name])
    problem = str(error["msg"]).removeprefix("Value error, ")
    problem = problem[:1].lower() + problem[1:]
    return f"{name}: {shown} is not valid: {problem} (allowed: {allowed(field)})"


def allowed(field: FieldInfo) -> str:
    """What a setting takes, in words: `a number from 0.5 to 29`."""
    choices = get_args(field.annotation) if field.annotation else ()
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(choices)
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    kind = "a whole number" if field.annotation is int else "a number"
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    return field.description or "text"
