"""A page, all the way: from an alarm's change of state by a topic to whoever is subscribed.

The topic is a real one of a local AWS, and the subscriber an HTTP server on loopback that
confirms its subscription as SNS wants it. What is published is what CloudWatch publishes.
"""

import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from servers import LOCAL_AWS, REGION
from steadyrag.adapters.local.services import start_local_aws
from steadyrag.monitoring.alarms import Transition
from steadyrag.monitoring.definitions import Alarm, CompositeAlarm, Metric, MetricAlarm

ACCOUNT = "123456789012"
WAIT_S = 15.0
_RUNBOOK = re.compile(r"Runbook: (https?://\S+\.md)")
_CREDENTIALS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True, slots=True)
class Page:
    """What the subscriber got, `after_ms` after it was published."""

    alarm: str
    state: str
    runbook: str | None
    after_ms: float


def message(alarm: Alarm, told: Transition) -> dict[str, Any]:
    """What CloudWatch sends a topic when an alarm fires."""
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:"
    body: dict[str, Any] = {
        "AlarmName": alarm.full_name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": ACCOUNT,
        "NewStateValue": told.new,
        "NewStateReason": told.reason,
        "StateChangeTime": _time(told.at),
        "Region": REGION,
        "AlarmArn": arn + alarm.full_name,
        "OldStateValue": told.old,
        "OKActions": list(alarm.actions),
        "AlarmActions": list(alarm.actions),
        "InsufficientDataActions": [],
    }
    if isinstance(alarm, CompositeAlarm):
        children = [{"Arn": arn + name, "State": {"Value": told.new}} for name in alarm.asks]
        return {**body, "AlarmRule": alarm.rule, "TriggeringChildren": children}
    return {**body, "Trigger": _trigger(alarm)}


def _trigger(alarm: MetricAlarm) -> dict[str, Any]:
    compared = alarm.compared
    metric: dict[str, Any] = {"Metrics": [_metric(one) for one in alarm.metrics]}
    if compared.expression is None:
        metric = {
            "Namespace": compared.namespace,
            "MetricName": compared.name,
            "Dimensions": [{"name": k, "value": v} for k, v in compared.dimensions.items()],
            "Statistic": compared.stat,
        }
    return metric | {
        "Period": alarm.period_s,
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "ComparisonOperator": alarm.comparison,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.missing,
    }


def _metric(one: Metric) -> dict[str, Any]:
    if one.expression is not None:
        return {"Id": one.id, "Expression": one.expression, "ReturnData": one.returns}
    dimensions = [{"name": k, "value": v} for k, v in one.dimensions.items()]
    metric = {"Namespace": one.namespace, "MetricName": one.name, "Dimensions": dimensions}
    stat = {"Metric": metric, "Stat": one.stat, "Period": one.period_s}
    return {"Id": one.id, "ReturnData": one.returns, "MetricStat": stat}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def send(alarms: Sequence[Alarm], told: Sequence[Transition]) -> list[Page]:
    """Publishes what CloudWatch would of those that page, and returns what arrived."""
    if not LOCAL_AWS.exists():
        raise SystemExit("the local AWS is not installed: make .venv-cloud/.ready")
    import boto3

    by_name = {alarm.name: alarm for alarm in alarms}
    with tempfile.TemporaryDirectory(prefix="drills-") as directory:
        service = start_local_aws(Path(directory), executable=LOCAL_AWS)
        try:
            sns = boto3.client("sns", endpoint_url=service.url, region_name=REGION, **_CREDENTIALS)
            with _subscriber() as (address, posted):
                topic = sns.create_topic(Name="steadyrag-page")["TopicArn"]
                sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=address)
                asked = _next(posted, "SubscriptionConfirmation")
                sns.confirm_subscription(TopicArn=asked["TopicArn"], Token=asked["Token"])
                return [_published(sns, topic, by_name[one.name], one, posted) for one in told]
        finally:
            service.stop()


def _published(
    sns: Any, topic: str, alarm: Alarm, told: Transition, posted: "SimpleQueue[dict[str, Any]]"
) -> Page:
    began = time.perf_counter()
    subject = f'{told.new}: "{alarm.full_name}" in {REGION}'
    sns.publish(TopicArn=topic, Subject=subject, Message=json.dumps(message(alarm, told)))
    got = json.loads(_next(posted, "Notification")["Message"])
    found = _RUNBOOK.search(got["AlarmDescription"])
    took_ms = round((time.perf_counter() - began) * 1000, 1)
    return Page(got["AlarmName"], got["NewStateValue"], found and found[1], took_ms)


def _next(posted: "SimpleQueue[dict[str, Any]]", kind: str) -> dict[str, Any]:
    try:
        got = posted.get(timeout=WAIT_S)
    except Empty:
        raise SystemExit(f"no {kind} arrived within {WAIT_S:g} s") from None
    if got["Type"] != kind:
        raise SystemExit(f"a {got['Type']} arrived where a {kind} was expected")
    return got


@contextmanager
def _subscriber() -> Iterator[tuple[str, "SimpleQueue[dict[str, Any]]"]]:
    """An address on loopback, and what is posted there."""
    posted: SimpleQueue[dict[str, Any]] = SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            posted.put(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/page", posted
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
