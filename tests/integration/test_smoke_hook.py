"""The pre-traffic hook: real boto3, talking to servers that speak Lambda's and CodeDeploy's
wire formats, and the real search function behind the former."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

from integration.test_lambda import CONTEXT, FUNCTIONS, load_function
from integration.vendored import Vendors
from steadyrag.domain.errors import DependencyError
from steadyrag.wiring import smoke as wiring
from vendors import Fault, serving
from vendors.server import Request, Response, Vendor

VERSION = "arn:aws:lambda:us-east-1:123456789012:function:steadyrag-search:7"
EVENT = {"DeploymentId": "d-1A2B3C4D5", "LifecycleEventHookExecutionId": "eyJlbmNyeXB0ZWQ"}

type Answer = Callable[[dict[str, Any]], Any]


class Lambda(Vendor):
    """Invoke, of one version. `function` answers an event, or raises as a handler does."""

    def __init__(self) -> None:
        super().__init__()
        self.function: Answer = lambda event: answered("full")
        self._environment = ThreadPoolExecutor(1)

    def deploy(self, name: str) -> Answer:
        """The handler of one of our functions, with a thread and a loop of its own."""
        return self._environment.submit(_loaded, name).result()

    def operation_of(self, request: Request) -> str:
        return "invoke" if request.path.endswith("/invocations") else "unknown"

    def answer(self, request: Request, fault: Fault | None) -> Response:
        arn = unquote(request.path.split("/")[3])
        if request.operation != "invoke" or arn != VERSION:
            return self.error(Fault("status", status=404, code="ResourceNotFoundException"))
        try:
            return Response(200, self._environment.submit(self.function, request.json).result())
        except Exception as error:
            broken = {"errorMessage": "private words", "errorType": type(error).__name__}
            return Response(200, broken, {"x-amz-function-error": "Unhandled"})

    def error(self, fault: Fault) -> Response:
        code = fault.code or "ServiceException"
        return Response(fault.status, {"Message": "no"}, {"x-amzn-errortype": code})


def _loaded(name: str) -> Answer:
    asyncio.set_event_loop(asyncio.new_event_loop())
    handler = load_function(name).handler
    return lambda event: handler(event, CONTEXT)


class CodeDeploy(Vendor):
    """PutLifecycleEventHookExecutionStatus."""

    def operation_of(self, request: Request) -> str:
        assert request.headers["content-type"] == "application/x-amz-json-1.1"
        return request.headers["x-amz-target"]

    def answer(self, request: Request, fault: Fault | None) -> Response:
        known = {"deploymentId", "lifecycleEventHookExecutionId", "status"}
        if request.json.keys() != known or request.json["status"] not in ("Succeeded", "Failed"):
            return self.error(
                Fault("status", status=400, code="InvalidLifecycleEventHookException")
            )
        told = {"lifecycleEventHookExecutionId": request.json["lifecycleEventHookExecutionId"]}
        return Response(200, told)

    def error(self, fault: Fault) -> Response:
        return Response(fault.status, {"__type": fault.code or "InternalFailure"})

    @property
    def told(self) -> list[str]:
        assert all(r.operation.startswith("CodeDeploy_20141006.Put") for r in self.requests)
        assert all(r.json["deploymentId"] == EVENT["DeploymentId"] for r in self.requests)
        return [request.json["status"] for request in self.requests]


def answered(mode: str, **changes: Any) -> dict[str, Any]:
    body = {"search_id": "s1", "answer": "Yes [1].", "sources": [], "mode": mode, "degraded": []}
    return {"statusCode": 200, "headers": {}, "body": json.dumps(body | changes)}


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    monkeypatch.setattr("steadyrag.smoke_hook.PAUSE_S", 0.01)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("STEADYRAG_SMOKE_FUNCTION", VERSION)
    with serving(Lambda()) as vendor:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", vendor.url)
        yield vendor


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[CodeDeploy]:
    with serving(CodeDeploy()) as vendor:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CODEDEPLOY", vendor.url)
        yield vendor


def run(event: Any = EVENT, left_s: float = 60.0) -> None:
    """As Lambda runs it, which the loop of a test must not be in the way of."""
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: left_s * 1000)
    with ThreadPoolExecutor(1) as environment:
        environment.submit(load_function("smoke").handler, event, context).result()


def test_a_version_that_answers_gets_traffic(version, deploy, local: Vendors, monkeypatch):
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    version.function = version.deploy("search")
    run()
    assert deploy.told == ["Succeeded"]
    assert len(local.pinecone.requests) >= 2  # it really searched


@pytest.mark.parametrize("mode", ["full", "partial", "keyword_only", "cached"])
def test_a_degraded_answer_is_an_answer(version, deploy, mode):
    version.function = lambda event: answered(mode)
    run()
    assert deploy.told == ["Succeeded"]


@pytest.mark.parametrize(
    "reply",
    [
        answered("canned"),
        answered("none of these"),
        answered("full", answer=None),
        answered("full", answer=" "),
        answered("full", sources=[{"id": "c1"}]),
        answered("full", search_id=None),
        {"statusCode": 500, "body": "{}"},
        {"statusCode": 429, "body": "{}"},
        {"statusCode": 403, "body": '{"message": "Forbidden"}'},
        {"statusCode": 200, "body": "<html>"},
        {"statusCode": 200},
        ["nothing"],
        None,
    ],
    ids=str,
)
def test_a_version_that_answers_wrongly_twice_gets_none(version, deploy, reply):
    version.function = lambda event: reply
    run()
    assert deploy.told == ["Failed"]
    assert len(version.requests) == 2


def test_one_bad_moment_is_forgiven(version, deploy):
    replies = [answered("canned"), answered("full")]
    version.function = lambda event: replies.pop(0)
    run()
    assert deploy.told == ["Succeeded"]


def test_a_version_that_breaks_gets_no_traffic_and_its_words_stay_out_of_the_log(
    version, deploy, capfd
):
    version.function = lambda event: 1 / 0
    run()
    assert deploy.told == ["Failed"]
    log = capfd.readouterr().err
    assert "ZeroDivisionError" in log
    assert "private words" not in log


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=404, code="ResourceNotFoundException"),
        Fault("status", status=429, code="TooManyRequestsException"),
        Fault("status", status=403, code="AccessDeniedException"),
        Fault("reset"),
        Fault("garbage"),
        Fault("half"),
    ],
    ids=lambda fault: fault.code or fault.kind,
)
def test_a_version_that_cannot_be_invoked_gets_no_traffic(version, deploy, fault):
    version.faults.add("invoke", fault)
    run()
    assert deploy.told == ["Failed"]


def test_a_version_that_hangs_is_given_up_while_there_is_time_to_say_so(
    version, deploy, monkeypatch
):
    monkeypatch.setattr(wiring, "REPORT_S", 1.0)
    version.faults.add("invoke", Fault("hang"))
    run(left_s=2.5)
    assert deploy.told == ["Failed"]
    assert len(version.requests) == 1


def test_codedeploy_is_told_again_where_it_did_not_hear(version, deploy):
    deploy.faults.add("*", Fault("status", status=500), times=1)
    run()
    assert deploy.told == ["Succeeded", "Succeeded"]


def test_a_codedeploy_that_does_not_hear_makes_the_hook_fail(version, deploy):
    deploy.faults.add("*", Fault("status", status=400, code="DeploymentDoesNotExistException"))
    with pytest.raises(DependencyError, match="DeploymentDoesNotExist"):
        run()


@pytest.mark.parametrize(
    ("name", "value"),
    [("STEADYRAG_SMOKE_FUNCTION", ""), ("STEADYRAG_DEADLINE_S", "soon")],
)
def test_wrong_settings_fail_the_deployment_and_not_the_hook(
    version, deploy, monkeypatch, capfd, name, value
):
    monkeypatch.setenv(name, value)
    run()
    assert deploy.told == ["Failed"]
    assert version.requests == []
    assert name in capfd.readouterr().err


def test_an_event_of_somebody_else_is_refused(version, deploy):
    with pytest.raises(ValueError, match="CodeDeploy"):
        run({"Records": []})
    assert version.requests == deploy.requests == []


def test_no_limit_that_others_used_up_refuses_the_question(
    version, deploy, local, monkeypatch, valkey_cluster
):
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STEADYRAG_CACHE_URL", valkey_cluster.url)
    monkeypatch.setenv("STEADYRAG_RATE_LIMIT", "1/day")
    version.function = version.deploy("search")
    for attempt in range(3):
        run(EVENT | {"LifecycleEventHookExecutionId": f"run-{id(version)}-{attempt}"})
    assert deploy.told == ["Succeeded"] * 3


def test_a_held_answer_does_not_count(version, deploy, local, monkeypatch):
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    version.function = version.deploy("search")
    run()
    asked = len(local.pinecone.asked("vector_search"))
    run()
    assert len(local.pinecone.asked("vector_search")) > asked
    assert deploy.told == ["Succeeded"] * 2


def test_where_keys_have_namespaces_the_hook_still_sees_an_answer(
    version, deploy, local, monkeypatch
):
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STEADYRAG_KEY_NAMESPACES", "a1b2c3=hr")
    version.function = version.deploy("search")
    run()
    assert deploy.told == ["Succeeded"]


def test_the_hook_imports_nothing_of_a_search(version):
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1]);"
        "heavy = ('fastapi', 'openai', 'pinecone', 'redis', 'steadyrag.search');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FUNCTIONS / "smoke.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
