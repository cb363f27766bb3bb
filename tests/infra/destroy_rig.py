"""`make destroy` on a local AWS: its scripts, and the stacks that they find there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.cloudformation import ROOT
from infra.pages import calls, problem
from servers import REGION, unique
from steadyrag.adapters.local.child_process import Service

sys.path.insert(0, str(ROOT / "scripts"))  # for those who import one

SAM = ROOT / ".venv-sam" / "bin" / "sam"
NOW = {"Delay": 1, "MaxAttempts": 60}

type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def client(local_aws: Service) -> Callable[[str], Any]:
    def make(service: str) -> Any:
        return boto3.client(service, endpoint_url=local_aws.url, region_name=REGION)

    return make


@pytest.fixture
def stack() -> str:
    return unique("gone")


@pytest.fixture
def run(local_aws: Service, stack: str, tmp_path: Path) -> Run:
    """Runs a script for a `dev` whose stack has a name of its own."""
    config = tmp_path / "samconfig.toml"
    overrides = '["PineconeIndexHost=my-docs-ab12cd3.svc.pinecone.io"]'
    config.write_text(
        f'[dev.deploy.parameters]\nstack_name = "{stack}"\nparameter_overrides = {overrides}\n'
    )
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "AWS_ACCESS_KEY_ID")},
        "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": local_aws.url,
        "SAM_CLI_TELEMETRY": "0",
    }

    def script(name: str, *arguments: str, answers: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, ROOT / "scripts" / f"{name}.py", "dev", "--config", config]
        return subprocess.run(
            [*command, *arguments],
            input=answers,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return script


@pytest.fixture
def documents(client: Callable[[str], Any], stack: str) -> str:
    """What a stack leaves: its bucket, with versions and delete markers, and its table."""
    account = client("sts").get_caller_identity()["Account"]
    bucket = f"{stack}-{account}-{REGION}"
    s3 = client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for version in range(3):
        s3.put_object(Bucket=bucket, Key="documents/default/a.md", Body=str(version).encode())
    s3.delete_object(Bucket=bucket, Key="documents/default/a.md")
    client("dynamodb").create_table(
        TableName=f"{stack}-documents",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "n", "KeyType": "HASH"}],
    )
    return bucket


def create(formation: Any, stack: str, **outputs: str) -> None:
    topic = {"Type": "AWS::SNS::Topic"}
    body = {
        "Resources": {"Topic": topic},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    formation.create_stack(StackName=stack, TemplateBody=str(body).replace("'", '"'))
    formation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=NOW)


def commands(said: str) -> list[str]:
    """The services of the AWS commands in it, each of which the command line would take."""
    found = list(calls(said, "aws"))
    assert not [wrong for words, options in found if (wrong := problem(words, options))]
    return [words[0] for words, _ in found]


def stacks(formation: Any) -> set[str]:
    return {one["StackName"] for one in formation.describe_stacks()["Stacks"]}


def buckets(client: Callable[[str], Any]) -> set[str]:
    return {bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]}
