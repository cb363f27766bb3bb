"""The commands of the operators' pages: what a block says, and whether it could be run at all."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
import click
from botocore import xform_name

from infra.cloudformation import ROOT
from steadyrag.cli import cli

NEEDS_AWS = "<!-- needs AWS -->"
PAGES = ("deploy.md", "documents.md", "operations.md")
RUN = ("documents.md",)
"""Pages whose unmarked blocks tests/integration/test_documents_page.py runs."""

_EVERYWHERE = {"output", "query", "region", "profile", "endpoint-url"}
_OTHER_NAMES = {"deploy": "codedeploy", "s3api": "s3"}
_RENAMED = {("sns", "subscribe"): {"endpoint": "notification-endpoint"}}
"""Options that the command line calls differently from the API."""

_OF_FILES = {"cp": {"metadata", "recursive"}, "sync": {"delete"}, "rm": {"recursive"}, "rb": set()}
"""Of `aws s3`, which no model describes."""


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    text: str
    needs_aws: bool


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[Block]:
    """The blocks of commands of a page, from top to bottom."""
    found = re.finditer(
        rf"(?P<marker>^{NEEDS_AWS}\n)?^```console\n(?P<text>.*?)^```", page(name), re.M | re.S
    )
    return [Block(name, match["text"], match["marker"] is not None) for match in found]


def calls(text: str, program: str) -> Iterator[tuple[list[str], set[str]]]:
    """How a program is called in a block: its words before the first option, and the names of
    its options."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        for match in re.finditer(rf"(?:^|[\s(\"]){re.escape(program)} (.*)", line):
            said = re.split(rf" \| | && | > |[\s(\"]{re.escape(program)} ", match[1])[0]
            options = set(re.findall(r"(?:^|\s)--([a-z0-9-]+)", said))
            words = re.split(r"\s--", said)[0].split()
            yield words, options


def problem(words: list[str], options: set[str]) -> str | None:
    """Why the AWS command line would refuse this; None where it would not."""
    service, operation = words[0], words[1]
    options = options - _EVERYWHERE
    if service == "s3":
        unknown = options - _OF_FILES[operation]
        return f"no options {unknown}" if unknown else None
    members, required = _input(service, words[2] if operation == "wait" else "", operation)
    if members is None:
        return "no such command"
    given = {option if option in members else option.removeprefix("no-") for option in options}
    if unknown := given - members:
        return f"no options {unknown}"
    return f"lacks {required - given}" if required - given else None


@cache
def _input(service: str, waiter: str, operation: str) -> tuple[set[str] | None, set[str]]:
    session: Any = botocore.session.get_session()
    named = _OTHER_NAMES.get(service, service)
    model = session.get_service_model(named)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if waiter:
        known = session.get_waiter_model(named)
        waiters = {xform_name(name, "-"): name for name in known.waiter_names}
        if waiter not in waiters:
            return None, set()
        operation = xform_name(known.get_waiter(waiters[waiter]).operation, "-")
    if operation not in operations:
        return None, set()
    shape = model.operation_model(operations[operation]).input_shape
    if shape is None:
        return set(), set()
    renamed = _RENAMED.get((service, operation), {})

    def options(names: Iterable[str]) -> set[str]:
        return {renamed.get(option, option) for option in (xform_name(n, "-") for n in names)}

    return options(shape.members), options(shape.required_members)


def own_problem(words: list[str], options: set[str]) -> str | None:
    """Why `steadyrag` would refuse this."""
    command: click.Command | None = cli
    with click.Context(cli) as context:
        for word in words:
            if isinstance(command, click.Group):
                command = command.get_command(context, word)
    if command is None or isinstance(command, click.Group):
        return "no such command"
    known = {name.removeprefix("--") for option in command.params for name in option.opts}
    return f"no options {options - known}" if options - known else None


def make_targets() -> set[str]:
    makefiles = (ROOT / "Makefile", ROOT / "infra" / "targets.mk")
    rules = "\n".join(path.read_text() for path in makefiles)
    return set(re.findall(r"^([a-z0-9./-]+):", rules, re.M))
