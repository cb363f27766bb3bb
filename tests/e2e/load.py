"""Callers who go on asking while something else happens, and what they got."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

type Ask = Callable[[int], httpx.Response]


@dataclass(slots=True)
class Record:
    """What became of each request: its caller's name and the status, or the error's name.
    `taken` numbers each caller's requests that were fine, `bodies` is of those that were not."""

    got: Counter[tuple[str, str]] = field(default_factory=Counter)
    bodies: list[str] = field(default_factory=list)
    taken: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    slowest_s: float = 0.0

    def failures(self) -> dict[tuple[str, str], int]:
        """What was no success, and how often."""
        return {what: count for what, count in self.got.items() if what[1][0] != "2"}

    def of(self, name: str) -> int:
        """How many requests one caller sent."""
        return sum(count for what, count in self.got.items() if what[0] == name)


@contextmanager
def under_load(callers: dict[str, Ask], *, pause_s: float) -> Iterator[Record]:
    """Each caller asks from before the block until after it, one request after the other with
    a pause between; each has had an answer when the block begins."""
    record, stop, lock = Record(), threading.Event(), threading.Lock()

    def go_on(name: str, ask: Ask) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            started = time.monotonic()
            try:
                response = ask(number)
                status, body = str(response.status_code), response.text
            except httpx.HTTPError as error:
                status, body = type(error).__name__, str(error)
            with lock:
                record.got[name, status] += 1
                record.slowest_s = max(record.slowest_s, time.monotonic() - started)
                if status.startswith("2"):
                    record.taken[name].append(number)
                else:
                    record.bodies.append(f"{name} {number}: {status} {body[:300]}")
            stop.wait(pause_s)

    threads = [threading.Thread(target=go_on, args=caller) for caller in callers.items()]
    for thread in threads:
        thread.start()
    try:
        ends = time.monotonic() + 30
        while any(not record.of(name) for name in callers) and time.monotonic() < ends:
            time.sleep(0.05)
        yield record
    finally:
        stop.set()
        for thread in threads:
            thread.join(40)
