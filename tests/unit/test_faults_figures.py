import io
import json

import pytest
from rich.console import Console
from rich.table import Table

from faults.figures import FaultsReport, Figure, Outcome
from steadyrag.evaluation.output import publish


def figure(met=True, **changes):
    values = {
        "name": "requests that pass",
        "bar": "exactly 10",
        "measured": "10 of 200",
        "met": met,
        "values": {"passed": 10},
    }
    return Figure(**(values | changes))


def report(*figures, tables=()):
    return FaultsReport([Outcome("limits", figures, 1.5, tables)], load=0.5)


def rendered(made, width=140):
    console = Console(file=io.StringIO(), width=width)
    console.print(made.rendered())
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("verdicts", "met"),
    [
        ([True, True], True),
        ([True, False], False),
        ([True, None], True),
        ([None], True),
        ([], True),
    ],
)
def test_one_missed_bar_is_enough_and_no_bar_is_none_missed(verdicts, met):
    assert report(*(figure(verdict) for verdict in verdicts)).met is met


def test_a_bar_missed_in_any_scenario_is_missed():
    outcomes = [Outcome("limits", [figure(False)], 1.0), Outcome("herd", [figure()], 1.0)]
    assert not FaultsReport(outcomes, load=0.0).met


def test_the_file_has_each_figure_with_its_bar_and_the_numbers_behind_it(tmp_path):
    publish(report(figure(False)), tmp_path / "faults.json")
    written = json.loads((tmp_path / "faults.json").read_text(encoding="utf-8"))
    assert written["command"] == "faults"
    assert written["load"] == 0.5
    [scenario] = written["scenarios"]
    assert (scenario["name"], scenario["seconds"]) == ("limits", 1.5)
    assert scenario["figures"] == [
        {
            "name": "requests that pass",
            "bar": "exactly 10",
            "measured": "10 of 200",
            "met": False,
            "passed": 10,
        }
    ]


def test_people_read_how_many_bars_were_missed():
    assert "Every bar is met." in rendered(report(figure(), figure(None)))
    assert "2 missed" in rendered(report(figure(False), figure(), figure(False)))


def test_a_figure_without_a_bar_has_no_verdict():
    [row] = [line for line in rendered(report(figure(None))).splitlines() if "10 of 200" in line]
    assert row.rstrip().endswith("10 of 200")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_nothing_of_a_long_figure_is_cut(width):
    words = {"name": "name", "bar": "bar", "measured": "seen"}
    long = {field: " ".join(f"{word}{n}" for n in range(40)) for field, word in words.items()}
    shown = rendered(report(figure(**long)), width).split()
    for text in long.values():
        assert set(text.split()) <= set(shown)


def test_the_tables_behind_the_figures_are_shown():
    table = Table("what")
    table.add_row("a detail")
    assert "a detail" in rendered(report(figure(), tables=[table]))
