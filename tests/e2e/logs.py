"""What the functions have logged."""

import json
from collections.abc import Iterator
from typing import Any

from e2e.stack import Cloud


def messages(cloud: Cloud, function: str) -> list[str]:
    """Everything that a function has printed, in order."""
    pages = cloud.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=f"/aws/lambda/{function}")
    return [event["message"] for page in found for event in page["events"]]


def recent(cloud: Cloud, count: int = 60) -> str:
    """The end of what all functions have printed, each line under its group's name."""
    client, found = cloud.client("logs"), []
    for group in client.describe_log_groups()["logGroups"]:
        events = client.filter_log_events(logGroupName=group["logGroupName"])["events"]
        found += [f"{group['logGroupName']}: {event['message']}" for event in events]
    return "\n".join(found[-count:])


def lines(cloud: Cloud, function: str) -> Iterator[dict[str, Any]]:
    """Its structured lines, metrics among them."""
    for message in messages(cloud, function):
        if message.startswith("{"):
            yield json.loads(message)


def metrics(cloud: Cloud, function: str) -> list[dict[str, Any]]:
    """Its metrics: documents of CloudWatch's embedded metric format."""
    return [line for line in lines(cloud, function) if "_aws" in line]


def values(cloud: Cloud, function: str, metric: str) -> list[float]:
    """Every value of one metric."""
    found = [document[metric] for document in metrics(cloud, function) if metric in document]
    return [v for value in found for v in (value if isinstance(value, list) else [value])]
