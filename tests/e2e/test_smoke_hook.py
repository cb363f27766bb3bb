"""The hook that CodeDeploy runs before a new version of search gets traffic."""

import json

from e2e.codedeploy import CodeDeploy
from e2e.stack import Cloud, Deployed


def run_hook(cloud: Cloud, deployed: Deployed, deployment: str) -> None:
    """Invokes it as CodeDeploy does."""
    event = {"DeploymentId": deployment, "LifecycleEventHookExecutionId": f"run-of-{deployment}"}
    answer = cloud.client("lambda").invoke(
        FunctionName=deployed.outputs["SmokeFunction"], Payload=json.dumps(event).encode()
    )
    assert "FunctionError" not in answer, answer["Payload"].read()


def test_a_version_that_answers_is_let_through(
    cloud: Cloud, deployed: Deployed, codedeploy: CodeDeploy
) -> None:
    run_hook(cloud, deployed, "d-GOOD")
    assert codedeploy.told("d-GOOD") == ["Succeeded"]


def test_a_version_that_cannot_be_invoked_is_stopped(
    cloud: Cloud, deployed: Deployed, codedeploy: CodeDeploy
) -> None:
    functions, name = cloud.client("lambda"), deployed.outputs["SmokeFunction"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    tried = variables["STEADYRAG_SMOKE_FUNCTION"]
    assert tried.rpartition(":")[2].isdecimal()
    variables["STEADYRAG_SMOKE_FUNCTION"] = tried.rpartition(":")[0] + ":9999"
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    run_hook(cloud, deployed, "d-BAD")
    assert codedeploy.told("d-BAD") == ["Failed"]
