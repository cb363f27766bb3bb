"""How a fake is told to fail or to be slow, and how it tells what it was asked."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from steadyrag.domain.errors import DependencyError

ANY = "*"


@dataclass(slots=True)
class _Failure:
    error: DependencyError
    on: str
    left: int | None


class Trouble:
    """Base of every fake. `calls` counts by method; `closed` counts `aclose`."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.closed = 0
        self._failures: list[_Failure] = []
        self._delays: dict[str, float] = {}

    def fail(self, error: DependencyError, *, on: str = ANY, times: int | None = None) -> None:
        """Raises `error` from the method `on` (all by default), `times` times or for good."""
        self._failures.append(_Failure(error, on, times))

    def slow(self, delay_s: float, *, on: str = ANY) -> None:
        """Waits before each call of the method `on` (all by default)."""
        self._delays[on] = delay_s

    def heal(self) -> None:
        self._failures.clear()
        self._delays.clear()

    async def aclose(self) -> None:
        self.closed += 1

    async def _called(self, method: str) -> None:
        self.calls[method] += 1
        await asyncio.sleep(self._delays.get(method, self._delays.get(ANY, 0.0)))
        for failure in self._failures:
            if failure.on in (method, ANY) and failure.left != 0:
                if failure.left is not None:
                    failure.left -= 1
                raise failure.error
