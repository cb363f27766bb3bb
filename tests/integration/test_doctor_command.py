"""`steadyrag doctor` over a local AWS and the vendors' wire servers, with real faults."""

import io
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from integration.vendored import OPENAI_KEY, PINECONE_KEY, Vendors
from servers import REGION, unique
from steadyrag.adapters import secrets
from steadyrag.adapters.local.child_process import Service
from steadyrag.cli.doctor import command
from steadyrag.doctor.checking import examine
from steadyrag.wiring import doctor as wiring
from vendors import Fault


@dataclass
class Deployment:
    """Everything a deployment has, made by API, and the environment that names it."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = boto3.client(service)
        return self.clients[service]

    def arn(self, url: str) -> str:
        """Of a queue."""
        answer = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])


@pytest.fixture
def aws(local_aws: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    secrets.prepare.cache_clear()
    yield
    if secrets.prepare.cache_info().currsize:
        secrets.prepare("secretsmanager").client.close()
    secrets.prepare.cache_clear()


@pytest.fixture
def deployment(aws: None, local: Vendors) -> Iterator[Deployment]:
    name = unique("rag")
    made = Deployment(name)
    for vendor, key in (("openai", OPENAI_KEY), ("pinecone", PINECONE_KEY)):
        made.client("secretsmanager").create_secret(Name=f"{name}/{vendor}", SecretString=key)
    _make_table(made, f"{name}-cache", {"k": "HASH"})
    _make_table(made, f"{name}-documents", {"n": "HASH", "d": "RANGE"})
    sqs = made.client("sqs")
    dead_url = sqs.create_queue(
        QueueName=f"{name}-dead", Attributes={"MessageRetentionPeriod": "1209600"}
    )["QueueUrl"]
    redrive = {"deadLetterTargetArn": made.arn(dead_url), "maxReceiveCount": 5}
    queue_url = sqs.create_queue(
        QueueName=f"{name}-ingest",
        Attributes={"VisibilityTimeout": "1800", "RedrivePolicy": json.dumps(redrive)},
    )["QueueUrl"]
    _make_bucket(made, queue_url)
    kept_in = {
        "STEADYRAG_OPENAI_API_KEY_FROM": f"secretsmanager:{name}/openai",
        "STEADYRAG_PINECONE_API_KEY_FROM": f"secretsmanager:{name}/pinecone",
        "STEADYRAG_TABLE_PREFIX": f"{name}-",
        "STEADYRAG_DOCUMENTS_BUCKET": name,
        "STEADYRAG_INGEST_QUEUE_URL": queue_url,
        "STEADYRAG_DEAD_QUEUE_URL": dead_url,
        "STEADYRAG_RERANK_CALIBRATION": "bge-reranker-v2-m3:-0.4,0.9,1.2",
    }
    vendors = {k: v for k, v in local.environment.items() if not k.endswith("_API_KEY")}
    made.environment = {**vendors, **kept_in}
    yield made
    for client in made.clients.values():
        client.close()


def _make_table(made: Deployment, name: str, keys: Mapping[str, str]) -> None:
    client = made.client("dynamodb")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": k, "KeyType": kind} for k, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "e"}
    )
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


def _make_bucket(made: Deployment, queue_url: str) -> None:
    s3 = made.client("s3")
    s3.create_bucket(Bucket=made.name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=made.name, VersioningConfiguration={"Status": "Enabled"})
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(
        Bucket=made.name, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True)
    )
    s3.put_bucket_notification_configuration(
        Bucket=made.name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": made.arn(queue_url),
                    "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "documents/"}]}},
                }
            ]
        },
    )


def doctor(environment: Mapping[str, str], *arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(command, arguments, env=environment)


def told(result: Result) -> dict[str, list[tuple[str, str, str]]]:
    """Status, what was said and what to do, by check."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(
            (finding["status"], finding["said"], finding["do"])
        )
    return found


def one(environment: Mapping[str, str], check: str) -> tuple[str, str, str]:
    """The only finding of a check, which decides the exit status."""
    result = doctor(environment, "--json")
    [finding] = told(result)[check]
    bad = [f for findings in told(result).values() for f in findings if f[0] == "fail"]
    assert result.exit_code == (1 if bad else 0)
    return finding


def test_a_deployment_as_it_should_be_is_healthy(deployment):
    deployment.client("apigateway").update_account(
        patchOperations=[
            {"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::1:role/logs"}
        ]
    )
    result = doctor(deployment.environment, "--json")
    found = told(result)
    assert {finding[0] for findings in found.values() for finding in findings} == {"ok"}, found
    assert result.exit_code == 0
    assert found["aws credentials"] == [("ok", f"account 000000000000, {REGION}", "")]
    assert found["index contents"] == [("ok", "chunks: default 4", "")]
    assert {"openai key", "pinecone key", "chat model", "reranker", "index schema"} <= set(found)


def test_a_line_says_what_is_wrong_and_the_next_what_to_do(deployment):
    deployment.client("dynamodb").delete_table(TableName=f"{deployment.name}-cache")
    result = doctor(deployment.environment)
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("fail"))
    assert f"there is no table {deployment.name}-cache" in lines[at]
    assert "→ deploy the stack, or correct STEADYRAG_TABLE_PREFIX" in lines[at + 1]
    assert "1 fail" in lines[-1]
    assert result.exit_code == 1
    assert "checking settings" in result.stderr


def test_no_key_is_ever_shown(deployment, local):
    local.openai.faults.add("*", Fault("status", status=401))
    for arguments in ((), ("--json",)):
        result = doctor(deployment.environment, *arguments)
        for key in (OPENAI_KEY, PINECONE_KEY):
            assert key not in result.stdout + result.stderr


def test_a_wrong_openai_key_is_told_from_an_account_without_money(deployment, local):
    secret = f"{deployment.name}/openai"
    deployment.client("secretsmanager").put_secret_value(SecretId=secret, SecretString="sk-old")
    found = told(doctor(deployment.environment, "--json"))
    assert found["openai key"][0][0] == "ok"
    for check in ("embedding model", "chat model"):
        [(status, said, do)] = found[check]
        assert (status, "401" in said, "does not know this key" in do) == ("fail", True, True)
    deployment.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=OPENAI_KEY)
    secrets.expire_all()
    local.openai.faults.add("*", Fault("status", status=429, code="insufficient_quota"))
    status, _, do = one(deployment.environment, "embedding model")
    assert (status, "add credit" in do) == ("fail", True)


def test_a_throttled_vendor_is_no_failure(deployment, local):
    local.openai.faults.add("*", Fault("status", status=429))
    assert one(deployment.environment, "chat model")[0] == "warn"


def test_a_model_that_is_not_there_names_its_setting(deployment):
    wrong = {"STEADYRAG_CHAT_MODEL": "gpt-9", "STEADYRAG_RERANK_MODEL": "none-such"}
    for check, setting in (("chat model", "CHAT_MODEL"), ("reranker", "RERANK_MODEL")):
        status, _, do = one(deployment.environment | wrong, check)
        assert (status, setting in do) == ("fail", True)


def test_scores_that_are_not_calibrated_warn_that_an_alarm_is_blind(deployment):
    setting = "STEADYRAG_RERANK_CALIBRATION"
    for value in ("", "pinecone-rerank-v0:-0.4,0.9,1.2"):
        status, said, do = one(deployment.environment | {setting: value}, "score calibration")
        assert (status, "relevance-low can't fire" in said) == ("warn", True)
        for named in ("steadyrag calibrate", setting, "RerankCalibration"):
            assert named in do


def test_a_model_whose_price_nobody_knows_warns_that_its_cost_is_overlooked(deployment):
    assert one(deployment.environment, "prices")[0] == "ok"
    new = {"STEADYRAG_CHAT_FALLBACK_MODEL": "gpt-9-nova"}
    status, said, do = one(deployment.environment | new, "prices")
    assert status == "warn"
    assert "gpt-9-nova" in said
    assert "cost-forecast" in said
    assert "prices.py" in do


def test_a_dimension_that_the_index_does_not_have_is_said_by_schema(deployment):
    environment = deployment.environment | {"STEADYRAG_EMBEDDING_DIMENSION": "512"}
    status, said, do = one(environment, "index schema")
    assert status == "fail"
    assert "dimension 256, not 512" in said
    assert "STEADYRAG_EMBEDDING_DIMENSION" in do


def test_a_dimension_that_the_model_cannot_give_names_the_setting(deployment):
    environment = deployment.environment | {"STEADYRAG_EMBEDDING_DIMENSION": "3072"}
    status, _, do = one(environment, "embedding model")
    assert (status, "STEADYRAG_EMBEDDING_DIMENSION" in do) == ("fail", True)


def test_a_wrong_pinecone_key_and_a_wrong_host_are_told_apart(deployment, local):
    environment = deployment.environment | {
        "STEADYRAG_PINECONE_INDEX_HOST": local.pinecone.host("another")
    }
    status, said, do = one(environment, "index schema")
    assert (status, "no index at" in said, "INDEX_HOST" in do) == ("fail", True, True)
    deployment.client("secretsmanager").put_secret_value(
        SecretId=f"{deployment.name}/pinecone", SecretString="pc-old"
    )
    secrets.expire_all()
    for check in ("index schema", "index contents", "reranker"):
        status, _, do = one(deployment.environment, check)
        assert (status, "does not know this key" in do) == ("fail", True)


def test_a_secret_that_is_not_there_says_how_to_make_it_and_spares_its_vendor(deployment):
    environment = deployment.environment | {
        "STEADYRAG_OPENAI_API_KEY_FROM": f"secretsmanager:{deployment.name}/none"
    }
    found = told(doctor(environment, "--json"))
    [(status, _, do)] = found["openai key"]
    assert (status, f"create-secret --name {deployment.name}/none" in do) == ("fail", True)
    assert [found[check][0][0] for check in ("embedding model", "chat model")] == ["skip", "skip"]


def test_a_secret_that_is_json_is_no_key(deployment):
    deployment.client("secretsmanager").put_secret_value(
        SecretId=f"{deployment.name}/openai", SecretString='{"key": "sk-in-json"}'
    )
    result = doctor(deployment.environment, "--json")
    assert told(result)["openai key"][0][0] == "fail"
    assert "sk-in-json" not in result.output


def test_a_table_with_other_keys_fails_and_one_that_never_expires_warns(deployment):
    client = deployment.client("dynamodb")
    client.delete_table(TableName=f"{deployment.name}-documents")
    _make_table(deployment, f"{deployment.name}-documents", {"id": "HASH"})
    client.update_time_to_live(
        TableName=f"{deployment.name}-cache",
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "e"},
    )
    assert one(deployment.environment, f"table {deployment.name}-documents")[0] == "fail"
    assert one(deployment.environment, f"table {deployment.name}-cache")[0] == "warn"


def test_a_documents_table_without_backups_warns(deployment):
    deployment.client("dynamodb").update_continuous_backups(
        TableName=f"{deployment.name}-documents",
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
    )
    status, said, _ = one(deployment.environment, f"table {deployment.name}-documents")
    assert (status, "point in time" in said) == ("warn", True)


def test_an_unversioned_open_and_silent_bucket_is_described_in_full(deployment):
    s3 = deployment.client("s3")
    s3.put_bucket_versioning(
        Bucket=deployment.name, VersioningConfiguration={"Status": "Suspended"}
    )
    s3.delete_public_access_block(Bucket=deployment.name)
    s3.put_bucket_notification_configuration(Bucket=deployment.name, NotificationConfiguration={})
    found = told(doctor(deployment.environment, "--json"))["documents bucket"]
    assert [status for status, _, _ in found] == ["warn", "fail", "fail", "fail"]


def test_dead_letters_warn_and_an_old_message_does(deployment):
    sqs = deployment.client("sqs")
    sqs.send_message(QueueUrl=deployment.environment["STEADYRAG_DEAD_QUEUE_URL"], MessageBody="{}")
    deployment.client("cloudwatch").put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": f"{deployment.name}-ingest"}],
                "Value": 9000,
                "Unit": "Seconds",
            }
        ],
    )
    status, said, _ = one(deployment.environment, "dead letters")
    assert (status, said) == ("warn", "documents that could not be taken in: 1")
    status, said, _ = one(deployment.environment, "ingest queue")
    assert (status, "2 h" in said) == ("warn", True)


def test_a_queue_without_dead_letters_fails(deployment):
    deployment.client("sqs").set_queue_attributes(
        QueueUrl=deployment.environment["STEADYRAG_INGEST_QUEUE_URL"],
        Attributes={"RedrivePolicy": ""},
    )
    assert one(deployment.environment, "ingest queue")[0] == "fail"


@pytest.mark.parametrize(("skew_s", "status"), [(-60, "warn"), (400, "fail")])
async def test_a_clock_that_is_wrong_is_compared_with_aws(deployment, monkeypatch, skew_s, status):
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    async with wiring.here(clock=lambda: time.time() + skew_s) as checks:
        [found] = await examine([check for check in checks if check.name == "clock"])
    assert found.findings[0].status == status


def test_wrong_settings_are_findings(aws):
    result = doctor({"STEADYRAG_EMBEDDER": "openai", "STEADYRAG_PORT": "x"}, "--json")
    assert result.exit_code == 1
    [(status, said, do)] = told(result)["settings"]
    assert (status, said.startswith("STEADYRAG_PORT")) == ("fail", True)
    assert "steadyrag settings" in do


def test_a_misspelt_setting_and_one_that_is_missing_are_findings(local, aws):
    environment = dict(local.environment) | {"STEADYRAG_PORTT": "1"}
    del environment["STEADYRAG_PINECONE_INDEX_HOST"]
    found = told(doctor(environment, "--json"))
    assert [status for status, _, _ in found["settings"]] == ["warn", "warn"]
    [(status, said, _)] = found["index"]
    assert (status, "index create" in said) == ("fail", True)


def test_the_embedded_default_needs_nothing_of_aws(tmp_path):
    result = doctor({"STEADYRAG_DATA_DIR": str(tmp_path)}, "--json")
    found = told(result)
    assert result.exit_code == 0
    assert set(found) == {"settings", "clock", "embedding model", "index contents"}
    assert found["index contents"][0][0] == "warn"


def test_a_cache_says_what_it_is_and_one_that_is_gone_fails(tmp_path, valkey_cluster):
    environment = {"STEADYRAG_DATA_DIR": str(tmp_path), "STEADYRAG_CACHE_URL": valkey_cluster.url}
    status, said, _ = one(environment, "cache")
    assert (status, said.startswith("valkey ")) == ("ok", True)
    assert said.endswith("a cluster, without TLS")
    gone = environment | {"STEADYRAG_CACHE_URL": "redis://:sesame@127.0.0.1:1"}
    status, said, do = one(gone, "cache")
    assert (status, "VPC" in do, "sesame" in said + do) == ("fail", True, False)


def test_without_credentials_everything_else_is_still_looked_at(deployment, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    found = told(doctor(deployment.environment, "--json"))
    [(status, said, do)] = found["aws credentials"]
    assert (status, said, "aws sso login" in do) == ("fail", "has no credentials", True)
    assert found["clock"][0][0] == "ok"
    assert found["openai key"][0][0] == "fail"


# A deployed stack

TEMPLATE: Mapping[str, Any] = {
    "SearchFunction": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": "arn:aws:iam::000000000000:role/search",
            "Timeout": 28,
        },
    },
    "SearchFunctionVersion1": {
        "Type": "AWS::Lambda::Version",
        "Properties": {"FunctionName": {"Ref": "SearchFunction"}},
    },
    "SearchFunctionAliaslive": {
        "Type": "AWS::Lambda::Alias",
        "Properties": {
            "Name": "live",
            "FunctionName": {"Ref": "SearchFunction"},
            "FunctionVersion": {"Fn::GetAtt": ["SearchFunctionVersion1", "Version"]},
        },
    },
    "Pages": {"Type": "AWS::SNS::Topic", "Properties": {}},
}


@pytest.fixture
def stack(deployment: Deployment) -> str:
    """The name of a stack whose functions have the environment, and a topic for pages."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as bundle:
        bundle.writestr("index.py", "def handler(event, context):\n    return {}\n")
    deployment.client("s3").put_object(Bucket=deployment.name, Key="code.zip", Body=code.getvalue())
    resources = json.loads(json.dumps(TEMPLATE))
    resources["SearchFunction"]["Properties"] |= {
        "FunctionName": f"{deployment.name}-search",
        "Code": {"S3Bucket": deployment.name, "S3Key": "code.zip"},
        "Environment": {"Variables": deployment.environment},
    }
    resources["Pages"]["Properties"]["TopicName"] = f"{deployment.name}-pages"
    client = deployment.client("cloudformation")
    client.create_stack(
        StackName=deployment.name, TemplateBody=json.dumps({"Resources": resources})
    )
    client.get_waiter("stack_create_complete").wait(
        StackName=deployment.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return deployment.name


def test_a_deployed_stack_is_looked_at_as_its_functions_are_set_up(deployment, stack):
    found = told(doctor({}, "--stack", stack, "--json"))
    flat = {check: [finding[0] for finding in findings] for check, findings in found.items()}
    assert flat.pop(f"topic {stack}-pages") == ["warn"]
    flat.pop("api gateway logs")  # is the account's, which tests share
    assert {status for statuses in flat.values() for status in statuses} == {"ok"}, found
    assert found[f"alias {stack}-search"][0][1] == f"version 1 of {stack}-search"
    assert {f"table {stack}-documents", "documents bucket", "dead letters", "chat model"} <= set(
        flat
    )
    assert found["search timeout"] == [("ok", "28 s, for a deadline of 25 s", "")]


def test_a_topic_that_somebody_receives_is_fine(deployment, stack):
    sns = deployment.client("sns")
    arn = sns.create_topic(Name=f"{stack}-pages")["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="email", Endpoint="on-call@example.com")
    found = told(doctor({}, "--stack", stack, "--json"))
    assert found[f"topic {stack}-pages"] == [("ok", "subscriptions confirmed: 1", "")]


def test_an_alias_that_is_gone_fails_and_the_rest_is_looked_at_all_the_same(deployment, stack):
    deployment.client("lambda").delete_alias(FunctionName=f"{stack}-search", Name="live")
    result = doctor({}, "--stack", stack, "--json")
    assert result.exit_code == 1
    found = told(result)
    assert found[f"alias {stack}-search"][0][0] == "fail"
    assert found["chat model"][0][0] == "ok"


def test_a_stack_that_is_not_there_says_so(aws):
    result = doctor({}, "--stack", "none-such", "--json")
    assert result.exit_code == 1
    found = told(result)
    assert found["stack"][0][:2] == ("fail", "there is no stack called none-such")
    assert set(found) == {"aws credentials", "clock", "stack"}
