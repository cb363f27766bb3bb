"""The step that makes the built template fit the local AWS, held to what it may change."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.adapt import adapt

PYTHON = Path("/opt/lambda/bin/python")


def built(folder: Path, **resources: Any) -> Path:
    """A build as `sam build` leaves it: two layers, a function, and `resources`."""
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Globals": {
            "Function": {
                "Runtime": "python3.13",
                "Architectures": [{"Ref": "Architecture"}],
                "Layers": [{"Fn::If": ["OnArm", {"Ref": "Arm"}, {"Ref": "X86"}]}],
                "Tracing": "Active",
                "LoggingConfig": {"LogFormat": "JSON"},
            }
        },
        "Resources": {
            "Arm": layer("arm64"),
            "X86": layer("x86_64"),
            "Search": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"CodeUri": "Search", "Handler": "search.handler", "Timeout": 28},
            },
            "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": "Search", "Properties": {}},
            **resources,
        },
        "Outputs": {
            "Layer": {"Value": {"Fn::If": ["OnArm", {"Ref": "Arm"}, {"Ref": "X86"}]}},
            "Queue": {"Value": {"Ref": "Queue"}},
        },
    }
    for name in ("Arm/python", "X86/python", "Search"):
        (folder / name).mkdir(parents=True)
    (folder / "Search" / "search.py").write_text("handler = print\n")
    (folder / "X86" / "python" / "package.py").write_text("version = 1\n")
    (folder / "template.yaml").write_text(yaml.safe_dump(template))
    return folder


def layer(architecture: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Serverless::LayerVersion",
        "Metadata": {"BuildMethod": "makefile", "BuildArchitecture": architecture},
        "Properties": {"ContentUri": "Arm" if architecture == "arm64" else "X86"},
    }


def adapted(folder: Path) -> dict[str, Any]:
    template: dict[str, Any] = json.loads((folder / "template.json").read_text())
    return template


def test_a_function_runs_on_the_runtime_client_and_keeps_everything_else(tmp_path: Path) -> None:
    into = tmp_path / "app"
    adapt(built(tmp_path / "build"), into, python=PYTHON)
    template = adapted(into)
    function = template["Resources"]["Search"]["Properties"]
    assert function == {
        "CodeUri": "Search",
        "Handler": "search.handler",
        "Timeout": 28,
        "Runtime": "provided.al2023",
        "Architectures": ["x86_64"],
    }
    assert template["Globals"]["Function"] == {
        "Tracing": "Active",
        "LoggingConfig": {"LogFormat": "JSON"},
    }
    assert (into / "Search" / "search.py").exists()
    bootstrap = into / "Search" / "bootstrap"
    assert os.access(bootstrap, os.X_OK)
    script = bootstrap.read_text()
    assert f'exec "{PYTHON}" -m awslambdaric "$_HANDLER"' in script
    assert f'PYTHONPATH="$LAMBDA_TASK_ROOT:{into / "layers" / "X86"}/python"' in script
    assert "AWS_LAMBDA_LOG_FORMAT=JSON" in script


def test_a_later_build_does_not_change_the_functions_that_run(tmp_path: Path) -> None:
    build, into = built(tmp_path / "build"), tmp_path / "app"
    adapt(build, into, python=PYTHON)
    (build / "X86" / "python" / "package.py").unlink()
    (build / "X86" / "python" / "package.py").write_text("version = 2\n")
    assert (into / "layers" / "X86" / "python" / "package.py").read_text() == "version = 1\n"


def test_what_the_local_aws_does_not_know_is_dropped_and_named(tmp_path: Path) -> None:
    cache = {"Type": "AWS::ElastiCache::ServerlessCache", "Properties": {}}
    user = {"Type": "AWS::SNS::Topic", "DependsOn": ["Cache", "Search"], "Properties": {}}
    build = built(tmp_path / "build", Cache=cache, Topic=user)
    changes = adapt(build, tmp_path / "app", python=PYTHON)
    template = adapted(tmp_path / "app")
    assert {c.resource for c in changes if c.dropped} == {"Arm", "Cache"}
    assert template["Resources"].keys() == {"X86", "Search", "Queue", "Topic"}
    assert template["Resources"]["Topic"]["DependsOn"] == ["Search"]
    assert template["Outputs"].keys() == {"Queue"}
    assert any("Cache" in str(c) and "dropped" in str(c) for c in changes)


@pytest.mark.parametrize(
    "reference",
    [
        {"Ref": "Cache"},
        {"Fn::GetAtt": ["Cache", "Endpoint.Address"]},
        {"Fn::GetAtt": "Cache.Endpoint.Address"},
        {"Fn::Sub": "rediss://${Cache.Endpoint.Address}:6379"},
        {"Fn::Join": ["", ["rediss://", {"Ref": "Cache"}]]},
    ],
)
def test_a_reference_to_what_was_dropped_stops_the_deployment(
    tmp_path: Path, reference: dict[str, Any]
) -> None:
    cache = {"Type": "AWS::ElastiCache::ServerlessCache", "Properties": {}}
    user = {"Type": "AWS::SSM::Parameter", "Properties": {"Value": reference}}
    build = built(tmp_path / "build", Cache=cache, Address=user)
    with pytest.raises(ValueError, match="Address refers to Cache"):
        adapt(build, tmp_path / "app", python=PYTHON)


def test_a_methods_path_is_written_as_the_local_aws_reads_it(tmp_path: Path) -> None:
    settings = [{"ResourcePath": "/*"}, {"ResourcePath": "/~1health~1live"}]
    api = {"Type": "AWS::Serverless::Api", "Properties": {"MethodSettings": settings}}
    changes = adapt(built(tmp_path / "build", Api=api), tmp_path / "app", python=PYTHON)
    adapted_api = adapted(tmp_path / "app")["Resources"]["Api"]["Properties"]
    paths = [setting["ResourcePath"] for setting in adapted_api["MethodSettings"]]
    assert paths == ["/*", "/health/live"]
    assert "Api.MethodSettings" in {c.resource for c in changes if not c.dropped}


@pytest.mark.parametrize("setting", ["SnapStart", "DeploymentPreference"])
def test_how_a_function_starts_and_is_released_is_dropped_and_named(
    tmp_path: Path, setting: str
) -> None:
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "Search", "Handler": "a.b", setting: {"Any": "thing"}},
    }
    changes = adapt(built(tmp_path / "build", Other=function), tmp_path / "app", python=PYTHON)
    assert setting not in adapted(tmp_path / "app")["Resources"]["Other"]["Properties"]
    assert f"Other.{setting}" in {c.resource for c in changes if c.dropped}


def test_a_function_finds_the_layers_that_it_names_after_those_of_all(tmp_path: Path) -> None:
    more = {**layer("x86_64"), "Properties": {"ContentUri": "More"}}
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "Search", "Handler": "a.b", "Layers": [{"Ref": "More"}]},
    }
    build = built(tmp_path / "build", More=more, Other=function)
    (build / "More" / "python").mkdir(parents=True)
    adapt(build, tmp_path / "app", python=PYTHON)
    layers = tmp_path / "app" / "layers"
    places = f"$LAMBDA_TASK_ROOT:{layers / 'X86'}/python:{layers / 'More'}/python"
    assert f'PYTHONPATH="{places}"' in (tmp_path / "app" / "Other" / "bootstrap").read_text()
    assert "More" not in (tmp_path / "app" / "Search" / "bootstrap").read_text()


NESTED = {
    "Resources": {
        "Cache": {"Type": "AWS::ElastiCache::ServerlessCache", "Properties": {}},
        "Nat": {"Type": "AWS::EC2::NatGateway", "Properties": {}},
        "Route": {"Type": "AWS::EC2::Route", "Properties": {"NatGatewayId": {"Ref": "Nat"}}},
        "Behind": {"Type": "AWS::EC2::Other", "Properties": {"Route": {"Ref": "Route"}}},
        "Vpc": {"Type": "AWS::EC2::VPC", "DependsOn": "Nat", "Properties": {}},
    },
    "Outputs": {
        "Url": {"Value": {"Fn::Sub": "rediss://${Cache.Endpoint.Address}"}},
        "Vpc": {"Value": {"Ref": "Vpc"}},
    },
}


def nested(build: Path, template: dict[str, Any]) -> Path:
    (build / "Network").mkdir()
    (build / "Network" / "template.yaml").write_text(yaml.safe_dump(template))
    return build


def test_a_nested_template_loses_what_is_not_known_and_what_needs_it(tmp_path: Path) -> None:
    network = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "Network/template.yaml"},
    }
    build = nested(built(tmp_path / "build", Network=network), NESTED)
    changes = adapt(build, tmp_path / "app", python=PYTHON)
    stack = adapted(tmp_path / "app")["Resources"]["Network"]["Properties"]
    assert stack == {"TemplateURL": "Network.json"}
    left = json.loads((tmp_path / "app" / "Network.json").read_text())
    assert left["Resources"] == {
        "Vpc": {"Type": "AWS::EC2::VPC", "DependsOn": [], "Properties": {}}
    }
    assert left["Outputs"].keys() == {"Vpc"}
    dropped = {c.resource: c.why for c in changes if c.resource.startswith("Network/")}
    assert dropped == {
        "Network/Cache": "not in the local AWS",
        "Network/Nat": "not in the local AWS",
        "Network/Route": "needs Nat",
        "Network/Behind": "needs Route",
    }


def test_alarms_on_metric_math_and_on_other_alarms_are_dropped(tmp_path: Path) -> None:
    alarms = {
        "Plain": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Errors"}},
        "Share": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"Metrics": [{"Id": "a"}]}},
        "Both": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {}},
    }
    network = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "Network/template.yaml"},
    }
    build = nested(built(tmp_path / "build", Network=network), {"Resources": alarms})
    changes = adapt(build, tmp_path / "app", python=PYTHON)
    left = json.loads((tmp_path / "app" / "Network.json").read_text())["Resources"]
    assert left == {"Plain": alarms["Plain"]}
    told = {c.resource for c in changes if c.dropped and c.resource.startswith("Network/")}
    assert told == {"Network/Share", "Network/Both"}


def test_a_nested_stack_of_which_nothing_is_left_is_dropped_with_its_outputs(
    tmp_path: Path,
) -> None:
    network = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "Network/template.yaml"},
    }
    rule = {"Type": "AWS::XRay::SamplingRule", "Properties": {}}
    build = nested(built(tmp_path / "build", Network=network), {"Resources": {"Rule": rule}})
    template = yaml.safe_load((build / "template.yaml").read_text())
    template["Outputs"]["Rule"] = {"Value": {"Fn::GetAtt": ["Network", "Outputs.Rule"]}}
    (build / "template.yaml").write_text(yaml.safe_dump(template))
    changes = adapt(build, tmp_path / "app", python=PYTHON)
    left = adapted(tmp_path / "app")
    assert "Network" not in left["Resources"]
    assert left["Outputs"].keys() == {"Queue"}
    assert {"Network", "Network/Rule"} <= {c.resource for c in changes if c.dropped}


def test_a_nested_role_is_known_to_the_others_by_its_name(tmp_path: Path) -> None:
    network = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "Network/template.yaml"},
    }
    template = {
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {}},
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {}},
        },
        "Outputs": {
            "RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}},
            "TopicName": {"Value": {"Fn::GetAtt": ["Topic", "TopicName"]}},
        },
    }
    build = nested(built(tmp_path / "build", Network=network), template)
    changes = adapt(build, tmp_path / "app", python=PYTHON)
    outputs = json.loads((tmp_path / "app" / "Network.json").read_text())["Outputs"]
    arn = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${Role}"
    assert outputs["RoleArn"] == {"Value": {"Fn::Sub": arn}}
    assert outputs["TopicName"] == template["Outputs"]["TopicName"]
    told = {c.resource: c.dropped for c in changes if c.resource.startswith("Network/")}
    assert told == {"Network/RoleArn": False}


def test_a_policy_no_longer_asks_for_tls_and_still_says_the_rest(tmp_path: Path) -> None:
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    allow = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}}
    other = {"Effect": "Deny", "Principal": "*"}

    def policy(*statements: dict[str, Any]) -> dict[str, Any]:
        properties = {"PolicyDocument": {"Statement": list(statements)}}
        return {"Type": "AWS::SQS::QueuePolicy", "Properties": properties}

    template = {"Resources": {"Some": policy(deny, allow, other), "Whole": policy(deny)}}
    network = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "Network/template.yaml"},
    }
    build = nested(built(tmp_path / "build", Network=network), template)
    changes = adapt(build, tmp_path / "app", python=PYTHON)
    left = json.loads((tmp_path / "app" / "Network.json").read_text())["Resources"]
    assert left == {"Some": policy(allow, other)}
    told = {c.resource: c.dropped for c in changes if c.resource.startswith("Network/")}
    assert told == {"Network/Some.Statement": False, "Network/Whole": True}


def test_how_many_run_at_once_is_a_number(tmp_path: Path) -> None:
    scaling = {"MaximumConcurrency": {"Ref": "Most"}}
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "CodeUri": "Search",
            "Handler": "a.b",
            "Events": {"Changed": {"Type": "SQS", "Properties": {"ScalingConfig": scaling}}},
        },
    }
    build = built(tmp_path / "build", Other=function)
    template = yaml.safe_load((build / "template.yaml").read_text())
    template["Parameters"] = {"Most": {"Type": "Number", "Default": 5}}
    (build / "template.yaml").write_text(yaml.safe_dump(template))
    changes = adapt(build, tmp_path / "app", python=PYTHON)
    events = adapted(tmp_path / "app")["Resources"]["Other"]["Properties"]["Events"]
    assert events["Changed"]["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 5}
    assert "Other.Changed" in {c.resource for c in changes if not c.dropped}


def test_a_function_of_another_runtime_is_refused(tmp_path: Path) -> None:
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "Search", "Handler": "a.b", "Runtime": "nodejs24.x"},
    }
    with pytest.raises(ValueError, match=r"Other runs on nodejs24\.x"):
        adapt(built(tmp_path / "build", Other=function), tmp_path / "app", python=PYTHON)
