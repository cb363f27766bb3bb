"""`make destroy` and the last words of `make deploy`, on a local AWS."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import WaiterError
from botocore.stub import Stubber

from infra.destroy_rig import (
    NOW,
    SAM,
    Run,
    buckets,
    client,
    commands,
    create,
    documents,
    run,
    stack,
    stacks,
)
from infra.pages import calls, own_problem
from infra.stack import template
from servers import REGION

import kept  # isort: skip

__all__ = ["client", "documents", "run", "stack"]


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


def test_a_protected_stack_keeps_everything(
    client: Callable[[str], Any], run: Run, stack: str
) -> None:
    formation = client("cloudformation")
    create(formation, stack)
    protect = formation.update_termination_protection
    protect(StackName=stack, EnableTerminationProtection=True)
    done = run("destroy", "--data", "--yes", "--sam", "true")
    assert done.returncode == 1
    assert "nothing was done" in done.stderr
    assert commands(done.stderr) == ["cloudformation"]
    protect(StackName=stack, EnableTerminationProtection=False)
    formation.delete_stack(StackName=stack)


def test_what_a_failed_first_deployment_left_goes_too(
    client: Callable[[str], Any], run: Run, documents: str, stack: str
) -> None:
    """A stack that was rolled back has no outputs and takes no update: it can only be deleted."""
    if not SAM.exists():
        pytest.skip("sam is not installed: make .venv-sam/.ready")
    formation = client("cloudformation")
    nowhere = {"TemplateURL": "https://s3.amazonaws.com/nowhere/data.yaml"}
    broken = {"Type": "AWS::CloudFormation::Stack", "Properties": nowhere}
    formation.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": {"B": broken}}))
    with suppress(WaiterError):
        formation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig=NOW)
    assert formation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] in (
        *("ROLLBACK_COMPLETE", "CREATE_FAILED"),
    )
    done = run("destroy", "--data", "--yes", "--sam", str(SAM))
    assert done.returncode == 0, done.stderr
    assert stack not in stacks(formation)
    assert documents not in buckets(client)


def test_a_key_whose_bucket_was_never_made_is_named(
    client: Callable[[str], Any], run: Run, stack: str
) -> None:
    kms = client("kms")
    key = kms.create_key(Description=f"What {stack} keeps, queues")["KeyMetadata"]
    said = run("destroy").stdout
    assert f"schedule-key-deletion --region {REGION} --key-id {key['Arn']}" in said
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    assert key["Arn"] not in run("destroy").stdout


@pytest.mark.parametrize("operation", ["describe_key", "list_keys"])
def test_keys_that_others_keep_to_themselves_are_passed_over(operation: str) -> None:
    session = boto3.Session("local", "local", region_name=REGION)
    kms = session.client("kms")
    ours = "arn:aws:kms:eu-west-1:123456789012:key/ours"
    listed = [{"KeyArn": arn} for arn in (ours.replace("ours", "theirs"), ours)]
    with Stubber(kms) as answers:
        if operation == "describe_key":
            answers.add_response("list_keys", {"Keys": listed})
        answers.add_client_error(operation, "AccessDeniedException")
        if operation == "describe_key":
            metadata = {"KeyId": "ours", "Description": "What gone keeps", "KeyState": "Enabled"}
            answers.add_response("describe_key", {"KeyMetadata": metadata})
        chosen = SimpleNamespace(stack="gone", region=REGION, client=lambda _: kms)
        found = [one.what for one in kept._key(chosen, kept.Documents("", "", "123456789012"))]
        answers.assert_no_pending_responses()
    assert [what.split(",")[0] for what in found] == (
        [f"key {ours}"] if operation == "describe_key" else []
    )


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
