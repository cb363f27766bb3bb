"""How operators are told, and how they steer."""

import json
import subprocess
from typing import Any

import pytest

from infra.cloudformation import Template, shown
from infra.stack import FUNCTION, KEY, environment, template
from infra.transform import PYTHON
from steadyrag.domain.live_config import parse_live_config
from steadyrag.settings import load

VALIDATE = """
import json, sys, jsonschema
schema, document = json.load(sys.stdin)
jsonschema.Draft4Validator.check_schema(schema)
sys.exit(not jsonschema.Draft4Validator(schema).is_valid(document))
"""


def operations(**parameters: str) -> Template:
    return template(**parameters).nested("Operations")


def topics(**parameters: str) -> dict[str, Any]:
    return dict(operations(**parameters).of_type("AWS::SNS::Topic"))


def may_publish(policy: dict[str, Any]) -> bool:
    """Whether the key lets CloudWatch encrypt and decrypt what its alarms publish."""
    return any(
        statement["Effect"] == "Allow"
        and statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        and {"kms:Decrypt", "kms:GenerateDataKey*"} <= set(statement["Action"])
        and statement["Resource"] == "*"
        and "Condition" not in statement
        for statement in policy["Statement"]
    )


def test_the_topics_are_encrypted_with_a_key_that_lets_alarms_publish() -> None:
    ((name, key),) = operations().of_type("AWS::KMS::Key")
    assert may_publish(key["KeyPolicy"])
    assert key["EnableKeyRotation"] is True
    for topic in topics().values():
        assert topic["KmsMasterKeyId"] == {"Fn::GetAtt": [name, "Arn"]}


def test_so_are_they_with_the_key_of_everything_else() -> None:
    chosen = template(DataKmsKey="create")
    assert not list(chosen.nested("Operations").of_type("AWS::KMS::Key"))
    for topic in topics(DataKmsKey="create").values():
        assert shown(topic["KmsMasterKeyId"]) == "Data.Outputs.KeyArn"
    ((_, key),) = chosen.nested("Data").of_type("AWS::KMS::Key")
    assert may_publish(key["KeyPolicy"])


def test_alarms_of_this_account_publish_and_only_over_tls() -> None:
    policies = list(operations().of_type("AWS::SNS::TopicPolicy"))
    assert {t["Ref"] for _, policy in policies for t in policy["Topics"]} == topics().keys()
    for _, policy in policies:
        by_effect = {s["Effect"]: s for s in policy["PolicyDocument"]["Statement"]}
        assert by_effect["Allow"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert by_effect["Allow"]["Condition"] == {
            "StringEquals": {"aws:SourceAccount": "123456789012"}
        }
        assert by_effect["Deny"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_mail_is_sent_to_those_who_are_named() -> None:
    assert not list(operations().of_type("AWS::SNS::Subscription"))
    chosen = operations(PageEmail="oncall@example.com", TicketEmail="team@example.com")
    told = {
        mail["TopicArn"]["Ref"]: (mail["Protocol"], mail["Endpoint"])
        for _, mail in chosen.of_type("AWS::SNS::Subscription")
    }
    assert told == {
        "PageTopic": ("email", "oncall@example.com"),
        "TicketTopic": ("email", "team@example.com"),
    }


def test_the_functions_that_obey_the_live_configuration_are_told_which_it_is() -> None:
    obeying = {
        name
        for name, function in template().of_type(FUNCTION)
        if load(environment(function)).live_config
    }
    assert obeying == {"SearchFunction", "DocumentsFunction"}


def test_the_stack_deploys_no_live_configuration_over_the_operators() -> None:
    made = {resource["Type"] for _, resource in operations().resources()}
    assert {kind.rpartition(":")[2] for kind in made if kind.startswith("AWS::AppConfig::")} == {
        *("Application", "Environment", "ConfigurationProfile", "DeploymentStrategy"),
    }


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({}, True),
        (
            {
                "key_namespaces": {"a1b2c3": ["hr", "legal"], "anonymous": ["public"]},
                "trusted_keys": ["a1b2c3", "*"],
                "rate_limit_overrides": {"key:a1b2c3": "6000/minute", "user:/search": "off"},
            },
            True,
        ),
        ({"key_namespaces": "*"}, True),
        ({"key_namespace": {}}, False),
        ({"key_namespaces": {"a1b2c3": "hr"}}, False),
        ({"key_namespaces": {"a b": ["hr"]}}, False),
        ({"trusted_keys": "a1b2c3"}, False),
        ({"trusted_keys": ["a b"]}, False),
        ({"rate_limit_overrides": {"key:a1b2c3": "many"}}, False),
        ([], False),
    ],
)
def test_appconfig_refuses_what_the_functions_would(document: Any, good: bool) -> None:
    ((_, profile),) = operations().of_type("AWS::AppConfig::ConfigurationProfile")
    (validator,) = profile["Validators"]
    assert validator["Type"] == "JSON_SCHEMA"
    told = json.dumps([json.loads(validator["Content"]), document])
    accepted = subprocess.run([PYTHON, "-c", VALIDATE], input=told, text=True, check=False)
    assert (accepted.returncode == 0) is good
    try:
        parse_live_config(json.dumps(document).encode())
    except ValueError:
        assert not good
    else:
        assert good


def test_a_key_that_is_brought_along_is_the_one_that_is_used() -> None:
    assert shown(operations(DataKmsKey=KEY).parameters["DataKeyArn"]["Type"]) == "String"
    for topic in topics(DataKmsKey=KEY).values():
        assert shown(topic["KmsMasterKeyId"]) == "Data.Outputs.KeyArn"
    outputs = template(DataKmsKey=KEY).nested("Data")
    assert outputs.resolve(outputs.raw["Outputs"]["KeyArn"]["Value"]) == KEY
