"""What a flood of requests showed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steadyrag import __version__

MOST_REFUSED = 0.05
"""Share of 429 from which the rate limit was fuzzed and not what is behind it."""


@dataclass(frozen=True, slots=True)
class FuzzReport:
    """`answers` counts (route, status) by the way in."""

    wanted: int
    answers: Mapping[str, Counter[tuple[str, int]]]
    failures: Sequence[str]
    errors: Sequence[str]
    told: Sequence[str]
    seconds: float
    seed: int

    @property
    def all_answers(self) -> Counter[tuple[str, int]]:
        return sum(self.answers.values(), Counter())

    @property
    def requests(self) -> int:
        return self.all_answers.total()

    @property
    def server_errors(self) -> int:
        return sum(times for (_, status), times in self.all_answers.items() if status >= 500)

    @property
    def not_429(self) -> float:
        refused = sum(times for (_, status), times in self.all_answers.items() if status == 429)
        return 1 - refused / max(1, self.requests)

    @property
    def met(self) -> bool:
        return (
            not (self.failures or self.errors or self.server_errors)
            and self.not_429 > 1 - MOST_REFUSED
            and self.requests >= self.wanted
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "command": "fuzz",
            "version": __version__,
            "requests": self.requests,
            "server_errors": self.server_errors,
            "not_429": round(self.not_429, 4),
            "failures": list(self.failures),
            "errors": list(self.errors),
            "by_way_in": {way: counted.total() for way, counted in self.answers.items()},
            "by_route": {
                route: {str(status): times for status, times in sorted(statuses.items())}
                for route, statuses in self._routes().items()
            },
            "seconds": self.seconds,
            "seed": self.seed,
            "met": self.met,
        }

    def rendered(self) -> RenderableType:
        routes = self._routes()
        statuses = sorted({status for counted in routes.values() for status in counted})
        table = Table(box=None, pad_edge=False)
        table.add_column("route")
        for name in (*map(str, statuses), "all"):
            table.add_column(name, justify="right")
        for route, counted in routes.items():
            cells = [str(counted[status] or "") for status in statuses]
            table.add_row(route, *cells, str(counted.total()))
        ways = ", ".join(f"{counted.total():,} {way}" for way, counted in self.answers.items())
        found = (
            f"{self.requests:,} requests ({ways}) of {self.wanted:,} wanted in {self.seconds:g} s, "
            f"{self.not_429:.1%} not 429\n{self.server_errors} server errors, "
            f"{len(self.failures)} checks failed, {len(self.errors)} errors; seed {self.seed}"
        )
        verdict = Text("All held.", "green") if self.met else Text("Something broke.", "red")
        return Group(*map(Text, self.told), table, "", found, verdict)

    def _routes(self) -> dict[str, Counter[int]]:
        """Methods that a route doesn't have are one line: there are many, with one request each."""
        routes: dict[str, Counter[int]] = {}
        for (route, status), times in sorted(self.all_answers.items()):
            name = "other methods" if status == 405 else route
            routes.setdefault(name, Counter())[status] += times
        return routes
