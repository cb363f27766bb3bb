"""Time that passes only when everybody waits: an event loop whose clock jumps to the next timer.

`install` has `time.time`, `time.monotonic` and `time.perf_counter` tell the time of the loop that
runs, and the real one where none does. What a machine needs for its own work takes no time.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

_REAL = {name: getattr(time, name) for name in ("time", "monotonic", "perf_counter")}

type _Ready = list[tuple[selectors.SelectorKey, int]]


class Clock:
    """`now` in epoch seconds. What has `passed` since the beginning is kept apart: beside an
    epoch a float has no room for the microseconds of a timer."""

    def __init__(self, begins: float) -> None:
        self._begins = begins
        self.passed = 0.0

    @property
    def now(self) -> float:
        return self._begins + self.passed


_running: Clock | None = None


def install() -> None:
    """Before anything is imported that keeps a function of `time` as its clock."""
    for name in _REAL:
        setattr(time, name, _told_by(name))


def _told_by(name: str) -> Any:
    real = _REAL[name]
    if name == "time":
        return lambda: real() if _running is None else _running.now
    return lambda: real() if _running is None else _running.passed


@contextmanager
def _in(clock: Clock) -> Iterator[None]:
    global _running
    before, _running = _running, clock
    try:
        yield
    finally:
        _running = before


class _Selector(selectors.DefaultSelector):
    """Never waits: the wait is over at once, and the clock says so."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> _Ready:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for something that nobody will do")
        if not ready and timeout:
            self._clock.passed += timeout
        return ready


class _AtOnce(ThreadPoolExecutor):
    """Does in the loop's own thread what is meant for another: time would not wait for it."""

    def submit[**P, T](
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        super().__init__(_Selector(clock))
        self._clock = clock
        self.set_default_executor(_AtOnce(1))

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """It has no threads to wait for."""

    def time(self) -> float:
        return self._clock.passed


def run[T](main: Coroutine[Any, Any, T], clock: Clock) -> T:
    """What `main` returns, run in the time of `clock`."""
    with _in(clock), asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
        return runner.run(main)
