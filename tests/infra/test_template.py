"""What `template.yaml` promises, read as CloudFormation reads it."""

import ast
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any, Self

import pytest

from infra.cloudformation import ROOT, Template
from steadyrag.adapters import dynamodb
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.api.problems import TYPES
from steadyrag.domain.limits import Rules, parse_limit
from steadyrag.settings import VARIABLES, load

FUNCTION = "AWS::Serverless::Function"
HOST = "docs-ab12cd3.svc.aped-4627-b74a.pinecone.io"
GATEWAY_TIMEOUT_S = 29
COLD_START_S = 3
"""What the slowest deadline leaves for an environment that has to start first."""


def template(**parameters: str) -> Template:
    return Template(**{"PineconeIndexHost": HOST, **parameters})


FUNCTIONS = dict(template().of_type(FUNCTION))
ROLES = dict(template().of_type("AWS::IAM::Role"))
LOG_GROUPS = dict(template().of_type("AWS::Logs::LogGroup"))
(API,) = dict(template().of_type("AWS::Serverless::Api")).values()
((TABLE_ID, TABLE),) = template().of_type("AWS::DynamoDB::Table")


def statements(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in role["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_released_by_an_alias_and_traced(name: str) -> None:
    function = FUNCTIONS[name]
    assert function["AutoPublishAlias"] == "live"
    assert function["AutoPublishAliasAllProperties"] is True
    assert function["Tracing"] == "Active"
    assert function["Runtime"] == "python3.13"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_logs_into_a_group_of_its_own_that_is_not_kept_forever(name: str) -> None:
    function = FUNCTIONS[name]
    group = LOG_GROUPS[function["LoggingConfig"]["LogGroup"]["Ref"]]
    assert group["LogGroupName"] == f"/aws/lambda/{function['FunctionName']}"
    assert int(group["RetentionInDays"]) <= 3653


def test_no_two_functions_share_a_role_or_a_log_group() -> None:
    for shared in ("Role", "LoggingConfig"):
        used = [json.dumps(function[shared]) for function in FUNCTIONS.values()]
        assert len(used) == len(set(used))


@pytest.mark.parametrize("store", ["secretsmanager", "ssm"])
def test_roles_name_actions_and_resources(store: str) -> None:
    for name, role in template(SecretStore=store).of_type("AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role, name
        for statement in statements(role):
            for action in as_list(statement["Action"]):
                assert "*" not in action, f"{name} may {action}"
            for resource in as_list(statement["Resource"]):
                if resource == "*":  # X-Ray has no resources to name
                    assert all(a.startswith("xray:") for a in as_list(statement["Action"])), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_writes_no_log_but_its_own(name: str) -> None:
    function = FUNCTIONS[name]
    role = ROLES[function["Role"]["Fn::GetAtt"][0]]
    (logs,) = [s for s in statements(role) if "logs:PutLogEvents" in as_list(s["Action"])]
    assert logs["Resource"] == {"Fn::GetAtt": [function["LoggingConfig"]["LogGroup"]["Ref"], "Arn"]}


@pytest.mark.parametrize(
    ("store", "action", "arn"),
    [
        (
            "secretsmanager",
            "secretsmanager:GetSecretValue",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rag/openai-??????",
        ),
        ("ssm", "ssm:GetParameter", "arn:aws:ssm:eu-west-1:123456789012:parameter/rag/openai"),
    ],
)
def test_a_function_may_read_exactly_the_keys_that_its_settings_name(
    store: str, action: str, arn: str
) -> None:
    chosen = template(SecretStore=store, OpenAiKeyName="rag/openai", PineconeKeyName="rag/pinecone")
    roles = dict(chosen.of_type("AWS::IAM::Role"))
    for _, function in chosen.of_type(FUNCTION):
        settings = load(environment(function))
        name = "ssm:/rag/openai" if store == "ssm" else "secretsmanager:rag/openai"
        assert settings.openai_api_key_from == name
        role = roles[function["Role"]["Fn::GetAtt"][0]]
        (keys,) = [s for s in statements(role) if s["Action"] == action]
        assert keys["Resource"] == [arn, arn.replace("openai", "pinecone")]


def test_a_function_may_decrypt_with_the_deployers_own_key_when_one_is_named() -> None:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/0d990263-018e-4e65-a703-eff731de951e"
    for given, expected in (("", []), (arn, [arn])):
        for name, role in template(KmsKeyArn=given).of_type("AWS::IAM::Role"):
            found = [s["Resource"] for s in statements(role) if s["Action"] == "kms:Decrypt"]
            assert found == expected, name


class Recorder:
    """A boto3 session and its DynamoDB client, which keep what they are told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def client(self, *_: object, **__: object) -> Self:
        return self

    def create_table(self, **request: Any) -> None:
        self.told |= request

    def update_time_to_live(self, **request: Any) -> None:
        self.told |= request

    def describe_table(self, **_: Any) -> dict[str, Any]:
        return {"Table": {"TableStatus": "ACTIVE"}}


def test_the_table_has_the_shape_that_the_store_gives_a_local_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("boto3.session.Session", lambda: recorder)
    create_table(table="any")
    assert TABLE["KeySchema"] == recorder.told["KeySchema"]
    assert TABLE["AttributeDefinitions"] == recorder.told["AttributeDefinitions"]
    assert TABLE["BillingMode"] == recorder.told["BillingMode"]
    assert TABLE["TimeToLiveSpecification"] == recorder.told["TimeToLiveSpecification"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_settings_name_the_table(name: str) -> None:
    prefix = load(environment(FUNCTIONS[name])).table_prefix
    assert TABLE["TableName"] == f"{prefix}cache"
    assert template().resolve(template().raw["Outputs"]["TablePrefix"]["Value"]) == prefix


def test_the_table_goes_with_the_stack_and_is_not_backed_up() -> None:
    resource = template().raw["Resources"][TABLE_ID]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Delete")
    assert TABLE["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": False}
    assert {tag["Key"]: tag["Value"] for tag in TABLE["Tags"]} == {
        "Service": "steadyrag",
        "Environment": "dev",
    }


def test_a_search_may_do_with_the_table_what_the_store_does_and_health_may_read_it() -> None:
    called = re.findall(r'"((?:batch_)?[a-z]+_item)"', inspect.getsource(dynamodb))
    actions = {f"dynamodb:{operation.title().replace('_', '')}" for operation in called}
    assert len(actions) == 5
    allowed = {}
    for name, function in FUNCTIONS.items():
        (table,) = [
            statement
            for statement in statements(ROLES[function["Role"]["Fn::GetAtt"][0]])
            if any(action.startswith("dynamodb:") for action in as_list(statement["Action"]))
        ]
        assert table["Resource"] == {"Fn::GetAtt": [TABLE_ID, "Arn"]}
        allowed[name] = set(as_list(table["Action"]))
    assert allowed == {"SearchFunction": actions, "HealthFunction": {"dynamodb:BatchGetItem"}}


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("OpenAiBaseUrl", ["", "https://proxy.example.com/v1"], ["proxy.example.com", "https://"]),
        ("PineconeControllerHost", ["", "http://127.0.0.1:9"], ["api.pinecone.io", "https:// x"]),
        ("KmsKeyArn", [""], ["alias/mine", "arn:aws:kms:eu-west-1:123456789012:alias/mine"]),
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
        for _, function in template(**{parameter: value}).of_type(FUNCTION):
            given = environment(function)
            assert given[variable] == value
            load(given)


def test_another_model_stands_in_only_when_it_is_named() -> None:
    for model in ("", "gpt-6-mini"):
        for _, function in template(ChatFallbackModel=model).of_type(FUNCTION):
            given = environment(function)
            assert given.get("STEADYRAG_CHAT_FALLBACK_MODEL", "") == model
            assert ("STEADYRAG_CHAT_FALLBACK_MODEL" in given) is bool(model)


def environment(function: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in function["Environment"]["Variables"].items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_environment_is_known_to_the_settings(name: str) -> None:
    given = environment(FUNCTIONS[name])
    assert given.keys() <= VARIABLES.keys()
    settings = load(given)
    assert (settings.embedder, settings.index) == ("openai", "pinecone")
    assert (settings.reranker, settings.generator) == ("pinecone", "openai")


def test_a_default_is_the_same_deployed_as_on_a_laptop() -> None:
    given = environment(FUNCTIONS["SearchFunction"])
    elsewhere = {
        *("STEADYRAG_EMBEDDER", "STEADYRAG_INDEX", "STEADYRAG_RERANKER", "STEADYRAG_GENERATOR"),
        *("STEADYRAG_OPENAI_API_KEY_FROM", "STEADYRAG_PINECONE_API_KEY_FROM"),
        *("STEADYRAG_PINECONE_INDEX_HOST", "STEADYRAG_TABLE_PREFIX"),
        *("STEADYRAG_RATE_LIMIT", "STEADYRAG_METRICS", "STEADYRAG_TRACING"),
    }
    deployed = load(given).model_dump(by_alias=True)
    for name in given.keys() - elsewhere:
        assert deployed[name] == VARIABLES[name].default, name


def test_an_end_users_limit_is_the_one_that_comes_with_a_shared_store() -> None:
    given = environment(FUNCTIONS["SearchFunction"])
    assert parse_limit(given["STEADYRAG_RATE_LIMIT"]) == Rules().user


@pytest.mark.parametrize("bound", ["MinValue", "MaxValue"])
def test_what_a_parameter_allows_the_settings_take(bound: str) -> None:
    numbers = {n: str(p[bound]) for n, p in template().parameters.items() if bound in p}
    for _, function in template(**numbers).of_type(FUNCTION):
        load(environment(function))


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
    assert all(function["Timeout"] < GATEWAY_TIMEOUT_S for function in FUNCTIONS.values())


def test_every_route_is_listed_and_only_liveness_needs_no_key() -> None:
    routes = {
        (event["Properties"]["Method"].upper(), event["Properties"]["Path"]): event["Properties"]
        for function in FUNCTIONS.values()
        for event in function["Events"].values()
        if event["Type"] == "Api"
    }
    assert routes.keys() == {("POST", "/search"), ("GET", "/health"), ("GET", "/health/live")}
    assert API["Auth"]["ApiKeyRequired"] is True
    without = {r for r, p in routes.items() if p.get("Auth", {}).get("ApiKeyRequired") is False}
    assert without == {("GET", "/health/live")}


def test_a_route_without_a_key_is_throttled_on_its_own() -> None:
    limited = {
        (setting["HttpMethod"], setting["ResourcePath"].replace("~1", "/").replace("//", "/"))
        for setting in API["MethodSettings"]
        if "ThrottlingRateLimit" in setting
    }
    assert limited == {("GET", "/health/live")}


def test_the_api_is_regional_and_traced() -> None:
    assert API["EndpointConfiguration"] == {"Type": "REGIONAL"}
    assert API["TracingEnabled"] is True


def test_a_browsers_preflight_needs_no_key() -> None:
    assert API["Auth"]["AddApiKeyRequiredToCorsPreflight"] is False


@pytest.mark.parametrize("kind", API["GatewayResponses"])
def test_the_gateways_own_errors_are_problem_documents(kind: str) -> None:
    response = API["GatewayResponses"][kind]
    headers = response["ResponseParameters"]["Headers"]
    assert headers["Content-Type"] == "'application/problem+json'"
    assert headers["Access-Control-Allow-Origin"] == "'*'"
    ((accepted, text),) = response["ResponseTemplates"].items()
    assert accepted == "application/json"
    text = text.replace("$context.error.messageString", '"why"')
    problem = json.loads(re.sub(r"\$context\.\w+", "value", text))
    assert problem["type"].startswith("urn:steadyrag:problem:")
    assert problem["title"]
    assert problem["detail"]
    if "StatusCode" in response:
        status = response["StatusCode"]
        assert problem["status"] == status
        known = f"urn:steadyrag:problem:{TYPES.get(status, 'internal-error')}"
        assert problem["type"] == known or kind == "QUOTA_EXCEEDED"
    else:
        assert kind.startswith("DEFAULT_")
        assert "status" not in problem


def test_the_gateways_errors_that_callers_meet_are_told_apart() -> None:
    assert {
        *("DEFAULT_4XX", "DEFAULT_5XX", "ACCESS_DENIED", "INVALID_API_KEY", "UNAUTHORIZED"),
        *("MISSING_AUTHENTICATION_TOKEN", "THROTTLED", "QUOTA_EXCEEDED", "INTEGRATION_TIMEOUT"),
    } <= API["GatewayResponses"].keys()


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_functions_get_the_layer_that_is_built_for_their_processor(architecture: str) -> None:
    chosen = template(Architecture=architecture)
    ((layer, properties),) = chosen.of_type("AWS::Serverless::LayerVersion")
    assert properties["CompatibleArchitectures"] == [architecture]
    assert chosen.raw["Resources"][layer]["Metadata"]["BuildArchitecture"] == architecture
    for _, function in chosen.of_type(FUNCTION):
        assert function["Architectures"] == [architecture]
        assert function["Layers"] == [{"Ref": layer}]
    makefile = (ROOT / "shared" / "Makefile").read_text()
    rule = makefile[makefile.index(f"\nbuild-{layer}:") :].split("\n")[2]
    assert f"--architecture {architecture} " in rule


def test_everything_built_by_make_has_its_target() -> None:
    resources = template().raw["Resources"]
    shared = template().raw["Globals"]["Function"]
    for name, resource in resources.items():
        if resource.get("Metadata", {}).get("BuildMethod") == "makefile":
            properties = {**shared, **resource["Properties"]}
            folder = resource["Properties"].get("ContentUri") or properties["CodeUri"]
            assert f"\nbuild-{name}:" in (ROOT / folder / "Makefile").read_text()


def test_a_quota_is_set_only_when_asked_for() -> None:
    ((_, free),) = template().of_type("AWS::ApiGateway::UsagePlan")
    assert "Quota" not in free
    ((_, limited),) = template(MonthlyQuota="1000").of_type("AWS::ApiGateway::UsagePlan")
    assert limited["Quota"] == {"Limit": "1000", "Period": "MONTH"}


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
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert deploy["stack_name"].endswith(environment_name)


def test_a_build_never_takes_an_old_layer_for_a_new_one() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert settings["default"]["build"]["parameters"]["cached"] is False
