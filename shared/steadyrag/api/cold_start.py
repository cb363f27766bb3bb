"""Environments that somebody had to wait for."""

from steadyrag.telemetry.catalogue import COLD_STARTS
from steadyrag.telemetry.metrics import count


class ColdStart:
    """Counts the first invocation of an environment, restored from a snapshot or not, for
    `function`; None counts nothing."""

    def __init__(self, function: str | None) -> None:
        self._function = function

    def invoked(self) -> None:
        if self._function is not None:
            count(COLD_STARTS, function=self._function)
            self._function = None
