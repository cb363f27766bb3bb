"""Who may do what to which resource, gathered from a transformed stack and its nested ones."""

from collections.abc import Iterator

from infra.cloudformation import shown
from infra.stack import as_list, granted, transformed

type Grant = tuple[str, str, str]
"""Role, action, resource. What other resources know the name of is written as they do."""


def every_grant(**parameters: str) -> set[Grant]:
    """All that is allowed to the roles of the stack that these parameters make."""
    return {
        grant
        for stack, part in transformed(**parameters).every()
        for role, _ in part.of_type("AWS::IAM::Role")
        for statement in granted(part, role)
        for grant in _grants(role if stack == "Root" else f"{stack}.{role}", statement)
    }


def _grants(role: str, statement: dict[str, object]) -> Iterator[Grant]:
    if statement["Effect"] == "Allow":
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield role, str(action), shown(resource)
