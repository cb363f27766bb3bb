"""The project's stack as tests look at it."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from infra.cloudformation import ROOT, Template, read, shown
from infra.transform import transform

HOST = "docs-ab12cd3.svc.aped-4627-b74a.pinecone.io"
FUNCTION = "AWS::Serverless::Function"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0d990263-018e-4e65-a703-eff731de951e"


def template(**parameters: Any) -> Template:
    """The root template with what nobody can guess."""
    return Template(**{"PineconeIndexHost": HOST, **parameters})


def transformed(**parameters: str) -> Template:
    """The same after SAM's transform."""
    given = {"PineconeIndexHost": HOST, **parameters}
    return Template(_transformed(tuple(sorted(given.items()))), **given)


@cache
def _transformed(parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return transform(read(ROOT / "template.yaml"), dict(parameters))


MADE_ELSEWHERE = {
    "Data.Outputs.DocumentsBucket": "stack-123456789012-eu-west-1",
    "Data.Outputs.IngestQueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/stack-ingest",
    "Data.Outputs.DeadQueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/stack-ingest-dead",
    "Network.Outputs.CacheName": "stack",
    "Network.Outputs.CacheUrl": "rediss://stack-x.serverless.euw1.cache.amazonaws.com:6379",
    "Network.Outputs.CacheUser": "stack-functions",
    "Operations.Outputs.LiveConfig": "a1b2c3/d4e5f6/a7b8c9",
    "Operations.Outputs.TicketTopicArn": "arn:aws:sns:eu-west-1:123456789012:stack-ticket",
    "{{resolve:secretsmanager:${Data.Outputs.SearchIdKeyArn}}}": "43LettersAndDigits",
    "SearchFunction.Version": "arn:aws:lambda:eu-west-1:123456789012:function:stack-search:7",
}
"""What references in a function's environment stand for, as AWS would make it."""


def environment(function: dict[str, Any]) -> dict[str, str]:
    """A function's variables."""
    variables = {n: shown(v) for n, v in function["Environment"]["Variables"].items()}
    return {name: MADE_ELSEWHERE.get(value, value) for name, value in variables.items()}


def statements(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of a role's own policies, or of a managed policy."""
    for document in [*policy.get("Policies", []), policy]:
        yield from document.get("PolicyDocument", {}).get("Statement", [])


def granted(part: Template, role: str) -> Iterator[dict[str, Any]]:
    """Every statement that holds for a role, its own and those of policies that it lists."""
    managed = dict(part.of_type("AWS::IAM::ManagedPolicy"))
    properties = dict(part.of_type("AWS::IAM::Role"))[role]
    yield from statements(properties)
    for policy in properties.get("ManagedPolicyArns", []):
        if isinstance(policy, dict):
            yield from statements(managed[policy["Ref"]])


def role_of(function: dict[str, Any]) -> str:
    """Logical id of a function's role, which is in infra/roles.yaml."""
    stack, _, output = shown(function["Role"]).partition(".Outputs.")
    assert stack == "Roles"
    role, attribute = template().nested("Roles").raw["Outputs"][output]["Value"]["Fn::GetAtt"]
    assert attribute == "Arn"
    return str(role)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
