"""What a dashboard is made of, and its form as CloudWatch's dashboard body has it.

Texts and numbers may hold `${Name}`, which `Fn::Sub` replaces when the stack is deployed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

COLUMNS = 24
"""Units that a dashboard is wide."""

HEADING, GRAPH = 2, 6
"""Units that a row's text and a graph are high."""

ALARM_COLOUR, GOAL_COLOUR = "#d1434b", "#2da44e"


@dataclass(frozen=True, slots=True)
class Line:
    """A metric (`namespace`, `name`, `dimensions`, `stat`) or an `expression` over the ids of
    others. `period_s` is the graph's where it is None."""

    label: str = ""
    namespace: str = ""
    name: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    stat: str = "Sum"
    expression: str = ""
    id: str = ""
    hidden: bool = False
    period_s: int | None = None
    colour: str = ""

    def body(self) -> list[Any]:
        told: dict[str, Any] = {"label": self.label} if not self.hidden else {"visible": False}
        if self.id:
            told["id"] = self.id
        if self.period_s:
            told["period"] = self.period_s
        if self.colour:
            told["color"] = self.colour
        if self.expression:
            return [{"expression": self.expression, **told}]
        pairs = [part for pair in self.dimensions.items() for part in pair]
        return [self.namespace, self.name, *pairs, {"stat": self.stat, **told}]


@dataclass(frozen=True, slots=True)
class Mark:
    """A horizontal line: where an alarm fires, on that `side` of it, or a goal."""

    label: str
    value: float | str
    colour: str
    side: Literal["above", "below"] | None = None

    def body(self) -> dict[str, Any]:
        value = f"${{={self.value[2:]}" if isinstance(self.value, str) else self.value
        told = {"label": self.label, "value": value, "color": self.colour}
        return told if self.side is None else {**told, "fill": self.side}


@dataclass(frozen=True, slots=True)
class Graph:
    """`unit` is what the left axis counts; it begins at 0 unless it is there to show how near
    something is to `most`."""

    title: str
    lines: Sequence[Line]
    width: int = 6
    period_s: int = 300
    unit: str = ""
    marks: Sequence[Mark] = ()
    stacked: bool = False
    most: float | None = None

    def body(self) -> dict[str, Any]:
        axis: dict[str, Any] = {"min": 0} if self.most is None else {"max": self.most}
        said: dict[str, Any] = {
            "title": self.title,
            "view": "timeSeries",
            "stacked": self.stacked,
            "region": "${AWS::Region}",
            "period": self.period_s,
            "yAxis": {"left": {**axis, "label": self.unit, "showUnits": False}},
            "metrics": [line.body() for line in self.lines],
        }
        if self.marks:
            said["annotations"] = {"horizontal": [mark.body() for mark in self.marks]}
        return {"type": "metric", "properties": said}


@dataclass(frozen=True, slots=True)
class Row:
    """Graphs that answer one question, and the `alarms` whose runbooks go on from there."""

    name: str
    question: str
    alarms: Sequence[str]
    graphs: Sequence[Graph]

    def heading(self) -> str:
        links = " · ".join(f"[{name}](${{RunbookBase}}{name}.md)" for name in self.alarms)
        return f"## {self.name}\n{self.question} Runbooks: {links}"


def text(markdown: str) -> dict[str, Any]:
    return {"type": "text", "properties": {"markdown": markdown, "background": "transparent"}}


def alarm_states(title: str, names: Sequence[str]) -> dict[str, Any]:
    base = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${Prefix}"
    return {
        "type": "alarm",
        "properties": {"title": title, "alarms": [f"{base}-{name}" for name in names]},
    }


def placed(widget: dict[str, Any], x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"type": widget["type"], "x": x, "y": y, "width": width, "height": height} | {
        "properties": widget["properties"]
    }


def laid_out(rows: Sequence[Row], y: int) -> Iterator[dict[str, Any]]:
    """The rows' widgets from `y` on, in lines that are filled from left to right."""
    for row in rows:
        yield placed(text(row.heading()), 0, y, COLUMNS, HEADING)
        y += HEADING
        x = 0
        for graph in row.graphs:
            if x + graph.width > COLUMNS:
                x, y = 0, y + GRAPH
            yield placed(graph.body(), x, y, graph.width, GRAPH)
            x += graph.width
        y += GRAPH
