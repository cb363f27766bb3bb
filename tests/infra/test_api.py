"""The gateway: who may call, how much, what it answers itself and what it writes down."""

import json
import re
from typing import Any

import pytest

from infra.cloudformation import Template, shown
from infra.stack import FUNCTION, template, transformed
from steadyrag.api.problems import TYPES

(API,) = dict(template().of_type("AWS::Serverless::Api")).values()
ROUTES = {
    ("POST", "/search"): "SearchFunction",
    ("POST", "/feedback"): "SearchFunction",
    ("GET", "/health"): "HealthFunction",
    ("GET", "/health/live"): "HealthFunction",
    ("POST", "/documents"): "DocumentsFunction",
    ("GET", "/documents/{id+}"): "DocumentsFunction",
    ("DELETE", "/documents/{id+}"): "DocumentsFunction",
}
GATEWAYS_OWN = {"INTEGRATION_FAILURE": 504, "INTEGRATION_TIMEOUT": 504}
"""Statuses that it answers with by itself:
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html."""

POOL = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_aB1"
CHECKER = "arn:aws:lambda:eu-west-1:123456789012:function:who"
CHOICES = [
    {},
    {"AuthorizerType": "cognito", "CognitoUserPoolArn": POOL},
    {"AuthorizerType": "lambda", "AuthorizerFunctionArn": CHECKER},
]


def body(chosen: Template) -> dict[str, Any]:
    """The API's definition as API Gateway gets it."""
    ((_, api),) = chosen.of_type("AWS::ApiGateway::RestApi")
    definition: dict[str, Any] = api["Body"]
    return definition


def logs(**parameters: str) -> Template:
    return template(**parameters).nested("Logs")


def methods(definition: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): said
        for path, described in definition["paths"].items()
        for method, said in described.items()
    }


@pytest.mark.parametrize("choice", CHOICES, ids=["none", "cognito", "lambda"])
def test_every_route_is_one_functions_and_every_method_is_listed(choice: dict[str, str]) -> None:
    found = methods(body(transformed(**choice)))
    assert {route for route in found if route[0] != "OPTIONS"} == ROUTES.keys()
    for route, function in ROUTES.items():
        address = shown(found[route]["x-amazon-apigateway-integration"]["uri"])
        assert address.endswith(f"/functions/${{{function}Aliaslive}}/invocations")


@pytest.mark.parametrize("choice", CHOICES, ids=["none", "cognito", "lambda"])
def test_a_key_is_always_needed_but_for_liveness_and_preflights(choice: dict[str, str]) -> None:
    needed = [{"api_key": [], "caller": []}] if choice else [{"api_key": []}]
    for route, said in methods(body(transformed(**choice))).items():
        if route == ("GET", "/health/live") or route[0] == "OPTIONS":
            assert "security" not in said
        else:
            assert said["security"] == needed


def test_without_an_authorizer_there_is_none() -> None:
    schemes = body(transformed())["components"]["securitySchemes"]
    assert schemes == {"api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}
    assert not dict(transformed().of_type("AWS::Lambda::Permission")).keys() & {
        "AuthorizerPermission"
    }


def test_a_user_pool_checks_the_token_of_its_users() -> None:
    scheme = body(transformed(**CHOICES[1]))["components"]["securitySchemes"]["caller"]
    assert scheme["x-amazon-apigateway-authtype"] == "cognito_user_pools"
    assert scheme["x-amazon-apigateway-authorizer"] == {
        "type": "cognito_user_pools",
        "providerARNs": [POOL],
    }
    assert (scheme["in"], scheme["name"]) == ("header", "Authorization")


def test_a_function_checks_callers_and_the_gateway_may_ask_it() -> None:
    chosen = transformed(**CHOICES[2])
    scheme = body(chosen)["components"]["securitySchemes"]["caller"]
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert authorizer["type"] == "request"
    assert f"/functions/{CHECKER}/invocations" in authorizer["authorizerUri"]
    permission = dict(chosen.of_type("AWS::Lambda::Permission"))["AuthorizerPermission"]
    assert permission["FunctionName"] == CHECKER
    assert permission["SourceArn"].endswith(":${Api}/authorizers/*")


def test_a_change_of_who_may_call_reaches_the_stage_with_the_deployment_that_makes_it() -> None:
    assert API["AlwaysDeploy"] is True


def test_no_body_is_checked_before_the_service_can_name_the_field() -> None:
    assert "x-amazon-apigateway-request-validators" not in body(transformed())
    assert "Models" not in API


def test_all_callers_together_are_throttled_and_a_route_without_a_key_on_its_own() -> None:
    limited = {
        (setting["HttpMethod"], setting["ResourcePath"].replace("~1", "/").replace("//", "/"))
        for setting in API["MethodSettings"]
        if "ThrottlingRateLimit" in setting and "ThrottlingBurstLimit" in setting
    }
    assert limited == {("*", "/*"), ("GET", "/health/live")}
    whole = next(s for s in API["MethodSettings"] if s["HttpMethod"] == "*")
    ((_, plan),) = template().of_type("AWS::ApiGateway::UsagePlan")
    assert int(whole["ThrottlingRateLimit"]) > int(plan["Throttle"]["RateLimit"])


def test_a_quota_is_set_only_when_asked_for() -> None:
    ((_, free),) = template().of_type("AWS::ApiGateway::UsagePlan")
    assert "Quota" not in free
    ((_, limited),) = template(MonthlyQuota="1000").of_type("AWS::ApiGateway::UsagePlan")
    assert limited["Quota"] == {"Limit": "1000", "Period": "MONTH"}


def test_the_api_is_regional_and_traced() -> None:
    assert API["EndpointConfiguration"] == {"Type": "REGIONAL"}
    assert API["TracingEnabled"] is True


def test_each_request_is_written_down_with_what_is_asked_of_a_log() -> None:
    setting = API["AccessLogSetting"]
    line = json.loads(setting["Format"])
    assert set(line.values()) == {
        *("$context.requestId", "$context.identity.apiKeyId", "$context.identity.sourceIp"),
        *("$context.identity.userAgent", "$context.httpMethod", "$context.path"),
        *("$context.status", "$context.responseLatency", "$context.integration.status"),
        *("$context.integration.latency", "$context.error.message"),
        *("$context.error.responseType", "$context.xrayTraceId", "$context.requestTimeEpoch"),
    }
    (stage,) = dict(transformed().of_type("AWS::ApiGateway::Stage")).values()
    assert shown(stage["AccessLogSetting"]["DestinationArn"]) == "Logs.Outputs.AccessArn"
    assert shown(logs().raw["Outputs"]["AccessArn"]["Value"]) == "AccessLogGroup.Arn"
    assert dict(logs().of_type("AWS::Logs::LogGroup"))["AccessLogGroup"]["RetentionInDays"]


def test_the_stack_whose_log_the_stage_waits_for_sets_the_accounts_role() -> None:
    ((name, account),) = logs().of_type("AWS::ApiGateway::Account")
    assert account["CloudWatchRoleArn"] == {"Fn::GetAtt": ["GatewayLogRole", "Arn"]}
    resources = logs().raw["Resources"]
    assert {resources[n]["DeletionPolicy"] for n in (name, "GatewayLogRole")} == {"Retain"}


def test_an_account_that_others_have_set_up_is_left_alone() -> None:
    chosen = logs(ManageApiGatewayAccount="false")
    assert not list(chosen.of_type("AWS::ApiGateway::Account"))
    assert not list(chosen.of_type("AWS::IAM::Role"))


def test_a_browser_may_use_every_method_and_send_what_clients_need() -> None:
    for route, said in methods(body(transformed())).items():
        if route[0] == "OPTIONS":
            (answer,) = said["x-amazon-apigateway-integration"]["responses"].values()
            headers = {
                name.removeprefix("method.response.header."): value
                for name, value in answer["responseParameters"].items()
            }
            assert headers["Access-Control-Allow-Methods"] == "'GET,POST,DELETE,OPTIONS'"
            assert headers["Access-Control-Allow-Origin"] == "'*'"
            allowed = set(headers["Access-Control-Allow-Headers"].strip("'").split(","))
            assert {"Authorization", "Content-Type", "X-Api-Key", "X-Request-Id"} <= allowed


def test_the_gateways_failures_keep_their_status_so_that_they_are_counted_as_5xx() -> None:
    """API Gateway counts a response whose status was modified as a 4XX."""
    responses = API["GatewayResponses"].items()
    kept = {kind for kind, response in responses if "StatusCode" not in response}
    assert kept == {"DEFAULT_4XX", "DEFAULT_5XX", *GATEWAYS_OWN}
    assert all(int(r["StatusCode"]) < 500 for _, r in responses if "StatusCode" in r)


@pytest.mark.parametrize("kind", API["GatewayResponses"])
def test_the_gateways_own_errors_are_problem_documents_that_a_browser_may_read(kind: str) -> None:
    response = API["GatewayResponses"][kind]
    headers = response["ResponseParameters"]["Headers"]
    assert headers["Content-Type"] == "'application/problem+json'"
    assert headers["Access-Control-Allow-Origin"] == "'*'"
    assert "Retry-After" in headers["Access-Control-Expose-Headers"]
    ((accepted, text),) = response["ResponseTemplates"].items()
    assert accepted == "application/json"
    text = text.replace("$context.error.messageString", '"why"')
    problem = json.loads(re.sub(r"\$context\.\w+", "value", text))
    assert problem["type"].startswith("urn:steadyrag:problem:")
    assert problem["title"]
    assert problem["detail"]
    status = response.get("StatusCode", GATEWAYS_OWN.get(kind))
    if status is not None:
        assert problem["status"] == status
        known = f"urn:steadyrag:problem:{TYPES.get(status, 'internal-error')}"
        assert problem["type"] == known or kind in ("QUOTA_EXCEEDED", "INTEGRATION_FAILURE")
    else:
        assert kind.startswith("DEFAULT_")
        assert "status" not in problem


def test_the_gateways_errors_that_callers_meet_are_told_apart() -> None:
    assert {
        *("DEFAULT_4XX", "DEFAULT_5XX", "ACCESS_DENIED", "INVALID_API_KEY", "UNAUTHORIZED"),
        *("MISSING_AUTHENTICATION_TOKEN", "THROTTLED", "QUOTA_EXCEEDED", "INTEGRATION_TIMEOUT"),
    } <= API["GatewayResponses"].keys()


def test_every_minute_the_service_asks_itself_as_the_gateway_would() -> None:
    health = dict(template().of_type(FUNCTION))["HealthFunction"]
    schedule = health["Events"]["EveryMinute"]["Properties"]
    assert schedule["ScheduleExpression"] == "cron(* * * * ? *)", "each check in its own minute"
    event = json.loads(schedule["Input"])
    assert (event["httpMethod"], event["path"]) == ("GET", "/health")
