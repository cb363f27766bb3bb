"""Schemathesis, let loose on an address."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[2]

NOT_OURS = ("use_after_free",)
"""Checks that contradict the API: a deleted document can still be asked about, and says so."""

_TOLD = re.compile(r"=+ FAILURES =+\n(.*?)(?=\n=+ [A-Z]+ =+\n)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `failures` are the checks that failed, `errors` what kept it from asking;
    `told` is how to see them again."""

    failures: Sequence[str]
    errors: Sequence[str]
    told: str


def run(url: str, *, examples: int, seed: int) -> Run:
    """All checks over all routes, in all phases; `examples` a route and phase at most."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        report = Path(directory, "report.json")
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
                *("--checks", "all", "--exclude-checks", ",".join(NOT_OURS)),
                *("--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"),
                *("--suppress-health-check", "all", "--generation-database", "none"),
                *("--report", "json", "--report-json-path", str(report), "--no-color"),
            ],
            cwd=directory,
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": "security.fuzz.hooks", "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            return Run([], ["schemathesis did not run"], ran.stdout + ran.stderr)
        found = json.loads(report.read_text(encoding="utf-8"))
    told = _TOLD.search(ran.stdout)
    return Run(
        [f"{one['title']}: {', '.join(one['operations'])}" for one in found["failures"]],
        [one["title"] for one in found["errors"]],
        told[1] if told else ran.stdout,
    )
