"""How a new version takes over, as SAM makes it."""

import re
from typing import Any

import pytest

from e2e.leave_out import mentions
from infra.cloudformation import Template, shown
from infra.stack import FUNCTION, environment, template, transformed

CANARY = {"ReleaseType": "Canary10Percent5Minutes"}


def alarms(chosen: Template) -> dict[str, dict[str, Any]]:
    return dict(chosen.nested("Release").of_type("AWS::CloudWatch::Alarm"))


def dimensions(name: str) -> dict[str, str]:
    listed = alarms(template())[name]["Dimensions"]
    return {part["Name"]: shown(part["Value"]) for part in listed}


def group(**parameters: str) -> dict[str, Any]:
    ((_, found),) = transformed(**parameters).of_type("AWS::CodeDeploy::DeploymentGroup")
    return found


@pytest.mark.parametrize("kind", ["AllAtOnce", "Canary10Percent5Minutes"])
def test_traffic_is_shifted_as_the_parameter_says(kind: str) -> None:
    configuration = group(ReleaseType=kind)["DeploymentConfigName"]
    assert configuration == {
        "Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": kind}]
    }


def test_every_value_that_the_parameter_takes_is_one_that_codedeploy_has() -> None:
    kinds = template().parameters["ReleaseType"]["AllowedValues"]
    for kind in kinds:
        assert re.fullmatch(
            r"AllAtOnce|Canary10Percent(5|10|15|30)Minutes|Linear10PercentEvery(1|2|3|10)Minutes?",
            kind,
        )


def test_a_release_is_tried_before_it_gets_traffic() -> None:
    resources = dict(transformed(**CANARY).resources())
    policy = resources["SearchFunctionAliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert policy["BeforeAllowTrafficHook"] == {"Ref": "SmokeFunction"}
    smoke = dict(transformed(**CANARY).of_type("AWS::Lambda::Function"))["SmokeFunction"]
    asked = smoke["Environment"]["Variables"]["STEADYRAG_SMOKE_FUNCTION"]["Ref"]
    assert resources[asked]["Type"] == "AWS::Lambda::Version"
    assert resources[asked]["Properties"]["FunctionName"] == {"Ref": "SearchFunction"}


def test_alarms_turn_a_release_back() -> None:
    found = group(**CANARY)
    assert found["AutoRollbackConfiguration"]["Enabled"] is True
    assert "DEPLOYMENT_STOP_ON_ALARM" in found["AutoRollbackConfiguration"]["Events"]
    watched = {shown(alarm["Name"]) for alarm in found["AlarmConfiguration"]["Alarms"]}
    assert watched == {f"Release.Outputs.{name}" for name in alarms(template())}
    assert found["ServiceRoleArn"] == {"Fn::GetAtt": ["Roles", "Outputs.ReleaseRole"]}


def test_errors_and_time_are_those_of_the_new_version_alone() -> None:
    passed = dict(transformed(**CANARY).of_type("AWS::CloudFormation::Stack"))["Release"]
    version = passed["Parameters"]["Version"]["Fn::GetAtt"]
    assert transformed(**CANARY).raw["Resources"][version[0]]["Type"] == "AWS::Lambda::Version"
    assert version[1] == "Version"
    for name in ("Errors", "Slow"):
        assert dimensions(name) == {
            "FunctionName": "SearchFunction",
            "Resource": "SearchFunction:live",
            "ExecutedVersion": "SearchFunction.Version.Version",
        }


def test_what_lambda_refuses_is_counted_for_both_versions_as_it_is_refused_for_both() -> None:
    expected = {"FunctionName": "SearchFunction", "Resource": "SearchFunction:live"}
    assert dimensions("Throttles") == expected


def test_two_bad_minutes_of_three_are_enough_and_silence_is_none() -> None:
    found = alarms(template(ReleaseMaxP99Ms="900"))
    metrics = {alarm["MetricName"]: alarm for alarm in found.values()}
    assert metrics.keys() == {"Errors", "Throttles", "Duration"}
    for alarm in found.values():
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (
            *(60, 3),
            2,
        )
        assert alarm["TreatMissingData"] == "notBreaching"
    assert (metrics["Duration"]["ExtendedStatistic"], metrics["Duration"]["Threshold"]) == (
        "p99",
        "900",
    )


def test_nothing_waits_for_itself() -> None:
    """The hook, the alarms and the role all have to do with versions of search."""
    chosen = transformed(**CANARY, CacheMode="elasticache", DataKmsKey="create")
    waits = {name: set(mentions(resource)) for name, resource in chosen.resources()}
    while ready := {name for name, needed in waits.items() if not needed & waits.keys()}:
        waits = {name: needed for name, needed in waits.items() if name not in ready}
    assert waits.keys() == set()


def test_only_search_starts_from_a_snapshot() -> None:
    started = {
        name: function["SnapStart"]
        for name, function in template().of_type(FUNCTION)
        if "SnapStart" in function
    }
    assert started == {"SearchFunction": {"ApplyOn": "PublishedVersions"}}


def test_a_version_that_is_over_is_deleted_and_no_longer_billed() -> None:
    versions = {
        name: resource["DeletionPolicy"]
        for name, resource in transformed().resources()
        if resource["Type"] == "AWS::Lambda::Version"
    }
    assert len(versions) == 6
    assert set(versions.values()) == {"Delete"}


def test_concurrency_is_kept_free_only_when_asked_for() -> None:
    functions = dict(template().of_type(FUNCTION))
    assert not [name for name, f in functions.items() if "ReservedConcurrentExecutions" in f]
    search = dict(template(SearchReservedConcurrency="50").of_type(FUNCTION))["SearchFunction"]
    assert search["ReservedConcurrentExecutions"] == "50"


def test_the_hook_gets_no_queue_and_search_neither() -> None:
    for name in ("SearchFunction", "HealthFunction", "SmokeFunction"):
        given = environment(dict(template().of_type(FUNCTION))[name])
        assert not [variable for variable in given if "QUEUE" in variable or "BUCKET" in variable]
