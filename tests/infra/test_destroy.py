"""`make destroy` and the last words of `make deploy`, on a local AWS."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.cloudformation import ROOT
from infra.pages import calls, own_problem, problem
from infra.stack import template
from servers import REGION, unique
from steadyrag.adapters.local.child_process import Service

sys.path.insert(0, str(ROOT / "scripts"))
import kept

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


def test_what_stays_is_named_with_what_removes_it(
    client: Callable[[str], Any], run: Run, documents: str, stack: str
) -> None:
    client("secretsmanager").create_secret(Name="steadyrag/openai-api-key", SecretString="sk")
    said = run("destroy").stdout
    client("secretsmanager").delete_secret(
        SecretId="steadyrag/openai-api-key", ForceDeleteWithoutRecovery=True
    )
    assert f"There is no stack {stack}" in said
    assert f"bucket {documents} and table {stack}-documents" in said
    assert "make destroy ENV=dev DATA=1" in said
    assert f"delete-secret --region {REGION} --secret-id steadyrag/openai-api-key" in said
    assert "steadyrag/pinecone-api-key" not in said
    assert commands(said) == ["secretsmanager"]
    assert "https://api.pinecone.io/indexes/my-docs " in said
    assert documents in buckets(client)


def test_the_documents_go_with_every_version_when_that_is_asked_for(
    client: Callable[[str], Any], run: Run, documents: str, stack: str
) -> None:
    done = run("destroy", "--data", answers=f"{documents}\n")
    assert done.returncode == 0, done.stderr
    assert "removed 4 versions and delete markers" in done.stdout
    assert "DATA=1" not in done.stdout
    assert documents not in buckets(client)
    assert f"{stack}-documents" not in client("dynamodb").list_tables()["TableNames"]


@pytest.mark.parametrize("answers", ["", "yes\n"], ids=["nobody answers", "not by its name"])
def test_documents_stay_unless_their_bucket_is_named(
    client: Callable[[str], Any], run: Run, documents: str, answers: str
) -> None:
    done = run("destroy", "--data", answers=answers)
    assert done.returncode == 1
    assert "nothing was done" in done.stderr
    assert client("s3").list_object_versions(Bucket=documents)["Versions"]


def test_the_key_that_was_made_for_the_documents_is_named_and_no_other(
    client: Callable[[str], Any], run: Run, documents: str, stack: str
) -> None:
    for description, named in ((f"What {stack} keeps, queues", True), ("ours", False)):
        key = client("kms").create_key(Description=description)["KeyMetadata"]["Arn"]
        rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        client("s3").put_bucket_encryption(
            Bucket=documents,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": rule}]
            },
        )
        said = run("destroy").stdout
        assert (f"schedule-key-deletion --region {REGION} --key-id {key}" in said) is named
        assert commands(said) == (["kms"] if named else [])


def test_the_gateways_role_is_named_only_where_the_stack_made_it(
    client: Callable[[str], Any], run: Run, stack: str
) -> None:
    for role, named in ((f"{stack}-Logs-GatewayLogRole-1", True), ("others", False)):
        arn = f"arn:aws:iam::000000000000:role/{role}"
        change = {"op": "replace", "path": "/cloudwatchRoleArn", "value": arn}
        client("apigateway").update_account(patchOperations=[change])
        said = run("destroy").stdout
        assert (f"delete-role --role-name {role}" in said) is named
        assert commands(said) == (["apigateway", "iam", "iam"] if named else [])


def test_a_stack_stays_unless_it_is_named(
    client: Callable[[str], Any], run: Run, stack: str
) -> None:
    create(client("cloudformation"), stack)
    for answers in ("", "y\n"):
        assert run("destroy", answers=answers).returncode == 1
    assert stack in stacks(client("cloudformation"))
    client("cloudformation").delete_stack(StackName=stack)


def test_a_stack_is_deleted_by_sam_before_its_documents(
    client: Callable[[str], Any], run: Run, documents: str, stack: str
) -> None:
    if not SAM.exists():
        pytest.skip("sam is not installed: make .venv-sam/.ready")
    create(client("cloudformation"), stack)
    done = run("destroy", "--data", "--yes", "--sam", str(SAM))
    assert done.returncode == 0, done.stderr
    assert "Deleted successfully" in done.stdout
    assert stack not in stacks(client("cloudformation"))
    assert documents not in buckets(client)


def test_what_sam_could_not_delete_keeps_its_documents(
    client: Callable[[str], Any], run: Run, documents: str, stack: str
) -> None:
    create(client("cloudformation"), stack)
    done = run("destroy", "--data", "--yes", "--sam", "false")
    assert done.returncode == 1
    assert f"stack {stack} is not gone" in done.stderr
    assert documents in buckets(client)
    client("cloudformation").delete_stack(StackName=stack)


def test_a_deployment_ends_with_what_to_do_next(
    client: Callable[[str], Any], run: Run, stack: str
) -> None:
    url = "https://a1.execute-api.eu-west-1.amazonaws.com/v1"
    create(client("cloudformation"), stack, ApiUrl=url, ApiKeyId="k1")
    said = run("deployed").stdout
    client("cloudformation").delete_stack(StackName=stack)
    assert f"doctor --stack {stack}" in said
    assert f"smoke {url}" in said
    assert f"get-api-key --region {REGION} --api-key k1 --include-value" in said
    assert commands(said) == ["apigateway"]
    for words, options in calls(said, ".venv/bin/steadyrag"):
        assert own_problem(words, options) is None


def test_names_that_are_not_given_are_those_of_the_template() -> None:
    parameters = template().parameters
    assert {name: parameters[name]["Default"] for name in kept.DEFAULTS} == kept.DEFAULTS


def test_the_documents_are_looked_for_where_the_template_puts_them() -> None:
    data = template().nested("Data")
    bucket = dict(data.of_type("AWS::S3::Bucket"))["Documents"]["BucketName"]
    table = dict(data.of_type("AWS::DynamoDB::Table"))["DocumentsTable"]["TableName"]
    assert re.fullmatch(r"stack-\d{12}-eu-west-1", bucket)
    assert table == "stack-documents"


def test_the_key_is_known_by_what_the_template_says_of_it() -> None:
    data = template(DataKmsKey="create").nested("Data")
    ((_, key),) = data.of_type("AWS::KMS::Key")
    assert key["Description"].startswith("What stack keeps")
