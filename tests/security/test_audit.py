"""What `make audit` makes of what pip-audit says."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("audit_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "big.txt").write_text("one==1.0 \\\n    --hash=sha256:0\ntwo==2.0 \\\n")
    (tmp_path / "small.txt").write_text("one==1.0 \\\n    --hash=sha256:0\n")
    return sorted(tmp_path.iterdir())


def said(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages), "fixes": []})


def clean(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "version": version, "vulns": []}


def test_nothing_known_is_a_success_and_no_pin_is_asked_about_twice(script, files):
    answers = {
        "small.txt": said(clean("one", "1.0")),
        "big.txt": said(clean("one", "1.0"), clean("two", "2.0")),
    }
    asked: list[str] = []

    def ask(file: Path) -> str:
        asked.append(file.name)
        return answers[file.name]

    outcome = script.audit(files, ask)
    assert outcome.status == 0
    assert asked == ["small.txt", "big.txt"]
    assert str(outcome) == "2 pinned packages asked about, 0 with advisories"


def test_an_advisory_fails_with_its_name_and_the_version_that_mends_it(script, files):
    known = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"]}
    outcome = script.audit(
        files, lambda _: said({"name": "one", "version": "1.0", "vulns": [known]})
    )
    assert outcome.status == 1
    assert "one 1.0: PYSEC-2026-1 (fixed in 1.1)" in str(outcome)


@pytest.mark.parametrize(
    "answer",
    ["", "Traceback", said({"name": "one", "skip_reason": "Dependency not found on PyPI"})],
)
def test_what_could_not_be_asked_is_not_called_clean(script, files, answer):
    asked: list[Path] = []

    def ask(file: Path) -> str:
        asked.append(file)
        return answer

    outcome = script.audit(files, ask)
    assert outcome.status == 2
    assert "NOT AUDITED" in str(outcome)
    assert len(asked) == 1
