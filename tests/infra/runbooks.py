"""Reads the runbooks, and the alarms that they are for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from infra.cloudformation import ROOT, Template, shown
from infra.stack import template

FOLDER = ROOT / "infra" / "runbooks"
EDITIONS = ("", ".ko")
"""How their names end, before the suffix."""

HEADINGS = {
    "": ("What users see", "Look first", "Likely causes", "Mitigate now", "Undo"),
    ".ko": ("사용자가 보는 것", "먼저 볼 것", "유력한 원인", "지금 할 일", "되돌리기"),
}

ROOT_TEMPLATE = template()


@dataclass(frozen=True, slots=True)
class Alarm:
    """`raw` are its properties as the template `part` has them; `stack` is what the root
    calls that template."""

    name: str
    part: Template
    stack: str
    raw: dict[str, Any]

    @property
    def topic(self) -> str:
        """Whom it tells: page, ticket, or CodeDeploy, which asks for itself."""
        actions = self.part.resolve(self.raw.get("AlarmActions", []))
        topics = {shown(action).rpartition(".")[2].removesuffix("TopicArn") for action in actions}
        return topics.pop().lower() if topics else "CodeDeploy"

    @property
    def threshold(self) -> tuple[str, str] | None:
        """The root template's parameter that sets it, and its default."""
        match self.raw.get("Threshold"):
            case {"Ref": inner}:
                nested = ROOT_TEMPLATE.raw["Resources"][self.stack]["Properties"]
                parameter = nested["Parameters"][inner]["Ref"]
                return parameter, str(ROOT_TEMPLATE.parameters[parameter]["Default"])
        return None


@cache
def alarms() -> tuple[Alarm, ...]:
    """Every alarm of the stack."""
    return tuple(_alarms())


def _alarms() -> Iterator[Alarm]:
    for stack, part in ROOT_TEMPLATE.every():
        for _, resource in part.resources():
            if resource["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
                raw = resource["Properties"]
                name = part.resolve(raw["AlarmName"]).removeprefix("stack-")
                yield Alarm(name, part, stack, raw)


def names() -> list[str]:
    return sorted(alarm.name for alarm in alarms())


def runbook(name: str, edition: str = "") -> str:
    return (FOLDER / f"{name}{edition}.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    [found] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return str(found)


def fences(text: str, kind: str = r"\w+") -> list[str]:
    """What stands in its fenced blocks of one kind, from top to bottom."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)


def prose(text: str) -> str:
    """The rest, on one line."""
    return " ".join(re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S).split())


def query(name: str) -> str:
    """What the runbook asks CloudWatch Logs Insights."""
    return fences(runbook(name), "text")[0]


def traces(name: str) -> str:
    """Its filter expression for X-Ray."""
    return fences(runbook(name), "text")[1]
