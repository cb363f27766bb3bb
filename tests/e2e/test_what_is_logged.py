"""What operators read: the functions' metrics in their logs, and the gateway's access log."""

import json
import re
import time
from typing import Any

import httpx
import pytest

from e2e import logs
from e2e.shelf import Shelf
from e2e.stack import STACK, Cloud, Deployed
from steadyrag.telemetry.catalogue import CATALOGUE, DIMENSIONS, NAMESPACE

UNITS = {metric.name: metric.unit for metric in CATALOGUE}
KNOWN_TO_API_GATEWAY = frozenset(
    {
        "requestId",
        "identity.apiKeyId",
        "identity.sourceIp",
        "identity.userAgent",
        "httpMethod",
        "path",
        "status",
        "responseLatency",
        "integration.status",
        "integration.latency",
        "error.message",
        "error.responseType",
        "xrayTraceId",
        "requestTimeEpoch",
    }
)
"""Of what it documents for the access logs of REST APIs, what is used here."""


@pytest.fixture(scope="module", autouse=True)
def _something_was_done(crowd: httpx.Client, shelf: Shelf) -> None:
    crowd.post("/search", json={"query": "What is counted?"})
    shelf.post(id="counted.md", namespace="logged", text="Everything is counted.")
    shelf.until("counted.md", "indexed", namespace="logged")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("SearchFunction", {"Requests", "Latency", "CacheHit", "Cost", "PromptTokens"}),
        ("IngestFunction", {"Ingested", "IngestLag"}),
    ],
)
def test_metrics_are_printed_as_cloudwatch_reads_them(
    cloud: Cloud, deployed: Deployed, function: str, expected: set[str]
) -> None:
    documents = logs.metrics(cloud, deployed.outputs[function])
    named = set()
    for document in documents:
        head = document["_aws"]
        assert abs(time.time() - head["Timestamp"] / 1000) < 3600
        for directive in head["CloudWatchMetrics"]:
            assert directive["Namespace"] == NAMESPACE
            for dimension in (name for names in directive["Dimensions"] for name in names):
                value = document[dimension]
                known = {**DIMENSIONS, "service": {STACK}, "model": {value}}
                assert value in known[dimension]
            for metric in directive["Metrics"]:
                assert UNITS[metric["Name"]] == metric["Unit"]
                assert all(isinstance(value, float | int) for value in document[metric["Name"]])
                named.add(metric["Name"])
    assert expected <= named


def test_every_line_of_a_function_is_json_or_the_platforms(
    cloud: Cloud, deployed: Deployed
) -> None:
    """CloudWatch Logs Insights finds fields in lines that are JSON and nothing else."""
    for name in ("SearchFunction", "DocumentsFunction", "IngestFunction", "HealthFunction"):
        for message in logs.messages(cloud, deployed.outputs[name]):
            if not message.startswith(("START ", "END ", "REPORT ", "INIT_START ")):
                json.loads(message)


def test_the_access_log_has_a_place_and_a_format(cloud: Cloud, deployed: Deployed) -> None:
    """The local gateway writes none: what it was told is looked at."""
    api_id, stage = deployed.url.split("/")[-2:]
    setting: dict[str, Any] = processed_stage(cloud)["AccessLogSetting"]
    line = re.sub(r"\$context\.[A-Za-z.]+", "0", setting["Format"])
    assert {"request_id", "status", "latency_ms", "error_type", "key_id"} <= json.loads(line).keys()
    used = set(re.findall(r"\$context\.([A-Za-z.]+)", setting["Format"]))
    assert used <= KNOWN_TO_API_GATEWAY
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/apigateway/")
    (group,) = [g for g in groups["logGroups"] if g["logGroupName"] == f"/aws/apigateway/{STACK}"]
    assert group["retentionInDays"] == 30
    found = cloud.client("apigateway").get_stage(restApiId=api_id, stageName=stage)
    assert found["tracingEnabled"] is True
    account = cloud.client("apigateway").get_account()
    assert "GatewayLogRole" in account["cloudwatchRoleArn"]


def processed_stage(cloud: Cloud) -> dict[str, Any]:
    body = cloud.client("cloudformation").get_template(StackName=STACK, TemplateStage="Processed")[
        "TemplateBody"
    ]
    template = json.loads(body) if isinstance(body, str) else body
    (stage,) = [r for r in template["Resources"].values() if r["Type"] == "AWS::ApiGateway::Stage"]
    properties: dict[str, Any] = stage["Properties"]
    return properties
