"""The question that a new version has to answer before it gets any traffic.

CodeDeploy runs this between publishing a version and moving the alias, and waits for an hour
to be told how it went: so it is always told, whatever happens.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from steadyrag.domain.access import SMOKE
from steadyrag.domain.errors import DependencyError
from steadyrag.smoke import QUESTIONS, answer_problems

log = logging.getLogger(__name__)

ATTEMPTS: Final = 2
"""A dependency that fails for a moment is no reason to roll a release back."""
PAUSE_S: Final = 1.0


class NewVersion(Protocol):
    async def invoke(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the function answers to an event. Raises `DependencyError`, also where the
        function itself breaks."""


class Deployments(Protocol):
    async def report(self, deployment_id: str, execution_id: str, *, succeeded: bool) -> None:
        """Raises `DependencyError`."""


async def smoke_hook(
    event: Mapping[str, Any], version: NewVersion, deployments: Deployments, *, budget_s: float
) -> bool:
    """Whether the version answers, having told CodeDeploy so. Asking takes `budget_s` at most.

    Raises `DependencyError` when CodeDeploy can't be told, and `ValueError` for an event that
    is none of its own.
    """
    deployment_id, execution_id = hook_ids(event)
    succeeded = False
    try:
        async with asyncio.timeout(budget_s):
            succeeded = await _answers(version, execution_id)
    except TimeoutError:
        log.error("smoke failed", extra={"reason": f"no answer within {budget_s:g} s"})
    except Exception as error:  # CodeDeploy has to hear of it, too
        log.exception("smoke broke", extra={"reason": type(error).__name__})
    await deployments.report(deployment_id, execution_id, succeeded=succeeded)
    return succeeded


def hook_ids(event: Mapping[str, Any]) -> tuple[str, str]:
    """The ids of the deployment and of this run of the hook. Raises `ValueError`."""
    try:
        return str(event["DeploymentId"]), str(event["LifecycleEventHookExecutionId"])
    except (KeyError, TypeError):
        raise ValueError(
            "not an event of a CodeDeploy hook: it has a DeploymentId and a "
            "LifecycleEventHookExecutionId"
        ) from None


async def _answers(version: NewVersion, execution_id: str) -> bool:
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(PAUSE_S)
        try:
            problems = reply_problems(await version.invoke(search_event(execution_id)))
        except DependencyError as error:
            problems = [str(error)]
        if not problems:
            log.info("smoke passed", extra={"attempt": attempt + 1})
            return True
        log.error("smoke failed", extra={"attempt": attempt + 1, "reason": "; ".join(problems)})
    return False


def search_event(execution_id: str) -> dict[str, Any]:
    """A question as a REST API's proxy event has it (payload format 1.0).

    The caller is one that nobody else is, so that no limit which others have used up refuses
    it. A held answer does not count.
    """
    headers = {"Content-Type": "application/json", "Cache-Control": "no-cache"}
    return {
        "resource": "/search",
        "path": "/search",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/search",
            "httpMethod": "POST",
            "path": "/search",
            "stage": "smoke",
            "requestId": f"smoke-{execution_id}"[:128],
            "authorizer": {"principalId": f"smoke-{execution_id}"},
            "identity": {"sourceIp": "127.0.0.1", "apiKeyId": SMOKE},
            "protocol": "HTTP/1.1",
        },
        "body": json.dumps({"query": QUESTIONS[0]}),
        "isBase64Encoded": False,
    }


def reply_problems(reply: Any) -> list[str]:
    """What is wrong with what the function answered, in words and without the answer."""
    if not isinstance(reply, Mapping):
        return ["the function answered no JSON object"]
    if reply.get("statusCode") != 200:
        return [f"the function answered {reply.get('statusCode')}"]
    try:
        return answer_problems(json.loads(reply["body"]))
    except (KeyError, TypeError, ValueError):
        return ["the body is no JSON"]
