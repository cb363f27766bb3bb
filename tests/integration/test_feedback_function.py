"""POST /feedback through the Lambda handler, where API Gateway says who asks."""

import json

import pytest

from integration.test_lambda import CONTEXT, event, load_function
from integration.vendored import SEARCH_ID_KEY
from steadyrag.domain.search_ids import new_id, sign
from steadyrag.telemetry import metrics


@pytest.fixture
def load(local, monkeypatch):
    """The search function as Lambda would import it."""
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STEADYRAG_METRICS", "emf")
    monkeypatch.setenv("STEADYRAG_TRUSTED_KEYS", "key1")
    yield lambda: load_function("search")
    metrics.configure("off", strict=True)


def behind_the_gateway(function, path, body, *, key_id="key1", **context):
    made = event("POST", path, body)
    made["requestContext"]["identity"]["apiKeyId"] = key_id
    made["requestContext"] |= context
    response = function.handler(made, CONTEXT)
    return response["statusCode"], json.loads(response["body"])


def test_behind_the_gateway_an_id_is_its_api_keys(load, local, capfd):
    function = load()
    mine = sign(new_id(), "key:key1", SEARCH_ID_KEY.encode())
    said = {"search_id": mine, "rating": 1, "comment": "my-very-private-thought"}
    assert behind_the_gateway(function, "/feedback", said)[0] == 202
    assert behind_the_gateway(function, "/feedback", said, key_id="key2")[0] == 404
    assert local.openai.requests == local.pinecone.requests == []
    out, err = capfd.readouterr()
    (line,) = [json.loads(x) for x in err.splitlines() if json.loads(x)["message"] == "feedback"]
    assert (line["search_id"], line["rating"], line["request_id"][:8]) == (mine, 1, "7a1f4c1e")
    assert "my-very-private-thought" not in out + err
    assert SEARCH_ID_KEY not in out + err
    documents = [json.loads(x) for x in out.splitlines() if '"Feedback"' in x]
    assert {document["verdict"] for document in documents} == {"good", "comment"}


def test_behind_the_gateway_a_subjects_id_is_that_users_whatever_key_is_sent(load):
    function = load()
    mine = sign(new_id(), "sub:ann", SEARCH_ID_KEY.encode())
    said = {"search_id": mine, "clicked_rank": 1}
    ann, bob = {"authorizer": {"principalId": "ann"}}, {"authorizer": {"principalId": "bob"}}
    assert behind_the_gateway(function, "/feedback", said, **ann)[0] == 202
    assert behind_the_gateway(function, "/feedback", said, key_id="new-key", **ann)[0] == 202
    assert behind_the_gateway(function, "/feedback", said, **bob)[0] == 404
    assert behind_the_gateway(function, "/feedback", said)[0] == 404


def test_a_trusted_key_gives_feedback_for_the_users_it_searched_for(load):
    function = load()
    asked = {"query": "What is the capital of South Korea?", "user": "ann"}
    _, answer = behind_the_gateway(function, "/search", asked)
    said = {"search_id": answer["search_id"], "clicked_rank": 1}
    assert behind_the_gateway(function, "/feedback", said)[0] == 202
    assert behind_the_gateway(function, "/feedback", said, key_id="key2")[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [({"search_id": "x", "rating": 7}, 422, "rating"), ("{", 400, "body"), (None, 400, "body")],
)
def test_behind_the_gateway_bad_input_is_a_problem_too(load, body, status, named):
    answered, problem = behind_the_gateway(load(), "/feedback", body)
    assert answered == status
    assert problem["detail"].startswith(named)
