"""Pinecone's API as far as the service uses it: indexes, documents, rerank, models.

The host of an index called `docs` is `{url}/_index/docs`, so that one port serves them all.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from vendors.faults import Fault
from vendors.pinecone_filter import BadFilter, check_filter, matches
from vendors.pinecone_index import MAX_IDS, DocumentIndex, Invalid
from vendors.server import Request, Response, Vendor
from vendors.text import count_tokens, overlap

API_VERSION = "2026-07"
MAX_UPSERT_BYTES = 2 * 1024 * 1024
RERANK_MODELS = {
    "bge-reranker-v2-m3": {"documents": 100, "tokens": 1024},
    "pinecone-rerank-v0": {"documents": 100, "tokens": 512},
}
EMBEDDING_MODELS = {"multilingual-e5-large": {"documents": 96, "tokens": 507}}
"""Described only: nothing here embeds."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,43}[a-z0-9])?")
_ON_INDEX = re.compile(r"/_index/([^/]+)(/.*)")
_HELD = re.compile(r"/_held/([^/]+)/([^/]+)")
_DOCUMENTS = re.compile(r"/namespaces/([^/]+)/documents/(\w+)")
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = _error(status, message)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    code = _CODES.get(status, "UNKNOWN")
    body = {"error": {"code": code, "message": message}, "status": status}
    return Response(status, body, headers or {})


class PineconeVendor(Vendor):
    """`api_key` is the one that opens it. Writes are visible `visible_after_s` later; an
    index is ready `ready_after_s` after it was created. A delete in a namespace that does
    not exist is a 404, as the vendor's is, and so is a search when `strict_namespaces`.
    `score` is what a passage gets for a question, in [0, 1]; a test may set another.

    Operations for faults and records: `vector_search`, `keyword_search`, `upsert`, `fetch`,
    `delete`, `list`, `stats`, `rerank`, `describe_model`, `create_index`, `describe_index`,
    `list_indexes`, `delete_index`.
    """

    def __init__(
        self,
        *,
        api_key: str = "pc-local",
        visible_after_s: float = 1.0,
        ready_after_s: float = 0.0,
        strict_namespaces: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.api_key = api_key
        self.visible_after_s = visible_after_s
        self.ready_after_s = ready_after_s
        self.strict_namespaces = strict_namespaces
        self.score: Callable[[str, str], float] = _likeness
        self._clock = clock
        self._indexes: dict[str, DocumentIndex] = {}
        self._described: dict[str, dict[str, Any]] = {}
        self._ready_at: dict[str, float] = {}

    def host(self, name: str) -> str:
        return f"{self.url}/_index/{name}"

    def create(self, name: str, fields: Mapping[str, Any]) -> str:
        """An index without the detour over HTTP; its host."""
        self._create_index({"name": name, "schema": {"fields": dict(fields)}})
        return self.host(name)

    def forget(self, name: str) -> None:
        """Deletes an index, if it is there."""
        self._indexes.pop(name, None)
        self._described.pop(name, None)

    def settle(self) -> None:
        """Makes every write visible now."""
        for index in self._indexes.values():
            index.settle()

    def admin(self, request: Request) -> Response | None:
        match request.method, request.path:
            case "POST", "/_settle":
                self.settle()
                return Response(200, {})
            case "POST", "/_visibility":
                self.visible_after_s = float(request.json["after_s"])
                for index in self._indexes.values():
                    index.visible_after_s = self.visible_after_s
                return Response(200, {})
        if (held := _HELD.fullmatch(request.path)) and request.method == "GET":
            self.settle()
            documents = self._indexes[held[1]].fetch(held[2], lambda _: True)
            return Response(200, {id_: document["text"] for id_, document in documents.items()})
        return super().admin(request)

    def operation_of(self, request: Request) -> str:
        path = request.path
        if on_index := _ON_INDEX.fullmatch(path):
            if found := _DOCUMENTS.fullmatch(on_index[2]):
                if found[2] == "search":
                    return (
                        "vector_search" if b'"dense_vector"' in request.body else "keyword_search"
                    )
                return found[2]
            return "stats" if on_index[2] == "/describe_index_stats" else "unknown"
        match request.method, path.split("/")[1:]:
            case "POST", ["rerank"]:
                return "rerank"
            case "GET", ["models", _]:
                return "describe_model"
            case "GET", ["indexes"]:
                return "list_indexes"
            case "POST", ["indexes"]:
                return "create_index"
            case "GET", ["indexes", _]:
                return "describe_index"
            case "DELETE", ["indexes", _]:
                return "delete_index"
        return "unknown"

    def error(self, fault: Fault) -> Response:
        headers = {}
        if fault.retry_after_s is not None:
            headers["retry-after"] = f"{fault.retry_after_s:g}"
        return _error(fault.status, "as the test ordered", headers)

    def answer(self, request: Request, fault: Fault | None) -> Response:
        try:
            self._authenticate(request)
            if on_index := _ON_INDEX.fullmatch(request.path):
                name = unquote(on_index[1])
                if name not in self._indexes:
                    raise _Refusal(404, f"Index {name} not found")
                return self._on_index(self._indexes[name], on_index[2], _body(request), request)
            match request.operation:
                case "rerank":
                    return _rerank(_body(request), self.score, short=fault is not None)
                case "describe_model":
                    return _describe_model(unquote(request.path.removeprefix("/models/")))
                case "list_indexes":
                    return Response(200, {"indexes": [self._describe(n) for n in self._indexes]})
                case "create_index":
                    return self._create_index(_body(request))
                case "describe_index" | "delete_index":
                    name = unquote(request.path.removeprefix("/indexes/"))
                    if name not in self._indexes:
                        raise _Refusal(404, f"Resource {name} not found")
                    if request.operation == "describe_index":
                        return Response(200, self._describe(name))
                    self.forget(name)
                    return Response(202)
            raise _Refusal(404, f"{request.method} {request.path} not found")
        except _Refusal as refusal:
            return refusal.response
        except (Invalid, BadFilter) as problem:
            return _error(400, str(problem))

    def _authenticate(self, request: Request) -> None:
        if request.headers.get("api-key") != self.api_key:
            raise _Refusal(401, "Invalid API Key")
        if request.headers.get("x-pinecone-api-version") != API_VERSION:
            raise _Refusal(400, "Unknown API version")

    def _on_index(
        self, index: DocumentIndex, path: str, body: Mapping[str, Any], request: Request
    ) -> Response:
        if path == "/describe_index_stats":
            counts = index.namespaces()
            dense = [f for f in index.schema.values() if f["type"] == "dense_vector"]
            stats = {
                "namespaces": {name: {"vectorCount": n} for name, n in counts.items()},
                "dimension": dense[0]["dimension"] if dense else None,
                "indexFullness": 0.0,
                "totalVectorCount": sum(counts.values()),
                "metric": dense[0]["metric"] if dense else None,
            }
            return Response(200, stats)
        found = _DOCUMENTS.fullmatch(path)
        if not found or request.method != "POST":
            raise _Refusal(404, f"{path} not found")
        namespace = unquote(found[1])
        missing = namespace not in index.namespaces()
        match found[2]:
            case "upsert":
                if len(request.body) > MAX_UPSERT_BYTES:
                    raise _Refusal(413, "The request is larger than 2 MB")
                _only(body, {"documents"})
                return Response(
                    200, {"upserted_count": index.upsert(namespace, body.get("documents"))}
                )
            case "search":
                if missing and self.strict_namespaces:
                    raise _Refusal(404, "Namespace not found")
                hits = index.search(namespace, body)
                usage = {"read_units": 1}
                return Response(200, {"matches": hits, "namespace": namespace, "usage": usage})
            case "fetch":
                return _fetch(index, namespace, body)
            case "delete":
                if missing:
                    raise _Refusal(404, "Namespace not found")
                return _delete(index, namespace, body)
            case "list":
                _only(body, {"prefix", "limit", "pagination_token"})
                held = sorted(index.fetch(namespace, lambda _: True))
                listed = [{"_id": i} for i in held if i.startswith(body.get("prefix", ""))]
                usage = {"read_units": 1}
                return Response(200, {"documents": listed, "namespace": namespace, "usage": usage})
        raise _Refusal(404, f"{path} not found")

    def _create_index(self, body: Mapping[str, Any]) -> Response:
        _only(body, {"name", "schema", "deployment", "tags", "deletion_protection"})
        name = body.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Invalid("Name must consist of lower case alphanumeric characters or '-'")
        if name in self._indexes:
            raise _Refusal(409, f"Resource {name} already exists")
        fields = {field: dict(config) for field, config in body["schema"]["fields"].items()}
        for field, config in fields.items():
            _check_field(field, config)
        if sum(config["type"] == "dense_vector" for config in fields.values()) > 1:
            raise Invalid("An index has at most one dense vector field")
        deployment = body.get("deployment") or {
            "deployment_type": "managed",
            "cloud": "aws",
            "region": "us-east-1",
        }
        self._indexes[name] = DocumentIndex(
            fields, clock=self._clock, visible_after_s=self.visible_after_s
        )
        self._ready_at[name] = self._clock() + self.ready_after_s
        self._described[name] = {
            "name": name,
            "schema": {"fields": fields},
            "deployment": {**deployment, "environment": "local"},
            "deletion_protection": body.get("deletion_protection", "disabled"),
            "tags": body.get("tags"),
        }
        return Response(201, self._describe(name))

    def _describe(self, name: str) -> dict[str, Any]:
        ready = self._clock() >= self._ready_at[name]
        status = {"ready": ready, "state": "Ready" if ready else "Initializing"}
        host = self.host(name) if ready else None
        return {**self._described[name], "status": status, "host": host}


def _check_field(name: str, config: dict[str, Any]) -> None:
    """Refuses what the vendor refuses, and fills in its defaults."""
    if not 0 < len(name.encode()) <= 64 or name.startswith(("_", "$")):
        raise Invalid(f"'{name}' is not a valid field name")
    match config.get("type"):
        case "dense_vector":
            if not 1 <= config.get("dimension", 0) <= 20_000:
                raise Invalid("'dimension' must be between 1 and 20000")
            if config.get("metric") not in ("cosine", "dotproduct", "euclidean"):
                raise Invalid("'metric' must be cosine, dotproduct or euclidean")
            known = {"type", "dimension", "metric", "description"}
        case "string":
            search = config.get("full_text_search")
            if search is None or "ngram" in search:
                raise Invalid("a declared string field needs a search configuration")
            defaults = {"language": "en", "stemming": False, "stop_words": False}
            config["full_text_search"] = {**defaults, **search}
            known = {"type", "full_text_search", "description"}
        case other:
            raise _Refusal(422, f"schema.fields.{name}.type: unknown variant `{other}`")
    if extra := config.keys() - known:
        raise Invalid(f"field '{name}' does not take {sorted(extra)}")
    if config["type"] == "string":
        config["store_text"] = True
    config.setdefault("description", None)


def _fetch(index: DocumentIndex, namespace: str, body: Mapping[str, Any]) -> Response:
    _only(body, {"ids", "filter", "include_fields", "limit", "pagination_token"})
    if ("ids" in body) is ("filter" in body):
        raise Invalid("exactly one of 'ids' and 'filter' is needed")
    if "filter" in body:
        check_filter(body["filter"], data_fields=index.schema)
        found = index.fetch(namespace, lambda document: matches(body["filter"], document))
    else:
        found = index.fetch(namespace, lambda document: document["_id"] in body["ids"])
    names = body.get("include_fields") or ["*"]
    shown = {
        doc_id: {k: v for k, v in document.items() if k == "_id" or "*" in names or k in names}
        for doc_id, document in found.items()
    }
    usage = {"read_units": 1}
    return Response(200, {"documents": shown, "namespace": namespace, "usage": usage})


def _delete(index: DocumentIndex, namespace: str, body: Mapping[str, Any]) -> Response:
    _only(body, {"ids", "filter", "delete_all"})
    if len(body) != 1:
        raise Invalid("exactly one of 'ids', 'filter' and 'delete_all' is needed")
    if "ids" in body:
        ids = body["ids"]
        if not isinstance(ids, list) or not 0 < len(ids) <= MAX_IDS:
            raise Invalid(f"'ids' must hold 1 to {MAX_IDS} ids")
        index.delete(namespace, ids)
        return Response(200, {})
    doomed = list(
        index.fetch(namespace, lambda d: "filter" not in body or matches(body["filter"], d))
    )
    index.delete(namespace, doomed)
    return Response(200, {"matched_records": len(doomed)} if "filter" in body else {})


def _likeness(question: str, passage: str) -> float:
    return round(overlap(question, passage) ** 2 * 0.98 + 0.001, 6)


def _rerank(
    body: Mapping[str, Any], score: Callable[[str, str], float], *, short: bool
) -> Response:
    _only(
        body,
        {"model", "query", "documents", "rank_fields", "return_documents", "top_n", "parameters"},
    )
    model = body.get("model")
    if model not in RERANK_MODELS:
        raise _Refusal(404, f"Model '{model}' not found")
    limits = RERANK_MODELS[model]
    documents, fields = body.get("documents"), body.get("rank_fields", ["text"])
    if not isinstance(documents, list) or not 0 < len(documents) <= limits["documents"]:
        raise Invalid(f"'documents' must hold 1 to {limits['documents']} documents")
    if len(fields) != 1 or any(not document.get(fields[0]) for document in documents):
        raise Invalid(f"every document needs a non-empty '{fields[0]}'")
    query = body.get("query")
    if not isinstance(query, str) or not query:
        raise Invalid("'query' must not be empty")
    truncate = body.get("parameters", {}).get("truncate", "NONE")
    for document in documents:
        if truncate != "END" and count_tokens(query + document[fields[0]]) > limits["tokens"]:
            raise Invalid(f"Request contains a pair of more than {limits['tokens']} tokens")
    scored = [
        {"index": i, "score": score(query, document[fields[0]])}
        for i, document in enumerate(documents)
    ]
    scored.sort(key=lambda item: -item["score"])
    data: list[dict[str, Any]] = scored[: body.get("top_n", len(scored))]
    if short:
        data = data[:-1]
    if body.get("return_documents", True):
        data = [{**item, "document": documents[int(item["index"])]} for item in data]
    return Response(200, {"model": model, "data": data, "usage": {"rerank_units": 1}})


def _describe_model(name: str) -> Response:
    limits = {**RERANK_MODELS, **EMBEDDING_MODELS}.get(name)
    if limits is None:
        raise _Refusal(404, f"Model '{name}' not found")
    truncate = {
        "parameter": "truncate",
        "type": "one_of",
        "value_type": "string",
        "required": False,
        "default": "NONE",
        "allowed_values": ["END", "NONE"],
    }
    described: dict[str, Any] = {
        "model": name,
        "short_description": "A multilingual model",
        "type": "rerank",
        "supported_parameters": [truncate],
        "modality": "text",
        "max_sequence_length": limits["tokens"],
        "max_batch_size": limits["documents"],
        "provider_name": "Pinecone",
        "supported_metrics": [],
    }
    if name in EMBEDDING_MODELS:
        described |= {"type": "embed", "vector_type": "dense", "default_dimension": 1024}
        described["supported_metrics"] = ["cosine", "euclidean"]
    return Response(200, described)


def _body(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type") != "application/json":
        raise _Refusal(415, "Send application/json")
    try:
        body = request.json
    except ValueError:
        raise _Refusal(400, "The body is not JSON") from None
    if not isinstance(body, dict):
        raise _Refusal(400, "The body is not an object")
    return body


def _only(body: Mapping[str, Any], known: set[str]) -> None:
    if extra := body.keys() - known:
        raise Invalid(f"Unknown fields {sorted(extra)}")
