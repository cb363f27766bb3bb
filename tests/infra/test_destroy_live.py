"""What operators have put into the live configuration goes before the stack does, and whoever
would be fenced by it before that."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.cloudformation import ROOT
from infra.destroy_rig import NOW, Run, client, commands, run, stack
from infra.stack import FUNCTION, template
from servers import REGION, unique

import live  # isort: skip
import serving  # isort: skip

__all__ = ["client", "run", "stack"]


class Steered:
    """A stack with the live configuration of infra/operations.yaml, and functions of template.yaml:
    those that callers reach, and another."""

    OTHER = "IngestFunction"

    def __init__(self, client: Callable[[str], Any], stack: str) -> None:
        self._formation, self._stack = client("cloudformation"), stack
        self._appconfig, self._lambda = client("appconfig"), client("lambda")
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
        functions = {name: self._function(name) for name in (*serving.REACHED, self.OTHER)}
        body = {
            "Parameters": {serving.RESERVED: {"Type": "Number", "Default": 7}},
            "Resources": {live.OPERATIONS: nested, **functions},
            "Outputs": {"LiveConfig": output},
        }
        self._formation.create_stack(StackName=self._stack, TemplateBody=json.dumps(body))
        self._formation.get_waiter("stack_create_complete").wait(
            StackName=self._stack, WaiterConfig=NOW
        )
        (described,) = self._formation.describe_stacks(StackName=self._stack)["Stacks"]
        return str(described["Outputs"][0]["OutputValue"])

    def _function(self, name: str) -> dict[str, Any]:
        properties = {
            "FunctionName": f"{self._stack}-{name}",
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/any",
            "Code": {"ZipFile": "def handler(*_): ..."},
        }
        return {"Type": "AWS::Lambda::Function", "Properties": properties}

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

    @property
    def stopped(self) -> set[str]:
        return {
            name
            for name in (*serving.REACHED, self.OTHER)
            if self._lambda.get_function_concurrency(FunctionName=f"{self._stack}-{name}").get(
                "ReservedConcurrentExecutions"
            )
            == 0
        }

    def lose_a_function(self) -> None:
        self._lambda.delete_function(FunctionName=f"{self._stack}-{serving.SEARCH}")

    def lose(self, part: str) -> None:
        """Somebody deletes it by hand."""
        if part == "LiveEnvironment":
            self._appconfig.delete_environment(**self._under)
        elif part == "LiveProfile":
            self._appconfig.delete_configuration_profile(**self._versions)
        else:
            self._appconfig.delete_application(ApplicationId=self._under["ApplicationId"])

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


def test_nobody_is_let_in_any_more_before_the_fences_go(run: Run, steered: Steered) -> None:
    steered.deploy("AppConfig.AllAtOnce")
    said = run("destroy", "--yes", "--sam", "false").stdout
    assert steered.stopped == set(serving.REACHED)
    assert said.rindex("stopped function") < said.index("stopped deployment 1")


def test_a_stack_that_stays_is_told_how_callers_are_let_in_again(
    run: Run, steered: Steered, stack: str
) -> None:
    told = run("destroy", "--yes", "--sam", "false").stderr
    assert "its functions are stopped, and its live configuration is gone" in told
    assert commands(told) == ["lambda"] * len(serving.REACHED)
    reserved = f"--function-name {stack}-{serving.SEARCH} --reserved-concurrent-executions 7"
    assert f"put-function-concurrency --region {REGION} {reserved}" in told
    for name in serving.REACHED[1:]:
        back = f"delete-function-concurrency --region {REGION} --function-name {stack}-{name}"
        assert back in told


def test_a_function_that_is_gone_is_no_error(run: Run, steered: Steered) -> None:
    steered.deploy("AppConfig.AllAtOnce")
    steered.lose_a_function()
    done = run("destroy", "--yes", "--sam", "false")
    assert "is not gone; the message of `sam delete` is above" in done.stderr
    assert done.stdout.count("stopped function") == len(serving.REACHED) - 1
    assert steered.versions == []


@pytest.mark.parametrize("part", live.PARTS)
def test_a_part_that_somebody_has_deleted_is_no_error(
    run: Run, steered: Steered, part: str
) -> None:
    steered.lose(part)
    done = run("destroy", "--yes", "--sam", "false")
    assert "is not gone; the message of `sam delete` is above" in done.stderr


def test_the_functions_that_are_stopped_are_those_behind_the_gateway() -> None:
    behind = {
        name
        for name, function in template().of_type(FUNCTION)
        if "Api" in {event["Type"] for event in function.get("Events", {}).values()}
    }
    assert behind == set(serving.REACHED)
    assert serving.RESERVED in template().parameters


def test_the_live_configuration_is_looked_for_where_the_template_puts_it() -> None:
    resources = dict(template().nested(live.OPERATIONS).resources())
    assert [resources[name]["Type"].rpartition(":")[2] for name in live.PARTS] == [
        *("Application", "Environment", "ConfigurationProfile"),
    ]
