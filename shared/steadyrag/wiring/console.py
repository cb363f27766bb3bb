"""The local console: what is shown of this process, by the alarms of the checkout it runs in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from steadyrag.goals import against_goals
from steadyrag.health import Readiness
from steadyrag.monitoring.alarms import CompositeAlarm, Watch
from steadyrag.monitoring.series import Series
from steadyrag.telemetry.catalogue import NAMESPACE, READY, REPORT_AGE
from steadyrag.telemetry.metrics import count
from steadyrag.wiring.readiness import probes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from steadyrag.monitoring.alarms import Alarm, State
    from steadyrag.search import Service
    from steadyrag.settings import Settings

log = logging.getLogger(__name__)

CHECKOUT = Path(__file__).parents[3]
"""Where this package lies in its repository, if it does."""

KEEP_S = 7 * 3600
"""The alarm that looks back furthest wants six hours."""

EVERY_S = 10.0
READY_EVERY_S = 60.0
"""As the schedule of a stack asks."""


class LocalMonitor:
    """The metrics of this process over the last hours, and the alarms they would raise.

    `alarms` is empty outside of a checkout. Those that look at nothing but metrics of AWS's own
    services can't know anything here. `readiness` is asked every minute, since silence is what
    one of the alarms is about; None where asking costs money.
    """

    def __init__(
        self,
        *,
        service: str,
        alarms: Sequence[Alarm] = (),
        runbooks: Path | None = None,
        readiness: Readiness | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._alarms = list(alarms)
        self._runbooks = runbooks
        self._readiness = readiness
        self._clock = clock
        self._series = Series()
        self._watch = Watch(self._alarms, self._series)
        self._began = clock()

    def listen(self, document: Mapping[str, Any]) -> None:
        """Takes the metrics of one EMF document in."""
        self._series.add_emf(document)

    async def work(self) -> None:
        """Looks at the alarms as time goes by, until it is cancelled."""
        await asyncio.gather(
            _again_and_again(self._look, every_s=EVERY_S),
            _again_and_again(self._ask, every_s=READY_EVERY_S),
        )

    async def _look(self) -> None:
        self.look()

    async def _ask(self) -> None:
        if self._readiness:
            health = await self._readiness.check()
            count(READY, 0 if health.status == "failed" else 1)

    def look(self) -> Mapping[str, State]:
        """Each alarm's state by name, and forgets what is too old to matter."""
        now = self._clock()
        self._series.forget(now - KEEP_S)
        return self._watch.evaluate(now)

    def heard_of(self) -> set[tuple[str, str]]:
        """Namespace and name of every metric with a sample."""
        return {(one.namespace, one.name) for one in self._series.metrics()}

    def metrics(self) -> Mapping[str, Any]:
        now = self._clock()
        since = max(self._began, now - KEEP_S + 60)
        whole = against_goals(self._series, self._service, now=now, since=since)
        return {**whole, "began": self._began}

    def alarms(self) -> Mapping[str, Any]:
        states = self.look()
        recorded = self.heard_of()
        last = {change.name: change for change in self._watch.transitions}
        return {
            "at": self._clock(),
            "read": bool(self._alarms),
            "alarms": [
                {
                    "name": alarm.name,
                    "full_name": alarm.full_name,
                    "description": alarm.description,
                    "state": states[alarm.name],
                    "needs": _unheard(alarm, recorded),
                    "too_early": _silence_fires(alarm, before=self._clock() - self._began),
                    "since": last[alarm.name].at if alarm.name in last else self._began,
                    "reason": last[alarm.name].reason if alarm.name in last else None,
                    "tells": _told(alarm),
                    "runbook": self.runbook(alarm.name, "en") is not None,
                }
                for alarm in self._alarms
            ],
        }

    def runbook(self, name: str, language: Literal["en", "ko"]) -> str | None:
        if self._runbooks is None:
            return None
        for wanted in (f"{name}.ko.md", f"{name}.md") if language == "ko" else (f"{name}.md",):
            path = self._runbooks / wanted
            if path.is_file():
                return path.read_text(encoding="utf-8")
        return None


def local_monitor(settings: Settings, service: Service) -> LocalMonitor:
    """With the alarms and runbooks of the repository that this package lies in, if it does."""
    parts = (settings.embedder, settings.index, settings.reranker, settings.generator)
    return LocalMonitor(
        service=settings.service,
        alarms=_alarms(CHECKOUT / "template.yaml", settings.service),
        runbooks=CHECKOUT / "infra" / "runbooks",
        readiness=Readiness(probes(service)) if {*parts} <= {"local", "none"} else None,
    )


async def _again_and_again(work: Callable[[], Awaitable[None]], *, every_s: float) -> None:
    while True:
        try:
            await work()
        except Exception:  # the page shows what was found last
            log.exception("metrics not watched")
        await asyncio.sleep(every_s)


def _alarms(template: Path, service: str) -> Sequence[Alarm]:
    if not template.is_file():
        return []
    try:
        from steadyrag.monitoring.template import read_alarms

        return read_alarms(template, Prefix=service)
    except Exception:  # half an edit of a template stops no server
        log.exception("alarms not read")
        return []


_SCHEDULED = {(NAMESPACE, REPORT_AGE.name)}
"""What the schedules of a stack bring, and nothing here."""


def _unheard(alarm: Alarm, recorded: set[tuple[str, str]]) -> list[str]:
    """The metrics that the alarm knows nothing without, where none of them was ever heard of
    here: AWS's own, and ours where silence means something to it. Else nothing."""
    if isinstance(alarm, CompositeAlarm):
        return []
    looked_at = {(one.namespace, one.name) for one in alarm.metrics if one.namespace and one.name}
    if looked_at & _SCHEDULED - recorded:
        return sorted(f"{namespace} {name}" for namespace, name in looked_at & _SCHEDULED)
    ours = any(namespace == NAMESPACE for namespace, _ in looked_at)
    if looked_at & recorded or (ours and alarm.missing in ("notBreaching", "ignore")):
        return []
    return sorted(f"{namespace} {name}" for namespace, name in looked_at)


def _silence_fires(alarm: Alarm, *, before: float) -> bool:
    """Whether the alarm takes for silence the time before anybody listened, `before` seconds
    into it."""
    if isinstance(alarm, CompositeAlarm) or alarm.missing != "breaching":
        return False
    return before < alarm.period_s * (alarm.evaluation_periods + 1)


def _told(alarm: Alarm) -> list[str]:
    """Whom the alarm tells, by the topics' names: those who are paged, or the team."""
    actions = " ".join(alarm.actions).lower()
    return [who for who in ("page", "ticket") if who in actions]
