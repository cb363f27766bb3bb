"""Nobody may do more than this."""

import inspect
import re
from typing import Any

import pytest

from infra.cloudformation import Template
from infra.grants import every_grant
from infra.stack import (
    FUNCTION,
    KEY,
    as_list,
    environment,
    granted,
    role_of,
    statements,
    template,
)
from steadyrag.adapters import dynamodb
from steadyrag.domain.golden import PREFIX, questions_key, standings_key
from steadyrag.settings import load

INTERFACES = "arn:aws:ec2:eu-west-1:123456789012:*/*"
PARAMETER = "arn:aws:ssm:eu-west-1:123456789012:parameter/steadyrag/{}-api-key"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:steadyrag/{}-api-key-??????"

type Allowed = dict[str, set[str]]
"""Actions by resource."""


def log(function: str) -> Allowed:
    group = f"arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/stack-{function}:*"
    return {
        group: {"logs:CreateLogStream", "logs:PutLogEvents"},
        "*": {"xray:PutTelemetryRecords", "xray:PutTraceSegments"},
    }


VENDORS: Allowed = {
    SECRET.format("openai"): {"secretsmanager:GetSecretValue"},
    SECRET.format("pinecone"): {"secretsmanager:GetSecretValue"},
    PARAMETER.format("openai"): {"ssm:GetParameter"},
    PARAMETER.format("pinecone"): {"ssm:GetParameter"},
    KEY: {"kms:Decrypt"},
}
SHARED: Allowed = {
    "Data.Outputs.CacheTableArn": {
        *("dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:DeleteItem"),
        *("dynamodb:PutItem", "dynamodb:UpdateItem"),
    }
}
LIVE: Allowed = {
    "Operations.Outputs.LiveConfigArn": {
        *("appconfig:GetLatestConfiguration", "appconfig:StartConfigurationSession"),
    }
}
LEDGER: Allowed = {
    "Data.Outputs.DocumentsTableArn": {
        *("dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
    }
}
DATA_KEY: Allowed = {
    "Data.Outputs.KeyArn": {
        *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"),
        *("kms:ReEncryptFrom", "kms:ReEncryptTo"),
    }
}
NETWORK: Allowed = {
    "*": {"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"},
    INTERFACES: {
        *("ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface"),
        *("ec2:DeleteNetworkInterface", "ec2:UnassignPrivateIpAddresses"),
    },
}
CACHE: Allowed = {
    "Network.Outputs.CacheArn": {"elasticache:Connect"},
    "Network.Outputs.CacheUserArn": {"elasticache:Connect"},
}
LAMBDA = "arn:aws:lambda:eu-west-1:123456789012:function:stack-"
TRAFFIC = {"lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"}
OBJECTS = "Data.Outputs.DocumentsBucketArn/documents/*"
BUCKET = "Data.Outputs.DocumentsBucketArn"

ROLES: dict[str, list[Allowed]] = {
    "Roles.SearchRole": [log("search"), VENDORS, SHARED, LIVE, DATA_KEY, NETWORK, CACHE],
    "Roles.HealthRole": [
        *(log("health"), VENDORS, DATA_KEY, NETWORK, CACHE),
        {"Data.Outputs.CacheTableArn": {"dynamodb:BatchGetItem"}},
    ],
    "Roles.DocumentsRole": [
        *(log("documents"), SHARED, LIVE, LEDGER, DATA_KEY, NETWORK, CACHE),
        {
            OBJECTS: {"s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
            BUCKET: {"s3:ListBucket"},
            "Data.Outputs.IngestQueueArn": {"sqs:SendMessage"},
        },
    ],
    "Roles.IngestRole": [
        *(log("ingest"), VENDORS, SHARED, LEDGER, DATA_KEY, NETWORK, CACHE),
        {
            "Data.Outputs.DocumentsTableArn": {"dynamodb:Query"},
            OBJECTS: {"s3:GetObject"},
            BUCKET: {"s3:ListBucket"},
            "Data.Outputs.IngestQueueArn": {
                *("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
                *("sqs:ReceiveMessage", "sqs:SendMessage"),
            },
            "Data.Outputs.DeadQueueArn": {"sqs:SendMessage"},
        },
    ],
    "Roles.QualityRole": [
        *(log("quality"), VENDORS, DATA_KEY),
        {
            f"{BUCKET}/golden/*": {"s3:GetObject"},
            f"{BUCKET}/golden/last/*": {"s3:PutObject"},
            BUCKET: {"s3:ListBucket"},
        },
    ],
    "Roles.ReportRole": [
        *(log("report"), DATA_KEY),
        {
            "*": {
                *("cloudwatch:DescribeAlarmHistory", "cloudwatch:DescribeAlarms"),
                "cloudwatch:GetMetricData",
            },
            "Data.Outputs.CacheTableArn": {
                *("dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
            },
            "Operations.Outputs.TicketTopicArn": {"sns:Publish"},
            "Operations.Outputs.TopicsKeyArn": {"kms:Decrypt", "kms:GenerateDataKey"},
        },
    ],
    "Roles.SmokeRole": [
        log("smoke"),
        {
            f"{LAMBDA}search:*": {"lambda:InvokeFunction"},
            "arn:aws:codedeploy:eu-west-1:123456789012:deploymentgroup:stack-*/*": {
                "codedeploy:PutLifecycleEventHookExecutionStatus"
            },
        },
    ],
    "Roles.ReleaseRole": [
        {
            f"{LAMBDA}search": TRAFFIC,
            f"{LAMBDA}search:live": TRAFFIC,
            f"{LAMBDA}smoke": {"lambda:InvokeFunction"},
            "*": {"cloudwatch:DescribeAlarms"},
        }
    ],
    "HealthFunctionEveryMinuteRole": [{"HealthFunctionAliaslive": {"lambda:InvokeFunction"}}],
    "QualityFunctionGoldenRole": [{"QualityFunctionAliaslive": {"lambda:InvokeFunction"}}],
    "ReportFunctionHourlyRole": [{"ReportFunctionAliaslive": {"lambda:InvokeFunction"}}],
    "IngestFunctionSweepRole": [{"IngestFunctionAliaslive": {"lambda:InvokeFunction"}}],
    "Network.FlowLogRole": [
        {
            "FlowLogGroup.Arn": {
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            },
            "arn:aws:logs:eu-west-1:123456789012:log-group:*": {"logs:DescribeLogGroups"},
        }
    ],
}
NO_RESOURCES = {
    *("xray:PutTelemetryRecords", "xray:PutTraceSegments"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "cloudwatch:GetMetricData"),
    *("cloudwatch:DescribeAlarms", "cloudwatch:DescribeAlarmHistory"),
}
"""Actions that AWS can't be asked to allow for a part only; of alarms it can, but who asks for all
of them has to be allowed all, as AWS's own policy for CodeDeploy does."""

ALLOWED = {
    (role, action, resource)
    for role, parts in ROLES.items()
    for part in parts
    for resource, actions in part.items()
    for action in actions
}
EVERYTHING = {
    "CacheMode": "elasticache",
    "DataKmsKey": "create",
    "FlowLogDays": "90",
    "SecretsKmsKeyArn": KEY,
}


def roles(**parameters: str) -> Template:
    return template(**parameters).nested("Roles")


def test_with_every_option_each_role_may_do_what_is_listed_here_and_nothing_else() -> None:
    granted_now = every_grant(**EVERYTHING)
    assert granted_now - ALLOWED == set()
    assert ALLOWED - granted_now == set()


def test_as_it_comes_a_role_may_do_no_more_than_that() -> None:
    assert every_grant() - ALLOWED == set()


@pytest.mark.parametrize(("option", "part"), [("DataKmsKey", DATA_KEY), ("CacheMode", CACHE)])
def test_an_option_alone_gives_each_role_what_it_brings(option: str, part: Allowed) -> None:
    granted_now = every_grant(**{option: EVERYTHING[option]})
    brought = {(resource, action) for resource, actions in part.items() for action in actions}
    for role in (role for role, parts in ROLES.items() if part in parts):
        assert {(role, action, resource) for resource, action in brought} <= granted_now


@pytest.mark.parametrize("mode", ["dynamodb", "elasticache"])
def test_who_gives_the_network_up_may_still_remove_its_interfaces(mode: str) -> None:
    """Lambda removes them with the function's role, after the stack has changed the roles."""
    granted_now = every_grant(CacheMode=mode)
    held = {(resource, action) for resource, actions in NETWORK.items() for action in actions}
    for role in (role for role, parts in ROLES.items() if NETWORK in parts):
        assert {(role, action, resource) for resource, action in held} <= granted_now


def test_no_action_is_a_pattern_and_few_hold_for_everything() -> None:
    assert not [grant for grant in ALLOWED if "*" in grant[1]]
    assert {action for _, action, resource in ALLOWED if resource == "*"} == NO_RESOURCES


def test_policies_of_aws_are_held_by_the_gateways_role_alone() -> None:
    """API Gateway refuses a role for its logs that may do less than this one."""
    held = {
        role: policy
        for _, part in template(**EVERYTHING).every()
        for role, properties in part.of_type("AWS::IAM::Role")
        for policy in properties.get("ManagedPolicyArns", [])
        if isinstance(policy, str)
    }
    push = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    assert held == {"GatewayLogRole": push}


def test_a_role_is_taken_by_the_one_service_that_it_is_for() -> None:
    for name, nested in template(**EVERYTHING).every():
        for role, properties in nested.of_type("AWS::IAM::Role"):
            (trusted,) = properties["AssumeRolePolicyDocument"]["Statement"]
            assert trusted["Action"] == "sts:AssumeRole"
            expected = {
                "ReleaseRole": "codedeploy.amazonaws.com",
                "GatewayLogRole": "apigateway.amazonaws.com",
                "FlowLogRole": "vpc-flow-logs.amazonaws.com",
            }.get(role, "lambda.amazonaws.com")
            assert trusted["Principal"] == {"Service": expected}, (name, role)


def test_no_two_functions_share_a_role() -> None:
    held = [role_of(function) for _, function in template().of_type(FUNCTION)]
    assert len(held) == len(set(held))


@pytest.mark.parametrize("name", dict(template().of_type(FUNCTION)))
def test_a_function_writes_no_log_but_its_own(name: str) -> None:
    function = dict(template().of_type(FUNCTION))[name]
    found = granted(roles(), role_of(function))
    (logs,) = [s for s in found if "logs:PutLogEvents" in as_list(s["Action"])]
    assert logs["Resource"].endswith(f":log-group:/aws/lambda/{function['FunctionName']}:*")


def test_what_a_role_names_before_it_is_made_is_called_so() -> None:
    """A role is made before the functions, so it can't refer to those that it is about."""
    functions = dict(template().of_type(FUNCTION))
    assert f"{LAMBDA}search".endswith(f":{functions['SearchFunction']['FunctionName']}")
    assert f"{LAMBDA}smoke".endswith(f":{functions['SmokeFunction']['FunctionName']}")
    assert functions["SearchFunction"]["AutoPublishAlias"] == "live"


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
@pytest.mark.parametrize(
    "name", ["SearchFunction", "HealthFunction", "IngestFunction", "QualityFunction"]
)
def test_a_function_may_read_exactly_the_keys_that_its_settings_name(
    name: str, store: str, action: str, arn: str
) -> None:
    chosen = template(SecretStore=store, OpenAiKeyName="rag/openai", PineconeKeyName="rag/pinecone")
    function = dict(chosen.of_type(FUNCTION))[name]
    named = "ssm:/rag/openai" if store == "ssm" else "secretsmanager:rag/openai"
    assert load(environment(function)).openai_api_key_from == named
    found = granted(chosen.nested("Roles"), role_of(function))
    (keys,) = [s for s in found if s["Action"] == action]
    assert keys["Resource"] == [arn, arn.replace("openai", "pinecone")]


def test_a_function_may_decrypt_with_the_deployers_own_key_when_one_is_named() -> None:
    for given, expected in (("", []), (KEY, [KEY])):
        policy = _policy("VendorKeysPolicy", SecretsKmsKeyArn=given)
        decrypts = [s["Resource"] for s in policy if s["Action"] == "kms:Decrypt"]
        assert decrypts == expected


def test_the_data_key_serves_through_its_stores_alone() -> None:
    (use,) = [s for s in _policy("DataKeyPolicy", **EVERYTHING) if s["Sid"] == "UseDataKey"]
    services = use["Condition"]["StringEquals"]["kms:ViaService"]
    assert services == [f"{name}.eu-west-1.amazonaws.com" for name in ("dynamodb", "s3", "sqs")]


def test_a_functions_code_may_not_touch_the_network_interfaces_that_lambda_makes_for_it() -> None:
    found = {s["Sid"]: s for s in _policy("NetworkPolicy", **EVERYTHING)}
    allowed = {
        action
        for sid in ("HaveNetworkInterfaces", "SeeNetworkInterfaces")
        for action in found[sid]["Action"]
    }
    assert set(found["NotFromTheCode"]["Action"]) == allowed
    assert found["NotFromTheCode"]["Effect"] == "Deny"
    source = "arn:aws:lambda:eu-west-1:123456789012:function:stack-*"
    assert found["NotFromTheCode"]["Condition"] == {"ArnLike": {"lambda:SourceFunctionArn": source}}


def test_the_names_of_documents_are_not_for_who_asks_golden_questions() -> None:
    function = dict(template().of_type(FUNCTION))["QualityFunction"]
    found = {s["Sid"]: s for s in granted(roles(), role_of(function))}
    assert found["FindGoldenQuestions"]["Condition"] == {"StringEquals": {"s3:prefix": PREFIX}}
    assert found["ReadGoldenQuestions"]["Resource"].endswith(f"/{questions_key('*')[:-5]}")
    assert found["KeepHowTheyStand"]["Resource"].endswith(f"/{standings_key('*')[:-5]}")


def test_the_topics_key_serves_through_sns_alone() -> None:
    (use,) = [s for s in granted(roles(), "ReportRole") if s["Sid"] == "EncryptReport"]
    assert use["Condition"] == {"StringEquals": {"kms:ViaService": "sns.eu-west-1.amazonaws.com"}}


def test_what_may_be_done_with_the_shared_table_is_what_the_store_does() -> None:
    called = re.findall(r'"((?:batch_)?[a-z]+_item)"', inspect.getsource(dynamodb))
    actions = {f"dynamodb:{operation.title().replace('_', '')}" for operation in called}
    assert SHARED["Data.Outputs.CacheTableArn"] == actions


def _policy(name: str, **parameters: str) -> list[dict[str, Any]]:
    policies = dict(roles(**parameters).of_type("AWS::IAM::ManagedPolicy"))
    return list(statements(policies[name]))
