"""What a client does first after a deploy: is it up, does it answer, does it refuse well.

One request after another, as one client would send them.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from steadyrag.doctor.checking import Finding, fail, ok, warn
from steadyrag.domain.errors import DependencyError

QUESTIONS: Final = ("What is this about?", "이 문서는 무엇에 대한 것인가요?")
MODES: Final = frozenset({"full", "partial", "keyword_only", "cached", "canned"})
PROBLEM: Final = "application/problem+json"
_SOURCE_FIELDS: Final = ("id", "document_id", "title", "text", "score", "rank")


class Reply(Protocol):
    """An HTTP response. Header names are in any case."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def text(self) -> str: ...


class Send(Protocol):
    """Sends a request to a path below the service's address. Raises `DependencyError`."""

    async def __call__(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One request and what is to be said of its answer; `status` is None where none came."""

    name: str
    status: int | None
    latency_ms: float
    findings: Sequence[Finding]


async def smoke(
    send: Send,
    *,
    api_key: str | None,
    questions: Sequence[str] = QUESTIONS,
    namespace: str = "default",
) -> AsyncIterator[Step]:
    """The steps as they are done; none after the first where nobody answers. Without a key it
    is a service that asks for none."""
    key = {"X-Api-Key": api_key} if api_key else {}

    def body(query: str) -> bytes:
        return json.dumps({"query": query, "namespace": namespace}).encode()

    as_json = {"Content-Type": "application/json"}
    live = await _step("live", send, "GET", "/health/live", _live)
    yield live
    if live.status is None:
        return
    yield await _step("health", send, "GET", "/health", _health, headers=key)
    for question in questions:
        yield await _step(
            f"search “{question}”",
            send,
            "POST",
            "/search",
            _search,
            headers=key | as_json,
            body=body(question),
        )
    if api_key:
        yield await _step(
            "search without a key",
            send,
            "POST",
            "/search",
            _closed,
            headers=as_json,
            body=body(questions[0]),
        )
    yield await _step(
        "search for nothing",
        send,
        "POST",
        "/search",
        _bad_input,
        headers=key | as_json,
        body=body(""),
    )


def answer_problems(answer: Any) -> list[str]:
    """What is wrong with the body of an answer to a question, in words. A degraded answer is
    a right one, except for a canned one, which says nothing."""
    if not isinstance(answer, dict):
        return ["the answer is no JSON object"]
    problems = []
    mode, sources = answer.get("mode"), answer.get("sources")
    if not isinstance(answer.get("search_id"), str) or not answer["search_id"]:
        problems.append("it has no search_id")
    if mode not in MODES:
        problems.append("its mode is none that there is")
    if mode == "canned":
        problems.append("it is canned: neither the index nor an earlier answer could be had")
    if not isinstance(answer.get("answer"), str) or not answer["answer"].strip():
        problems.append("it has no text")
    if not isinstance(sources, list) or not all(
        isinstance(source, dict) and all(name in source for name in _SOURCE_FIELDS)
        for source in sources
    ):
        problems.append("its sources are not as documented")
    return problems


async def _step(
    name: str,
    send: Send,
    method: str,
    path: str,
    judge: Callable[[Reply], list[Finding]],
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Step:
    started = time.perf_counter()

    def took_ms() -> float:
        return (time.perf_counter() - started) * 1000

    try:
        reply = await send(method, path, headers=headers or {}, body=body)
    except DependencyError as error:
        do = "see that the address is right and the service is up"
        return Step(name, None, took_ms(), [fail(str(error), do=do)])
    latency_ms = took_ms()
    return Step(name, reply.status_code, latency_ms, judge(reply))


def _live(reply: Reply) -> list[Finding]:
    if reply.status_code != 200 or _json(reply).get("status") != "ok":
        return [_unexpected(reply, 200)]
    return [ok(f"version {_json(reply).get('version', 'unknown')}")]


def _health(reply: Reply) -> list[Finding]:
    said = _json(reply)
    checks = said.get("checks")
    if reply.status_code not in (200, 503) or not isinstance(checks, dict):
        return [_unexpected(reply, 200)]
    bad = {
        name: check.get("detail") or check.get("status")
        for name, check in checks.items()
        if isinstance(check, dict) and check.get("status") != "ok"
    }
    told = "; ".join(f"{name}: {why}" for name, why in bad.items())
    do = "`steadyrag doctor` says what to do about each"
    if reply.status_code == 503:
        return [fail(f"it can't answer: {told or 'the index is lost'}", do=do)]
    if said.get("status") != "ok":
        return [warn(f"degraded: {told or 'a circuit breaker is open'}", do=do)]
    return [ok(", ".join(checks))]


def _search(reply: Reply) -> list[Finding]:
    if reply.status_code != 200:
        return [_unexpected(reply, 200)]
    answer = _json(reply)
    if problems := answer_problems(answer):
        do = "GET /health says which dependency is lost, `steadyrag doctor` what to do about it"
        return [fail(f"the answer is wrong: {'; '.join(problems)}", do=do)]
    findings = []
    if "total;dur=" not in reply.headers.get("Server-Timing", ""):
        do = "see what stands between here and the service and drops headers"
        findings.append(fail("there is no Server-Timing header", do=do))
    if "RateLimit" not in reply.headers:
        do = "set STEADYRAG_RATE_LIMIT or STEADYRAG_KEY_RATE_LIMIT, unless nobody is to be limited"
        findings.append(warn("there is no RateLimit header: nothing is limited", do=do))
    if answer["mode"] != "full":
        lost = ", ".join(map(str, answer.get("degraded", []))) or "nothing named"
        do = "`steadyrag doctor` says what is wrong with it"
        findings.append(warn(f"mode {answer['mode']}; lost: {lost}", do=do))
    if not answer["sources"]:
        do = "put documents into the namespace, or ask a --question that they answer"
        findings.append(warn("nothing was found", do=do))
    cache = answer.get("cache", {}).get("status", "unknown")
    return findings or [ok(f"mode full, {len(answer['sources'])} sources, cache {cache}")]


def _closed(reply: Reply) -> list[Finding]:
    if reply.status_code == 200:
        do = "set ApiKeyRequired on the API and deploy again"
        return [fail("it answers anybody, key or not", do=do)]
    return _refusal(reply, 403)


def _bad_input(reply: Reply) -> list[Finding]:
    findings = _refusal(reply, 422)
    fields = [e.get("field") for e in _json(reply).get("errors", []) if isinstance(e, dict)]
    if findings[0].status == "ok" and "query" not in fields:
        return [fail("the problem does not name the field", do=_LOG)]
    return findings


def _refusal(reply: Reply, status: int) -> list[Finding]:
    if reply.status_code != status:
        return [_unexpected(reply, status)]
    problem = _json(reply)
    kind = reply.headers.get("Content-Type", "").partition(";")[0]
    if kind != PROBLEM or not str(problem.get("type", "")).startswith("urn:steadyrag:problem:"):
        return [fail(f"a {status} that is no problem document", do=_LOG)]
    return [ok(f"refused: {problem.get('title', '')}")]


_LOG = "see the function's log by the X-Request-Id of the answer"


def _unexpected(reply: Reply, wanted: int) -> Finding:
    request_id = reply.headers.get("X-Request-Id", "unknown")
    do = {
        401: "pass a key that the API knows: --api-key or STEADYRAG_API_KEY",
        403: "pass a key of the API's usage plan: --api-key or STEADYRAG_API_KEY",
        404: "correct the address: the API's ends in its stage, such as …/v1",
        429: "a limit is reached; wait as long as Retry-After says and run this again",
    }.get(reply.status_code, f"see the function's log for request {request_id}")
    detail = _json(reply).get("detail")
    said = f"answered {reply.status_code} instead of {wanted}"
    return fail(f"{said}: {detail}" if isinstance(detail, str) else said, do=do)


def _json(reply: Reply) -> dict[str, Any]:
    """The body, or nothing where it is no JSON object."""
    try:
        body = json.loads(reply.text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
