"""A release in AWS: the version that is to be tried, and CodeDeploy, which waits for a word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from steadyrag.adapters.aws_client import AwsClient
from steadyrag.domain.errors import Throttled, Unavailable

REPORT_TIMEOUT_S = 5.0


class LambdaVersion:
    """A `NewVersion`: one version of a function by its ARN."""

    def __init__(self, arn: str, *, timeout_s: float) -> None:
        self._arn = arn
        self._client = AwsClient(
            "lambda",
            name="lambda",
            endpoint_url=None,
            region=None,
            timeout_s=timeout_s,
            connect_timeout_s=timeout_s,
        )

    async def invoke(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        def work(client: Any) -> tuple[bool, Any]:
            answer = client.invoke(FunctionName=self._arn, Payload=json.dumps(event).encode())
            return "FunctionError" in answer, json.loads(answer["Payload"].read())

        broke, said = await self._client.run(work)
        if broke:  # the message may quote anything; `errorType` is the name of a class
            kind = said.get("errorType", "an error") if isinstance(said, dict) else "an error"
            raise Unavailable("search", f"broke with {kind}")
        if not isinstance(said, dict):
            raise Unavailable("search", "answered no JSON object")
        return said

    async def aclose(self) -> None:
        await self._client.aclose()


class CodeDeploy:
    """`Deployments`. Being told twice does no harm, so it is told again if it did not hear."""

    def __init__(self) -> None:
        self._client = AwsClient(
            "codedeploy",
            name="codedeploy",
            endpoint_url=None,
            region=None,
            timeout_s=REPORT_TIMEOUT_S,
            connect_timeout_s=REPORT_TIMEOUT_S,
        )

    async def report(self, deployment_id: str, execution_id: str, *, succeeded: bool) -> None:
        try:
            await self._report(deployment_id, execution_id, succeeded)
        except (Unavailable, Throttled):
            await self._report(deployment_id, execution_id, succeeded)

    async def _report(self, deployment_id: str, execution_id: str, succeeded: bool) -> None:
        await self._client.call(
            "put_lifecycle_event_hook_execution_status",
            deploymentId=deployment_id,
            lifecycleEventHookExecutionId=execution_id,
            status="Succeeded" if succeeded else "Failed",
        )

    async def aclose(self) -> None:
        await self._client.aclose()
