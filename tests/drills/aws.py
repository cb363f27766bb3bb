"""What AWS measures by itself of the stack's API, functions and queues."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from steadyrag.monitoring.series import Series

STACK = "steadyrag"
STAGE = "v1"
VERSION = "SearchFunction.Version.Version"
"""As `read_alarms` has it: only a deployment knows the number."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request of a function. `failed` is an error of the function as a whole, a time-out
    say; what is throttled is never run."""

    duration_ms: float = 0.0
    failed: bool = False
    throttled: bool = False


class Aws:
    """Writes metrics under every set of dimensions that AWS writes them under."""

    def __init__(self, series: Series) -> None:
        self._series = series

    def invoked(self, function: str, said: Invocation, at: float) -> None:
        """By function, by alias, and by the version behind it."""
        name = f"{STACK}-{function}"
        alias = {"FunctionName": name, "Resource": f"{name}:live"}
        by = [{"FunctionName": name}, alias]
        if said.throttled:
            self._write("AWS/Lambda", {"Throttles": 1}, by, at)
            return
        run = {"Invocations": 1, "Errors": float(said.failed), "Duration": said.duration_ms}
        by_version = {**alias, "ExecutedVersion": VERSION}
        self._write("AWS/Lambda", {**run, "Throttles": 0}, [*by, by_version], at)

    def answered(self, path: str, method: str, status: int, latency_ms: float, at: float) -> None:
        """By the API gateway, whose detailed metrics are on."""
        api = {"ApiName": STACK}
        route = {**api, "Stage": STAGE, "Resource": path, "Method": method}
        values = {
            "Count": 1.0,
            "4XXError": float(400 <= status < 500),
            "5XXError": float(status >= 500),
            "Latency": latency_ms,
        }
        self._write("AWS/ApiGateway", values, [api, {**api, "Stage": STAGE}, route], at)

    def queued(self, queue: str, *, oldest_s: float, visible: int, at: float) -> None:
        values = {
            "ApproximateAgeOfOldestMessage": oldest_s,
            "ApproximateNumberOfMessagesVisible": float(visible),
        }
        self._write("AWS/SQS", values, [{"QueueName": f"{STACK}-{queue}"}], at)

    def _write(
        self,
        namespace: str,
        values: Mapping[str, float],
        by: Iterable[Mapping[str, str]],
        at: float,
    ) -> None:
        for dimensions in by:
            for name, value in values.items():
                self._series.put(namespace, name, dimensions, value, at)
