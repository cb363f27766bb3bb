"""Which requests are traced, and which traces are set apart."""

import re
from typing import Any, get_args

import pytest

from infra.stack import template
from steadyrag.domain.models import Mode

RULE = "AWS::XRay::SamplingRule"


def rules(**parameters: str) -> dict[str, dict[str, Any]]:
    tracing = template(**parameters).nested("Tracing")
    return {name: rule["SamplingRule"] for name, rule in tracing.of_type(RULE)}


def test_the_rules_are_for_the_stage_of_this_api_and_none_else() -> None:
    ((_, api),) = template().of_type("AWS::Serverless::Api")
    for rule in rules().values():
        assert rule["ServiceName"] == f"{api['Name']}/{api['StageName']}"
        assert rule["ServiceType"] == "AWS::ApiGateway::Stage"
        assert rule["URLPath"] == "*", "API Gateway matches no path"
        assert 1 <= rule["Priority"] < 10_000, "the account's default comes last"


def test_searches_are_traced_as_a_deployer_says_and_nothing_else_is() -> None:
    chosen = rules(TraceReservoir="7", TracePercent="20")
    assert chosen.keys() == {"Searches", "Checks"}
    searches, checks = chosen["Searches"], chosen["Checks"]
    assert (searches["HTTPMethod"], searches["ReservoirSize"]) == ("POST", "7")
    assert searches["FixedRate"] == {"Fn::FindInMap": ["Share", "Of", "20"]}
    assert (checks["HTTPMethod"], checks["ReservoirSize"], checks["FixedRate"]) == ("*", 0, 0)
    assert searches["Priority"] < checks["Priority"], "the first that fits is taken"


def test_every_share_that_may_be_chosen_is_worked_out() -> None:
    parameter = template().parameters["TracePercent"]
    shares = template().nested("Tracing").raw["Mappings"]["Share"]["Of"]
    assert shares == {str(percent): percent / 100 for percent in parameter["AllowedValues"]}
    assert parameter["Default"] in parameter["AllowedValues"]


@pytest.mark.parametrize("kind", [RULE, "AWS::XRay::Group"])
def test_a_name_fits_however_long_the_stacks_is(kind: str) -> None:
    """X-Ray takes 32 letters. The part of a stack's id is eight of them."""
    for name, made in template().nested("Tracing").of_type(kind):
        said, given = made.get("SamplingRule", {}).get("RuleName", made.get("GroupName"))["Fn::Sub"]
        assert said.count("${") == 1, name
        assert len(re.sub(r"\$\{Id\}", "0123abcd", said)) <= 32, name
        stack_id = {"Ref": "AWS::StackId"}
        first = {"Fn::Select": [2, {"Fn::Split": ["/", stack_id]}]}
        assert given == {"Id": {"Fn::Select": [0, {"Fn::Split": ["-", first]}]}}, name


def test_what_failed_was_slow_or_came_from_a_lower_rung_is_set_apart() -> None:
    ((_, group),) = template().nested("Tracing").of_type("AWS::XRay::Group")
    said = group["FilterExpression"]
    assert set(re.findall(r'annotation\.mode = "(\w+)"', said)) == set(get_args(Mode)) - {"full"}
    assert 'service("stack/v1") { fault = true OR responsetime > 4 }' in said
    assert set(re.findall(r'service\("([^"]+)"\)', said)) == {"stack/v1"}
    assert said.count("(") == said.count(")")
