"""OpenAI's API as far as the service uses it: embeddings, chat completions, models."""

import base64
import re
import time
from collections.abc import Mapping
from typing import Any

from vendors.faults import Fault
from vendors.server import Request, Response, Vendor
from vendors.text import count_tokens, cut, embed, overlap

EMBEDDING_MODELS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
REASONING_MODELS = frozenset(
    {"gpt-6-luna", "gpt-6.1-terra", "gpt-6.2-sol", "gpt-5-mini", "o4-mini"}
)
CHAT_MODELS = REASONING_MODELS | {"gpt-4o", "gpt-4o-mini", "gpt-4.1-mini"}
MAX_INPUTS = 2048
MAX_INPUT_TOKENS = 8192
MAX_REQUEST_TOKENS = 300_000

_EMBEDDING_FIELDS = frozenset({"model", "input", "dimensions", "encoding_format", "user"})
_CHAT_FIELDS = frozenset(
    {
        "model",
        "messages",
        "max_completion_tokens",
        "max_tokens",
        "temperature",
        "reasoning_effort",
        "n",
        "stop",
        "seed",
        "store",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "service_tier",
    }
)
_DOCUMENT = re.compile(r'<document n="(\d+)">\n(.*?)\n</document>', re.DOTALL)
_QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)
_SENTENCE = re.compile(r"[^.!?。\n]+[.!?。]?(?:\s|$)|[^\n]+")
_ENOUGH = 0.3


class _Refusal(Exception):
    def __init__(self, status: int, message: str, *, code: str | None, param: str | None) -> None:
        super().__init__(message)
        body = {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }
        self.response = Response(status, {"error": body})


class OpenAIVendor(Vendor):
    """`api_key` is the one that opens it. `reasoning_tokens` is what a reasoning model
    spends before its first visible token. `reply`, if set, is what the model says.

    Operations for faults and records: `embeddings`, `chat`, `models`.
    """

    def __init__(self, *, api_key: str = "sk-local-openai", reasoning_tokens: int = 64) -> None:
        super().__init__()
        self.api_key = api_key
        self.reasoning_tokens = reasoning_tokens
        self.reply: str | None = None

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def operation_of(self, request: Request) -> str:
        paths = {
            "/v1/embeddings": "embeddings",
            "/v1/chat/completions": "chat",
            "/v1/models": "models",
        }
        if request.path.startswith("/v1/models/"):
            return "models"
        return paths.get(request.path, "unknown")

    def answer(self, request: Request, fault: Fault | None) -> Response:
        try:
            self._authenticate(request)
            match request.method, request.operation or self.operation_of(request):
                case "POST", "embeddings":
                    return self._embeddings(_body(request), fault)
                case "POST", "chat":
                    return self._chat(_body(request), fault)
                case "GET", "models":
                    return self._models(request.path.removeprefix("/v1/models").strip("/"))
            raise _Refusal(404, f"Invalid URL ({request.path})", code=None, param=None)
        except _Refusal as refusal:
            return refusal.response

    def error(self, fault: Fault) -> Response:
        headers = {}
        if fault.retry_after_s is not None:
            headers["retry-after"] = f"{fault.retry_after_s:g}"
        words = {
            401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
            403: ("invalid_request_error", "unsupported_country_region_territory", "Not here."),
            404: ("invalid_request_error", "model_not_found", "The model does not exist."),
            429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
            503: ("service_unavailable_error", "server_is_overloaded", "Overloaded."),
        }
        kind, code, message = words.get(fault.status, ("server_error", None, "The server failed."))
        body = {
            "message": message,
            "type": fault.type or (fault.code if fault.code == "insufficient_quota" else kind),
            "param": None,
            "code": fault.code or code,
        }
        return Response(fault.status, {"error": body}, headers)

    def _authenticate(self, request: Request) -> None:
        sent = request.headers.get("authorization", "")
        if sent != f"Bearer {self.api_key}":
            shown = sent.removeprefix("Bearer ")
            message = f"Incorrect API key provided: {shown[:7]}***{shown[-4:]}."
            raise _Refusal(401, message, code="invalid_api_key", param=None)

    def _models(self, wanted: str) -> Response:
        names = sorted(CHAT_MODELS | set(EMBEDDING_MODELS))
        data = [{"id": n, "object": "model", "created": 1, "owned_by": "openai"} for n in names]
        if not wanted:
            return Response(200, {"object": "list", "data": data})
        if wanted not in names:
            raise _no_model(wanted)
        return Response(200, data[names.index(wanted)])

    def _embeddings(self, body: Mapping[str, Any], fault: Fault | None) -> Response:
        _known_fields(body, _EMBEDDING_FIELDS)
        model = body.get("model")
        if model not in EMBEDDING_MODELS:
            raise _no_model(model)
        dimension = body.get("dimensions", EMBEDDING_MODELS[model])
        if "dimensions" in body and model == "text-embedding-ada-002":
            message = "This model does not support specifying dimensions."
            raise _Refusal(400, message, code=None, param=None)
        if not isinstance(dimension, int) or not 1 <= dimension <= EMBEDDING_MODELS[model]:
            message = f"Invalid value for 'dimensions' = {dimension}."
            raise _Refusal(400, message, code=None, param="dimensions")
        inputs = body.get("input")
        texts = [inputs] if isinstance(inputs, str) else inputs
        if (
            not isinstance(texts, list)
            or not 0 < len(texts) <= MAX_INPUTS
            or not all(isinstance(text, str) and text for text in texts)
        ):
            raise _Refusal(400, "'$.input' is invalid.", code=None, param="input")
        tokens = [count_tokens(text) for text in texts]
        if max(tokens) > MAX_INPUT_TOKENS or sum(tokens) > MAX_REQUEST_TOKENS:
            message = f"This model's maximum context length is {MAX_INPUT_TOKENS} tokens."
            raise _Refusal(400, message, code=None, param="input")
        form = body.get("encoding_format", "float")
        if form not in ("float", "base64"):
            message = f"'{form}' is not one of ['float', 'base64']."
            raise _Refusal(400, message, code=None, param="encoding_format")
        if fault and fault.kind == "wrong_dimension":
            dimension -= 1
        data = []
        for i, text in enumerate(texts):
            vector = embed(text, dimension)
            encoded: Any = (
                base64.b64encode(vector.tobytes()).decode() if form == "base64" else list(vector)
            )
            data.append({"object": "embedding", "index": i, "embedding": encoded})
        if fault and fault.kind == "shuffled":
            data.reverse()
        if fault and fault.kind == "missing":
            data.pop()
        usage = {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
        return Response(200, {"object": "list", "data": data, "model": model, "usage": usage})

    def _chat(self, body: Mapping[str, Any], fault: Fault | None) -> Response:
        _known_fields(body, _CHAT_FIELDS)
        model = body.get("model")
        if model not in CHAT_MODELS:
            raise _no_model(model)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise _Refusal(400, "'messages' is required.", code=None, param="messages")
        for message in messages:
            if message.get("role") not in ("system", "developer", "user", "assistant"):
                raise _Refusal(400, "Invalid role.", code="invalid_value", param="messages")
        reasons = model in REASONING_MODELS
        if reasons and "max_tokens" in body:
            text = "Unsupported parameter: 'max_tokens' is not supported with this model."
            raise _Refusal(400, text, code="unsupported_parameter", param="max_tokens")
        if reasons and body.get("temperature", 1) != 1:
            text = "Unsupported value: 'temperature' does not support this value."
            raise _Refusal(400, text, code="unsupported_value", param="temperature")
        cap = body.get("max_completion_tokens", body.get("max_tokens", 4096))
        if not isinstance(cap, int) or isinstance(cap, bool) or cap < 1:
            raise _Refusal(400, "Invalid cap.", code=None, param="max_completion_tokens")
        prompt = "\n".join(str(message.get("content", "")) for message in messages)
        content: str | None = self._completion(prompt, fault)
        finish = "stop"
        refusal: str | None = None
        reasoning = min(self.reasoning_tokens, cap) if reasons else 0
        if fault and fault.kind == "refusal":
            content, refusal = None, "I'm sorry, I can't help with that."
        elif fault and fault.kind == "content_filter":
            content, finish = None, "content_filter"
        elif count_tokens(content or "") > cap - reasoning:
            content, finish = cut(content or "", cap - reasoning), "length"
        completion = reasoning + count_tokens(content or "")
        answer: dict[str, Any] = {
            "role": "assistant",
            "content": content,
            "refusal": refusal,
            "annotations": [],
        }
        choice = {"index": 0, "message": answer, "logprobs": None, "finish_reason": finish}
        usage = {
            "prompt_tokens": count_tokens(prompt),
            "completion_tokens": completion,
            "total_tokens": count_tokens(prompt) + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
        }
        reply = {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": f"{model}-2026-09-01",
            "choices": [choice],
            "usage": usage,
            "service_tier": "default",
        }
        return Response(200, reply)

    def _completion(self, prompt: str, fault: Fault | None) -> str:
        """The sentence of a document block that has most of the question in it, cited."""
        if fault and fault.kind == "empty":
            return ""
        if self.reply is not None:
            return self.reply
        questions = _QUESTION.findall(prompt)
        question = questions[-1] if questions else prompt
        best, said = 0.0, "NO_ANSWER"
        for number, text in _DOCUMENT.findall(prompt):
            for sentence in _SENTENCE.findall(text):
                likeness = overlap(question, sentence)
                if likeness > best and likeness >= _ENOUGH:
                    best, said = likeness, f"{sentence.strip()} [{number}]"
        return said


def _body(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise _Refusal(400, "Send application/json.", code=None, param=None)
    try:
        body = request.json
    except ValueError:
        raise _Refusal(400, "We could not parse the JSON body.", code=None, param=None) from None
    if not isinstance(body, dict):
        raise _Refusal(400, "We could not parse the JSON body.", code=None, param=None)
    return body


def _known_fields(body: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in body:
        if name not in known:
            message = f"Unrecognized request argument supplied: {name}"
            raise _Refusal(400, message, code="unknown_parameter", param=name)


def _no_model(model: object) -> _Refusal:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return _Refusal(404, message, code="model_not_found", param="model")
