"""`make fuzz [REQUESTS=5000] [OUT=file.json] [SEED=n]`"""

import logging
import secrets
import time
from collections import Counter
from pathlib import Path

import click

from security.fuzz.report import FuzzReport
from security.fuzz.run import Run, run
from security.fuzz.served import served
from steadyrag.evaluation.output import publish

WAYS = {"over HTTP": 0.7, "through the Lambda handler": 0.3}
"""Share of the requests that goes each way."""

REQUESTS_AN_EXAMPLE = 9
"""About as many come of one example a route and phase."""

LONGEST_RUN = 150
"""Examples of one run; another one has another seed."""


@click.command()
@click.option("--requests", type=click.IntRange(1), default=5000, show_default=True)
@click.option("--seed", type=int, help="Of a run to repeat; another each time without it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
def main(requests: int, seed: int | None, out: Path | None) -> None:
    """Ask every route everything, and say what was answered."""
    logging.getLogger("steadyrag").setLevel(logging.CRITICAL)
    report = fuzz(requests, secrets.randbelow(10**6) if seed is None else seed)
    publish(report, out)
    raise SystemExit(0 if report.met else 1)


def fuzz(requests: int, seed: int) -> FuzzReport:
    started = time.monotonic()
    runs: list[Run] = []
    answers: dict[str, Counter[tuple[str, int]]] = {}
    for way, share in WAYS.items():
        wanted = round(requests * share)
        with served(by_lambda="Lambda" in way) as (url, counting):
            answers[way] = counting.answers
            while (missing := wanted - counting.answers.total()) > 0 and not _broke(runs):
                examples = min(LONGEST_RUN, missing // REQUESTS_AN_EXAMPLE + 1)
                runs.append(run(url, examples=examples, seed=seed + len(runs)))
                click.echo(f"{counting.answers.total():,} of {wanted:,} {way} ...", err=True)
    return FuzzReport(
        wanted=requests,
        answers=answers,
        failures=[failure for one in runs for failure in one.failures],
        errors=[error for one in runs for error in one.errors],
        told=[one.told for one in runs if one.failures or one.errors],
        seconds=round(time.monotonic() - started, 1),
        seed=seed,
    )


def _broke(runs: list[Run]) -> bool:
    return any(one.failures or one.errors for one in runs)


if __name__ == "__main__":
    main()
