"""What the stack is made of and who talks to whom, read from the templates.

Events, roles and references say it, so a function that may not do something is not drawn as
if it did. Ids are `LogicalId` in template.yaml and `Stack.LogicalId` in a nested one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.cloudformation import Template, shown
from infra.stack import FUNCTION, as_list, granted, role_of, template

OUTSIDE = ("callers", "vendors", "codedeploy", "people")
"""What no template makes."""

DRAWN = frozenset(
    {
        "AWS::AppConfig::Application",
        "AWS::DynamoDB::Table",
        "AWS::ElastiCache::ServerlessCache",
        "AWS::S3::Bucket",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::Serverless::Api",
        FUNCTION,
    }
)
"""Types of resources that are nodes; the rest is how these are set up."""

ALARMS = frozenset({"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"})
"""Those of a nested stack are one node, under the stack's name; `PageAlarms` and the like are
one together."""

_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")

KEYS = "vendor keys"
VENDORS = ("openai", "pinecone")


@dataclass
class Graph:
    """`nodes` by id, with what is written into each; `edges` from whoever begins; `in_network`
    are those that CacheMode=elasticache puts into a VPC, or brings."""

    nodes: dict[str, list[str]] = field(default_factory=dict)
    edges: set[tuple[str, str]] = field(default_factory=set)
    in_network: set[str] = field(default_factory=set)

    def between(self, source: str, target: str) -> None:
        self.edges.add((source, target))


def read_graph() -> Graph:
    root = template(CacheMode="elasticache")
    graph = Graph({node: [] for node in OUTSIDE})
    for stack, part in root.every():
        for name, resource in part.resources():
            if resource["Type"] in ALARMS:
                graph.nodes.setdefault(_watcher(stack), []).append(name)
            if resource["Type"] in DRAWN:
                graph.nodes[_id(stack, name)] = []
                if stack == "Network":
                    graph.in_network.add(_id(stack, name))
    graph.nodes[KEYS] = []
    reader = _Reader(root, graph)
    reader.functions()
    reader.bucket_and_queues()
    reader.alarms()
    return graph


def _id(stack: str, name: str) -> str:
    return name if stack == "Root" else f"{stack}.{name}"


def _watcher(stack: str) -> str:
    return "Alarms" if stack.endswith("Alarms") else stack


class _Reader:
    def __init__(self, root: Template, graph: Graph) -> None:
        self._root = root
        self._graph = graph
        self._nested = {name: part for name, part in root.every() if name != "Root"}

    def functions(self) -> None:
        for name, function in self._root.of_type(FUNCTION):
            if "VpcConfig" in function:
                self._graph.in_network.add(name)
            for event in function.get("Events", {}).values():
                self._event(name, event["Type"], event["Properties"])
            self._grants(name, function)
            hooks = function.get("DeploymentPreference", {})
            for hook in hooks.get("Hooks", {}).values():
                for called in self._behind(hook):
                    self._graph.between("codedeploy", called)
            for alarm in hooks.get("Alarms", []):
                stack = shown(alarm).split(".")[0]
                self._graph.between(stack, "codedeploy")

    def _event(self, function: str, kind: str, event: Mapping[str, Any]) -> None:
        match kind:
            case "Api":
                self._graph.nodes[function].append(f"{event['Method']} {event['Path']}")
                for api in self._behind(event["RestApiId"]):
                    self._graph.between("callers", api)
                    self._graph.between(api, function)
            case "ScheduleV2":
                self._graph.nodes[function].append(event["ScheduleExpression"])
            case "SQS":
                for queue in self._behind(event["Queue"]):
                    self._graph.between(queue, function)
            case _:
                raise LookupError(f"{function}: events of type {kind} are not drawn")

    def _grants(self, name: str, function: Mapping[str, Any]) -> None:
        for statement in granted(self._nested["Roles"], role_of(function)):
            if statement["Effect"] != "Allow":
                continue
            for target in self._behind(statement["Resource"]):
                self._graph.between(name, target)
            for target in self._called(statement["Resource"]):
                self._graph.between(name, target)
            if statement["Sid"] == "ReadVendorKeys":
                self._graph.between(name, KEYS)
                self._graph.between(name, "vendors")
        values = function["Environment"]["Variables"].values()
        named = [vendor for vendor in VENDORS if vendor in values]
        self._graph.nodes["vendors"] = sorted({*self._graph.nodes["vendors"], *named})

    def _called(self, resource: Any) -> Iterator[str]:
        """Functions that a role names before they are made."""
        called = {
            found[1]
            for arn in as_list(resource)
            if (found := re.search(r":function:([\w-]+)", shown(arn)))
        }
        for name, function in self._root.of_type(FUNCTION):
            if function["FunctionName"] in called:
                yield name

    def bucket_and_queues(self) -> None:
        data = self._nested["Data"]
        for name, bucket in data.of_type("AWS::S3::Bucket"):
            for told in bucket["NotificationConfiguration"]["QueueConfigurations"]:
                self._graph.between(f"Data.{name}", f"Data.{shown(told['Queue']).split('.')[0]}")
            if bucket.get("CorsConfiguration"):  # pages of callers may upload
                self._graph.between("callers", f"Data.{name}")
        for name, queue in data.of_type("AWS::SQS::Queue"):
            if dead := queue.get("RedrivePolicy", {}).get("deadLetterTargetArn"):
                self._graph.between(f"Data.{name}", f"Data.{shown(dead).split('.')[0]}")

    def alarms(self) -> None:
        for stack, part in self._nested.items():
            for kind in sorted(ALARMS):
                for _, alarm in part.of_type(kind):
                    self._alarm(_watcher(stack), alarm)
        for name, _ in self._nested["Operations"].of_type("AWS::SNS::Topic"):
            self._graph.between(f"Operations.{name}", "people")

    def _alarm(self, stack: str, alarm: Mapping[str, Any]) -> None:
        actions = [alarm.get(action, []) for action in _ACTIONS]
        for told in self._behind(actions):
            self._graph.between(stack, told)
        watched = {name: value for name, value in alarm.items() if name not in _ACTIONS}
        for node in self._behind(watched):
            self._graph.between(node, stack)

    def _behind(self, value: Any) -> Iterator[str]:
        """Nodes that a value of the root template refers to."""
        for name in _references(value):
            stack, _, output = name.partition(".Outputs.")
            if output:
                behind = self._nested[stack].raw["Outputs"][output]["Value"]
                names = {_id(stack, found.split(".")[0]) for found in _references(behind)}
            else:
                names = {name.split(".")[0]}
            yield from sorted(names & self._graph.nodes.keys())


def _references(value: Any) -> Iterator[str]:
    """What is named by `Ref`, `GetAtt` and in the text of `Sub`, however deep."""
    if isinstance(value, list):
        for part in value:
            yield from _references(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in ("Ref", "Fn::GetAtt"):
                yield shown({key: part})
            else:
                yield from _references(part)
    elif isinstance(value, str):
        yield from re.findall(r"\$\{([A-Za-z0-9.]+)\}", value)
