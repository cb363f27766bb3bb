"""Takes out of a template what the local AWS doesn't know, and says so.

One unknown type would fail the whole deployment. Nothing that stays may refer to what is gone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

UNKNOWN_TYPES = frozenset(
    {
        "AWS::ElastiCache::ServerlessCache",
        "AWS::WAFv2::WebACLAssociation",
        "AWS::CloudWatch::CompositeAlarm",
        "AWS::CloudWatch::AnomalyDetector",
        "AWS::CodeDeploy::Application",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::Budgets::Budget",
        "AWS::EC2::EIP",
        "AWS::EC2::FlowLog",
        "AWS::EC2::NatGateway",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::Logs::QueryDefinition",
        "AWS::XRay::SamplingRule",
        "AWS::XRay::Group",
    }
)

ALARM = "AWS::CloudWatch::Alarm"

RESOURCE_POLICIES = frozenset(
    {"AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"}
)


@dataclass(frozen=True, slots=True)
class Change:
    """`resource` is a logical id, in a nested template after the nested stack's and a slash.
    `dropped` tells what is gone from what runs differently."""

    resource: str
    what: str
    why: str
    dropped: bool = False

    def __str__(self) -> str:
        verb = "dropped" if self.dropped else "changed"
        return f"{verb} {self.resource}: {self.what} ({self.why})"


def unknown_types(template: dict[str, Any]) -> Iterator[Change]:
    """The resources that have to go."""
    for name, resource in template["Resources"].items():
        if resource["Type"] in UNKNOWN_TYPES:
            yield Change(name, resource["Type"], "not in the local AWS", dropped=True)
        elif resource["Type"] == ALARM and "Metrics" in resource["Properties"]:
            yield Change(name, "an alarm on metric math", "refused by the local AWS", dropped=True)


def dependents(template: dict[str, Any], gone: set[str]) -> Iterator[Change]:
    """The resources that can't do without those, such as a route without its gateway, and so
    on until nothing is left that needs what is gone."""
    gone = set(gone)
    while True:
        found = []
        for name, resource in template["Resources"].items():
            needed = gone & set(mentions(resource.get("Properties", {})))
            if name not in gone and needed:
                why = f"needs {', '.join(sorted(needed))}"
                found.append(Change(name, resource["Type"], why, dropped=True))
        if not found:
            return
        gone |= {change.resource for change in found}
        yield from found


def tls_demands(template: dict[str, Any]) -> Iterator[Change]:
    """Takes out the statements that refuse callers without TLS, which the local AWS has none
    of. A policy that holds nothing else has to go as a whole."""
    for name, resource in template["Resources"].items():
        if resource["Type"] not in RESOURCE_POLICIES:
            continue
        document = resource["Properties"]["PolicyDocument"]
        statements = document["Statement"]
        document["Statement"] = [s for s in statements if not _demands_tls(s)]
        if not document["Statement"]:
            yield Change(name, "no access without TLS", "there is none locally", dropped=True)
        elif len(document["Statement"]) < len(statements):
            yield Change(f"{name}.Statement", "no access without TLS", "there is none locally")


def _demands_tls(statement: dict[str, Any]) -> bool:
    condition = statement.get("Condition", {}).get("Bool", {})
    return statement["Effect"] == "Deny" and "aws:SecureTransport" in condition


def forget(template: dict[str, Any], dropped: set[str]) -> None:
    """Takes resources out, with the outputs and the `DependsOn` that name them.

    Raises `ValueError` when something that stays refers to one of them.
    """
    resources, outputs = template["Resources"], template.get("Outputs", {})
    for name in dropped:
        del resources[name]
    for name in [name for name, output in outputs.items() if dropped & set(mentions(output))]:
        del outputs[name]
    for resource in resources.values():
        if "DependsOn" in resource:
            wanted = resource["DependsOn"]
            wanted = [wanted] if isinstance(wanted, str) else wanted
            resource["DependsOn"] = [name for name in wanted if name not in dropped]
    for name, resource in resources.items():
        if lost := dropped & set(mentions(resource)):
            raise ValueError(f"{name} refers to {', '.join(sorted(lost))}, which was dropped")


def mentions(node: object) -> Iterator[str]:
    """The logical ids that `Ref`, `Fn::GetAtt` and `Fn::Sub` below `node` name."""
    if isinstance(node, list):
        for part in node:
            yield from mentions(part)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref" and isinstance(value, str):
                yield value.partition(".")[0]
            elif key == "Fn::GetAtt":
                yield (value if isinstance(value, str) else value[0]).partition(".")[0]
            elif key == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from re.findall(r"\$\{([A-Za-z0-9]+)", text)
                yield from mentions(value)
            else:
                yield from mentions(value)
