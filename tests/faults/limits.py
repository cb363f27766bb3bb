"""One user's requests at once, from many processes: as many pass as the limit says."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from faults.figures import Figure
from faults.world import World
from integration.fleet import fleet
from servers import REGION
from steadyrag.progress import progress

PROCESSES = 8
REQUESTS = 200
LIMIT = 10
ROUNDS = 5


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    valkey = {"kind": "valkey", "url": world.valkey.url, "prefix": f"limits-{uuid.uuid4().hex}:"}
    dynamodb = {
        "kind": "dynamodb",
        "table": f"{world.new_table()}cache",
        "endpoint_url": world.local_aws.url,
        "region": REGION,
    }
    return [_figure("Valkey", valkey), _figure("DynamoDB", dynamodb)], []


def _figure(store: str, where: Mapping[str, Any]) -> Figure:
    rounds = _rounds(store, where)
    passed = [seen["passed"] for seen in rounds]
    alone = sum(seen["alone"] for seen in rounds)
    exact = sum(count == LIMIT for count in passed)
    return Figure(
        name=f"one user, {REQUESTS} requests at once from {PROCESSES} processes, {store}",
        bar=f"exactly {LIMIT} pass, all counted by the store",
        measured=f"{', '.join(map(str, passed))} passed in {ROUNDS} rounds; "
        f"{alone} counted by a process alone",
        met=exact == ROUNDS and not alone,
        values={
            "processes": PROCESSES,
            "requests": REQUESTS,
            "limit": LIMIT,
            "rounds": ROUNDS,
            "exact_rounds": exact,
            "least_passed": min(passed),
            "most_passed": max(passed),
            "counted_alone": alone,
        },
    )


def _rounds(store: str, where: Mapping[str, Any]) -> list[dict[str, int]]:
    """How many passed and how many were counted alone, for a new user each time."""
    order = {"limit": f"{LIMIT}/minute", "times": REQUESTS // PROCESSES}
    rounds: list[dict[str, int]] = []
    with progress(f"limits on {store}") as advance, fleet(PROCESSES, where) as environments:
        for done in range(1, ROUNDS + 1):
            rounds.append(environments.total("limited", user=uuid.uuid4().hex, **order))
            advance(done, ROUNDS)
    return rounds
