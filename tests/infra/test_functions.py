"""What `template.yaml` promises of the functions: releases, logs, settings, layers, time."""

import ast
import json
import logging
import re
from typing import Any

import pytest

from e2e.leave_out import mentions
from infra.cloudformation import ROOT, shown
from infra.stack import FUNCTION, environment, template, transformed
from steadyrag.api.event_handler import GRACE_S
from steadyrag.domain.golden import MOST_QUESTIONS
from steadyrag.domain.limits import Rules, parse_limit
from steadyrag.golden import PARALLEL
from steadyrag.settings import VARIABLES, load
from steadyrag.telemetry import log
from steadyrag.wiring.golden import DEADLINE_S

GATEWAY_TIMEOUT_S = 29
COLD_START_S = 3
"""What the slowest deadline leaves for an environment that has to start first."""

FUNCTIONS = dict(template().of_type(FUNCTION))
BEHIND_THE_GATEWAY = {"SearchFunction", "HealthFunction", "DocumentsFunction"}
NOT_RELEASED = {"SmokeFunction"}
"""CodeDeploy runs it as it stands: it is part of the release that it judges."""


def test_the_functions_are_these() -> None:
    assert FUNCTIONS.keys() == {
        *BEHIND_THE_GATEWAY,
        *("IngestFunction", "QualityFunction", "ReportFunction", "SmokeFunction"),
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_handler_is_in_its_file(name: str) -> None:
    module, _, attribute = FUNCTIONS[name]["Handler"].partition(".")
    source = ROOT / FUNCTIONS[name]["CodeUri"] / f"{module}.py"
    assigned = {
        target.id
        for node in ast.parse(source.read_text()).body
        for target in (node.targets if isinstance(node, ast.Assign) else [])
        if isinstance(target, ast.Name)
    }
    assert attribute in assigned


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - NOT_RELEASED))
def test_a_function_is_released_by_an_alias(name: str) -> None:
    assert FUNCTIONS[name]["AutoPublishAlias"] == "live"
    assert FUNCTIONS[name]["AutoPublishAliasAllProperties"] is True


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_runs_on_python_and_is_traced(name: str) -> None:
    assert FUNCTIONS[name]["Tracing"] == "Active"
    assert FUNCTIONS[name]["Runtime"] == "python3.13"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_logs_into_a_group_of_its_own_that_is_not_kept_forever(name: str) -> None:
    logs = template(LogRetentionDays="7").nested("Logs")
    stack, _, output = shown(FUNCTIONS[name]["LoggingConfig"]["LogGroup"]).partition(".Outputs.")
    assert stack == "Logs"
    groups = dict(logs.of_type("AWS::Logs::LogGroup"))
    group = groups[logs.raw["Outputs"][output]["Value"]["Ref"]]
    assert group["LogGroupName"] == f"/aws/lambda/{FUNCTIONS[name]['FunctionName']}"
    assert group["RetentionInDays"] == "7"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lambda_drops_no_line_that_holds_metrics(name: str) -> None:
    """It takes a line without a level for INFO, and drops what is below the level it is given."""
    said = FUNCTIONS[name]["LoggingConfig"]
    assert (said["LogFormat"], said["ApplicationLogLevel"]) == ("JSON", "INFO")


def test_lambda_takes_every_line_of_ours_for_info(capsys: pytest.CaptureFixture[str]) -> None:
    """So that `LogLevel` and the sampled DEBUG lines are the service's to decide. Lambda believes a
    line's level where its `timestamp` is in RFC 3339."""
    ours = logging.getLogger("steadyrag")
    before = ours.handlers, ours.level, ours.propagate
    try:
        log.configure("DEBUG")
        logging.getLogger("steadyrag.test").debug("looked")
    finally:
        ours.handlers, ours.level, ours.propagate = before
        log._handler = None
    line = json.loads("".join(capsys.readouterr()))
    rfc3339 = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
    assert line["level"] == "DEBUG"
    assert not re.fullmatch(rfc3339, line["timestamp"]), line["timestamp"]


def test_a_function_is_made_after_what_it_may_do_and_where_it_logs() -> None:
    for name, function in FUNCTIONS.items():
        assert {"Roles", "Logs"} <= set(mentions(function)), name


def test_another_model_stands_in_only_when_it_is_named() -> None:
    for model in ("", "gpt-6-mini"):
        for _, function in template(ChatFallbackModel=model).of_type(FUNCTION):
            given = environment(function)
            assert given.get("STEADYRAG_CHAT_FALLBACK_MODEL", "") == model
            assert ("STEADYRAG_CHAT_FALLBACK_MODEL" in given) is bool(model)


@pytest.mark.parametrize("cache", ["dynamodb", "elasticache"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_environment_is_known_to_the_settings(name: str, cache: str) -> None:
    given = environment(dict(template(CacheMode=cache).of_type(FUNCTION))[name])
    assert given.keys() <= VARIABLES.keys()
    settings = load(given)
    assert (settings.embedder, settings.index) == ("openai", "pinecone")
    assert (settings.reranker, settings.generator) == ("pinecone", "openai")


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("DocumentsFunction", {"documents_bucket", "ingest_queue_url"}),
        ("IngestFunction", {"documents_bucket", "ingest_queue_url", "dead_queue_url"}),
        ("QualityFunction", {"documents_bucket"}),
        ("ReportFunction", {"report_topic"}),
        ("SmokeFunction", {"smoke_function"}),
    ],
)
def test_a_function_is_told_what_it_alone_needs(name: str, needed: set[str]) -> None:
    alone = {"documents_bucket", "ingest_queue_url", "dead_queue_url", "smoke_function"}
    alone |= {"report_topic"}
    settings = load(environment(FUNCTIONS[name]))
    assert {setting for setting in alone if getattr(settings, setting)} == needed


def test_a_default_is_the_same_deployed_as_on_a_laptop() -> None:
    given = environment(FUNCTIONS["SearchFunction"])
    elsewhere = {
        *("STEADYRAG_EMBEDDER", "STEADYRAG_INDEX", "STEADYRAG_RERANKER", "STEADYRAG_GENERATOR"),
        *("STEADYRAG_OPENAI_API_KEY_FROM", "STEADYRAG_PINECONE_API_KEY_FROM"),
        *("STEADYRAG_PINECONE_INDEX_HOST", "STEADYRAG_TABLE_PREFIX", "STEADYRAG_LIVE_CONFIG"),
        *("STEADYRAG_RATE_LIMIT", "STEADYRAG_METRICS", "STEADYRAG_TRACING", "STEADYRAG_SERVICE"),
        *("STEADYRAG_KEY_NAMESPACES", "STEADYRAG_SEARCH_ID_KEY"),
    }
    deployed = load(given).model_dump(by_alias=True)
    for name in given.keys() - elsewhere:
        assert deployed[name] == VARIABLES[name].default, name


def test_no_start_depends_on_the_live_configuration_as_the_stack_comes() -> None:
    """Where a setting says who may use what, it holds until AppConfig has been read."""
    for name in ("SearchFunction", "DocumentsFunction"):
        settings = load(environment(FUNCTIONS[name]))
        assert (settings.key_namespaces, bool(settings.live_config)) == ("*", True)


def test_an_end_users_limit_is_the_one_that_comes_with_a_shared_store() -> None:
    for name in ("SearchFunction", "DocumentsFunction"):
        given = environment(FUNCTIONS[name])
        assert parse_limit(given["STEADYRAG_RATE_LIMIT"]) == Rules().user


def test_another_vendor_address_reaches_the_functions_only_when_given() -> None:
    given = environment(FUNCTIONS["SearchFunction"])
    assert not {"OPENAI_BASE_URL", "PINECONE_CONTROLLER_HOST"} & given.keys()
    addresses = {
        "OpenAiBaseUrl": "https://proxy.example.com/v1",
        "PineconeControllerHost": "https://pinecone.example.com",
    }
    for _, function in template(**addresses).of_type(FUNCTION):
        settings = load(environment(function))
        assert settings.openai_base_url == addresses["OpenAiBaseUrl"]
        assert settings.pinecone_controller_host == addresses["PineconeControllerHost"]


def test_a_search_ends_before_its_function_and_the_function_before_the_gateway() -> None:
    longest = template().parameters["DeadlineSeconds"]["MaxValue"]
    assert longest < FUNCTIONS["SearchFunction"]["Timeout"] < GATEWAY_TIMEOUT_S
    assert longest + COLD_START_S <= GATEWAY_TIMEOUT_S
    for name in BEHIND_THE_GATEWAY:
        assert FUNCTIONS[name]["Timeout"] < GATEWAY_TIMEOUT_S


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_functions_get_the_layers_that_are_built_for_their_processor(architecture: str) -> None:
    chosen = template(Architecture=architecture)
    layers = dict(chosen.of_type("AWS::Serverless::LayerVersion"))
    for layer, properties in layers.items():
        assert properties["CompatibleArchitectures"] == [architecture]
        assert chosen.raw["Resources"][layer]["Metadata"]["BuildArchitecture"] == architecture
        makefile = (ROOT / "shared" / "Makefile").read_text()
        rule = makefile[makefile.index(f"\nbuild-{layer}:") :].split("\n")[2]
        assert f"--architecture {architecture} " in rule
    common, parsers = layers
    for name, function in chosen.of_type(FUNCTION):
        assert function["Architectures"] == [architecture]
        expected = [common, parsers] if name == "IngestFunction" else [common]
        assert function["Layers"] == [{"Ref": layer} for layer in expected]


def test_everything_built_by_make_has_its_target() -> None:
    resources = template().raw["Resources"]
    shared = template().raw["Globals"]["Function"]
    for name, resource in resources.items():
        if resource.get("Metadata", {}).get("BuildMethod") == "makefile":
            properties: dict[str, Any] = {**shared, **resource["Properties"]}
            folder = resource["Properties"].get("ContentUri") or properties["CodeUri"]
            assert f"\nbuild-{name}:" in (ROOT / folder / "Makefile").read_text()


def test_lambda_does_not_take_messages_that_wait_for_a_loop() -> None:
    """It would stop one that is sent again the sixteenth time."""
    transformed = dict(template().of_type(FUNCTION))["IngestFunction"]
    assert transformed["RecursiveLoop"] == "Allow"


def test_what_a_schedule_asks_is_sent_to_the_released_version() -> None:
    targets = {
        name: schedule["Target"]["Arn"]
        for name, schedule in transformed().of_type("AWS::Scheduler::Schedule")
    }
    assert targets == {
        "HealthFunctionEveryMinute": {"Ref": "HealthFunctionAliaslive"},
        "IngestFunctionSweep": {"Ref": "IngestFunctionAliaslive"},
        "QualityFunctionGolden": {"Ref": "QualityFunctionAliaslive"},
        "ReportFunctionHourly": {"Ref": "ReportFunctionAliaslive"},
    }


def test_a_thousand_golden_questions_fit_into_a_run() -> None:
    """Each may take as long as a slow search does before its answer is written."""
    seconds = FUNCTIONS["QualityFunction"]["Timeout"] - GRACE_S - DEADLINE_S
    assert seconds / (MOST_QUESTIONS / PARALLEL) >= 3.0
    (event,) = FUNCTIONS["QualityFunction"]["Events"].values()
    assert event["Properties"]["ScheduleExpression"].endswith(" * * * ? *)")
    assert FUNCTIONS["QualityFunction"]["Timeout"] < 3600
