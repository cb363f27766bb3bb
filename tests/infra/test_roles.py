"""Nobody may do more than this."""

import inspect
import re
from typing import Any

import pytest

from infra.grants import every_grant
from infra.stack import FUNCTION, KEY, as_list, environment, granted, statements, template
from steadyrag.adapters import dynamodb
from steadyrag.settings import load

INTERFACES = "arn:aws:ec2:eu-west-1:123456789012:*/*"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:steadyrag/{}-api-key-??????"

type Allowed = dict[str, set[str]]
"""Actions by resource."""


def log(function: str) -> Allowed:
    return {
        f"{function}LogGroup.Arn": {"logs:CreateLogStream", "logs:PutLogEvents"},
        "*": {"xray:PutTelemetryRecords", "xray:PutTraceSegments"},
    }


VENDORS: Allowed = {
    SECRET.format("openai"): {"secretsmanager:GetSecretValue"},
    SECRET.format("pinecone"): {"secretsmanager:GetSecretValue"},
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
    "Network.Outputs.CacheArn": {"elasticache:Connect"},
    "Network.Outputs.CacheUserArn": {"elasticache:Connect"},
}
TRAFFIC = {"lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"}
OBJECTS = "${Data.Outputs.DocumentsBucketArn}/documents/*"
BUCKET = "Data.Outputs.DocumentsBucketArn"

ROLES: dict[str, list[Allowed]] = {
    "SearchRole": [log("Search"), VENDORS, SHARED, LIVE, DATA_KEY, NETWORK],
    "HealthRole": [
        *(log("Health"), VENDORS, DATA_KEY, NETWORK),
        {"Data.Outputs.CacheTableArn": {"dynamodb:BatchGetItem"}},
    ],
    "DocumentsRole": [
        *(log("Documents"), SHARED, LIVE, LEDGER, DATA_KEY, NETWORK),
        {
            OBJECTS: {"s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
            BUCKET: {"s3:ListBucket"},
            "Data.Outputs.IngestQueueArn": {"sqs:SendMessage"},
        },
    ],
    "IngestRole": [
        *(log("Ingest"), VENDORS, SHARED, LEDGER, DATA_KEY, NETWORK),
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
    "SmokeRole": [
        log("Smoke"),
        {
            "${SearchFunction.Arn}:*": {"lambda:InvokeFunction"},
            "arn:aws:codedeploy:eu-west-1:123456789012:deploymentgroup:stack-*/*": {
                "codedeploy:PutLifecycleEventHookExecutionStatus"
            },
        },
    ],
    "ReleaseRole": [
        {
            "SearchFunction.Arn": TRAFFIC,
            "${SearchFunction.Arn}:live": TRAFFIC,
            "SmokeFunction.Arn": {"lambda:InvokeFunction"},
            "*": {"cloudwatch:DescribeAlarms"},
        }
    ],
    "HealthFunctionEveryMinuteRole": [{"HealthFunctionAliaslive": {"lambda:InvokeFunction"}}],
    "IngestFunctionSweepRole": [{"IngestFunctionAliaslive": {"lambda:InvokeFunction"}}],
    "Network.FlowLogRole": [
        {
            "FlowLogGroup.Arn": {
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            }
        }
    ],
}
NO_RESOURCES = {
    *("xray:PutTelemetryRecords", "xray:PutTraceSegments"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "cloudwatch:DescribeAlarms"),
}
"""Actions that AWS can't be asked to allow for a part only; for the last, AWS's own policy for
CodeDeploy doesn't either."""

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


def test_with_every_option_each_role_may_do_what_is_listed_here_and_nothing_else() -> None:
    granted_now = every_grant(**EVERYTHING)
    assert granted_now - ALLOWED == set()
    assert ALLOWED - granted_now == set()


def test_as_it_comes_a_role_may_do_no_more_than_that() -> None:
    assert every_grant() - ALLOWED == set()


def test_no_action_is_a_pattern_and_few_hold_for_everything() -> None:
    assert not [grant for grant in ALLOWED if "*" in grant[1]]
    assert {action for _, action, resource in ALLOWED if resource == "*"} == NO_RESOURCES


def test_policies_of_aws_are_held_by_the_gateways_role_alone() -> None:
    """API Gateway refuses a role for its logs that may do less than this one."""
    held = {
        role: policy
        for role, properties in template(**EVERYTHING).of_type("AWS::IAM::Role")
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
    roles = [function["Role"]["Fn::GetAtt"][0] for _, function in template().of_type(FUNCTION)]
    assert len(roles) == len(set(roles))


@pytest.mark.parametrize("name", dict(template().of_type(FUNCTION)))
def test_a_function_writes_no_log_but_its_own(name: str) -> None:
    function = dict(template().of_type(FUNCTION))[name]
    found = granted(template(), function["Role"]["Fn::GetAtt"][0])
    (logs,) = [s for s in found if "logs:PutLogEvents" in as_list(s["Action"])]
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
@pytest.mark.parametrize("name", ["SearchFunction", "HealthFunction", "IngestFunction"])
def test_a_function_may_read_exactly_the_keys_that_its_settings_name(
    name: str, store: str, action: str, arn: str
) -> None:
    chosen = template(SecretStore=store, OpenAiKeyName="rag/openai", PineconeKeyName="rag/pinecone")
    function = dict(chosen.of_type(FUNCTION))[name]
    named = "ssm:/rag/openai" if store == "ssm" else "secretsmanager:rag/openai"
    assert load(environment(function)).openai_api_key_from == named
    found = granted(chosen, function["Role"]["Fn::GetAtt"][0])
    (keys,) = [s for s in found if s["Action"] == action]
    assert keys["Resource"] == [arn, arn.replace("openai", "pinecone")]


def test_a_function_may_decrypt_with_the_deployers_own_key_when_one_is_named() -> None:
    for given, expected in (("", []), (KEY, [KEY])):
        (policy,) = [
            properties
            for name, properties in template(SecretsKmsKeyArn=given).of_type(
                "AWS::IAM::ManagedPolicy"
            )
            if name == "VendorKeysPolicy"
        ]
        decrypts = [s["Resource"] for s in statements(policy) if s["Action"] == "kms:Decrypt"]
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


def test_what_may_be_done_with_the_shared_table_is_what_the_store_does() -> None:
    called = re.findall(r'"((?:batch_)?[a-z]+_item)"', inspect.getsource(dynamodb))
    actions = {f"dynamodb:{operation.title().replace('_', '')}" for operation in called}
    assert SHARED["Data.Outputs.CacheTableArn"] == actions


def _policy(name: str, **parameters: str) -> list[dict[str, Any]]:
    chosen = template(**parameters)
    return list(statements(dict(chosen.of_type("AWS::IAM::ManagedPolicy"))[name]))
