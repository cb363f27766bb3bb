"""A process that answers from the caches.

serve    `steadyrag serve`, whose stores get their time: on a busy machine a slow one is a
         miss, which costs ten times what is measured here
lambda   a new environment of the search function. Reads one JSON object on standard input,
         `held` and `new`: events of API Gateway. Answers those of `held`, says what they came
         from and which packages are imported by then, and does the same once more for `new`.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FUNCTION = Path(__file__).parents[2] / "functions" / "search.py"
PATIENT_S = 5.0
TIMES = 50
CONTEXT = SimpleNamespace(
    function_name="steadyrag-search",
    aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:steadyrag-search",
    get_remaining_time_in_millis=lambda: 28_000,
)


def serve() -> None:
    from steadyrag.cli import cli
    from steadyrag.resilience.guarded_store import GuardedStore
    from steadyrag.wiring import service, stores

    def patient(settings: Any, *, clock: Any) -> list[GuardedStore]:
        made = stores.shared_stores(settings, timeout_s=PATIENT_S, clock=clock)
        return [
            GuardedStore(store, timeout_s=PATIENT_S, connect_s=PATIENT_S, clock=clock)
            for store in made
        ]

    service.guarded_stores = patient
    cli(["serve"])


def answer() -> None:
    events = json.load(sys.stdin)
    started = time.process_time()
    spec = importlib.util.spec_from_file_location("search_function", FUNCTION)
    assert spec is not None
    assert spec.loader is not None
    function = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(function)
    held = _served(function.handler, events["held"])
    cpu_ms = (time.process_time() - started) * 1000
    warm_ms = _warm_ms(function.handler, events["held"])
    new = _served(function.handler, events["new"])
    print(json.dumps({"held": held, "new": new, "cpu_ms": cpu_ms, "warm_ms": warm_ms}))


def _served(handler: Any, events: Sequence[Any]) -> dict[str, Any]:
    """Where each answer came from, and the packages imported when all were given."""
    caches = []
    for event in events:
        response = handler(event, CONTEXT)
        cache = json.loads(response["body"]).get("cache", {})
        caches.append([response["statusCode"], cache.get("status"), cache.get("tier")])
    packages = sorted({name.partition(".")[0] for name in sys.modules})
    return {"caches": caches, "packages": packages}


def _warm_ms(handler: Any, events: Sequence[Any]) -> float:
    """Processor time of one answer in an environment that has given some."""
    started = time.process_time()
    for event in events * TIMES:
        handler(event, CONTEXT)
    return (time.process_time() - started) * 1000 / len(events) / TIMES


if __name__ == "__main__":
    {"serve": serve, "lambda": answer}[sys.argv[1]]()
