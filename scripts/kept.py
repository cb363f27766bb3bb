"""What a deleted stack leaves in the account, and how to be rid of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError
from deployed import Environment, Refused

DEFAULTS = {
    "SecretStore": "secretsmanager",
    "OpenAiKeyName": "steadyrag/openai-api-key",
    "PineconeKeyName": "steadyrag/pinecone-api-key",
}
"""What the template takes where nothing is given."""

MISSING = frozenset(
    {
        *("404", "NoSuchBucket", "NotFoundException", "ParameterNotFound"),
        *("ResourceNotFoundException", "ServerSideEncryptionConfigurationNotFoundError"),
    }
)
DENIED = frozenset({"AccessDeniedException"})
"""What KMS says of a key that others keep to themselves."""
PUSH = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that stays, and the commands that remove it."""

    what: str
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"  {self.what}", *(f"      {command}" for command in self.commands)])


@dataclass(frozen=True, slots=True)
class Documents:
    """The bucket and the table, by the names that infra/data.yaml gives them; a name is empty
    where there is none."""

    bucket: str
    table: str
    account: str

    def __bool__(self) -> bool:
        return bool(self.bucket or self.table)

    def __str__(self) -> str:
        bucket, table = f"bucket {self.bucket}", f"table {self.table}"
        return " and ".join([*([bucket] if self.bucket else []), *([table] if self.table else [])])


@dataclass(frozen=True, slots=True)
class Left:
    documents: Documents
    others: list[Kept] = field(default_factory=list)


def find(chosen: Environment, parameters: dict[str, str]) -> Left:
    """Looks before the stack is deleted, since the documents' key is known by them alone."""
    account = chosen.client("sts").get_caller_identity()["Account"]
    documents = _documents(chosen, account)
    given = DEFAULTS | chosen.parameters | parameters
    others = [
        *_key(chosen, documents),
        *_gateway_role(chosen),
        *_vendor_keys(chosen, given),
        *_index(given.get("PineconeIndexHost", "")),
    ]
    return Left(documents, others)


def remove(chosen: Environment, documents: Documents, say: Callable[[str], None]) -> None:
    """Every version of every document, the bucket, and the table, for good. Raises `Refused`
    where S3 keeps some."""
    if documents.bucket:
        s3 = chosen.client("s3")
        for removed in _empty(s3, documents):
            say(f"removed {removed} versions and delete markers")
        s3.delete_bucket(Bucket=documents.bucket, ExpectedBucketOwner=documents.account)
        say(f"removed bucket {documents.bucket}")
    if documents.table:
        dynamodb = chosen.client("dynamodb")
        dynamodb.delete_table(TableName=documents.table)
        dynamodb.get_waiter("table_not_exists").wait(TableName=documents.table)
        say(f"removed table {documents.table}; DynamoDB keeps a last backup for 35 days")


def _empty(s3: Any, documents: Documents) -> Iterator[int]:
    """How many are gone after each ten pages, and at the end."""
    owner = {"Bucket": documents.bucket, "ExpectedBucketOwner": documents.account}
    removed = page_number = 0
    for page in s3.get_paginator("list_object_versions").paginate(**owner):
        listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in listed]
        if not objects:
            continue
        answer = s3.delete_objects(**owner, Delete={"Objects": objects, "Quiet": True})
        if errors := answer.get("Errors"):
            first = errors[0]
            raise Refused(
                f"S3 kept {len(errors)} versions in {documents.bucket}, the first of them"
                f" {first['Key']}: {first['Message']}"
            )
        removed, page_number = removed + len(objects), page_number + 1
        if page_number % 10 == 0:
            yield removed
    yield removed


def _documents(chosen: Environment, account: str) -> Documents:
    bucket = f"{chosen.stack}-{account}-{chosen.region}"
    table = f"{chosen.stack}-documents"
    owner = {"Bucket": bucket, "ExpectedBucketOwner": account}
    has_bucket = _there(chosen.client("s3").head_bucket, **owner)
    has_table = _there(chosen.client("dynamodb").describe_table, TableName=table)
    return Documents(bucket if has_bucket else "", table if has_table else "", account)


def _key(chosen: Environment, documents: Documents) -> Iterator[Kept]:
    """The key of DataKmsKey=create, and none that was brought along."""
    for key in _keys(chosen, documents.bucket):
        described = _there(chosen.client("kms").describe_key, or_not=MISSING | DENIED, KeyId=key)
        found = (described or {}).get("KeyMetadata", {})
        ours = found.get("Description", "").startswith(f"What {chosen.stack} keeps")
        if ours and found["KeyState"] != "PendingDeletion":
            yield Kept(
                f"key {key}, without which nobody can read what it has encrypted",
                (
                    f"aws kms schedule-key-deletion --region {chosen.region} --key-id {key}"
                    " --pending-window-in-days 30",
                ),
            )


def _keys(chosen: Environment, bucket: str) -> Iterator[str]:
    """Keys that may be the stack's: what encrypts the bucket; without one, as after a deployment
    that failed, all of the region's."""
    if not bucket:
        yield from _there(partial(_all_keys, chosen.client("kms")), or_not=DENIED) or ()
        return
    encryption = _there(chosen.client("s3").get_bucket_encryption, Bucket=bucket) or {}
    for rule in encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules", []):
        if key := rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID"):
            yield key


def _all_keys(kms: Any) -> list[str]:
    pages = kms.get_paginator("list_keys").paginate()
    return [key["KeyArn"] for page in pages for key in page["Keys"]]


def _gateway_role(chosen: Environment) -> Iterator[Kept]:
    account = chosen.client("apigateway").get_account()
    role = account.get("cloudwatchRoleArn", "").rpartition("/")[2]
    if role.startswith(f"{chosen.stack}-"):
        partition = account["cloudwatchRoleArn"].split(":")[1]
        yield Kept(
            f"role {role}, with which API Gateway writes the logs of all APIs in the region",
            (
                f"aws apigateway update-account --region {chosen.region}"
                " --patch-operations op=replace,path=/cloudwatchRoleArn,value=",
                f"aws iam detach-role-policy --role-name {role}"
                f" --policy-arn arn:{partition}:iam::aws:policy/{PUSH}",
                f"aws iam delete-role --role-name {role}",
            ),
        )


def _vendor_keys(chosen: Environment, given: dict[str, str]) -> Iterator[Kept]:
    for name in (given["OpenAiKeyName"], given["PineconeKeyName"]):
        if given["SecretStore"] == "ssm":
            there = _there(chosen.client("ssm").get_parameter, Name=f"/{name}")
            command = f"aws ssm delete-parameter --region {chosen.region} --name /{name}"
        else:
            there = _there(chosen.client("secretsmanager").describe_secret, SecretId=name)
            command = (
                f"aws secretsmanager delete-secret --region {chosen.region} --secret-id {name}"
            )
        if there:
            yield Kept(f"vendor key {name}, which other stacks may read", (command,))


def _index(host: str) -> Iterator[Kept]:
    label = host.removeprefix("https://").partition(".")[0]
    if name := label.rpartition("-")[0]:
        yield Kept(
            f"Pinecone index {name}, which other stacks may search",
            (
                f"curl -X DELETE https://api.pinecone.io/indexes/{name}"
                ' -H "Api-Key: $PINECONE_API_KEY" -H "X-Pinecone-Api-Version: 2026-07"',
            ),
        )


def _there(look: Callable[..., Any], *, or_not: frozenset[str] = MISSING, **asked: str) -> Any:
    """What was found, or nothing where AWS says so, by the codes of `or_not`."""
    try:
        return look(**asked)
    except ClientError as error:
        if error.response["Error"]["Code"] in or_not:
            return None
        raise
