"""CloudWatch, as far as reading metrics and alarms goes, in the protocol that boto3 speaks to it,
JSON with times as epoch seconds."""

from dataclasses import dataclass
from json import dumps
from typing import Any

from steadyrag.monitoring.series import Series
from vendors.faults import Fault
from vendors.server import Request, Response, Vendor

HEADERS = {"content-type": "application/x-amz-json-1.0"}


@dataclass(frozen=True, slots=True)
class Change:
    """What an alarm went to, and when, in epoch seconds."""

    alarm: str
    to: str
    at: float


class CloudWatch(Vendor):
    """`series` is what was measured, `alarms` are descriptions by name, `changes` what these did,
    oldest first; a page has `page` entries. Periods begin at the start that is asked for, as its
    guide says of all but those under a minute.

    Operations for faults and records: `GetMetricData`, `DescribeAlarms`, `DescribeAlarmHistory`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.series = Series()
        self.alarms: dict[str, str] = {}
        self.changes: list[Change] = []
        self.page = 100

    def operation_of(self, request: Request) -> str:
        return request.headers["x-amz-target"].partition(".")[2]

    def answer(self, request: Request, fault: Fault | None) -> Response:
        asked = request.json
        match request.operation:
            case "GetMetricData":
                answer = self._paged("MetricDataResults", self._results(asked), asked)
            case "DescribeAlarms":
                answer = self._paged("MetricAlarms", self._alarms(asked), asked)
            case _:
                answer = self._paged("AlarmHistoryItems", self._history(asked), asked)
        return Response(200, answer, HEADERS)

    def error(self, fault: Fault) -> Response:
        kind = fault.code or "InternalServiceFault"
        body = {"__type": f"com.amazonaws.cloudwatch#{kind}", "message": "as the test ordered"}
        return Response(fault.status, body, HEADERS)

    def _paged(self, name: str, found: list[Any], asked: dict[str, Any]) -> dict[str, Any]:
        begin = int(asked.get("NextToken", 0))
        after = begin + self.page
        more = {"NextToken": str(after)} if after < len(found) else {}
        return {name: found[begin:after], **more}

    def _results(self, asked: dict[str, Any]) -> list[Any]:
        assert len(asked["MetricDataQueries"]) <= 500
        return [
            self._result(query, asked["StartTime"], asked["EndTime"])
            for query in asked["MetricDataQueries"]
        ]

    def _result(self, query: dict[str, Any], start: float, end: float) -> dict[str, Any]:
        stat, period_s = query["MetricStat"], query["MetricStat"]["Period"]
        assert period_s % 60 == 0
        metric = stat["Metric"]
        named = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        which = (metric["Namespace"], metric["MetricName"], named, stat["Stat"])
        values = self.series.values(*which, period_s, start, end)
        points = [(start + n * period_s, v) for n, v in enumerate(values) if v is not None]
        return {
            "Id": query["Id"],
            "Label": metric["MetricName"],
            "Timestamps": [at for at, _ in points],
            "Values": [value for _, value in points],
            "StatusCode": "Complete",
        }

    def _alarms(self, asked: dict[str, Any]) -> list[Any]:
        return [
            {"AlarmName": name, "AlarmDescription": described}
            for name, described in self.alarms.items()
            if name.startswith(asked["AlarmNamePrefix"])
        ]

    def _history(self, asked: dict[str, Any]) -> list[Any]:
        assert asked["HistoryItemType"] == "StateUpdate"
        start, end = asked["StartDate"], asked["EndDate"]
        return [
            {
                "AlarmName": change.alarm,
                "Timestamp": change.at,
                "HistoryItemType": "StateUpdate",
                "HistoryData": dumps({"version": "1.0", "newState": {"stateValue": change.to}}),
            }
            for change in self.changes
            if start <= change.at <= end
        ]
