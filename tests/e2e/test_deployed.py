"""The deployed service, asked over API Gateway's HTTP as its callers do."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from e2e.local_vendors import Vendors
from e2e.stack import Cloud, Deployed


def ask(client: httpx.Client, query: str, **options: Any) -> dict[str, Any]:
    response = client.post("/search", json={"query": query, **options})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize(
    ("question", "document", "fact"),
    [
        ("연차 휴가는 며칠이 주어지나요?", "휴가", "15일"),
        ("How long are nightly backups kept?", "backups", "35 days"),
    ],
    ids=["korean", "english"],
)
def test_a_question_is_answered_in_its_language_and_cites_its_document(
    client: httpx.Client, question: str, document: str, fact: str
) -> None:
    body = ask(client, question)
    assert body["mode"] == "full"
    assert body["degraded"] == []
    assert fact in body["answer"]
    assert "[1]" in body["answer"]
    first = body["sources"][0]
    assert document in first["document_id"]
    assert fact in first["text"]
    assert first["rank"] == 1
    assert body["usage"]["embedding_tokens"] > 0
    assert body["usage"]["completion_tokens"] > 0


def test_sources_alone_cost_no_answer(client: httpx.Client, vendors: Vendors) -> None:
    before = _operations(vendors).count("chat")
    body = ask(client, "who approves a restore?", generate=False, top_k=2)
    assert body["answer"] is None
    assert len(body["sources"]) == 2
    assert _operations(vendors).count("chat") == before


def test_the_next_invocation_reuses_the_environment_and_its_connections(
    client: httpx.Client, vendors: Vendors
) -> None:
    ask(client, "first question")
    before = len(vendors.asked())
    ask(client, "second question")
    ask(client, "third question")
    later = [r for r in vendors.asked()[before:] if r["operation"] == "embeddings"]
    assert len(later) == 2
    assert len({r["connection"] for r in later}) == 1


def test_who_got_an_answer_says_what_it_was_worth_and_nobody_else_does(
    client: httpx.Client, cloud: Cloud, deployed: Deployed
) -> None:
    search_id = ask(client, "how long are backups kept, and who says so?")["search_id"]
    said = {"search_id": search_id, "clicked_rank": 1, "comment": "a-very-private-thought"}
    response = client.post("/feedback", json=said)
    assert response.status_code == 202, response.text
    assert response.json() == {"search_id": search_id, "status": "accepted"}
    forged = {"search_id": f"{search_id[:-1]}{'b' if search_id[-1] == 'a' else 'a'}", "rating": 1}
    response = client.post("/feedback", json=forged)
    assert response.status_code == 404
    assert _problem(response)["type"] == "urn:steadyrag:problem:not-found"
    group = f"/aws/lambda/{deployed.outputs['SearchFunction']}"
    events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    assert not [event for event in events if "a-very-private-thought" in event["message"]]
    lines = [json.loads(e["message"]) for e in events if e["message"].startswith("{")]
    (line,) = [x for x in lines if x.get("message") == "feedback"]
    assert (line["search_id"], line["clicked_rank"]) == (search_id, 1)


def test_health_asks_every_dependency(client: httpx.Client) -> None:
    response = client.get("/health")
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["status"] == "ok"
    assert {"embedding", "index", "reranker", "llm"} <= set(body["checks"])
    assert all(check["status"] == "ok" for check in body["checks"].values())


def test_liveness_needs_no_key(anonymous: httpx.Client) -> None:
    response = anonymous.get("/health/live")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"


@pytest.mark.parametrize(("method", "path"), [("POST", "/search"), ("GET", "/health")])
@pytest.mark.parametrize("headers", [{}, {"x-api-key": "not-a-key-of-this-api"}])
def test_without_a_valid_key_there_is_nothing_but_a_problem_document(
    anonymous: httpx.Client, method: str, path: str, headers: dict[str, str]
) -> None:
    response = anonymous.request(method, path, headers=headers, json={"query": "anything"})
    assert response.status_code == 403
    problem = _problem(response)
    assert problem["type"] == "urn:steadyrag:problem:forbidden"
    assert problem["status"] == 403
    assert response.headers["access-control-allow-origin"] == "*"


def test_a_flood_without_a_key_is_turned_away_by_the_gateway(anonymous: httpx.Client) -> None:
    refused: list[httpx.Response] = []
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            answers = list(pool.map(lambda _: anonymous.get("/health/live"), range(50)))
            assert {answer.status_code for answer in answers} <= {200, 429}
            refused = [answer for answer in answers if answer.status_code == 429]
            if refused:
                break
    problem = _problem(refused[0])
    assert problem["type"] == "urn:steadyrag:problem:rate-limited"
    assert refused[0].headers["retry-after"] == "1"


def test_a_key_over_its_quota_is_told_so(cloud: Cloud, deployed: Deployed) -> None:
    gateway = cloud.client("apigateway")
    api_id, stage = deployed.url.split("/")[-2:]
    plan = gateway.create_usage_plan(
        name="one-request-a-month",
        apiStages=[{"apiId": api_id, "stage": stage}],
        quota={"limit": 1, "period": "MONTH"},
    )
    key = gateway.create_api_key(name="one-request-a-month", enabled=True)
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    headers = {"x-api-key": key["value"]}
    answers = [httpx.get(f"{deployed.url}/health", headers=headers, timeout=30) for _ in range(2)]
    gateway.delete_usage_plan(usagePlanId=plan["id"])
    gateway.delete_api_key(apiKey=key["id"])
    assert [answer.status_code for answer in answers] == [200, 429]
    assert _problem(answers[1])["type"] == "urn:steadyrag:problem:quota-exceeded"


def test_an_unknown_route_is_a_problem_document(client: httpx.Client) -> None:
    response = client.get("/serach")
    assert response.status_code == 404
    assert _problem(response)["type"] == "urn:steadyrag:problem:not-found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": " "}, "query"),
        ({"query": "ok", "top_k": 0}, "top_k"),
        ({"query": "ok", "tpo_k": 3}, "tpo_k"),
    ],
)
def test_bad_input_is_a_problem_document_that_names_the_field(
    client: httpx.Client, body: dict[str, Any], field: str
) -> None:
    response = client.post("/search", json=body)
    assert response.status_code == 422
    problem = _problem(response)
    assert problem["type"] == "urn:steadyrag:problem:invalid-input"
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_browser_may_ask_whether_it_may_call(anonymous: httpx.Client) -> None:
    response = anonymous.options(
        "/search",
        headers={"origin": "https://docs.example.com", "access-control-request-method": "POST"},
    )
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "X-Api-Key" in response.headers["access-control-allow-headers"]


def test_traffic_goes_to_a_published_version_by_its_alias(cloud: Cloud, deployed: Deployed) -> None:
    functions = cloud.client("lambda")
    for name in (deployed.outputs["SearchFunction"], deployed.outputs["HealthFunction"]):
        alias = functions.get_alias(FunctionName=name, Name="live")
        assert alias["FunctionVersion"].isdecimal()


def test_a_search_is_found_in_the_functions_own_log(
    client: httpx.Client, cloud: Cloud, deployed: Deployed
) -> None:
    search_id = ask(client, "what happens when a page stays unanswered?")["search_id"]
    logs = cloud.client("logs")
    group = f"/aws/lambda/{deployed.outputs['SearchFunction']}"
    (described,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert described["retentionInDays"] == 30
    events = logs.filter_log_events(logGroupName=group)["events"]
    lines = [json.loads(e["message"]) for e in events if e["message"].startswith("{")]
    assert [line for line in lines if line.get("search_id") == search_id]


def test_no_vendor_key_is_in_a_log(client: httpx.Client, cloud: Cloud) -> None:
    ask(client, "is there a key in the log?")
    logs = cloud.client("logs")
    spoken = set()
    for group in logs.describe_log_groups()["logGroups"]:
        events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        spoken |= {group["logGroupName"].rpartition("-")[2]} if events else set()
        for event in events:
            assert "sk-local-openai" not in event["message"]
            assert "pc-local" not in event["message"]
    assert {"search", "health"} <= spoken


def test_a_role_reads_the_vendors_keys_and_no_other_secret(
    cloud: Cloud, deployed: Deployed
) -> None:
    secrets, iam = cloud.client("secretsmanager"), cloud.client("iam")
    other = secrets.create_secret(Name="somebody/else", SecretString="private")["ARN"]
    keys = [
        secrets.describe_secret(SecretId=f"steadyrag/{vendor}-api-key")["ARN"]
        for vendor in ("openai", "pinecone")
    ]
    functions = cloud.client("lambda")
    for name in (deployed.outputs["SearchFunction"], deployed.outputs["HealthFunction"]):
        role = functions.get_function_configuration(FunctionName=name)["Role"]

        def may(action: str, resource: str, role: str = role) -> bool:
            said = iam.simulate_principal_policy(
                PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
            )
            (result,) = said["EvaluationResults"]
            return str(result["EvalDecision"]) == "allowed"

        assert all(may("secretsmanager:GetSecretValue", key) for key in keys)
        assert not may("secretsmanager:GetSecretValue", other)
        assert not may("secretsmanager:PutSecretValue", keys[0])
        assert not may("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:x")


def _operations(vendors: Vendors) -> list[str]:
    return [request["operation"] for request in vendors.asked()]


def _problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["title"]
    assert problem["detail"]
    return problem
