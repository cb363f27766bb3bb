"""The stack with other parameters: an authorizer beside the API key, a key of its own, mail."""

import contextlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from e2e import callers, stack
from e2e.conftest import SAM, Step
from e2e.stack import Cloud, Deployed
from e2e.waiting import until

type Deploy = Callable[..., httpx.Client]


class Pool(NamedTuple):
    """A user pool, and the token of a user of it."""

    arn: str
    token: str


OPTIONS = {
    "DataKmsKey": "create",
    "PageEmail": "oncall@example.com",
    "TicketEmail": "t@example.com",
}
PASSWORD = "Long-enough-4711!"
QUESTION = {"query": "How long are nightly backups kept?"}

AUTHORIZER = """
def handler(event, context):
    token = event["headers"].get("Authorization") or event["headers"].get("authorization")
    effect = "Allow" if token.startswith("let ") else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": token.removeprefix("let "), "policyDocument": policy}
"""


@pytest.fixture(scope="module")
def authorizer(cloud: Cloud) -> Iterator[str]:
    """A team's own function, which lets in who says so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("authorizer.py", AUTHORIZER)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    role = cloud.client("iam").create_role(
        RoleName="team-authorizer",
        AssumeRolePolicyDocument=json.dumps({"Statement": [trust | {"Action": "sts:AssumeRole"}]}),
    )["Role"]
    made = cloud.client("lambda").create_function(
        FunctionName="team-authorizer",
        Runtime="python3.13",
        Handler="authorizer.handler",
        Role=role["Arn"],
        Code={"ZipFile": file.getvalue()},
    )
    yield str(made["FunctionArn"])
    cloud.client("lambda").delete_function(FunctionName="team-authorizer")
    cloud.client("logs").delete_log_group(logGroupName="/aws/lambda/team-authorizer")


@pytest.fixture(scope="module")
def pool(cloud: Cloud) -> Iterator[Pool]:
    """A team's user pool, and a user of it who has signed in."""
    cognito = cloud.client("cognito-idp")
    id_ = cognito.create_user_pool(PoolName="team")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=id_, ClientName="app", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    user = {"UserPoolId": id_, "Username": "kim"}
    cognito.admin_create_user(**user, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(**user, Password=PASSWORD, Permanent=True)
    signed_in = cognito.admin_initiate_auth(
        UserPoolId=id_,
        ClientId=client,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "kim", "PASSWORD": PASSWORD},
    )
    arn = f"arn:aws:cognito-idp:{stack.REGION}:000000000000:userpool/{id_}"
    yield Pool(arn, signed_in["AuthenticationResult"]["IdToken"])
    cognito.delete_user_pool(UserPoolId=id_)


@pytest.fixture(scope="module")
def deploy(
    deployed: Deployed, cloud: Cloud, app: Path, parameters: dict[str, str], step: Step
) -> Iterator[Deploy]:
    """Deploys the stack with other parameters. Callers have its key, and no token."""
    with contextlib.ExitStack() as open_clients:

        def changed(**chosen: str) -> httpx.Client:
            with step(f"sam deploy with AuthorizerType={chosen['AuthorizerType']}"):
                stack.deploy(cloud, SAM, app / "template.json", {**parameters, **chosen})
            now = stack.complete(cloud)
            return open_clients.enter_context(callers.crowd(now.url, now.api_key))

        yield changed


@pytest.fixture(scope="module")
def by_pool(deploy: Deploy, pool: Pool) -> httpx.Client:
    return deploy(AuthorizerType="cognito", CognitoUserPoolArn=pool.arn, **OPTIONS)


@pytest.fixture(scope="module")
def guarded(deploy: Deploy, authorizer: str, by_pool: httpx.Client) -> httpx.Client:
    """After the other, whose API it changes."""
    return deploy(AuthorizerType="lambda", AuthorizerFunctionArn=authorizer)


def test_a_user_pool_lets_its_users_in_and_nobody_else(by_pool: httpx.Client, pool: Pool) -> None:
    assert by_pool.post("/search", json=QUESTION).status_code == 401
    forged = by_pool.post("/search", json=QUESTION, headers={"authorization": pool.token[:-9]})
    assert forged.status_code == 401
    assert forged.json()["type"] == "urn:steadyrag:problem:unauthorized"
    answer = by_pool.post("/search", json=QUESTION, headers={"authorization": pool.token})
    assert answer.status_code == 200, answer.text
    key = {"authorization": pool.token, "x-api-key": "none"}
    assert by_pool.post("/search", json=QUESTION, headers=key).status_code == 403


def test_documents_flow_where_the_stack_has_a_key_of_its_own(
    by_pool: httpx.Client, pool: Pool
) -> None:
    by_pool.headers["authorization"] = pool.token
    body = {"id": "sealed.md", "text": "What is kept is sealed."}
    assert by_pool.post("/documents", json=body).status_code == 202
    until(
        lambda: by_pool.get("/documents/sealed.md").json()["status"],
        lambda status: status == "indexed",
    )


def test_without_a_token_there_is_nothing_but_a_problem_document(guarded: httpx.Client) -> None:
    for method, path in (("POST", "/search"), ("GET", "/health"), ("DELETE", "/documents/a.md")):
        refused = guarded.request(method, path, json=QUESTION)
        assert refused.status_code == 401, (method, path)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "urn:steadyrag:problem:unauthorized"
        assert refused.headers["access-control-allow-origin"] == "*"


def test_a_token_that_the_function_refuses_is_a_403(guarded: httpx.Client) -> None:
    refused = guarded.post("/search", json=QUESTION, headers={"authorization": "please"})
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:steadyrag:problem:forbidden"


def test_whom_the_function_lets_in_is_answered_and_counted_by_name(guarded: httpx.Client) -> None:
    """Wherever the requests come from."""
    answers = [
        guarded.post("/search", json=QUESTION, headers={"authorization": "let kim"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    left = [int(answer.headers["ratelimit"].split("r=")[1].split(";")[0]) for answer in answers]
    assert left[1] == left[0] - 1


def test_liveness_asks_for_neither(guarded: httpx.Client) -> None:
    url = guarded.base_url.join("health/live")
    assert httpx.get(url).status_code == 200
