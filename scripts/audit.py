"""`make audit`: what is known to be wrong with the packages that are pinned.

Nothing is installed or resolved: pip-audit asks PyPI for the advisories of each pinned version.
Exit 0: it was asked about all, and knows of nothing. 1: it knows of something. 2: it could not be
asked, which says nothing about the packages.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_PIN = re.compile(r"^([a-z0-9._-]+)(?:\[.*\])?==([^ ;\\]+)", re.MULTILINE)

type Ask = Callable[[Path], str]


@dataclass
class Outcome:
    found: dict[str, list[str]] = field(default_factory=dict)
    """Advisories by `name version`."""
    asked: set[str] = field(default_factory=set)
    unasked: str = ""
    """Why not all could be asked about."""

    @property
    def status(self) -> int:
        return 1 if self.found else 2 if self.unasked else 0

    def __str__(self) -> str:
        lines = [f"{package}: {', '.join(known)}" for package, known in sorted(self.found.items())]
        if self.unasked:
            lines.append(f"NOT AUDITED: {self.unasked}")
            lines.append("`make audit` needs PyPI's JSON API, which is more than a package mirror.")
        else:
            lines.append(
                f"{len(self.asked)} pinned packages asked about, {len(self.found)} with advisories"
            )
        return "\n".join(lines)


def pip_audit(requirements: Path) -> str:
    """Its report as JSON; empty where it has none to give."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements)]
    command += ["--require-hashes", "--disable-pip", "--format", "json", "--desc", "off"]
    command += ["--progress-spinner", "off", "--timeout", "20"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603


def audit(files: Iterable[Path], ask: Ask = pip_audit) -> Outcome:
    """Asks about the smallest file first: where that can't be done, nothing else is tried."""
    outcome = Outcome()
    pins = {file: {" ".join(pin) for pin in _PIN.findall(file.read_text())} for file in files}
    for file in [smallest := min(pins, key=lambda file: len(pins[file])), *sorted(pins)]:
        if pins[file] <= outcome.asked:
            continue
        try:
            answers: list[dict[str, Any]] = json.loads(ask(file))["dependencies"]
        except (ValueError, KeyError):
            outcome.unasked = f"{file.name}: the advisories could not be fetched"
            return outcome
        for answer in answers:
            if "skip_reason" in answer:
                outcome.unasked = f"{file.name}: {answer['skip_reason']}"
                continue
            package = f"{answer['name']} {answer['version']}"
            outcome.asked.add(package)
            if answer["vulns"]:
                outcome.found[package] = [_told(one) for one in answer["vulns"]]
        if outcome.unasked and file == smallest:
            return outcome
        outcome.asked |= pins[file]  # those for other platforms are no concern of this one
    return outcome


def _told(advisory: dict[str, Any]) -> str:
    fixed = ", ".join(advisory.get("fix_versions", [])) or "no version yet"
    return f"{advisory['id']} (fixed in {fixed})"


if __name__ == "__main__":
    outcome = audit(sorted((ROOT / "requirements").glob("*.txt")))
    print(outcome)
    raise SystemExit(outcome.status)
