"""What is kept and what waits: encrypted, not open to anybody, and not lost by accident."""

from typing import Any, Self

import pytest

from infra.cloudformation import Template, shown
from infra.stack import FUNCTION, KEY, environment, template
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.domain.objects import PREFIX
from steadyrag.reconcile_step import MOST_ATTEMPTS
from steadyrag.settings import load


def data(**parameters: str) -> Template:
    return template(**parameters).nested("Data")


def resource(kind: str, name: str, **parameters: str) -> dict[str, Any]:
    return dict(data(**parameters).of_type(kind))[name]


def queue(name: str, **parameters: str) -> dict[str, Any]:
    return resource("AWS::SQS::Queue", name, **parameters)


def table(name: str, **parameters: str) -> dict[str, Any]:
    return resource("AWS::DynamoDB::Table", name, **parameters)


def bucket(**parameters: str) -> dict[str, Any]:
    return resource("AWS::S3::Bucket", "Documents", **parameters)


def log_groups(**parameters: str) -> dict[str, dict[str, Any]]:
    return dict(template(**parameters).nested("Logs").of_type("AWS::Logs::LogGroup"))


class Recorder:
    """A boto3 session and its DynamoDB client, which keep what they are told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def client(self, *_: object, **__: object) -> Self:
        return self

    def create_table(self, **request: Any) -> None:
        self.told |= request

    def update_time_to_live(self, **request: Any) -> None:
        self.told |= request

    def describe_table(self, **_: Any) -> dict[str, Any]:
        return {"Table": {"TableStatus": "ACTIVE"}}


def test_the_shared_table_has_the_shape_that_the_store_gives_a_local_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("boto3.session.Session", lambda: recorder)
    create_table(table="any")
    cache = table("CacheTable")
    for aspect in ("KeySchema", "AttributeDefinitions", "BillingMode", "TimeToLiveSpecification"):
        assert cache[aspect] == recorder.told[aspect]


def test_a_document_is_found_by_its_namespace_and_id() -> None:
    documents = table("DocumentsTable")
    assert documents["KeySchema"] == [
        {"AttributeName": "n", "KeyType": "HASH"},
        {"AttributeName": "d", "KeyType": "RANGE"},
    ]
    assert documents["TimeToLiveSpecification"] == {"AttributeName": "e", "Enabled": True}


@pytest.mark.parametrize("name", dict(template().of_type(FUNCTION)))
def test_a_functions_settings_name_the_tables(name: str) -> None:
    prefix = load(environment(dict(template().of_type(FUNCTION))[name])).table_prefix
    assert table("CacheTable")["TableName"] == f"{prefix}cache"
    assert table("DocumentsTable")["TableName"] == f"{prefix}documents"
    assert template().resolve(template().raw["Outputs"]["TablePrefix"]["Value"]) == prefix


def test_tables_are_paid_by_use() -> None:
    for _, properties in data().of_type("AWS::DynamoDB::Table"):
        assert properties["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("name", ["Key", "DocumentsTable", "Documents", "DocumentsPolicy"])
def test_what_cannot_be_made_again_outlives_the_stack(name: str) -> None:
    made = data().raw["Resources"][name]
    assert made["DeletionPolicy"] == "RetainExceptOnCreate"
    assert made["UpdateReplacePolicy"] == "Retain"


def test_documents_can_be_brought_back_to_any_second_and_what_is_shared_need_not() -> None:
    kept = {
        name: properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        for name, properties in data().of_type("AWS::DynamoDB::Table")
    }
    assert kept == {"CacheTable": False, "DocumentsTable": True}
    assert data().raw["Resources"]["CacheTable"]["DeletionPolicy"] == "Delete"


def test_everything_is_encrypted_with_keys_of_aws_unless_another_is_named() -> None:
    for name in ("CacheTable", "DocumentsTable"):
        assert "SSESpecification" not in table(name)  # then DynamoDB's own key
    (rule,) = bucket()["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    for name in ("IngestQueue", "DeadQueue"):
        assert queue(name)["SqsManagedSseEnabled"] is True
    assert not list(data().of_type("AWS::KMS::Key"))


@pytest.mark.parametrize(("chosen", "key"), [("create", "Key.Arn"), (KEY, KEY)])
def test_the_teams_key_encrypts_everything_when_it_is_chosen(chosen: str, key: str) -> None:
    for name in ("CacheTable", "DocumentsTable"):
        encryption = table(name, DataKmsKey=chosen)["SSESpecification"]
        assert (encryption["SSEEnabled"], encryption["SSEType"]) == (True, "KMS")
        assert shown(encryption["KMSMasterKeyId"]) == key
    (rule,) = bucket(DataKmsKey=chosen)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert shown(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]) == key
    for name in ("IngestQueue", "DeadQueue"):
        assert shown(queue(name, DataKmsKey=chosen)["KmsMasterKeyId"]) == key
        assert "SqsManagedSseEnabled" not in queue(name, DataKmsKey=chosen)
    for name, group in log_groups(DataKmsKey=chosen).items():
        assert shown(group["KmsKeyId"]) == "Data.Outputs.KeyArn", name
    assert not [name for name, group in log_groups().items() if "KmsKeyId" in group]


def test_the_key_that_is_made_is_turned_and_lets_in_the_services_that_need_it() -> None:
    key = resource("AWS::KMS::Key", "Key", DataKmsKey="create")
    assert key["EnableKeyRotation"] is True
    services = {
        statement["Principal"]["Service"]
        for statement in key["KeyPolicy"]["Statement"]
        if "Service" in statement["Principal"]
    }
    assert services == {
        *("cloudwatch.amazonaws.com", "s3.amazonaws.com", "logs.eu-west-1.amazonaws.com"),
    }


def test_the_bucket_is_open_to_nobody_and_keeps_versions() -> None:
    assert set(bucket()["PublicAccessBlockConfiguration"].values()) == {True}
    (ownership,) = bucket()["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}
    assert bucket()["VersioningConfiguration"] == {"Status": "Enabled"}


def test_old_versions_and_broken_uploads_are_forgotten() -> None:
    rules = bucket(NoncurrentVersionDays="12")["LifecycleConfiguration"]["Rules"]
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    found = {key: value for rule in rules for key, value in rule.items()}
    assert found["NoncurrentVersionExpiration"] == {"NoncurrentDays": "12"}
    assert found["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] <= 7


def test_pages_of_the_origin_may_upload_and_nothing_else() -> None:
    (rule,) = bucket(CorsOrigin="https://docs.example.com")["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedMethods"], rule["AllowedOrigins"]) == (
        ["POST"],
        ["https://docs.example.com"],
    )


def test_access_is_logged_where_a_bucket_for_it_is_named() -> None:
    assert "LoggingConfiguration" not in bucket()
    logging = bucket(AccessLogBucket="logs")["LoggingConfiguration"]
    assert logging == {"DestinationBucketName": "logs", "LogFilePrefix": "stack/"}


def test_a_change_of_a_document_and_of_nothing_else_is_told_to_the_queue() -> None:
    told = bucket()["NotificationConfiguration"]["QueueConfigurations"]
    assert {entry["Event"] for entry in told} == {
        f"s3:{kind}:*" for kind in ("ObjectCreated", "ObjectRemoved", "LifecycleExpiration")
    }
    for entry in told:
        assert entry["Queue"] == {"Fn::GetAtt": ["IngestQueue", "Arn"]}
        assert entry["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": PREFIX}]


def test_nothing_is_reached_without_tls() -> None:
    policies = {
        name: properties["PolicyDocument"]["Statement"]
        for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy")
        for name, properties in data().of_type(kind)
    }
    assert policies.keys() == {"DocumentsPolicy", "IngestQueuePolicy", "DeadQueuePolicy"}
    for statements in policies.values():
        (deny,) = [s for s in statements if s["Effect"] == "Deny"]
        assert (deny["Principal"], deny["Action"][-2:]) == ("*", ":*")
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_of_all_buckets_only_this_one_may_send() -> None:
    policy = resource("AWS::SQS::QueuePolicy", "IngestQueuePolicy")
    (allow,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert (allow["Principal"], allow["Action"]) == (
        {"Service": "s3.amazonaws.com"},
        "sqs:SendMessage",
    )
    name = bucket()["BucketName"]
    assert allow["Condition"] == {
        "ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{name}"},
        "StringEquals": {"aws:SourceAccount": "123456789012"},
    }
    assert data().raw["Resources"]["Documents"]["DependsOn"] == "IngestQueuePolicy"


def test_what_signs_search_ids_is_made_up_by_aws_and_told_to_search_alone() -> None:
    secret = resource("AWS::SecretsManager::Secret", "SearchIdKey")
    generated = secret["GenerateSecretString"]
    assert (generated["PasswordLength"], generated["ExcludePunctuation"]) == (43, True)
    assert not {"SecretString", "KmsKeyId", "Name"} & secret.keys()  # a name can't be had again
    told = {
        name: shown(function["Environment"]["Variables"].get("STEADYRAG_SEARCH_ID_KEY"))
        for name, function in template().of_type(FUNCTION)
    }
    reference = "{{resolve:secretsmanager:${Data.Outputs.SearchIdKeyArn}}}"
    assert {name for name, value in told.items() if value != "None"} == {"SearchFunction"}
    assert told["SearchFunction"] == reference
    assert data().raw["Outputs"]["SearchIdKeyArn"]["Value"] == {"Ref": "SearchIdKey"}


@pytest.mark.parametrize(("chosen", "key"), [("create", "Key.Arn"), (KEY, KEY)])
def test_the_teams_key_encrypts_what_signs_search_ids_too(chosen: str, key: str) -> None:
    secret = resource("AWS::SecretsManager::Secret", "SearchIdKey", DataKmsKey=chosen)
    assert shown(secret["KmsKeyId"]) == key


def test_a_message_is_out_of_sight_for_six_times_a_batchs_time() -> None:
    ingest = dict(template().of_type(FUNCTION))["IngestFunction"]
    assert queue("IngestQueue")["VisibilityTimeout"] == 6 * ingest["Timeout"]


def test_the_queue_sets_a_message_aside_later_than_the_function_which_knows_why() -> None:
    redrive = queue("IngestQueue")["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadQueue", "Arn"]}
    assert redrive["maxReceiveCount"] >= MOST_ATTEMPTS + 2
    assert queue("DeadQueue")["MessageRetentionPeriod"] == 14 * 24 * 3600
    allowed = queue("DeadQueue")["RedriveAllowPolicy"]
    source = f"arn:aws:sqs:eu-west-1:123456789012:{queue('IngestQueue')['QueueName']}"
    assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [source]}


def test_a_batch_reports_what_failed_and_few_run_at_once() -> None:
    ingest = dict(template(IngestConcurrency="7").of_type(FUNCTION))["IngestFunction"]
    source = ingest["Events"]["Changed"]["Properties"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (source["BatchSize"], source["MaximumBatchingWindowInSeconds"]) == (10, 2)
    assert source["ScalingConfig"] == {"MaximumConcurrency": "7"}
