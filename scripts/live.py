"""What operators have put into a stack's live configuration, which CloudFormation knows nothing of
and AppConfig does not let go of with the rest."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import ClientError
from deployed import Environment, Refused

PARTS = ("LiveApplication", "LiveEnvironment", "LiveProfile")
"""As infra/operations.yaml calls them, in the stack that template.yaml calls `OPERATIONS`."""
OPERATIONS = "Operations"

UNDER_WAY = frozenset({"BAKING", "DEPLOYING", "ROLLING_BACK", "VALIDATING"})
WITHIN_S = 60.0
EVERY = 50
"""Versions between two words of how far it is."""


def clear(chosen: Environment, say: Callable[[str], None]) -> None:
    """Stops what is being deployed, and deletes every version: AppConfig deletes no environment
    with the one and no profile with the other. What somebody has deleted by hand is no error.
    Raises `Refused` where a deployment goes on."""
    found = _parts(chosen)
    application, environment, profile = (found.get(name) for name in PARTS)
    appconfig = chosen.client("appconfig")
    if application and environment:
        with _unless_gone():
            _stop(appconfig, {"ApplicationId": application, "EnvironmentId": environment}, say)
    if application and profile:
        which = {"ApplicationId": application, "ConfigurationProfileId": profile}
        with _unless_gone():
            _delete(appconfig, which, say)


@contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


def _parts(chosen: Environment) -> dict[str, str]:
    """Ids by logical id, of what is still there of the stack."""
    operations = resources(chosen, chosen.stack).get(OPERATIONS)
    return resources(chosen, operations) if operations else {}


def resources(chosen: Environment, stack: str) -> dict[str, str]:
    """Ids by logical id, of what is still there of the stack or one that is nested in it."""
    listing = chosen.client("cloudformation").get_paginator("list_stack_resources")
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"].rpartition("|")[2]
        for page in listing.paginate(StackName=stack)
        for one in page["StackResourceSummaries"]
        if one.get("PhysicalResourceId") and one["ResourceStatus"] != "DELETE_COMPLETE"
    }


def _stop(appconfig: Any, where: dict[str, str], say: Callable[[str], None]) -> None:
    for page in appconfig.get_paginator("list_deployments").paginate(**where):
        for one in page["Items"]:
            if one["State"] in UNDER_WAY:
                number = one["DeploymentNumber"]
                _stop_one(appconfig, {**where, "DeploymentNumber": number})
                say(f"stopped deployment {number} of the live configuration")


def _stop_one(appconfig: Any, deployment: dict[str, Any]) -> None:
    ends = time.monotonic() + WITHIN_S
    while (state := appconfig.get_deployment(**deployment)["State"]) in UNDER_WAY:
        if time.monotonic() > ends:
            raise Refused(
                f"deployment {deployment['DeploymentNumber']} of the live configuration is still"
                f" {state} after {WITHIN_S:.0f} s; try again when it is through"
            )
        # One that bakes is stopped only when it may be taken back; one that has gone on since
        # it was looked at is looked at again.
        with suppress(appconfig.exceptions.BadRequestException):
            appconfig.stop_deployment(**deployment, AllowRevert=state == "BAKING")
        time.sleep(1)


def _delete(appconfig: Any, which: dict[str, str], say: Callable[[str], None]) -> None:
    deleted: set[int] = set()
    while left := _versions(appconfig, which) - deleted:
        for number in sorted(left):
            with _unless_gone():
                appconfig.delete_hosted_configuration_version(**which, VersionNumber=number)
            deleted.add(number)
            if len(deleted) % EVERY == 0:
                say(f"deleted {len(deleted)} versions of the live configuration ...")
    if deleted:
        say(f"deleted {len(deleted)} versions of the live configuration")


def _versions(appconfig: Any, which: dict[str, str]) -> set[int]:
    pages = appconfig.get_paginator("list_hosted_configuration_versions").paginate(**which)
    return {one["VersionNumber"] for page in pages for one in page["Items"]}
