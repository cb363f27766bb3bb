"""What a deployer may choose, and what is refused before anything is deployed."""

import re
import tomllib

import pytest

from infra.cloudformation import ROOT
from infra.stack import FUNCTION, KEY, environment, template
from steadyrag.settings import load


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("OpenAiBaseUrl", ["", "https://proxy.example.com/v1"], ["proxy.example.com", "https://"]),
        ("PineconeControllerHost", ["", "http://127.0.0.1:9"], ["api.pinecone.io", "https:// x"]),
        ("SecretsKmsKeyArn", ["", KEY], ["alias/mine", KEY.replace(":key/", ":alias/")]),
        ("DataKmsKey", ["aws", "create", KEY], ["", "yes", KEY.replace(":key/", ":alias/")]),
        (
            "CognitoUserPoolArn",
            ["none", "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_aB1"],
            ["", "eu-west-1_aB1"],
        ),
        (
            "AuthorizerFunctionArn",
            [
                "none",
                "arn:aws:lambda:eu-west-1:123456789012:function:who",
                "arn:aws:lambda:eu-west-1:123456789012:function:who:live",
            ],
            ["", "who"],
        ),
        ("PageEmail", ["", "oncall@example.com"], ["oncall", "on call@example.com"]),
        ("VpcCidr", ["10.72.0.0/20"], ["10.72.0.0", "10.0.0.0/8", "10.0.0.0/23"]),
        (
            "AvailabilityZones",
            ["", "us-east-1a,us-east-1f", "us-gov-west-1a,us-gov-west-1b"],
            ["us-east-1a", "use1-az1,use1-az2", "us-east-1a, us-east-1b", "us-east-1a,us-east-1b,"],
        ),
    ],
)
def test_a_bad_address_stops_the_deployment_and_not_the_function(
    parameter: str, good: list[str], bad: list[str]
) -> None:
    pattern = template().parameters[parameter]["AllowedPattern"]
    assert all(re.fullmatch(pattern, value) for value in good)
    assert not any(re.fullmatch(pattern, value) for value in bad)


@pytest.mark.parametrize(
    ("parameter", "variable", "good", "bad"),
    [
        (
            "UserRateLimit",
            "STEADYRAG_RATE_LIMIT",
            ["off", "1/second", "10/minute", "999999/day"],
            ["", "10", "0/minute", "10/fortnight", "1000001/minute", "Off"],
        ),
        (
            "KeyRateLimit",
            "STEADYRAG_KEY_RATE_LIMIT",
            ["off", "600/minute"],
            ["", "-1/minute", "600 a minute"],
        ),
        (
            "RateLimitOverrides",
            "STEADYRAG_RATE_LIMIT_OVERRIDES",
            ["", "key:a1b2c3=off", "user:/search=20/minute,key:/a/{id}=1/day,key:a:/b=2/hour"],
            ["a1b2c3=6000/minute", "key:=1/day", "key:a=1", "key:a=1/day,", "key:a=1/day, key:b"],
        ),
        (
            "TrustedKeys",
            "STEADYRAG_TRUSTED_KEYS",
            ["", "*", "a1b2c3", "a1b2c3,d4e5f6"],
            ["*,a1b2c3", "a1b2c3,", "a1b2c3, d4e5f6"],
        ),
        (
            "KeyNamespaces",
            "STEADYRAG_KEY_NAMESPACES",
            ["", "*", "a1b2c3=hr", "a1b2c3=hr+legal,d4e5f6=*,anonymous=public"],
            ["a1b2c3", "a1b2c3=", "a1b2c3=hr+*", "a1b2c3=hr,", "a1b2c3=hr, d4e5f6=*", "*,a=b"],
        ),
    ],
)
def test_a_bad_limit_stops_the_deployment_and_not_the_function(
    parameter: str, variable: str, good: list[str], bad: list[str]
) -> None:
    """`sam` cuts a value at its first space: what is left of a list must not pass for one."""
    pattern = template().parameters[parameter]["AllowedPattern"]
    assert not [value for value in bad if re.fullmatch(pattern, value)]
    for value in good:
        assert re.fullmatch(pattern, value)
        functions = dict(template(**{parameter: value}).of_type(FUNCTION))
        for name in ("SearchFunction", "DocumentsFunction"):
            given = environment(functions[name])
            assert given[variable] == value
            load(given)


GOOD = ["", "bge-reranker-v2-m3:-0.412,0.873,1.204", "cohere-rerank-3.5:12,49.999,1", "m:0,0.001,2"]
BAD = ["-0.412,0.873,1", "m:1,2", "m:1,-0.5,1", "m:1,0.000,1", "m:1,1,0", "m:51,1,1", "m:1, 2,3"]


def test_a_bad_calibration_stops_the_deployment_and_a_good_one_reaches_the_search() -> None:
    pattern = template().parameters["RerankCalibration"]["AllowedPattern"]
    assert not [value for value in BAD if re.fullmatch(pattern, value)]
    for value in GOOD:
        assert re.fullmatch(pattern, value)
        functions = dict(template(RerankCalibration=value).of_type(FUNCTION))
        given = environment(functions["SearchFunction"])
        assert load(given).rerank_calibration == (value or None)


@pytest.mark.parametrize("bound", ["MinValue", "MaxValue"])
def test_what_a_parameter_allows_the_settings_take(bound: str) -> None:
    numbers = {n: str(p[bound]) for n, p in template().parameters.items() if bound in p}
    for _, function in template(**numbers).of_type(FUNCTION):
        load(environment(function))


def test_every_parameter_has_its_place_in_the_console_and_a_description() -> None:
    interface = template().raw["Metadata"]["AWS::CloudFormation::Interface"]
    shown = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(shown) == sorted(template().parameters)
    assert set(interface["ParameterLabels"]) <= set(shown)
    undescribed = {n for n, p in template().parameters.items() if not p.get("Description")}
    assert undescribed == set()


def test_only_what_nobody_can_guess_has_no_default() -> None:
    required = {name for name, p in template().parameters.items() if "Default" not in p}
    assert required == {"PineconeIndexHost"}


@pytest.mark.parametrize("environment_name", ["dev", "prod"])
def test_the_deploy_settings_name_parameters_that_exist(environment_name: str) -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    deploy = settings[environment_name]["deploy"]["parameters"]
    given = dict(item.split("=", 1) for item in deploy["parameter_overrides"])
    chosen = template(**given)
    for name, value in given.items():
        parameter = chosen.parameters[name]
        if "AllowedValues" in parameter:
            assert value in map(str, parameter["AllowedValues"])
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), value)
    assert deploy["capabilities"] == "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"
    assert deploy["stack_name"].endswith(environment_name)


def test_a_build_never_takes_an_old_layer_for_a_new_one() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert settings["default"]["build"]["parameters"]["cached"] is False


@pytest.mark.parametrize(
    ("environment_name", "cache", "release"),
    [("dev", "dynamodb", "AllAtOnce"), ("prod", "elasticache", "Canary10Percent5Minutes")],
)
def test_production_is_released_gradually_and_has_the_faster_cache(
    environment_name: str, cache: str, release: str
) -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    deploy = settings[environment_name]["deploy"]["parameters"]
    given = dict(item.split("=", 1) for item in deploy["parameter_overrides"])
    assert (given["CacheMode"], given["ReleaseType"]) == (cache, release)


def test_a_nested_template_takes_what_it_is_given_and_nothing_else() -> None:
    for name, nested in template(CacheMode="elasticache").every():
        if name != "Root":
            given = dict(template(CacheMode="elasticache").of_type("AWS::CloudFormation::Stack"))
            assert given[name]["Parameters"].keys() == nested.parameters.keys()
            assert all(parameter["Description"] for parameter in nested.parameters.values())


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({}, True),
        ({"AuthorizerType": "cognito"}, False),
        ({"AuthorizerType": "cognito", "CognitoUserPoolArn": "arn"}, True),
        ({"AuthorizerType": "lambda", "CognitoUserPoolArn": "arn"}, False),
        ({"AuthorizerType": "lambda", "AuthorizerFunctionArn": "arn"}, True),
    ],
)
def test_an_authorizer_that_is_not_named_stops_the_deployment(
    given: dict[str, str], holds: bool
) -> None:
    chosen = template(**given)
    rule = chosen.raw["Rules"]["AuthorizerIsNamed"]
    asserted = all(chosen.holds(part["Assert"]) for part in rule["Assertions"])
    assert (asserted or not chosen.holds(rule["RuleCondition"])) is holds
