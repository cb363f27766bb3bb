"""Every alarm has a runbook in both languages, each of the same form."""

import re
import sys

import pytest

from infra.cloudformation import ROOT
from infra.runbooks import (
    EDITIONS,
    FOLDER,
    HEADINGS,
    Alarm,
    alarms,
    fences,
    names,
    prose,
    runbook,
    section,
)

sys.path.insert(0, str(ROOT / "scripts"))
from dashboard_rows import ROWS

NAMES = names()
MOST_WORDS = 320
WITHOUT = {"": "no parameter", ".ko": "파라미터 없음"}
LOOK = {
    "": ("**Logs**, group", "**Traces**", r"\*\*Dashboard\*\* `\$STACK`, row `(\w+)`:"),
    ".ko": ("**로그**, 그룹", "**트레이스**", r"\*\*대시보드\*\* `\$STACK`, `(\w+)` 행:"),
}
"""What leads to the queries, and how the dashboard's row is named."""

each_edition = pytest.mark.parametrize("edition", EDITIONS)
each_name = pytest.mark.parametrize("name", NAMES)


def test_every_alarm_has_a_runbook_and_every_runbook_an_alarm() -> None:
    pages = ["README", *NAMES]
    there = {path.name for path in FOLDER.iterdir()}
    assert there == {f"{page}{edition}.md" for page in pages for edition in EDITIONS}


@each_edition
@each_name
def test_a_runbook_has_the_same_headings_as_all_others(name: str, edition: str) -> None:
    text = re.sub(r"^```.*?^```$", "", runbook(name, edition), flags=re.M | re.S)
    found = re.findall(r"^(#+ .*)", text, re.M)
    assert found == [f"# {name}", *(f"## {heading}" for heading in HEADINGS[edition])]


@each_name
def test_a_runbook_is_short(name: str) -> None:
    words = [word for word in runbook(name).split() if re.search(r"\w", word)]
    assert len(words) <= MOST_WORDS


@each_name
def test_both_editions_have_the_same_queries_and_commands(name: str) -> None:
    assert fences(runbook(name)) == fences(runbook(name, ".ko"))


@each_name
def test_both_editions_name_the_same_things(name: str) -> None:
    """Metrics, parameters, fields, values: what stands in backticks, wherever it stands."""
    english, korean = (
        sorted(set(re.findall(r"`([^`]+)`", prose(runbook(name, edition))))) for edition in EDITIONS
    )
    assert english == korean


@each_edition
@each_name
def test_a_runbook_leads_to_the_log_the_traces_and_the_dashboard(name: str, edition: str) -> None:
    look = section(runbook(name, edition), HEADINGS[edition][1])
    logs, traces, dashboard = LOOK[edition]
    assert len(fences(look, "text")) == 2
    assert look.index(logs) < look.index("```text") < look.index(traces) < look.rindex("```text")
    [row] = re.findall(dashboard, prose(look))
    assert name in {said.name: said.alarms for said in ROWS}[row]


@each_edition
@pytest.mark.parametrize("alarm", alarms(), ids=lambda alarm: alarm.name)
def test_a_runbook_begins_with_the_threshold_and_what_sets_it(alarm: Alarm, edition: str) -> None:
    begins = prose(runbook(alarm.name, edition).split("\n## ")[0])
    if alarm.threshold:
        parameter, default = alarm.threshold
        assert f"`{parameter}`" in begins
        assert re.search(rf"(?<![\d.]){re.escape(default)}(?!\.?\d)", begins)
    elif "Threshold" in alarm.raw:
        assert WITHOUT[edition] in begins


@each_edition
def test_the_index_has_every_alarm_and_says_whom_it_tells(edition: str) -> None:
    row = r"^\| \[([a-z-]+)\]\(([a-z.-]+)\) \| (\w+) \| \S.* \|$"
    rows = re.findall(row, runbook("README", edition), re.M)
    assert {name: topic for name, _, topic in rows} == {a.name: a.topic for a in alarms()}
    assert len(rows) == len(NAMES)
    assert [link for _, link, _ in rows] == [f"{name}{edition}.md" for name, _, _ in rows]


@each_edition
@pytest.mark.parametrize("name", ["README", *NAMES])
def test_links_lead_somewhere(name: str, edition: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", runbook(name, edition)):
        path, _, anchor = target.partition("#")
        page = (FOLDER / path).resolve().read_text(encoding="utf-8")
        slugs = {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)", page, re.M)
        }
        assert not anchor or anchor in slugs, target
