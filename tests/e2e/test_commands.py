"""The project's own commands against the deployed stack, as a deployer runs them."""

import json
from collections.abc import Callable

import pytest

from e2e.conftest import Command
from e2e.shelf import Shelf
from e2e.stack import STACK, Cloud, Deployed

COUNT = 200
WARNINGS = {
    f"topic {STACK}-page": "nobody receives",  # no address was given
    f"topic {STACK}-ticket": "nobody receives",
    "score calibration": "relevance-low can't fire",  # none was fitted
    f"table {STACK}-cache": "nothing in steadyrag-e2e-cache expires",
    f"table {STACK}-documents": "can't be restored to a point in time",
}
"""The tables because the local CloudFormation leaves out what the template says of them."""


@pytest.fixture(scope="module")
def deployer(cloud: Cloud) -> dict[str, str]:
    """A shell that knows the account and nothing of the service."""
    return cloud.environment()


@pytest.mark.usefixtures("deployed")
def test_the_doctor_finds_nothing_wrong_and_warns_of_what_is_left_to_do(
    command: Command, deployer: dict[str, str]
) -> None:
    said = command("doctor", "--stack", STACK, "--json", env=deployer)
    report = json.loads(said[said.index("{") :])
    assert report["healthy"] is True
    warned = {f["check"]: f["said"] for f in report["findings"] if f["status"] != "ok"}
    assert warned.keys() == WARNINGS.keys()
    assert all(words in warned[check] for check, words in WARNINGS.items())
    said_of = {finding["check"]: finding["said"] for finding in report["findings"]}
    assert {"stack", "embedding model", "live configuration", "lambda quota"} <= said_of.keys()
    assert "nothing is in it" in said_of["live configuration"]


def test_the_smoke_test_asks_and_is_answered(
    command: Command, deployer: dict[str, str], deployed: Deployed
) -> None:
    said = command("smoke", deployed.url, "--api-key", deployed.api_key, env=deployer)
    assert "fail" not in said
    assert "search “이 문서는 무엇에 대한 것인가요?”" in said


def test_the_workers_bring_up_what_was_in_the_bucket_before(
    command: Command, deployer: dict[str, str], shelf: Shelf, say: Callable[[str], None]
) -> None:
    told = shelf.s3.get_bucket_notification_configuration(Bucket=shelf.bucket)
    told.pop("ResponseMetadata")
    shelf.s3.put_bucket_notification_configuration(
        Bucket=shelf.bucket, NotificationConfiguration={}
    )
    for number in range(COUNT):
        text = f"# Room {number}\n\nThe plant in room {number} is watered on Mondays."
        shelf.put(f"rooms/{number:03}.md", text, namespace="bulk")
    shelf.s3.put_bucket_notification_configuration(
        Bucket=shelf.bucket, NotificationConfiguration=told
    )
    address = f"s3://{shelf.bucket}/documents/bulk/"
    said = command("ingest", address, "--stack", STACK, env=deployer)
    assert "Waiting for the workers" in said
    assert figures(said)["indexed"] == COUNT
    say(f"              {said.strip().splitlines()[-1]}")
    again = command("ingest", address, "--stack", STACK, env=deployer)
    assert f"{COUNT} documents, all of them up to date" in again


def test_another_bucket_is_brought_up_here(
    command: Command, deployer: dict[str, str], shelf: Shelf, cloud: Cloud
) -> None:
    shelf.s3.create_bucket(Bucket="steadyrag-e2e-archive")
    for name in ("a.md", "나.md"):
        body = f"# Archive\n\n{name} says that the archive closes at four.".encode()
        shelf.s3.put_object(Bucket="steadyrag-e2e-archive", Key=f"old/{name}", Body=body)
    options = ("--stack", STACK, "--here", "--namespace", "archive")
    said = command("ingest", "s3://steadyrag-e2e-archive/old/", *options, env=deployer)
    assert figures(said)["indexed"] == 2
    assert shelf.get("나.md", namespace="archive").json()["status"] == "indexed"


def figures(said: str) -> dict[str, int]:
    """The table at the end of `steadyrag ingest`."""
    found = {}
    for line in said.splitlines():
        what, _, count = line.rstrip().rpartition(" ")
        if count.replace(",", "").isdecimal():
            found[what.strip()] = int(count.replace(",", ""))
    return found
