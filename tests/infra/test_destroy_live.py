"""What operators have put into the live configuration goes before the stack does."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.cloudformation import ROOT
from infra.destroy_rig import NOW, Run, client, run, stack
from infra.stack import template
from servers import REGION, unique

import live  # isort: skip

__all__ = ["client", "run", "stack"]


class Steered:
    """A stack with the live configuration of infra/operations.yaml."""

    def __init__(self, client: Callable[[str], Any], stack: str) -> None:
        self._formation, self._stack = client("cloudformation"), stack
        self._appconfig = client("appconfig")
        application, environment, profile = self._create(client("s3")).split("/")
        self._profile = {"ConfigurationProfileId": profile}
        self._under = {"ApplicationId": application, "EnvironmentId": environment}
        self._versions = {"ApplicationId": application, **self._profile}

    def _create(self, s3: Any) -> str:
        bucket, name = unique("templates"), "operations.yaml"
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket=bucket, Key=name, Body=(ROOT / "infra" / name).read_bytes())
        operations = {
            "TemplateURL": f"https://s3.amazonaws.com/{bucket}/{name}",
            "Parameters": dict.fromkeys(("DataKeyArn", "PageEmail", "TicketEmail"), "")
            | {"Prefix": self._stack},
        }
        nested = {"Type": "AWS::CloudFormation::Stack", "Properties": operations}
        output = {"Value": {"Fn::GetAtt": [live.OPERATIONS, "Outputs.LiveConfig"]}}
        body = {"Resources": {live.OPERATIONS: nested}, "Outputs": {"LiveConfig": output}}
        self._formation.create_stack(StackName=self._stack, TemplateBody=json.dumps(body))
        self._formation.get_waiter("stack_create_complete").wait(
            StackName=self._stack, WaiterConfig=NOW
        )
        (described,) = self._formation.describe_stacks(StackName=self._stack)["Stacks"]
        return str(described["Outputs"][0]["OutputValue"])

    def deploy(self, strategy: str, *, versions: int = 1) -> None:
        """The last of so many versions."""
        for _ in range(versions):
            made = self._appconfig.create_hosted_configuration_version(
                **self._versions, Content=b"{}", ContentType="application/json"
            )
        self._appconfig.start_deployment(
            **self._under,
            **self._profile,
            ConfigurationVersion=str(made["VersionNumber"]),
            DeploymentStrategyId=strategy,
        )

    @property
    def state(self) -> str:
        """Of the first deployment."""
        return str(self._appconfig.list_deployments(**self._under)["Items"][0]["State"])

    @property
    def versions(self) -> list[Any]:
        listed = self._appconfig.list_hosted_configuration_versions(**self._versions)
        return list(listed["Items"])

    def delete(self) -> None:
        self._formation.delete_stack(StackName=self._stack)


@pytest.fixture
def steered(client: Callable[[str], Any], stack: str) -> Iterator[Steered]:
    made = Steered(client, stack)
    yield made
    made.delete()


def test_what_operators_have_deployed_goes_before_the_stack(run: Run, steered: Steered) -> None:
    """AppConfig, unlike the local one, deletes no profile that has versions."""
    steered.deploy("AppConfig.Linear50PercentEvery30Seconds", versions=live.EVERY + 1)
    assert steered.state == "DEPLOYING"
    done = run("destroy", "--yes", "--sam", "false")
    assert done.returncode == 1, "something has deleted the stack"
    assert "stopped deployment 1 of the live configuration" in done.stdout
    assert f"deleted {live.EVERY} versions of the live configuration ..." in done.stdout
    assert f"deleted {live.EVERY + 1} versions of the live configuration" in done.stdout
    assert (steered.state, steered.versions) == ("ROLLED_BACK", [])
    assert "live configuration" not in run("destroy", "--yes", "--sam", "false").stdout


def test_one_that_bakes_is_taken_back(run: Run, steered: Steered) -> None:
    steered.deploy("AppConfig.AllAtOnce")
    assert steered.state == "BAKING"
    run("destroy", "--yes", "--sam", "false")
    assert (steered.state, steered.versions) == ("ROLLED_BACK", [])


def test_the_live_configuration_is_looked_for_where_the_template_puts_it() -> None:
    resources = dict(template().nested(live.OPERATIONS).resources())
    assert [resources[name]["Type"].rpartition(":")[2] for name in live.PARTS] == [
        *("Application", "Environment", "ConfigurationProfile"),
    ]
