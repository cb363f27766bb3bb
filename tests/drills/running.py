"""One drill, run."""

from collections.abc import Sequence
from dataclasses import dataclass

from drills.drills import Drill
from drills.stack import Stack, lived
from steadyrag.monitoring.alarms import Transition
from steadyrag.monitoring.definitions import Alarm, MetricAlarm


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a drill. `fired_min` is how many minutes after the fault began the alarm
    fired, `cleared_min` how many after it was mended it was quiet again; None for never.
    `early` says that it fired before there was a fault."""

    drill: Drill
    alarm: Alarm
    fired_min: int | None
    cleared_min: int | None
    early: bool
    requests: int
    transitions: Sequence[Transition]
    readings_differ: Sequence[str]

    @property
    def passed(self) -> bool:
        return None not in (self.fired_min, self.cleared_min) and not self.early

    @property
    def fired_periods(self) -> float | None:
        """Of the alarm; a composite one is judged by the minute."""
        period_s = self.alarm.period_s if isinstance(self.alarm, MetricAlarm) else 60
        return None if self.fired_min is None else round(self.fired_min * 60 / period_s, 2)


def run_drill(drill: Drill, alarms: Sequence[Alarm], *, seed: int = 1) -> Ran:
    return lived(lambda stack: _through(drill, alarms, stack), alarms, seed=seed)


async def _through(drill: Drill, alarms: Sequence[Alarm], stack: Stack) -> Ran:
    await stack.begin(drill.requests)
    early = False
    for _ in range(drill.before):
        early |= (await stack.minute(drill.requests))[drill.alarm] == "ALARM"
    await drill.breaks(stack)
    fired = await _until(stack, drill, "ALARM", drill.within, broken=True)
    await stack.mend()
    await drill.mends(stack)
    cleared = None
    if fired is not None:
        cleared = await _until(stack, drill, "OK", drill.clears, broken=False)
    return Ran(
        drill,
        next(alarm for alarm in alarms if alarm.name == drill.alarm),
        fired,
        cleared,
        early,
        stack.asked,
        tuple(stack.watch.transitions),
        sorted(stack.readings_differ),
    )


async def _until(
    stack: Stack, drill: Drill, state: str, within: int, *, broken: bool
) -> int | None:
    """Minutes until the alarm is in `state`."""
    for minute in range(1, within + 1):
        if broken:
            await drill.goes_on(stack)
        states = await stack.minute(drill.requests if broken else drill.after)
        if states[drill.alarm] == state:
            return minute
    return None
