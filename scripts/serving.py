"""The functions that callers reach, stopped before what fences them goes."""

from collections.abc import Callable
from contextlib import suppress

from deployed import Environment
from live import resources

SEARCH = "SearchFunction"
REACHED = (SEARCH, "DocumentsFunction", "HealthFunction")
"""Those behind API Gateway, as template.yaml calls them."""
RESERVED = "SearchReservedConcurrency"
"""The parameter that says how many of the first may run where nobody has stopped them."""


def reached(chosen: Environment) -> dict[str, str]:
    """Names by logical id, as the stack has them."""
    found = resources(chosen, chosen.stack)
    return {which: found[which] for which in REACHED if which in found}


def stop(chosen: Environment, functions: dict[str, str], say: Callable[[str], None]) -> None:
    """Lambda begins no more of them, of whatever version; those that are gone are no error."""
    client = chosen.client("lambda")
    for name in functions.values():
        with suppress(client.exceptions.ResourceNotFoundException):
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
            say(f"stopped function {name}")


def starts(chosen: Environment, functions: dict[str, str], parameters: dict[str, str]) -> list[str]:
    """The commands that undo it."""
    reserved = {SEARCH: int(parameters.get(RESERVED, "0"))}
    return [
        f"aws lambda put-function-concurrency --region {chosen.region} --function-name {name}"
        f" --reserved-concurrent-executions {reserved[which]}"
        if reserved.get(which)
        else f"aws lambda delete-function-concurrency --region {chosen.region}"
        f" --function-name {name}"
        for which, name in functions.items()
    ]
