"""What is left of a stack is found again by the next one, on a local AWS."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import WaiterError

from infra.cloudformation import ROOT
from infra.stack import template
from servers import REGION, unique
from steadyrag.adapters.local.child_process import Service

NOW = {"Delay": 1, "MaxAttempts": 60}
CHANGED = "documents/default/a.md"


@dataclass(frozen=True, slots=True)
class Aws:
    url: str

    def client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.url, region_name=REGION)


class Stack:
    """infra/data.yaml under a name of its own. The local AWS keeps nothing of a nested stack."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._name, self._formation = name, aws.client("cloudformation")

    def create(self, **parameters: str) -> dict[str, str]:
        self._formation.create_stack(StackName=self._name, **self._template(parameters))
        self._formation.get_waiter("stack_create_complete").wait(
            StackName=self._name, WaiterConfig=NOW
        )
        described = self._formation.describe_stacks(StackName=self._name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def update(self, **parameters: str) -> None:
        self._formation.update_stack(StackName=self._name, **self._template(parameters))
        self._formation.get_waiter("stack_update_complete").wait(
            StackName=self._name, WaiterConfig=NOW
        )

    def delete(self) -> None:
        self._formation.delete_stack(StackName=self._name)
        self._formation.get_waiter("stack_delete_complete").wait(
            StackName=self._name, WaiterConfig=NOW
        )

    def _template(self, given: dict[str, str]) -> dict[str, Any]:
        passed = dict(template().of_type("AWS::CloudFormation::Stack"))["Data"]["Parameters"]
        parameters = {**passed, "Prefix": self._name, **given}
        return {
            "TemplateBody": (ROOT / "infra" / "data.yaml").read_text(),
            "Parameters": [
                {"ParameterKey": name, "ParameterValue": str(value)}
                for name, value in parameters.items()
            ],
        }


@pytest.fixture
def aws(local_aws: Service) -> Aws:
    return Aws(local_aws.url)


@pytest.fixture
def stack(aws: Aws) -> Iterator[Stack]:
    made = Stack(aws, unique("kept"))
    yield made
    made.delete()


def test_a_stack_of_the_same_name_finds_them_in_its_way(stack: Stack) -> None:
    stack.create()
    stack.delete()
    with pytest.raises(WaiterError, match="ROLLBACK_COMPLETE"):
        stack.create()


def test_one_that_adopts_them_has_what_the_first_had_and_hears_of_changes(
    stack: Stack, aws: Aws
) -> None:
    first = stack.create()
    bucket = first["DocumentsBucket"]
    table = {"TableName": first["DocumentsTableArn"].rpartition("/")[2]}
    aws.client("dynamodb").put_item(**table, Item={"n": {"S": "default"}, "d": {"S": "a"}})
    stack.delete()
    second = stack.create(AdoptDocuments="true")
    for output in ("DocumentsBucket", "DocumentsBucketArn", "DocumentsTableArn"):
        assert second[output] == first[output]
    assert aws.client("dynamodb").scan(**table)["Count"] == 1
    aws.client("s3").put_object(Bucket=bucket, Key=CHANGED, Body=b"text")
    queue = {"QueueUrl": second["IngestQueueUrl"], "WaitTimeSeconds": 10}
    (message,) = aws.client("sqs").receive_message(**queue)["Messages"]
    assert CHANGED in message["Body"]


def test_a_stack_that_has_them_and_is_told_to_adopt_them_lets_go_and_loses_nothing(
    stack: Stack, aws: Aws
) -> None:
    bucket = stack.create()["DocumentsBucket"]
    aws.client("s3").put_object(Bucket=bucket, Key=CHANGED, Body=b"text")
    stack.update(AdoptDocuments="true")
    assert aws.client("s3").get_object(Bucket=bucket, Key=CHANGED)["Body"].read() == b"text"


@pytest.mark.parametrize(("key", "holds"), [("create", False), ("aws", True)])
def test_a_new_key_that_cannot_read_them_stops_the_deployment(key: str, holds: bool) -> None:
    chosen = template(AdoptDocuments="true", DataKmsKey=key)
    rule = chosen.raw["Rules"]["AdoptedDocumentsCanBeRead"]
    assert chosen.holds(rule["RuleCondition"])
    assert all(chosen.holds(part["Assert"]) for part in rule["Assertions"]) is holds
    assert not template(DataKmsKey=key).holds(rule["RuleCondition"])
