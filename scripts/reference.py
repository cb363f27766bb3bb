"""Writes docs/configuration.md: every setting, every parameter of the template, and which
sets which. `--check` only says whether it is up to date."""

import re
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from written import write

from infra.cloudformation import ROOT, Template, shown
from infra.stack import FUNCTION, template
from steadyrag import settings

PAGE = ROOT / "docs" / "configuration.md"

GROUPS: Mapping[str, str] = {
    "Which parts": "embedder index reranker generator",
    "OpenAI": "openai_api_key openai_api_key_from openai_base_url embedding_model "
    "embedding_dimension chat_model chat_fallback_model answer_tokens reasoning_tokens",
    "Pinecone": "pinecone_api_key pinecone_api_key_from pinecone_controller_host "
    "pinecone_index_host rerank_model rerank_calibration",
    "Retrieval and answers": "fusion dense_weight candidates rerank_candidates context_tokens "
    "chunk_tokens abstain_below deadline_s",
    "Stores and caches": "cache_url cache_user cache_name table_prefix local_dynamodb_url "
    "result_ttl_s embedding_ttl_s last_good_ttl_s settle_s memory_answers memory_embeddings "
    "embeddings_in_dynamodb",
    "Documents": "documents_bucket ingest_queue_url dead_queue_url",
    "Callers": "rate_limit key_rate_limit rate_limit_overrides trusted_keys key_namespaces "
    "live_config search_id_key cors_origin",
    "What it tells": "log_level log_text log_sample metrics service tracing",
    "Daily report": "report_topic report_hour report_time_zone daily_budget_usd",
    "This machine": "host port data_dir local_aws api_key smoke_function",
}
"""The settings' attributes, in the order of the page."""

KINDS: Mapping[Any, str] = {
    settings.Url: "an address, `http://` or `https://`",
    settings.SecretName: "`secretsmanager:NAME` or `ssm:/NAME`",
    settings.CacheUrl: "`redis://…` or `rediss://…`",
    settings.CacheUser: "up to 40 letters, digits and hyphens",
    settings.CacheName: "up to 40 letters, digits and hyphens",
    settings.TablePrefix: "up to 200 letters, digits, `_`, `.` and `-`",
    settings.BucketName: "name of a bucket",
    settings.RateLimitText: "`off`, or a count by `second`, `minute`, `hour` or `day`",
    settings.OverridesText: "targets and limits, with commas between",
    settings.CalibrationText: "`model:intercept,best,below`",
    settings.PolicyText: "`*`, or ids of keys and their namespaces",
    settings.ProfileName: "three names or ids with slashes between",
    settings.TopicArn: "ARN of an SNS topic",
    settings.TimeZone: "`UTC`, or a name of the time zone database",
    bool: "`true` or `false`",
    Path: "a path",
    SecretStr: "a key",
}
"""What a setting takes, by its type, where it has neither choices nor bounds."""

MOST_VALUES = 8


def page() -> str:
    parts = [
        "# Configuration",
        "",
        *_paragraph(
            "Written by `make docs` from `settings.py` and the templates; don't edit it. The "
            "service is set up by environment variables, a deployed stack by parameters in "
            "[samconfig.toml](../samconfig.toml), which set those variables. A value that is not "
            "allowed stops the start, or the deployment, and names what is wrong. `steadyrag "
            "settings` shows what holds here."
        ),
        "## Settings",
        "",
        *_paragraph(
            "The last column says what a stack sets: a parameter, or a value that it always "
            "gives; the default holds where it is empty."
        ),
    ]
    for group, rows in setting_groups():
        parts += _section(group, ("variable", "default", "takes", "meaning", "in a stack"), rows)
    parts += [
        "## Parameters",
        "",
        *_paragraph(
            "All are parameters of `template.yaml`, which gives the nested stacks in `infra/` "
            "what they need; the last column says where each arrives. Text in slashes is a "
            "regular expression."
        ),
    ]
    for group, rows in parameter_groups():
        parts += _section(group, ("parameter", "default", "allowed", "meaning", "reaches"), rows)
    parts += [
        "## What samconfig.toml chooses",
        "",
        *_table(("parameter", "default", *environments()), chosen()),
        "",
    ]
    return "\n".join(parts)


def setting_groups() -> Iterator[tuple[str, list[Sequence[str]]]]:
    """Raises `SystemExit` for a setting that no group names."""
    fields = settings.Settings.model_fields
    grouped = [name for names in GROUPS.values() for name in names.split()]
    if sorted(grouped) != sorted(fields):
        sys.exit(f"{__file__}: put these into GROUPS, once: {set(grouped) ^ set(fields)}")
    sources = sources_of_variables()
    for group, names in GROUPS.items():
        rows: list[Sequence[str]] = []
        for name in names.split():
            field = fields[name]
            variable, meaning = str(field.alias), str(field.description)
            source = ", ".join(sources.get(variable, []))
            rows.append((f"`{variable}`", _default(field.default), takes(field), meaning, source))
        yield group, rows


def takes(field: FieldInfo) -> str:
    """What a setting may be set to."""
    words = settings.allowed(field)
    if words != (field.description or "text"):
        choices = words.split(", ")
        return words if len(choices) == 1 else ", ".join(f"`{choice}`" for choice in choices)
    inner = [part for part in get_args(field.annotation) if part is not type(None)]
    for kind, said in KINDS.items():
        constraints = get_args(kind)[1:]
        if kind in (field.annotation, *inner) or any(c in field.metadata for c in constraints):
            return said
    return "text"


def sources_of_variables() -> dict[str, list[str]]:
    """By variable, what the template sets it to: parameters, or a value in words."""
    sources: dict[str, list[str]] = {}
    for variables in _functions():
        for variable, value in variables.items():
            named = [f"`{name}`" for name in sorted(_parameters_in(value))]
            if not named and isinstance(value, str):
                named = [f"`{value}`"]
            sources.setdefault(variable, named or ["the stack's own"])
    return sources


def parameter_groups() -> Iterator[tuple[str, list[Sequence[str]]]]:
    root = _root()
    reached = arrivals()
    for group in root.raw["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        rows: list[Sequence[str]] = []
        for name in group["Parameters"]:
            parameter = root.parameters[name]
            default = "required" if "Default" not in parameter else _default(parameter["Default"])
            reaches = ", ".join(reached[name])
            meaning = str(parameter["Description"])
            rows.append((f"`{name}`", default, allows(parameter), meaning, reaches))
        yield group["Label"]["default"], rows


def allows(parameter: Mapping[str, Any]) -> str:
    """The values that CloudFormation lets through."""
    if values := [f"`{value}`" for value in parameter.get("AllowedValues", [])]:
        if len(values) > MOST_VALUES:
            values = [*values[:4], "…", values[-1]]
        return ", ".join(values)
    low, high = parameter.get("MinValue"), parameter.get("MaxValue")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    if low is not None:
        return f"at least {low:,}"
    if "ConstraintDescription" in parameter:
        return str(parameter["ConstraintDescription"])
    return f"`/{parameter['AllowedPattern']}/`" if "AllowedPattern" in parameter else "text"


def arrivals() -> dict[str, list[str]]:
    """By parameter, the variables it sets and the templates whose resources it shapes."""
    root = _root().raw
    reached: dict[str, list[str]] = {name: [] for name in root["Parameters"]}

    def arrive(names: Iterable[str], where: str) -> None:
        for name in names:
            if where not in reached[name]:
                reached[name].append(where)

    for variables in _functions():
        for variable, value in variables.items():
            arrive(_parameters_in(value), f"`{variable}`")
    for resource in root["Resources"].values():
        nested = resource["Type"] == "AWS::CloudFormation::Stack"
        where = resource["Properties"]["TemplateURL"] if nested else "template.yaml"
        properties = dict(resource.get("Properties", {}))
        if resource["Type"] == FUNCTION:
            properties.pop("Environment", None)
        # What tells bills apart is on everything: it says nothing of where it does its work.
        tags = properties.pop("Tags", None)
        condition = {"Condition": resource.get("Condition", "")}
        arrive([*_parameters_in(properties), *_parameters_in(condition)], f"`{where}`")
        arrive(_parameters_in(tags), "all tags")
    functions = {n: v for n, v in root["Globals"]["Function"].items() if n != "Environment"}
    arrive(_parameters_in({**functions, "Tags": None}), "`template.yaml`")
    arrive(_parameters_in(root["Rules"]), "`template.yaml`")
    return reached


def environments() -> list[str]:
    return [name for name, table in _samconfig().items() if "deploy" in table]


def chosen() -> Iterator[Sequence[str]]:
    """A row for each parameter that an environment of samconfig.toml gives."""
    given = {}
    for name in environments():
        overrides = _samconfig()[name]["deploy"]["parameters"]["parameter_overrides"]
        given[name] = dict(one.split("=", 1) for one in overrides)
    for name, parameter in _root().parameters.items():
        values = [given[environment].get(name) for environment in given]
        if any(values):
            shown_values = [f"`{value}`" if value else "" for value in values]
            yield f"`{name}`", _default(parameter.get("Default", "")), *shown_values


@cache
def _root() -> Template:
    return template()


def _samconfig() -> dict[str, Any]:
    known = tomllib.loads((ROOT / "samconfig.toml").read_text())
    return {name: table for name, table in known.items() if isinstance(table, dict)}


def _functions() -> Iterator[dict[str, Any]]:
    """The variables of all functions, then those of each, as the template writes them."""
    raw = _root().raw
    yield raw["Globals"]["Function"]["Environment"]["Variables"]
    for resource in raw["Resources"].values():
        if resource["Type"] == FUNCTION:
            yield resource["Properties"].get("Environment", {}).get("Variables", {})


def _parameters_in(node: Any) -> list[str]:
    """Names of parameters that decide a value, by reference or by a condition."""
    raw = _root().raw
    found: dict[str, None] = {}

    def walk(part: Any) -> None:
        if isinstance(part, list):
            for one in part:
                walk(one)
        elif isinstance(part, dict):
            for key, value in part.items():
                match key:
                    case "Ref":
                        found[value] = None
                    case "Fn::Sub":
                        names = re.findall(r"\$\{([A-Za-z0-9]+)\}", shown(value))
                        found.update(dict.fromkeys(names))
                    case "Condition" if isinstance(value, str):
                        walk(raw["Conditions"].get(value))
                    case "Fn::If":
                        walk(raw["Conditions"][value[0]])
                        walk(value[1:])
                    case _:
                        walk(value)

    walk(node)
    return [name for name in found if name in raw["Parameters"]]


def _default(value: Any) -> str:
    if value is None or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(text, 99, break_long_words=False, break_on_hyphens=False), ""]


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"### {title}", "", *_table(head, rows), ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        yield re.sub(r"  +", " ", f"| {' | '.join(cells)} |")


def main(arguments: Sequence[str]) -> None:
    write({PAGE: page()}, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
