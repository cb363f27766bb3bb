"""Makes a copy of what `sam build` built that the local AWS can run, and says what it changed.

The local AWS can't run the `python3.13` runtime without its own packages leaking in, so each
function becomes a `provided.al2023` one whose `bootstrap` starts Lambda's own Python runtime
client on a Python that holds nothing but what Lambda offers. Layers are not mounted for that
runtime: `bootstrap` puts the built layer where `/opt/python` would be. Resource types it does
not know would fail the whole deployment: they are taken out, and listed.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RUNTIME = "python3.13"
ARCHITECTURE = "x86_64"
"""What the machine that runs the test can execute."""

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
API = "AWS::Serverless::Api"

UNKNOWN_TYPES = frozenset(
    {
        "AWS::ElastiCache::ServerlessCache",
        "AWS::WAFv2::WebACLAssociation",
        "AWS::CloudWatch::CompositeAlarm",
        "AWS::CloudWatch::AnomalyDetector",
        "AWS::CodeDeploy::Application",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::Budgets::Budget",
        "AWS::EC2::NatGateway",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::Logs::QueryDefinition",
        "AWS::XRay::SamplingRule",
        "AWS::XRay::Group",
    }
)

_BOOTSTRAP = """#!/bin/sh
# What Lambda's python3.13 sets, with the layer where /opt is.
export AWS_EXECUTION_ENV=AWS_Lambda_python3.13
export AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
export AWS_LAMBDA_LOG_FORMAT={log_format}
export LAMBDA_RUNTIME_DIR="$LAMBDA_TASK_ROOT"
export PYTHONPATH="$LAMBDA_TASK_ROOT:{layer}/python"
export PYTHONDONTWRITEBYTECODE=1
export TZ=:UTC LANG=en_US.UTF-8
exec "{python}" -m awslambdaric "$_HANDLER"
"""


@dataclass(frozen=True, slots=True)
class Change:
    """`resource` is a logical id. `dropped` tells what is gone from what runs differently."""

    resource: str
    what: str
    why: str
    dropped: bool = False

    def __str__(self) -> str:
        verb = "dropped" if self.dropped else "changed"
        return f"{verb} {self.resource}: {self.what} ({self.why})"


def adapt(built: Path, into: Path, *, python: Path) -> list[Change]:
    """Writes `into/template.json` and the functions' folders from the build in `built`.

    `python` is an interpreter with `awslambdaric`. Raises `ValueError` when something that
    stays refers to something that was dropped.
    """
    template = yaml.safe_load((built / "template.yaml").read_text())
    into.mkdir(parents=True, exist_ok=True)
    layer = _layer(template, built, into)
    changes = [*_other_architectures(template), *_unknown_types(template)]
    dropped = {change.resource for change in changes}
    changes += _method_paths(template)
    shared = template.get("Globals", {}).get("Function", {})
    for name, function in _resources(template, FUNCTION):
        changes += _adapt_function(name, {**shared, **function}, built, into)
        function |= {"Runtime": "provided.al2023", "Architectures": [ARCHITECTURE]}
        function["CodeUri"] = name
        function.pop("Layers", None)
        function.pop("SnapStart", None)
        log_format = {**shared, **function}.get("LoggingConfig", {}).get("LogFormat", "Text")
        _bootstrap(into / name, python, layer, log_format)
    for setting in ("Runtime", "Architectures", "Layers", "SnapStart", "CodeUri"):
        shared.pop(setting, None)
    _forget(template, dropped)
    (into / "template.json").write_text(json.dumps(template, indent=1))
    return changes


def _adapt_function(
    name: str, function: dict[str, Any], built: Path, into: Path
) -> Iterator[Change]:
    if function["Runtime"] != RUNTIME:
        raise ValueError(f"{name} runs on {function['Runtime']}; the bootstrap is for {RUNTIME}")
    shutil.copytree(built / function["CodeUri"], into / name, dirs_exist_ok=True)
    yield Change(name, f"{RUNTIME} is provided.al2023 with awslambdaric", "its own leaks in")
    if "SnapStart" in function:
        yield Change(f"{name}.SnapStart", "snapshots", "none locally", dropped=True)


def _bootstrap(folder: Path, python: Path, layer: Path, log_format: str) -> None:
    script = folder / "bootstrap"
    script.write_text(_BOOTSTRAP.format(python=python, layer=layer, log_format=log_format))
    script.chmod(0o755)


def _layer(template: dict[str, Any], built: Path, into: Path) -> Path:
    """A copy of the one layer for this architecture, so that a later build can't change the
    functions that run."""
    fitting = [
        layer
        for name, layer in _resources(template, LAYER)
        if template["Resources"][name]["Metadata"]["BuildArchitecture"] == ARCHITECTURE
    ]
    if len(fitting) != 1:
        raise ValueError(f"{len(fitting)} layers are built for {ARCHITECTURE}; one is expected")
    copy = (into / "opt").resolve()
    shutil.copytree(built / fitting[0]["ContentUri"], copy, copy_function=os.link)
    fitting[0]["ContentUri"] = "opt"
    return copy


def _other_architectures(template: dict[str, Any]) -> Iterator[Change]:
    for name, _ in _resources(template, LAYER):
        architecture = template["Resources"][name]["Metadata"]["BuildArchitecture"]
        if architecture != ARCHITECTURE:
            yield Change(name, LAYER, f"for {architecture}; inspected instead", dropped=True)


def _method_paths(template: dict[str, Any]) -> Iterator[Change]:
    """CloudFormation wants the slashes of a method's path as `~1`, the local one as they are."""
    for name, api in _resources(template, API):
        for setting in api.get("MethodSettings", ()):
            if "~1" in setting["ResourcePath"]:
                setting["ResourcePath"] = setting["ResourcePath"].replace("/~1", "/", 1)
                setting["ResourcePath"] = setting["ResourcePath"].replace("~1", "/")
                path = setting["ResourcePath"]
                yield Change(f"{name}.MethodSettings", f"{path} without ~1", "taken literally")


def _unknown_types(template: dict[str, Any]) -> Iterator[Change]:
    for name, resource in template["Resources"].items():
        if resource["Type"] in UNKNOWN_TYPES:
            yield Change(name, resource["Type"], "not in the local AWS", dropped=True)


def _forget(template: dict[str, Any], dropped: set[str]) -> None:
    """Takes resources out, with the outputs and the `DependsOn` that name them."""
    resources, outputs = template["Resources"], template.get("Outputs", {})
    for name in dropped:
        del resources[name]
    for name in [name for name, output in outputs.items() if dropped & set(_mentions(output))]:
        del outputs[name]
    for resource in resources.values():
        if "DependsOn" in resource:
            wanted = resource["DependsOn"]
            wanted = [wanted] if isinstance(wanted, str) else wanted
            resource["DependsOn"] = [name for name in wanted if name not in dropped]
    for name, resource in resources.items():
        if lost := dropped & set(_mentions(resource)):
            raise ValueError(f"{name} refers to {', '.join(sorted(lost))}, which was dropped")


def _mentions(node: object) -> Iterator[str]:
    """The logical ids that `Ref`, `Fn::GetAtt` and `Fn::Sub` below `node` name."""
    if isinstance(node, list):
        for part in node:
            yield from _mentions(part)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref" and isinstance(value, str):
                yield value.partition(".")[0]
            elif key == "Fn::GetAtt":
                yield (value if isinstance(value, str) else value[0]).partition(".")[0]
            elif key == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from re.findall(r"\$\{([A-Za-z0-9]+)", text)
                yield from _mentions(value)
            else:
                yield from _mentions(value)


def _resources(template: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource["Properties"]
