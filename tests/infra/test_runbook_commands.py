"""What runbooks tell people to ask and to do can be asked and done."""

import io
import json
import logging
import re
import subprocess
from typing import get_args

import pytest

from infra import logged
from infra.pages import blocks, calls, make_targets, own_problem, problem
from infra.runbooks import (
    EDITIONS,
    ROOT_TEMPLATE,
    fences,
    names,
    prose,
    query,
    runbook,
    section,
    traces,
)
from infra.stack import FUNCTION
from steadyrag.domain import errors
from steadyrag.domain.models import CacheStatus, Mode, Stage
from steadyrag.domain.records import SearchRecord
from steadyrag.domain.slices import SHARES
from steadyrag.telemetry import catalogue, log, records

NAMES = names()
METRICS_OF_AWS = {"ConcurrentExecutions", "Duration", "Errors", "Throttles"}
WORDS_OF_AWS = {"AccessDenied", "Disabled"}
FIELDS_OF_LAMBDA = {
    "type",
    "record.status",
    "record.errorType",
    "record.metrics.durationMs",
    "record.metrics.maxMemoryUsedMB",
    "record.metrics.restoreDurationMs",
}
"""Of its own lines: https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html."""

FIELDS_OF_INSIGHTS = {"@timestamp", "@message", "@log", "@logStream"}
WORDS_OF_INSIGHTS = {
    *(
        "filter",
        "fields",
        "parse",
        "stats",
        "sort",
        "as",
        "by",
        "and",
        "or",
        "in",
        "like",
        "asc",
        "desc",
    ),
    *("count", "sum", "avg", "min", "max", "pct", "bin", "ispresent", "strcontains"),
}

ROW = r"row `\w+`|`\w+` 행"
"""Of the dashboard."""

GROUPS = {
    group["LogGroupName"].replace("stack", "$STACK")
    for _, group in ROOT_TEMPLATE.nested("Logs").of_type("AWS::Logs::LogGroup")
}

each_name = pytest.mark.parametrize("name", NAMES)


def groups(name: str) -> set[str]:
    """The log groups that a runbook looks into first."""
    before = section(runbook(name), "Look first").split("```text")[0]
    return set(re.findall(r"`(/aws/[a-z]+/\$STACK[a-z-]*)`", before))


def fields(name: str) -> set[str]:
    """What a query asks of the lines, besides what it names itself."""
    asked = re.sub(r'"[^"]*"', "", query(name))
    own = set(re.findall(r"\bas (\w+)|\(\?<(\w+)>", asked))
    named = set(re.findall(r"@?[A-Za-z_][\w.]*", re.sub(r"/[^\n]*/|\d+[mh]\b", "", asked)))
    return named - WORDS_OF_INSIGHTS - {name for pair in own for name in pair}


@each_name
def test_queries_look_into_groups_that_there_are(name: str) -> None:
    assert groups(name)
    assert set(re.findall(r"`(/aws/[^`]+)`", runbook(name))) <= GROUPS


@each_name
def test_queries_ask_for_fields_that_the_lines_have(name: str, printed_log: io.StringIO) -> None:
    with log.request("id"):
        try:
            raise ValueError
        except ValueError:
            logging.getLogger("steadyrag.test").exception("broke")
    formatted = json.loads(printed_log.getvalue()).keys()
    stage = dict(ROOT_TEMPLATE.of_type("AWS::Serverless::Api"))["Api"]["AccessLogSetting"]
    there = {
        "lambda": formatted | logged.fields() | FIELDS_OF_LAMBDA,
        "apigateway": set(re.findall(r'"(\w+)":', stage["Format"])),
    }
    [kind] = {group.split("/")[2] for group in groups(name)}
    assert fields(name) <= there[kind] | FIELDS_OF_INSIGHTS


@each_name
def test_queries_look_for_messages_that_are_logged(name: str) -> None:
    sought = re.findall(r"message (?:= |in \[)([^\]\n]*?)(?= and|[\]\n)]| or)", query(name))
    exact = set(re.findall(r'"([^"]*)"', " ".join(sought)))
    assert exact <= logged.messages()
    for part in re.findall(r'message like "([^"]*)"', query(name)):
        assert any(part in message for message in logged.messages())


def test_queries_find_how_long_each_stage_took(printed_log: io.StringIO) -> None:
    stages = [Stage(stage, 1.5, 20.25, facts={"reason": "x"}) for stage in SHARES]
    records.publish(SearchRecord("id", 0.0, "", stages=stages, total_ms=30))
    looked = [p for name in NAMES for p in re.findall(r"parse @message /(.*)/", query(name))]
    assert looked
    for pattern in looked:
        found = re.search(pattern.replace("(?<", "(?P<"), printed_log.getvalue())
        assert found is not None
        assert found[1] == "20.25"


@each_name
def test_traces_are_found_by_what_they_are_annotated_with(name: str) -> None:
    assert set(re.findall(r"annotation\.(\w+)", traces(name))) <= logged.annotations()
    assert set(re.findall(r'annotation\.mode = "(\w+)"', traces(name))) <= set(get_args(Mode))
    assert set(re.findall(r'annotation\.cache = "(\w+)"', traces(name))) <= set(
        get_args(CacheStatus)
    )


@each_name
def test_traces_are_those_of_the_api_or_of_a_function(name: str) -> None:
    functions = {f["FunctionName"] for _, f in ROOT_TEMPLATE.of_type(FUNCTION)}
    there = {"$STACK/v1", *(function.replace("stack", "$STACK") for function in functions)}
    assert set(re.findall(r'service\("([^"]+)"\)', traces(name))) <= there


@pytest.mark.parametrize("edition", EDITIONS)
@each_name
def test_what_looks_like_a_metric_or_a_parameter_is_one(name: str, edition: str) -> None:
    parameters = ROOT_TEMPLATE.parameters
    ours = {metric.name for metric in catalogue.CATALOGUE} | vars(errors).keys() | parameters.keys()
    known = ours | METRICS_OF_AWS | WORDS_OF_AWS
    text = re.sub(ROW, "", prose(runbook(name, edition)))
    assert set(re.findall(r"`([A-Z][a-z]\w+)`", text)) <= known
    for parameter, value in re.findall(r'`"?(\w+)=([^`"]+)"?`', text):
        assert value in map(str, parameters[parameter].get("AllowedValues", [value]))


@each_name
def test_commands_are_scripts_that_a_shell_can_read(name: str) -> None:
    for block in fences(runbook(name), "console"):
        read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert read.stderr == "", block


@each_name
def test_commands_exist_and_take_these_options(name: str) -> None:
    for block in fences(runbook(name), "console"):
        for words, options in calls(block, "aws"):
            assert problem(words, options) is None, f"aws {' '.join(words)}"
        for words, options in calls(block, ".venv/bin/steadyrag"):
            assert own_problem(words, options) is None, f"steadyrag {' '.join(words)}"
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", runbook(name), re.M):
        assert target in make_targets()


@each_name
def test_commands_need_nothing_but_what_they_say_comes_first(name: str) -> None:
    """The block that operations.md opens with defines what runbooks call."""
    opening = blocks("operations.md")[0].text
    defined = set(re.findall(r"^(\w+)\(\) \{", opening, re.M))
    text = "".join(fences(runbook(name), "console"))
    called = set(re.findall(r"\$\((\w+)", text)) - {"aws"}
    assert called <= defined
    if called or "doctor" in prose(runbook(name)):
        assert "(../../docs/operations.md#operations)" in runbook(name)
    asked = set(re.findall(r"\$\(stack (\w+)\)", text))
    assert asked <= ROOT_TEMPLATE.raw["Outputs"].keys()
