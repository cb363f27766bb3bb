"""A second release over the first, while callers go on asking."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e import logs, stack
from e2e.conftest import KEYS, SAM, Say, Step
from e2e.load import Record, under_load
from e2e.shelf import Shelf
from e2e.stack import Cloud, Deployed
from e2e.waiting import until

QUESTION = {"query": "How long are nightly backups kept?"}
PAUSE_S = 0.2
"""Between two requests of one caller; four of them ask about fifteen times a second."""

ALIASED = ("SearchFunction", "HealthFunction", "DocumentsFunction", "IngestFunction")


@pytest.fixture(scope="module")
def before(cloud: Cloud, deployed: Deployed) -> dict[str, str]:
    """The versions that had the traffic before."""
    return {name: _live(cloud, deployed, name) for name in ALIASED}


@pytest.fixture(scope="module")
def asked(
    before: dict[str, str],
    crowd: httpx.Client,
    shelf: Shelf,
    cloud: Cloud,
    app: Path,
    parameters: dict[str, str],
    step: Step,
    say: Say,
) -> Record:
    """What callers got while the second release, with its keys in SSM, was deployed."""
    assert crowd.post("/search", json=QUESTION).status_code == 200
    parameter_store = cloud.client("ssm")
    for name, value in KEYS.items():
        parameter_store.put_parameter(Name=f"/steadyrag/{name}", Value=value, Type="SecureString")
    for function in ALIASED:
        (app / function / "RELEASE").write_text("the second\n")
    callers = {
        "held answers": lambda _: crowd.post("/search", json=QUESTION),
        "new questions": lambda n: crowd.post("/search", json={"query": f"Who is number {n}?"}),
        "documents": lambda n: shelf.post(
            id=f"deployed/{n}.md", text=f"Number {n} was put while we deployed."
        ),
        "health": lambda _: crowd.get("/health/live"),
    }
    with under_load(callers, pause_s=PAUSE_S) as record:
        with step("sam deploy of a second release under load, with its keys in SSM"):
            stack.deploy(cloud, SAM, app / "template.json", {**parameters, "SecretStore": "ssm"})
        seen = record.of("held answers")
        until(lambda: record.of("held answers"), lambda count: count >= seen + 10)
    counts = ", ".join(f"{record.of(name)} {name}" for name in callers)
    failed = record.failures() or "none failed"
    say(f"              {counts}; slowest {record.slowest_s:.1f} s; {failed}")
    return record


def test_nobody_who_asked_meanwhile_was_failed(asked: Record) -> None:
    assert asked.failures() == {}, asked.bodies[:5]
    assert asked.of("held answers") > 10


def test_documents_that_came_meanwhile_are_all_indexed(asked: Record, shelf: Shelf) -> None:
    for number in asked.taken["documents"]:
        shelf.until(f"deployed/{number}.md", "indexed", namespace="default", within_s=60)
    assert shelf.dead_letters() == []


@pytest.mark.usefixtures("asked")
def test_the_aliases_moved_and_what_was_old_is_gone(
    before: dict[str, str], cloud: Cloud, deployed: Deployed
) -> None:
    for name in ALIASED:
        assert _live(cloud, deployed, name) != before[name], name
    search = deployed.outputs["SearchFunction"]
    versions = cloud.client("lambda").list_versions_by_function(FunctionName=search)["Versions"]
    assert {v["Version"] for v in versions} == {"$LATEST", _live(cloud, deployed, "SearchFunction")}
    started = [m for m in logs.messages(cloud, search) if m.startswith("START ")]
    versions_in_order = [message.split("Version: ")[1].strip() for message in started]
    assert before["SearchFunction"] in versions_in_order
    assert set(versions_in_order[-10:]) == {_live(cloud, deployed, "SearchFunction")}


@pytest.mark.usefixtures("asked")
def test_the_second_release_answers_with_what_it_was_given(
    client: httpx.Client, cloud: Cloud, deployed: Deployed
) -> None:
    live = cloud.client("lambda").get_function_configuration(
        FunctionName=deployed.outputs["SearchFunction"], Qualifier="live"
    )
    given = live["Environment"]["Variables"]
    assert given["STEADYRAG_OPENAI_API_KEY_FROM"] == "ssm:/steadyrag/openai-api-key"
    response = client.post("/search", json=QUESTION, headers={"cache-control": "no-cache"})
    assert response.status_code == 200, response.text
    assert response.json()["mode"] == "full"
    assert response.json()["cache"]["status"] == "bypass"
    assert "35 days" in response.json()["answer"]


def _live(cloud: Cloud, deployed: Deployed, function: str) -> str:
    """The version that has the traffic."""
    name = deployed.outputs[function]
    alias: dict[str, Any] = cloud.client("lambda").get_alias(FunctionName=name, Name="live")
    return str(alias["FunctionVersion"])
