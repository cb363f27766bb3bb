"""What CloudWatch measured, and what its alarms did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import batched
from typing import Any

from steadyrag.adapters.aws_client import AwsClient
from steadyrag.domain.errors import Throttled, Unavailable
from steadyrag.domain.ports import Statistic

NAME = "cloudwatch"

QUERIES_A_CALL = 500
ALARMS_A_PAGE, CHANGES_A_PAGE = 100, 100
MOST_PAGES = 100
"""Of one answer: more would be an endless one."""

LONGEST_CLOCK_STEP_S = 3600
"""How far CloudWatch may move a span's start back: to the hour, for days long ago."""


class CloudWatch:
    """Implements `MetricReader`. A span is a whole number of minutes, and asked for as one
    period, since percentiles of parts don't add up. Who asks and in which region, boto3 reads
    from its own settings."""

    def __init__(self, *, timeout_s: float = 15.0) -> None:
        self._pages_s = 2 * timeout_s  # an account's alarms may fill many
        self._client = AwsClient(
            "cloudwatch",
            name=NAME,
            endpoint_url=None,
            region=None,
            timeout_s=timeout_s,
            connect_timeout_s=timeout_s,
            told_apart=_told_apart,
        )

    async def read(
        self, asked: Sequence[Statistic], *, start: float, end: float
    ) -> list[float | None]:
        found: dict[str, float] = {}
        for part in batched(enumerate(asked), QUERIES_A_CALL, strict=False):
            queries = [_query(number, one, int(end - start)) for number, one in part]
            found |= await self._client.run(partial(_values, queries=queries, start=start, end=end))
        return [found.get(_id(number)) for number in range(len(asked))]

    async def alarms_raised(self, prefix: str, *, start: float, end: float) -> Mapping[str, int]:
        def raised(client: Any) -> Mapping[str, int]:
            ours = set(_names(client, prefix))
            times = Counter(name for name in _raised(client, start, end) if name in ours)
            return {name.removeprefix(prefix): count for name, count in times.items()}

        return await self._client.run(raised, within_s=self._pages_s)

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        await self._client.aclose()


def _told_apart(code: str, status: int, response: Any) -> Exception | None:
    """CloudWatch's own word for it comes with a 400."""
    if code in ("Throttling", "LimitExceeded", "LimitExceededException"):
        return Throttled(NAME, f"answered {status} {code}")
    return None


def _query(number: int, asked: Statistic, period_s: int) -> dict[str, Any]:
    metric = {
        "Namespace": asked.namespace,
        "MetricName": asked.metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in asked.dimensions],
    }
    stat = {"Metric": metric, "Period": period_s, "Stat": asked.stat}
    return {"Id": _id(number), "MetricStat": stat}


def _id(number: int) -> str:
    return f"q{number}"


def _values(
    client: Any, queries: Sequence[Mapping[str, Any]], start: float, end: float
) -> dict[str, float]:
    span = {"StartTime": _utc(start), "EndTime": _utc(end)}
    found: dict[str, float] = {}
    for page in _pages(client.get_metric_data, MetricDataQueries=queries, **span):
        for result in page["MetricDataResults"]:
            if result.get("StatusCode") not in (None, "Complete", "PartialData"):
                raise Unavailable(NAME, f"answered {result['StatusCode']} to a query")
            for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                if abs(at.timestamp() - start) >= LONGEST_CLOCK_STEP_S or result["Id"] in found:
                    raise Unavailable(NAME, "answered for another span than was asked for")
                found[result["Id"]] = float(value)
    return found


def _names(client: Any, prefix: str) -> Iterator[str]:
    """The names of this stack's alarms. What another stack's begin with may be the same, as
    `rag-` and `rag-eu-`: an alarm's description ends in its own name, without its stack's."""
    kinds = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": ALARMS_A_PAGE}
    for page in _pages(client.describe_alarms, AlarmNamePrefix=prefix, **kinds):
        for alarm in [*page.get("MetricAlarms", []), *page.get("CompositeAlarms", [])]:
            name = str(alarm["AlarmName"])
            if f"/{name.removeprefix(prefix)}.md" in alarm.get("AlarmDescription", ""):
                yield name


def _raised(client: Any, start: float, end: float) -> Iterator[str]:
    """Of any alarm of the account and region, once for each time that it went off."""
    pages = _pages(
        client.describe_alarm_history,
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
        HistoryItemType="StateUpdate",
        StartDate=_utc(start),
        EndDate=_utc(end),
        MaxRecords=CHANGES_A_PAGE,
    )
    for page in pages:
        for change in page["AlarmHistoryItems"]:
            if change["Timestamp"].timestamp() < end and _to(change) == "ALARM":
                yield str(change["AlarmName"])


def _to(change: Mapping[str, Any]) -> str:
    return str(json.loads(change["HistoryData"])["newState"]["stateValue"])


def _pages(operation: Callable[..., Any], **request: Any) -> Iterator[Any]:
    """boto3's own paginator stops at an endless answer only when a token comes twice in a row."""
    token: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = operation(**request, **token)
        yield page
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}
    raise Unavailable(NAME, f"gave more than {MOST_PAGES} pages")


def _utc(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
