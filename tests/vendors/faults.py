"""What can go wrong at a vendor, per operation, set in process or over HTTP."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = frozenset(
    {
        "status",  # an error in the vendor's own form: `status`, `code`, `retry_after_s`
        "reset",  # the connection is reset, nothing is sent
        "half",  # half of the body arrives, then the connection closes
        "garbage",  # 200 with a body that is no JSON
        "nonsense",  # 200 with JSON that is nothing one asked for
        "drip",  # the right body, one byte every `drip_s` seconds
        "hang",  # accepted, read, never answered
        "wrong_dimension",  # vectors one element short
        "shuffled",  # embeddings in another order than asked for
        "missing",  # one embedding or one score fewer than asked for
        "refusal",  # the model declines
        "content_filter",  # the answer is withheld
        "empty",  # the model stops without a word
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. `code` and `type` are the vendor's words for it."""

    kind: str
    status: int = 500
    code: str | None = None
    type: str | None = None
    retry_after_s: float | None = None
    drip_s: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is not a fault; there are {', '.join(sorted(KINDS))}")


@dataclass(slots=True)
class _Planned:
    fault: Fault
    after: int
    times: int | None
    share: float


@dataclass(slots=True)
class Faults:
    """`latency_ms` holds before the answer; `add` plans a fault. `"*"` is any operation."""

    latency_ms: dict[str, float] = field(default_factory=dict)
    _planned: dict[str, list[_Planned]] = field(default_factory=dict)
    _lots: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311

    def add(
        self,
        operation: str,
        fault: Fault,
        *,
        times: int | None = None,
        after: int = 0,
        share: float = 1.0,
    ) -> None:
        """Fails the calls after the next `after`, `times` of them or (None) all; of those,
        one by one, a `share` drawn by lot."""
        self._planned.setdefault(operation, []).append(_Planned(fault, after, times, share))

    def clear(self) -> None:
        self.latency_ms.clear()
        self._planned.clear()

    def delay_s(self, operation: str) -> float:
        return self.latency_ms.get(operation, self.latency_ms.get("*", 0.0)) / 1000

    def next(self, operation: str) -> Fault | None:
        """The fault this call meets; counts the call."""
        plans: list[_Planned] = [*self._planned.get(operation, []), *self._planned.get("*", [])]
        for plan in plans:
            if plan.after > 0:
                plan.after -= 1
            elif self._lots.random() >= plan.share:
                continue
            elif plan.times is None:
                return plan.fault
            elif plan.times > 0:
                plan.times -= 1
                return plan.fault
        return None

    def apply(self, order: Mapping[str, Any]) -> None:
        """What `POST /_faults` takes: `{"operation": "chat", "latency_ms": 2000}` or
        `{"operation": "chat", "fault": {"kind": "status", "status": 503}, "times": 1,
        "after": 0, "share": 0.1}`, or a list of such under `"orders"`, first cleared with
        `"clear": true`."""
        if order.get("clear"):
            self.clear()
        for part in order.get("orders", [order]):
            operation = part.get("operation", "*")
            if "latency_ms" in part:
                self.latency_ms[operation] = float(part["latency_ms"])
            if "fault" in part:
                times, after = part.get("times"), part.get("after", 0)
                fault, share = Fault(**part["fault"]), float(part.get("share", 1.0))
                self.add(operation, fault, times=times, after=after, share=share)
