"""Standard output, of which CloudWatch makes metrics."""

import json
from collections.abc import Callable
from io import TextIOBase

from steadyrag.monitoring.series import Series


class Printed(TextIOBase):
    """Each line of EMF that the service prints goes into `series`, at the time of `clock`: the
    encoder stamps it with the machine's. `lines` counts them."""

    def __init__(self, series: Series, clock: Callable[[], float]) -> None:
        super().__init__()
        self._series = series
        self._clock = clock
        self._rest = ""
        self.lines = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.startswith("{") and '"_aws"' in line:
                self.lines += 1
                self._series.add_emf(json.loads(line), at=self._clock())
        return len(text)
