"""Measurements in a list, read as CloudWatch reads them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fakes.trouble import Trouble
from steadyrag.domain.ports import Statistic
from steadyrag.monitoring.series import Series


@dataclass(frozen=True, slots=True)
class Raised:
    alarm: str
    at: float


class InMemoryReader(Trouble):
    """`series` is what was measured, `raised` which alarms went off, `spans` what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.series = Series()
        self.raised: list[Raised] = []
        self.spans: list[tuple[float, float]] = []

    async def read(
        self, asked: Sequence[Statistic], *, start: float, end: float
    ) -> list[float | None]:
        await self._called("read")
        self.spans.append((start, end))
        return [
            self.series.values(
                one.namespace,
                one.metric,
                dict(one.dimensions),
                one.stat,
                int(end - start),
                start,
                end,
            )[0]
            for one in asked
        ]

    async def alarms_raised(self, prefix: str, *, start: float, end: float) -> Mapping[str, int]:
        await self._called("alarms_raised")
        return Counter(
            one.alarm.removeprefix(prefix)
            for one in self.raised
            if one.alarm.startswith(prefix) and start <= one.at < end
        )
