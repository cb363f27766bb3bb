"""A second release over the first, and the end of the stack."""

from pathlib import Path
from typing import Any

import httpx

from e2e import stack
from e2e.conftest import KEYS, SAM, Step
from e2e.stack import Cloud, Deployed


def test_a_new_release_and_a_changed_parameter_reach_the_alias(
    client: httpx.Client,
    cloud: Cloud,
    app: Path,
    deployed: Deployed,
    parameters: dict[str, str],
    step: Step,
) -> None:
    question = {"query": "How long are nightly backups kept?"}
    assert client.post("/search", json=question).status_code == 200
    parameter_store = cloud.client("ssm")
    for name, value in KEYS.items():
        parameter_store.put_parameter(Name=f"/steadyrag/{name}", Value=value, Type="SecureString")
    first = _live(cloud, deployed)
    for function in ("SearchFunction", "HealthFunction"):
        (app / function / "RELEASE").write_text("the second\n")
    with step("sam deploy of a second release, with its keys in SSM"):
        stack.deploy(cloud, SAM, app / "template.json", {**parameters, "SecretStore": "ssm"})
    second = _live(cloud, deployed)
    assert second["FunctionVersion"] != first["FunctionVersion"]
    live = cloud.client("lambda").get_function_configuration(
        FunctionName=deployed.outputs["SearchFunction"], Qualifier="live"
    )
    given = live["Environment"]["Variables"]
    assert given["STEADYRAG_OPENAI_API_KEY_FROM"] == "ssm:/steadyrag/openai-api-key"
    assert "dynamodb" in _cache_tiers(client, question)  # where the first release left it
    response = client.post("/search", json=question, headers={"cache-control": "no-cache"})
    assert response.status_code == 200, response.text
    assert response.json()["mode"] == "full"
    assert response.json()["cache"]["status"] == "bypass"
    assert "35 days" in response.json()["answer"]


def test_a_deleted_stack_leaves_nothing(
    client: httpx.Client, cloud: Cloud, deployed: Deployed, step: Step
) -> None:
    with step("sam delete"):
        stack.delete(cloud, SAM)
    assert client.get("/health/live").status_code in (403, 404)
    assert cloud.client("lambda").list_functions()["Functions"] == []
    assert cloud.client("lambda").list_layers()["Layers"] == []
    # The local AWS doesn't keep what a nested stack asks to keep: tests/infra reads that it asks.
    assert cloud.client("dynamodb").list_tables()["TableNames"] == []
    buckets = [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]
    assert buckets == [stack.BUCKET]
    assert cloud.client("sqs").list_queues().get("QueueUrls", []) == []
    assert cloud.client("sns").list_topics()["Topics"] == []
    assert cloud.client("scheduler").list_schedules()["Schedules"] == []
    assert cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert cloud.client("appconfig").list_applications()["Items"] == []
    assert cloud.client("logs").describe_log_groups()["logGroups"] == []
    assert cloud.client("apigateway").get_rest_apis()["items"] == []
    assert cloud.client("apigateway").get_api_keys()["items"] == []
    roles = cloud.client("iam").list_roles()["Roles"]
    assert [role["RoleName"] for role in roles if role["RoleName"].startswith(stack.STACK)] == []


def _cache_tiers(client: httpx.Client, question: dict[str, str]) -> list[str | None]:
    """Of a few answers: a store that a busy machine makes slow is passed over."""
    answers = [client.post("/search", json=question) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["cache"]["tier"] for answer in answers]


def _live(cloud: Cloud, deployed: Deployed) -> dict[str, Any]:
    name = deployed.outputs["SearchFunction"]
    alias: dict[str, Any] = cloud.client("lambda").get_alias(FunctionName=name, Name="live")
    return alias
