"""Whose bill it is: tags on everything that takes them."""

from typing import Any

from infra.stack import template, transformed

EXPECTED = {"Service": "steadyrag", "Environment": "prod"}
EVERYTHING = {"CacheMode": "elasticache", "DataKmsKey": "create", "Environment": "prod"}

WITHOUT = {
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::UsagePlanKey",
    "AWS::IAM::ManagedPolicy",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Scheduler::Schedule",
}
"""Types that have no tags in CloudFormation, or in SAM: none of them costs anything by itself."""


def tags(properties: dict[str, Any]) -> dict[str, str]:
    found = properties["Tags"]
    return {t["Key"]: t["Value"] for t in found} if isinstance(found, list) else found


def test_everything_that_takes_tags_says_whose_it_is() -> None:
    """A nested stack passes its own to all that it makes."""
    chosen = transformed(**EVERYTHING)
    for name, resource in chosen.resources():
        if resource["Type"] not in WITHOUT:
            properties = chosen.resolve(resource["Properties"])
            assert EXPECTED.items() <= tags(properties).items(), name


def test_what_a_nested_stack_makes_is_told_apart_by_name() -> None:
    for name, nested in template(**EVERYTHING).every():
        for _, properties in nested.of_type("AWS::EC2::Subnet"):
            (tag,) = properties["Tags"]
            assert tag["Value"].startswith("stack-"), name
