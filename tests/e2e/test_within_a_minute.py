"""What happens within a minute without anybody deploying or asking."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from e2e import logs
from e2e.stack import Cloud, Deployed
from e2e.waiting import until

WITHIN_S = 100.0
"""A minute, and what the local scheduler and a busy machine add."""

FENCED = "board"


@pytest.fixture(scope="module")
def fenced(crowd: httpx.Client, cloud: Cloud, deployed: Deployed) -> Iterator[None]:
    """A live configuration under which callers without a known key may use one namespace."""
    assert _asked(crowd, FENCED) == 200  # so that the environment has read that nothing holds
    at_once = cloud.client("appconfig").create_deployment_strategy(
        Name="e2e-at-once",
        DeploymentDurationInMinutes=0,
        FinalBakeTimeInMinutes=0,
        GrowthFactor=100,
        ReplicateTo="NONE",
    )["Id"]
    _deploy(cloud, deployed, {"key_namespaces": {"anonymous": ["default"]}}, strategy=at_once)
    yield
    _deploy(cloud, deployed, {}, strategy=at_once)
    cloud.client("appconfig").delete_deployment_strategy(DeploymentStrategyId=at_once)


def test_a_live_configuration_that_nobody_has_deployed_is_no_trouble(
    crowd: httpx.Client, cloud: Cloud, deployed: Deployed
) -> None:
    assert _asked(crowd, FENCED) == 200
    said = logs.messages(cloud, deployed.outputs["SearchFunction"])
    assert any("live configuration in force" in message for message in said)
    assert not [message for message in said if "live configuration not usable" in message]


@pytest.mark.usefixtures("fenced")
def test_the_service_asks_itself_every_minute(cloud: Cloud, deployed: Deployed) -> None:
    """Nobody else calls the function while this waits."""
    before = _invocations(cloud, deployed)
    seen = until(
        lambda: _invocations(cloud, deployed), lambda count: count > before, within_s=WITHIN_S
    )
    assert seen == before + 1


@pytest.mark.usefixtures("fenced")
def test_a_namespace_is_closed_to_callers_without_a_deployment(
    crowd: httpx.Client, deployed: Deployed
) -> None:
    """The local gateway passes no id of a key on, so all its callers are anonymous."""
    until(lambda: _asked(crowd, FENCED), lambda status: status == 403, within_s=WITHIN_S)
    refused = crowd.post("/search", json={"query": "anything", "namespace": FENCED})
    assert refused.json()["type"] == "urn:steadyrag:problem:forbidden"
    assert FENCED not in refused.json()["detail"]
    assert _asked(crowd, "default") == 200
    until(
        lambda: crowd.get("/documents/a.md", params={"namespace": FENCED}).status_code,
        lambda status: status == 403,
        within_s=WITHIN_S,
    )
    put = crowd.post("/documents", json={"id": "a.md", "namespace": FENCED, "text": "x"})
    assert put.status_code == 403


def _asked(crowd: httpx.Client, namespace: str) -> int:
    asked = {"query": "What does the board do?", "namespace": namespace, "generate": False}
    return crowd.post("/search", json=asked).status_code


def _deploy(cloud: Cloud, deployed: Deployed, document: dict[str, Any], *, strategy: str) -> None:
    """As an operator does, but at once for all environments."""
    appconfig = cloud.client("appconfig")
    application, environment, profile = deployed.outputs["LiveConfig"].split("/")
    version = appconfig.create_hosted_configuration_version(
        ApplicationId=application,
        ConfigurationProfileId=profile,
        Content=json.dumps(document).encode(),
        ContentType="application/json",
    )["VersionNumber"]
    number = appconfig.start_deployment(
        ApplicationId=application,
        EnvironmentId=environment,
        ConfigurationProfileId=profile,
        ConfigurationVersion=str(version),
        DeploymentStrategyId=strategy,
    )["DeploymentNumber"]

    def state() -> str:
        found = appconfig.get_deployment(
            ApplicationId=application, EnvironmentId=environment, DeploymentNumber=number
        )
        return str(found["State"])

    until(state, lambda seen: seen == "COMPLETE")


def _invocations(cloud: Cloud, deployed: Deployed) -> int:
    said = logs.messages(cloud, deployed.outputs["HealthFunction"])
    return sum(message.startswith("REPORT ") for message in said)
