"""What the functions share in DynamoDB, seen by those who ask."""

import time
from pathlib import Path
from typing import Any

import httpx

from e2e.conftest import Caller, Command
from e2e.local_vendors import Vendors
from e2e.stack import STACK, Cloud, Deployed

TABLE = f"{STACK}-cache"
USER_LIMIT, WINDOW_S = 10, 60
"""As the template has it."""


def test_a_question_asked_again_is_answered_from_the_cache_and_costs_no_vendor_call(
    caller: Caller, vendors: Vendors
) -> None:
    first, again, cost = _asked_twice(
        "Who has to approve that a backup is restored?", caller, vendors
    )
    if cost:  # the health function's minute may have fallen between the two
        first, again, cost = _asked_twice("Who approves restored backups?", caller, vendors)
    assert cost == 0
    assert first.json()["cache"]["status"] == "miss"
    cache = again.json()["cache"]
    assert cache["status"] == "hit"
    assert cache["tier"] in ("memory", "dynamodb")
    assert again.headers["cache-status"] == f"steadyrag; hit; detail={cache['tier']}"
    assert int(again.headers["age"]) >= 0
    assert again.json()["answer"] == first.json()["answer"]
    assert again.json()["sources"] == first.json()["sources"]
    assert again.json()["search_id"] != first.json()["search_id"]
    usage = again.json()["usage"]
    assert [usage[f"{kind}_tokens"] for kind in ("embedding", "prompt", "completion")] == [0, 0, 0]


def _asked_twice(
    question: str, caller: Caller, vendors: Vendors
) -> tuple[httpx.Response, httpx.Response, int]:
    """Both answers, and how often anything asked the vendors between them."""
    first = caller().post("/search", json={"query": question})
    asked = vendors.asked_in_all()
    again = caller().post("/search", json={"query": question.upper()})
    assert (first.status_code, again.status_code) == (200, 200), (first.text, again.text)
    return first, again, vendors.asked_in_all() - asked


def test_changed_documents_end_the_answers_that_are_held(
    client: httpx.Client,
    vendors: Vendors,
    command: Command,
    shell: dict[str, str],
    index_host: str,
    deployed: Deployed,
    tmp_path: Path,
) -> None:
    env = {**shell, "STEADYRAG_PINECONE_INDEX_HOST": index_host}
    page = tmp_path / "visitors.md"
    question = {"query": "Where do visitors park?", "namespace": "visitors"}

    def parking_on(level: int) -> None:
        page.write_text(f"# Visitors\n\nVisitors park on level {level} of the garage.\n")
        command("ingest", str(tmp_path), "--namespace", "visitors", env=env)
        vendors.settle()

    def asked() -> tuple[str, str]:
        body = client.post("/search", json=question).json()
        return body["cache"]["status"], body["sources"][0]["text"]

    parking_on(2)
    assert asked() == ("miss", "Visitors park on level 2 of the garage.")
    assert asked() == ("hit", "Visitors park on level 2 of the garage.")
    env["STEADYRAG_TABLE_PREFIX"] = deployed.outputs["TablePrefix"]
    parking_on(5)
    assert asked() == ("miss", "Visitors park on level 5 of the garage.")


def test_one_request_too_many_is_refused_until_its_time_comes(caller: Caller) -> None:
    client, somebody_else = caller(), caller()
    answers = [_ask(client)]
    while answers[-1].status_code == 200 and len(answers) < 2 * USER_LIMIT:
        answers.append(_ask(client))
    *served, refused = answers
    assert len(served) >= USER_LIMIT  # more where the window has moved on meanwhile
    assert served[0].headers["ratelimit-policy"] == f'"user";q={USER_LIMIT};w={WINDOW_S}'
    assert served[0].headers["ratelimit"] == f'"user";r={USER_LIMIT - 1};t={WINDOW_S}'
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:steadyrag:problem:rate-limited"
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= wait_s <= 2 * WINDOW_S  # a burst is spread over the window it fell in
    assert refused.headers["ratelimit"] == f'"user";r=0;t={wait_s}'
    assert _ask(somebody_else).status_code == 200


def test_everything_shared_is_in_the_table_and_expires(client: httpx.Client, cloud: Cloud) -> None:
    assert _ask(client).status_code == 200
    items = _items(cloud)
    assert {"sr:answer", "sr:corpus", "sr:rate"} <= {_kind(item) for item in items}
    assert all(float(item["e"]["N"]) > time.time() for item in items)
    counted = [int(item["c"]["N"]) for item in items if _kind(item) == "sr:rate"]
    assert max(counted) >= USER_LIMIT // 2


def test_health_asks_the_table_and_shows_the_breakers(client: httpx.Client) -> None:
    body = client.get("/health").json()
    assert body["checks"]["dynamodb"]["status"] == "ok"
    assert "open" not in body["breakers"].values()


def test_a_role_may_do_with_the_table_what_its_function_does(
    cloud: Cloud, deployed: Deployed
) -> None:
    table = cloud.client("dynamodb").describe_table(TableName=TABLE)["Table"]["TableArn"]
    reads, writes = {"BatchGetItem"}, {"BatchWriteItem", "DeleteItem", "PutItem", "UpdateItem"}
    others = {"DeleteTable", "GetItem", "Query", "Scan", "UpdateTable", "UpdateTimeToLive"}
    allowed = {
        function: {
            action
            for action in reads | writes | others
            if _may(cloud, deployed.outputs[function], f"dynamodb:{action}", table)
        }
        for function in ("SearchFunction", "HealthFunction")
    }
    assert allowed == {"SearchFunction": reads | writes, "HealthFunction": reads}
    assert not _may(cloud, deployed.outputs["SearchFunction"], "dynamodb:PutItem", f"{table}-other")


def _ask(client: httpx.Client) -> httpx.Response:
    return client.post("/search", json={"query": "When does the on-call engineer answer a page?"})


def _items(cloud: Cloud) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = cloud.client("dynamodb").scan(TableName=TABLE)["Items"]
    return items


def _kind(item: dict[str, Any]) -> str:
    return ":".join(item["k"]["S"].split(":")[:2])


def _may(cloud: Cloud, function: str, action: str, resource: str) -> bool:
    role = cloud.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    said = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
    )
    (result,) = said["EvaluationResults"]
    return str(result["EvalDecision"]) == "allowed"
