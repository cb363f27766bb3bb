"""Writes infra/dashboard.yaml from the catalogue of metrics, the alarms and dashboard_rows.py, and
the tables of docs/observability.md. `--check` only says whether they are up to date."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dashboard_alarms import of_topic
from dashboard_docs import PAGE, page
from dashboard_graphs import COLUMNS, alarm_states, laid_out, placed, text
from dashboard_lines import FUNCTIONS
from dashboard_rows import ROWS
from written import write

from infra.cloudformation import ROOT

TEMPLATE = ROOT / "infra" / "dashboard.yaml"

TITLE, STATES = 2, 3
"""Units that the text and the alarms on top are high."""

PARAMETERS: Mapping[str, tuple[str, str]] = {
    "Prefix": ("String", "Name of the stack that this one belongs to, and of its API."),
    "RunbookBase": ("String", "Where the runbooks are; the name of one follows."),
    **{f"{one}FunctionName": ("String", f"The function {one.lower()}.") for one in FUNCTIONS},
    "SearchVersion": ("String", "Number of the version of search that was released last."),
    "SearchReservedConcurrency": ("Number", "Search functions that may run at once; 0 if open."),
    "IngestQueueName": ("String", "Queue of changed documents."),
    "DeadQueueName": ("String", "Queue of what could not be ingested."),
}
"""The rest are where alarms fire, and called as in template.yaml."""

_HEAD = """\
AWSTemplateFormatVersion: "2010-09-09"
Description: Steadyrag - the dashboard

# Written by `make docs` from the catalogue of metrics, the alarms and scripts/dashboard_rows.py;
# don't edit it.
"""


def widgets() -> Iterator[dict[str, Any]]:
    """All of them, from the top: how alarms stand, then the rows."""
    intro = (
        "# ${Prefix}\nAlarms and their runbooks: [all](${RunbookBase}README.md). Red lines are "
        "where alarms fire, green ones what is promised."
    )
    yield placed(text(intro), 0, 0, COLUMNS, TITLE)
    x = 0
    for title, topic, width in (
        ("Pages", "page", 7),
        ("Tickets", "ticket", 13),
        ("Releases", "CodeDeploy", 4),
    ):
        yield placed(alarm_states(title, of_topic(topic)), x, TITLE, width, STATES)
        x += width
    yield from laid_out(ROWS, TITLE + STATES)


def body() -> str:
    """The dashboard's body, each line of a graph on its own; `${Name}` is for `Fn::Sub`."""
    said = ",\n".join(_widget(widget) for widget in widgets())
    whole = f'{{"start": "-PT24H", "periodOverride": "inherit", "widgets": [\n{said}\n]}}'
    return re.sub(r'"\$\{=(\w+)\}"', r"${\1}", whole)


def _widget(widget: dict[str, Any]) -> str:
    properties = dict(widget["properties"])
    listed = {key: properties.pop(key) for key in ("metrics", "alarms") if key in properties}
    said = json.dumps({**widget, "properties": properties}, ensure_ascii=False)
    for key, values in listed.items():
        lines = ",\n    ".join(json.dumps(value, ensure_ascii=False) for value in values)
        said = f'{said.removesuffix("}}")}, "{key}": [\n    {lines}\n  ]}}}}'
    return f"  {said}"


def dashboard_template() -> str:
    held = body()
    parts = [_HEAD + "Parameters:"]
    for name in _parameters(held):
        kind, meaning = PARAMETERS.get(name, ("Number", "Where an alarm fires."))
        parts.append(f"  {name}:\n    Type: {kind}\n    Description: {meaning}")
    parts.append(
        "\nResources:\n  Dashboard:\n    Type: AWS::CloudWatch::Dashboard\n    Properties:\n"
        "      DashboardName: !Ref Prefix\n      DashboardBody: !Sub |"
    )
    parts += [f"        {line}" for line in held.splitlines()]
    return "\n".join(parts) + "\n"


def _parameters(held: str) -> list[str]:
    """Those that the body names, in the order in which they are told of here."""
    named = dict.fromkeys(re.findall(r"\$\{(\w+)\}", held))
    if idle := PARAMETERS.keys() - named.keys():
        sys.exit(f"{__file__}: no graph needs {', '.join(sorted(idle))}")
    return [*PARAMETERS, *(name for name in named if name not in PARAMETERS)]


def main(arguments: Sequence[str]) -> None:
    write({TEMPLATE: dashboard_template(), PAGE: page()}, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
