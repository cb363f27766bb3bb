"""The drills themselves: a few of them on the templates as they are, without a build.

They run in a process of their own, because there time is not what it is here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cloudformation import ROOT
from servers import LOCAL_AWS

TESTS = ROOT / "tests"


def drill(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "drills", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("drills") / "drills.json"
    template = ROOT / "template.yaml"
    ran = drill(
        *("throttled", "not-ready", "degraded", "down", "--hours", 7),
        *("--page" if LOCAL_AWS.exists() else "--no-page", "--template", template, "--out", out),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(out.read_text())


def test_every_alarm_of_the_template_has_a_drill(report):
    assert report["problems"] == []


def test_an_alarm_fires_in_its_drill_and_is_quiet_again_after_it(report):
    for one in report["drills"]:
        assert 1 <= one["fired_after_min"] <= 10, one
        assert 1 <= one["cleared_after_min"] <= 10, one
    assert {one["topic"] for one in report["drills"]} == {"page", "ticket"}


def test_a_night_and_its_morning_are_quiet(report):
    assert report["healthy"]["fired"] == []
    assert report["healthy"]["requests"] > 10


@pytest.mark.skipif(
    not LOCAL_AWS.exists(), reason="the local AWS is not installed: make .venv-cloud/.ready"
)
def test_the_page_arrives_with_its_runbook(report):
    (down,) = [page for page in report["pages"] if page["alarm"] == "steadyrag-down"]
    assert down["state"] == "ALARM"
    assert down["runbook"].endswith("/infra/runbooks/down.md")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The templates, to be changed."""
    (tmp_path / "infra").mkdir()
    for path in [ROOT / "template.yaml", *(ROOT / "infra").glob("*.yaml")]:
        (tmp_path / path.relative_to(ROOT)).write_text(path.read_text())
    return tmp_path / "template.yaml"


def changed(template: Path, old: str, new: str) -> None:
    for path in (template.parent / "infra").glob("*.yaml"):
        path.write_text(path.read_text().replace(old, new))


def quickly(template: Path, *only: str) -> subprocess.CompletedProcess[str]:
    return drill(*only, "--no-page", "--no-healthy", "--template", template)


def test_an_alarm_that_does_not_fire_fails_the_drill(copied):
    changed(copied, "MetricName: Throttles", "MetricName: Throttled")
    ran = quickly(copied, "throttled")
    assert ran.returncode == 1
    assert "throttled did not fire" in ran.stdout


def test_an_alarm_without_a_drill_fails_the_drill(copied):
    changed(copied, "${Prefix}-throttled", "${Prefix}-crowded")
    ran = quickly(copied, "down")
    assert ran.returncode == 1
    assert "crowded has no drill" in ran.stdout


def test_an_alarm_that_fires_all_the_time_fails_the_drill(copied):
    changed(copied, "Threshold: 1\n", "Threshold: 2\n")
    ran = quickly(copied, "not-ready")
    assert ran.returncode == 1
    assert "not-ready fired before" in ran.stdout


def test_a_sum_that_hangs_on_how_missing_data_counts_fails_the_drill(copied):
    changed(copied, "SUM([FILL(embedding, 0), FILL(index, 0)", "SUM([embedding + FILL(index, 0)")
    ran = quickly(copied, "degraded")
    assert ran.returncode == 1
    assert "FILL it" in ran.stdout


def test_a_sum_that_hangs_on_a_metric_without_any_data_fails_the_drill(copied):
    changed(
        copied, "SUM([FILL(valkey, 0), FILL(dynamodb, 0)])", "FILL(valkey, 0) + FILL(dynamodb, 0)"
    )
    ran = quickly(copied, "rate-limit-fallback")
    assert ran.returncode == 1
    assert "rate-limit-fallback hangs on" in ran.stdout


def test_without_a_template_it_says_what_to_do(tmp_path):
    ran = drill("down", "--template", tmp_path / "template.yaml")
    assert ran.returncode == 1
    assert "make build" in ran.stderr
