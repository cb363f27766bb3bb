"""What there is in an AWS account and how it is set up, for the doctor."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from steadyrag.adapters.aws_calls import AwsCalls
from steadyrag.adapters.http_exchange import server_time
from steadyrag.domain.account import (
    Bucket,
    Concurrency,
    Function,
    Identity,
    Notification,
    Queue,
    Resource,
    Stack,
    Subscription,
    Table,
)
from steadyrag.domain.errors import Refused

_GONE = ("ResourceNotFoundException",)
_NO_BUCKET = ("404", "NoSuchBucket")
_NO_QUEUE = (
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "com.amazonaws.sqs#QueueDoesNotExist",
)
_NESTED = "AWS::CloudFormation::Stack"
_MEASURED_S = 900.0
"""How far back we look for the age of the oldest message: SQS measures it every minute, and
stops for a queue that nobody has used for hours."""


class AwsAccount:
    """An `Account`, over boto3's own settings of credentials, region and endpoint."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._aws = AwsCalls()
        self._clock = clock

    async def identity(self) -> Identity:
        _, region = await self._aws.endpoint("sts")
        answer = await self._aws.ask("sts", "get_caller_identity")
        return Identity(str(answer["Account"]), region)

    async def now(self) -> float:
        url, _ = await self._aws.endpoint("sts")
        return await server_time(url, timeout_s=5.0)

    async def stack(self, name: str) -> Stack | None:
        answer = await self._aws.ask(
            "cloudformation", "describe_stacks", missing=("ValidationError",), StackName=name
        )
        if answer is None:
            return None
        [found] = answer["Stacks"]
        return Stack(
            status=found["StackStatus"],
            resources=await self._resources(name),
        )

    async def _resources(self, stack: str) -> list[Resource]:
        listed = await self._aws.ask_all(
            "cloudformation",
            "list_stack_resources",
            "StackResourceSummaries",
            StackName=stack,
        )
        made = [
            Resource(r["ResourceType"], r["LogicalResourceId"], r["PhysicalResourceId"])
            for r in listed
            if r.get("PhysicalResourceId")
        ]
        nested = await asyncio.gather(
            *(self._resources(r.physical_id) for r in made if r.kind == _NESTED)
        )
        return [*made, *(resource for inner in nested for resource in inner)]

    async def function(self, name: str, qualifier: str | None = None) -> Function | None:
        which = {"Qualifier": qualifier} if qualifier else {}
        found = await self._aws.ask(
            "lambda", "get_function_configuration", missing=_GONE, FunctionName=name, **which
        )
        if found is None:
            return None
        return Function(
            version=found["Version"],
            environment=dict(found.get("Environment", {}).get("Variables", {})),
            timeout_s=int(found.get("Timeout", 3)),
            in_vpc=bool(found.get("VpcConfig", {}).get("VpcId")),
            state=found.get("State", "Active"),
        )

    async def table(self, name: str) -> Table | None:
        described = await self._aws.ask("dynamodb", "describe_table", missing=_GONE, TableName=name)
        if described is None:
            return None
        table = described["Table"]
        types = {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]}
        expires = await self._aws.ask("dynamodb", "describe_time_to_live", TableName=name)
        expiry = expires["TimeToLiveDescription"]
        backups = await _allowed(
            self._aws.ask("dynamodb", "describe_continuous_backups", TableName=name)
        )
        return Table(
            status=table["TableStatus"],
            keys={
                key["KeyType"]: (key["AttributeName"], types[key["AttributeName"]])
                for key in table["KeySchema"]
            },
            expiry=(
                expiry["AttributeName"]
                if expiry.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
                else None
            ),
            restorable=None if backups is None else _restorable(backups),
        )

    async def bucket(self, name: str) -> Bucket | None:
        if await self._aws.ask("s3", "head_bucket", missing=_NO_BUCKET, Bucket=name) is None:
            return None
        versioning, encryption, privacy, notifying = await asyncio.gather(
            _allowed(self._aws.ask("s3", "get_bucket_versioning", Bucket=name)),
            _allowed(
                self._ask_or_nothing(
                    "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError", name
                )
            ),
            _allowed(
                self._ask_or_nothing(
                    "get_public_access_block", "NoSuchPublicAccessBlockConfiguration", name
                )
            ),
            _allowed(self._aws.ask("s3", "get_bucket_notification_configuration", Bucket=name)),
        )
        blocks = None if privacy is None else privacy.get("PublicAccessBlockConfiguration", {})
        return Bucket(
            versioned=None if versioning is None else versioning.get("Status") == "Enabled",
            encrypted=(
                None if encryption is None else "ServerSideEncryptionConfiguration" in encryption
            ),
            private=None if blocks is None else len(blocks) == 4 and all(blocks.values()),
            notifications=(
                None
                if notifying is None
                else [_notification(n) for n in notifying.get("QueueConfigurations", [])]
            ),
        )

    async def _ask_or_nothing(self, operation: str, unset: str, bucket: str) -> Any:
        return await self._aws.ask("s3", operation, missing=(unset,), Bucket=bucket) or {}

    async def queue(self, url: str) -> Queue | None:
        answer = await self._aws.ask(
            "sqs",
            "get_queue_attributes",
            missing=_NO_QUEUE,
            QueueUrl=url,
            AttributeNames=["All"],
        )
        if answer is None:
            return None
        attributes = answer["Attributes"]
        name = urlsplit(url).path.rpartition("/")[2]
        return Queue(
            arn=attributes["QueueArn"],
            waiting=int(attributes["ApproximateNumberOfMessages"]),
            visibility_s=int(attributes["VisibilityTimeout"]),
            retention_s=int(attributes["MessageRetentionPeriod"]),
            dead_letter_arn=_dead_letter(attributes.get("RedrivePolicy")),
            oldest_s=await _allowed(self._oldest_s(name)),
        )

    async def _oldest_s(self, queue: str) -> float | None:
        now = self._clock()
        measured = await self._aws.ask(
            "cloudwatch",
            "get_metric_statistics",
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": queue}],
            StartTime=_utc(now - _MEASURED_S),
            EndTime=_utc(now + 60),
            Period=60,
            Statistics=["Maximum"],
        )
        points = sorted(measured["Datapoints"], key=lambda point: point["Timestamp"])
        return float(points[-1]["Maximum"]) if points else None

    async def concurrency(self) -> Concurrency:
        limits = (await self._aws.ask("lambda", "get_account_settings"))["AccountLimit"]
        return Concurrency(
            int(limits["ConcurrentExecutions"]), int(limits["UnreservedConcurrentExecutions"])
        )

    async def gateway_log_role(self) -> str | None:
        answer = await self._aws.ask("apigateway", "get_account")
        return answer.get("cloudwatchRoleArn") or None

    async def subscriptions(self, topic_arn: str) -> Sequence[Subscription]:
        listed = await self._aws.ask_all(
            "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic_arn
        )
        return [
            Subscription(s["Protocol"], s["SubscriptionArn"].startswith("arn:")) for s in listed
        ]

    async def aclose(self) -> None:
        await self._aws.aclose()


async def _allowed[T](asking: Coroutine[Any, Any, T]) -> T | None:
    """None for what the credentials may not ask."""
    try:
        return await asking
    except Refused:
        return None


def _restorable(backups: Any) -> bool:
    recovery = backups["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")


def _notification(configured: Any) -> Notification:
    rules = configured.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    prefixes = [rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"]
    return Notification(configured["QueueArn"], frozenset(configured["Events"]), "".join(prefixes))


def _dead_letter(policy: str | None) -> str | None:
    return json.loads(policy).get("deadLetterTargetArn") if policy else None


def _utc(epoch_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch_s, datetime.UTC)
