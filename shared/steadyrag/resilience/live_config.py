"""The live configuration, read while requests run and never in their way.

It is read before the first request and then once a minute by a request, beside its own work.
What was read last holds until something better comes, and that nothing is deployed any more is
not better: it would open what a document has closed, where one that is empty says so itself.
What a process has never read it does not know: `known` says so, and whoever depends on it decides.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.live_config import ConfigSource, LiveConfig, parse_live_config
from steadyrag.resilience.breaker import Clock

log = logging.getLogger(__name__)

EVERY_S = 60.0
RETRY_S = 5.0
"""How soon a process asks again that has never had an answer."""
PATIENCE_S = 0.2
"""How long requests wait for a reading, from its beginning."""
WARM_S = 3.0
THAW_S = 1.5
"""Less than all of a restore may take (`api.snapshot`)."""


def ignore_unusable() -> None:
    """For those who do not want to know."""


@dataclass(slots=True)
class _State:
    """`wrong` is what is wrong with the document as it is now; `began_at` when the last
    reading began, `wait_s` how long after that the next one is due, `patience_ends` (of the
    loop's clock) until when requests wait for it."""

    current: LiveConfig = field(default_factory=LiveConfig)
    known: bool = False
    wrong: str | None = None
    began_at: float = float("-inf")
    wait_s: float = 0.0
    patience_ends: float = float("-inf")


class ConfigPoller:
    """Holds the live configuration. Safe for concurrent use on one loop; never raises.

    Ages are wall-clock: an environment that was frozen reads again when it wakes up.
    `on_unusable` is called whenever a reading failed or the document is (still) wrong.
    """

    def __init__(
        self,
        source: ConfigSource,
        *,
        clock: Clock = time.time,
        on_unusable: Callable[[], None] = ignore_unusable,
    ) -> None:
        self._source = source
        self._clock = clock
        self._on_unusable = on_unusable
        self._state = _State()
        self._reading: asyncio.Task[None] | None = None

    @property
    def current(self) -> LiveConfig:
        """What holds now; nothing but the settings while it is not `known`."""
        return self._state.current

    @property
    def known(self) -> bool:
        """Whether a document was ever read, or that there is none."""
        return self._state.known

    def begin(self) -> None:
        """Begins to read, if it is time to, on the running loop."""
        state, now = self._state, self._clock()
        if 0 <= now - state.began_at < (EVERY_S if self._under_way() else state.wait_s):
            return
        self._abandon()  # an hour later its answer would be an hour old
        state.began_at = now
        state.patience_ends = asyncio.get_running_loop().time() + PATIENCE_S
        self._reading = asyncio.create_task(self._read(state))

    async def settled(self) -> None:
        """Waits for a reading that is under way, but no longer than its `PATIENCE_S`."""
        await self._wait(self._state.patience_ends - asyncio.get_running_loop().time())

    async def warm(self, within_s: float = WARM_S) -> None:
        """The first reading, ahead of traffic."""
        self.begin()
        await self._wait(within_s)

    async def thaw(self) -> None:
        """Forgets what a snapshot held, which may be weeks old, and reads anew."""
        await self.aclose()
        self._state = _State()
        await self.warm(THAW_S)

    async def aclose(self) -> None:
        self._abandon()
        await self._source.aclose()

    def _under_way(self) -> bool:
        reading = self._reading
        return (
            reading is not None
            and not reading.done()
            and reading.get_loop() is asyncio.get_running_loop()
        )

    def _abandon(self) -> None:
        if self._reading is not None and not self._reading.get_loop().is_closed():
            self._reading.cancel()
        self._reading = None

    async def _wait(self, within_s: float) -> None:
        if self._reading is not None and within_s > 0 and self._under_way():
            await asyncio.wait({self._reading}, timeout=within_s)

    async def _read(self, state: _State) -> None:
        state.wait_s = RETRY_S
        try:
            polled = await self._source.poll()
            if not polled.deployed:
                self._take_nothing(state)
            elif polled.document is not None:
                self._take(state, polled.document)
            state.wait_s = polled.poll_after_s
        except DependencyError as error:
            self._unusable(state, error.problem)
        except Exception as error:  # a bug in an adapter costs the news, not the answer
            log.exception("live configuration broke")
            self._unusable(state, type(error).__name__)
        else:
            if state.wrong is not None:
                self._unusable(state, state.wrong)
        if state.known:
            state.wait_s = max(state.wait_s, EVERY_S)

    def _take(self, state: _State, document: bytes) -> None:
        try:
            read = parse_live_config(document)
        except ValueError as error:
            state.wrong = str(error)
            return
        self._replace(state, read)

    def _take_nothing(self, state: _State) -> None:
        if state.current == LiveConfig():
            self._replace(state, LiveConfig())
        else:
            state.wrong = "nothing is deployed any more"

    def _replace(self, state: _State, read: LiveConfig) -> None:
        if read != state.current or not state.known:
            there = [name for name in read.__slots__ if getattr(read, name) is not None]
            log.info("live configuration in force", extra={"replaces": there})
        state.current, state.known, state.wrong = read, True, None

    def _unusable(self, state: _State, reason: str) -> None:
        told = {"reason": reason, "known": state.known}
        log.warning("live configuration not usable", extra=told)
        self._on_unusable()
