"""What schedules ask for every hour: golden questions, and the daily report if it is due."""

from drills.aws import Aws, Invocation
from drills.corpus import SUBJECTS
from drills.dependencies import Dependencies
from drills.virtual_time import Clock
from fakes import InMemoryBucket, InMemoryStore
from fakes.metric_reader import InMemoryReader
from fakes.topic import InMemoryTopic
from steadyrag.domain.golden import GoldenQuestion
from steadyrag.golden import watch_golden
from steadyrag.monitoring.series import Series
from steadyrag.report_sending import report_if_due
from steadyrag.settings import Settings
from steadyrag.telemetry.metrics import collecting
from steadyrag.wiring.golden import build_golden
from steadyrag.wiring.report import build_sending

GOLDEN_AT, REPORT_AT = 7, 17
"""Minutes past the hour, as in the template."""

GOLDEN_S, REPORT_S = 885.0, 105.0
CRASHED_MS = 800.0


class Scheduled:
    """`runs` is whether the schedules are on, `crashes` names functions that fail as a whole;
    `topic` is where the report goes."""

    def __init__(
        self, clock: Clock, aws: Aws, series: Series, asks: Dependencies, settings: Settings
    ) -> None:
        self._clock = clock
        self._aws = aws
        self.runs = True
        self.crashes: set[str] = set()
        self.topic = InMemoryTopic()
        self._golden = build_golden(
            settings,
            clock=lambda: clock.now,
            embedder=asks.embedder,
            index=asks.index,
            reranker=asks.reranker,
            bucket=InMemoryBucket(clock=lambda: clock.now),
        )
        measured = InMemoryReader()
        measured.series = series
        self._report = build_sending(
            settings,
            clock=lambda: clock.now,
            reader=measured,
            topic=self.topic,
            store=InMemoryStore(clock=lambda: clock.now, name="dynamodb"),
        )

    async def begin(self) -> None:
        """People pin a question on each of a few documents."""
        for subject in SUBJECTS[:3]:
            question = GoldenQuestion(f"{subject} rules", subject, added_at=self._clock.now)
            await self._golden.sets.put("default", question)

    async def minute(self) -> None:
        past_hour = int(self._clock.now // 60 % 60)
        if not self.runs or past_hour not in (GOLDEN_AT, REPORT_AT):
            return
        began = self._clock.now
        function = "quality" if past_hour == GOLDEN_AT else "report"
        if function in self.crashes:
            self._aws.invoked(function, Invocation(CRASHED_MS, failed=True), began)
            return
        with collecting():
            if past_hour == GOLDEN_AT:
                await watch_golden(self._golden, seconds=GOLDEN_S)
            else:
                await report_if_due(self._report, seconds=REPORT_S)
        self._aws.invoked(function, Invocation((self._clock.now - began) * 1000), began)

    def mend(self) -> None:
        self.runs = True
        self.crashes.clear()
        self.topic.heal()
