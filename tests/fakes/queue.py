"""A queue in a list, which a test empties by hand."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fakes.trouble import Trouble
from steadyrag.domain.ledger import Letter


@dataclass(frozen=True, slots=True)
class Sent:
    body: str
    delay_s: int
    due_at: float
    attributes: Mapping[str, str] = field(default_factory=dict)


class InMemoryQueue(Trouble):
    """`sent` is all that ever came, oldest first; `receive` hands out what is due and not
    handed out yet."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self._clock = clock
        self._waiting: list[Sent] = []
        self._numbers = itertools.count(1)

    async def send(
        self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None
    ) -> None:
        if not 0 <= delay_s <= 900:
            raise ValueError(f"a delay of {delay_s} s: from 0 to 900 are possible")
        await self._called("send")
        sent = Sent(body, delay_s, self._clock() + delay_s, dict(attributes or {}))
        self.sent.append(sent)
        self._waiting.append(sent)

    def receive(self, most: int = 10) -> list[Letter]:
        due = [one for one in self._waiting if one.due_at <= self._clock()][:most]
        for one in due:
            self._waiting.remove(one)
        return [
            Letter(f"letter-{next(self._numbers)}", one.body, attributes=one.attributes)
            for one in due
        ]

    @property
    def waiting(self) -> int:
        return len(self._waiting)
