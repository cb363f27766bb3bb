"""Makes a copy of what `sam build` built that the local AWS can run, and says what it changed.

The local AWS can't run the `python3.13` runtime without its own packages leaking in, so each
function becomes a `provided.al2023` one whose `bootstrap` starts Lambda's own Python runtime
client on a Python that holds nothing but what Lambda offers. Layers are not mounted for that
runtime: `bootstrap` puts the built layer where `/opt/python` would be. Resource types it does
not know would fail the whole deployment: they are taken out, and listed. So is CodeDeploy: the
alias moves at once.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from e2e.leave_out import Change, dependents, forget, mentions, tls_demands, unknown_types

RUNTIME = "python3.13"
ARCHITECTURE = "x86_64"
"""What the machine that runs the test can execute."""

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
API = "AWS::Serverless::Api"
STACK = "AWS::CloudFormation::Stack"
ROLE = "AWS::IAM::Role"

NOT_LOCAL = {
    "DeploymentPreference": "gradual release by CodeDeploy, its smoke test and its alarms",
    "SnapStart": "snapshots",
}
"""Settings of functions that the local AWS has nothing for, and what goes with them."""

_BOOTSTRAP = """#!/bin/sh
# What Lambda's python3.13 sets, with the layer where /opt is.
export AWS_EXECUTION_ENV=AWS_Lambda_python3.13
export AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
export AWS_LAMBDA_LOG_FORMAT={log_format}
export LAMBDA_RUNTIME_DIR="$LAMBDA_TASK_ROOT"
export PYTHONPATH="$LAMBDA_TASK_ROOT:{layers}"
export PYTHONDONTWRITEBYTECODE=1
export TZ=:UTC LANG=en_US.UTF-8
exec "{python}" -m awslambdaric "$_HANDLER"
"""


def adapt(built: Path, into: Path, *, python: Path) -> list[Change]:
    """Writes `into/template.json`, the nested templates beside it and the functions' folders
    from the build in `built`.

    `python` is an interpreter with `awslambdaric`. Raises `ValueError` when something that
    stays refers to something that was dropped.
    """
    template = yaml.safe_load((built / "template.yaml").read_text())
    into.mkdir(parents=True, exist_ok=True)
    layers = _layers(template, built, into)
    changes = [*_other_architectures(template), *unknown_types(template)]
    dropped = {change.resource for change in changes}
    changes += [*_method_paths(template), *_numbers(template)]
    shared = template.get("Globals", {}).get("Function", {})
    common = shared.get("Layers", [])
    for name, function in _resources(template, FUNCTION):
        changes += _adapt_function(name, {**shared, **function}, built, into)
        function |= {"Runtime": "provided.al2023", "Architectures": [ARCHITECTURE]}
        function["CodeUri"] = name
        wanted = list(mentions([common, function.pop("Layers", [])]))
        for setting in NOT_LOCAL:
            function.pop(setting, None)
        log_format = {**shared, **function}.get("LoggingConfig", {}).get("LogFormat", "Text")
        mounted = [layers[layer] for layer in wanted if layer in layers]
        _bootstrap(into / name, python, mounted, log_format)
    for setting in ("Runtime", "Architectures", "Layers", "CodeUri", *NOT_LOCAL):
        shared.pop(setting, None)
    forget(template, dropped)
    for name, stack in list(_resources(template, STACK)):
        changes += _adapt_nested(name, stack, built, into)
        if not json.loads((into / stack["TemplateURL"]).read_text())["Resources"]:
            forget(template, {name})
            changes.append(Change(name, STACK, "nothing is left of it", dropped=True))
    (into / "template.json").write_text(json.dumps(template, indent=1))
    return changes


def _adapt_nested(name: str, stack: dict[str, Any], built: Path, into: Path) -> list[Change]:
    """Writes a nested template without what the local AWS can't have, and points to it."""
    template = yaml.safe_load((built / stack["TemplateURL"]).read_text())
    changes = [*unknown_types(template), *tls_demands(template)]
    changes += dependents(template, {change.resource for change in changes if change.dropped})
    forget(template, {change.resource for change in changes if change.dropped})
    changes += _role_arns(template)
    stack["TemplateURL"] = f"{name}.json"
    (into / stack["TemplateURL"]).write_text(json.dumps(template, indent=1))
    return [replace(change, resource=f"{name}/{change.resource}") for change in changes]


def _role_arns(template: dict[str, Any]) -> Iterator[Change]:
    """The local AWS forgets the attributes, and not the name, of what an update of a nested
    stack leaves as it is."""
    roles = {name for name, one in template["Resources"].items() if one["Type"] == ROLE}
    for section in ("Resources", "Outputs"):
        for name, part in template.get(section, {}).items():
            named = _by_name(part, roles)
            if named != part:
                template[section][name] = named
                yield Change(f"{name}", "a role's ARN by its name", "lost by an update")


def _by_name(part: Any, roles: set[str]) -> Any:
    match part:
        case {"Fn::GetAtt": [role, "Arn"]} if role in roles:
            return {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/${{{role}}}"}
        case dict():
            return {key: _by_name(value, roles) for key, value in part.items()}
        case list():
            return [_by_name(value, roles) for value in part]
    return part


def _adapt_function(
    name: str, function: dict[str, Any], built: Path, into: Path
) -> Iterator[Change]:
    if function["Runtime"] != RUNTIME:
        raise ValueError(f"{name} runs on {function['Runtime']}; the bootstrap is for {RUNTIME}")
    shutil.copytree(built / function["CodeUri"], into / name, dirs_exist_ok=True)
    yield Change(name, f"{RUNTIME} is provided.al2023 with awslambdaric", "its own leaks in")
    for setting, what in NOT_LOCAL.items():
        if setting in function:
            yield Change(f"{name}.{setting}", what, "none locally", dropped=True)


def _bootstrap(folder: Path, python: Path, layers: list[Path], log_format: str) -> None:
    script = folder / "bootstrap"
    places = ":".join(f"{layer}/python" for layer in layers)
    script.write_text(_BOOTSTRAP.format(python=python, layers=places, log_format=log_format))
    script.chmod(0o755)


def _layers(template: dict[str, Any], built: Path, into: Path) -> dict[str, Path]:
    """Copies of the layers for this architecture, so that a later build can't change the
    functions that run."""
    copies = {}
    for name, layer in _resources(template, LAYER):
        if template["Resources"][name]["Metadata"]["BuildArchitecture"] == ARCHITECTURE:
            copies[name] = (into / "layers" / name).resolve()
            shutil.copytree(built / layer["ContentUri"], copies[name], copy_function=os.link)
            layer["ContentUri"] = f"layers/{name}"
    return copies


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


def _numbers(template: dict[str, Any]) -> Iterator[Change]:
    """A parameter's value is a text; CloudFormation makes it a number where one is wanted."""
    for name, function in _resources(template, FUNCTION):
        for event, source in function.get("Events", {}).items():
            scaling = source["Properties"].get("ScalingConfig", {})
            if isinstance(most := scaling.get("MaximumConcurrency"), dict):
                scaling["MaximumConcurrency"] = template["Parameters"][most["Ref"]]["Default"]
                what = f"at most {scaling['MaximumConcurrency']} at once, whatever {most['Ref']}"
                yield Change(f"{name}.{event}", what, "a parameter's value stays a text")


def _resources(template: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource["Properties"]
