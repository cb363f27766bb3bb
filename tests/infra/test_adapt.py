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
    assert f'PYTHONPATH="$LAMBDA_TASK_ROOT:{into / "opt"}/python"' in script
    assert "AWS_LAMBDA_LOG_FORMAT=JSON" in script


def test_a_later_build_does_not_change_the_functions_that_run(tmp_path: Path) -> None:
    build, into = built(tmp_path / "build"), tmp_path / "app"
    adapt(build, into, python=PYTHON)
    (build / "X86" / "python" / "package.py").unlink()
    (build / "X86" / "python" / "package.py").write_text("version = 2\n")
    assert (into / "opt" / "python" / "package.py").read_text() == "version = 1\n"


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


def test_snapshots_are_dropped_and_named(tmp_path: Path) -> None:
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "Search", "Handler": "a.b", "SnapStart": {"ApplyOn": "x"}},
    }
    changes = adapt(built(tmp_path / "build", Other=function), tmp_path / "app", python=PYTHON)
    assert "SnapStart" not in adapted(tmp_path / "app")["Resources"]["Other"]["Properties"]
    assert "Other.SnapStart" in {c.resource for c in changes if c.dropped}


def test_a_function_of_another_runtime_is_refused(tmp_path: Path) -> None:
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"CodeUri": "Search", "Handler": "a.b", "Runtime": "nodejs24.x"},
    }
    with pytest.raises(ValueError, match=r"Other runs on nodejs24\.x"):
        adapt(built(tmp_path / "build", Other=function), tmp_path / "app", python=PYTHON)
