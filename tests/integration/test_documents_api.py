"""POST /documents, GET and DELETE /documents/{id} as a client meets them."""

import base64
import json
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from documents_rig import DocumentsRig, place, sentences
from steadyrag.api import create_app
from steadyrag.api.access import Access
from steadyrag.api.document_schemas import DocumentResponse
from steadyrag.api.documents import documents_router
from steadyrag.domain.access import parse_policy
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.objects import Attributes
from steadyrag.resilience.corpus import read_tombs
from steadyrag.resilience.keys import tombs_key


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


@pytest.fixture
def client(rig: DocumentsRig) -> Iterator[TestClient]:
    app = create_app([documents_router(rig.document_parts())])
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


async def buried(rig: DocumentsRig) -> int:
    """How many documents are kept out of answers."""
    _, maps = await rig.store.read((), [tombs_key("default")])
    tombs = read_tombs(maps.get(tombs_key("default"), {}), rig.now).by_digest.values()
    return sum(tomb.back_at is None for tomb in tombs)


async def test_a_text_is_taken_in_and_then_found(client: TestClient, rig: DocumentsRig) -> None:
    sent = {
        "id": "handbook/휴가.md",
        "text": "# Leave\n\n25 days.",
        "title": "Leave",
        "url": "https://handbook.example.com/leave",
        "metadata": {"year": 2026, "tags": ["hr"]},
    }
    response = client.post("/documents", json=sent)
    assert response.status_code == 202
    DocumentResponse.model_validate_json(response.content)
    assert response.json()["status"] == "pending"
    where = response.headers["location"]
    await rig.work([rig.event("handbook/휴가.md")])
    body = client.get(where).json()
    assert (body["id"], body["status"], body["chunks"]) == ("handbook/휴가.md", "indexed", 1)
    assert body["title"] == "Leave"
    found = await rig.bucket.head("documents/default/handbook/휴가.md")
    assert found is not None
    assert found.attributes == Attributes(
        "markdown", "Leave", "https://handbook.example.com/leave", {"year": 2026, "tags": ["hr"]}
    )


async def test_bytes_come_as_base64(client: TestClient, rig: DocumentsRig) -> None:
    content = base64.b64encode(b"%PDF-1.7 ...").decode()
    assert client.post("/documents", json={"id": "a.pdf", "content": content}).status_code == 202
    found = await rig.bucket.head("documents/default/a.pdf")
    assert found is not None
    assert found.size_bytes == 12


async def test_large_ones_are_uploaded_by_the_client(client: TestClient, rig: DocumentsRig) -> None:
    response = client.post("/documents", json={"id": "big.pdf", "upload": True})
    assert response.status_code == 202
    body = response.json()
    assert body["status"] == "uploading"
    assert body["upload"]["max_bytes"] == 100_000_000
    assert body["upload"]["fields"]


async def test_an_unreadable_one_says_why(client: TestClient, rig: DocumentsRig) -> None:
    client.post("/documents", json={"id": "a.md", "text": "unreadable"})
    await rig.work([rig.event("a.md")])
    body = client.get("/documents/a.md").json()
    assert (body["status"], body["reason"]) == ("failed", "is damaged")


async def test_a_deleted_one_is_out_of_answers_before_the_index_knows(
    client: TestClient, rig: DocumentsRig
) -> None:
    await rig.work([await rig.put("a", "Alpha.")])
    response = client.delete("/documents/a")
    assert response.status_code == 202
    assert response.json()["status"] == "deleting"
    assert rig.held() == {"a": ["Alpha."]}
    assert await buried(rig) == 1
    await rig.work([rig.event("a")])
    assert rig.held() == {}
    assert client.get("/documents/a").json()["status"] == "deleted"
    assert client.delete("/documents/a").json()["status"] == "deleted"


async def test_one_deleted_and_added_again_is_shown_only_when_it_is_indexed(
    client: TestClient, rig: DocumentsRig
) -> None:
    await rig.work([await rig.put("a", "Alpha.")])
    client.delete("/documents/a")
    client.post("/documents", json={"id": "a", "text": "Beta."})
    assert await buried(rig) == 1
    await rig.work([rig.event("a")])
    assert rig.held() == {"a": ["Beta."]}
    assert await buried(rig) == 0


async def test_one_deleted_while_it_is_indexed_stays_out_of_answers(
    client: TestClient, rig: DocumentsRig
) -> None:
    event = await rig.put("a", sentences("cats"))
    settle = rig.ledger.settle
    deleted = []

    async def settle_late(*args: object, **options: object) -> None:
        if not deleted:  # after the last look at the object, and after tombstones are lifted
            deleted.append(client.delete("/documents/a").status_code)
        await settle(*args, **options)  # type: ignore[arg-type]

    rig.ledger.settle = settle_late  # type: ignore[method-assign]
    await rig.work([event])
    assert deleted == [202]
    assert await buried(rig) == 1
    assert rig.held() == {}


@pytest.mark.parametrize("method", ["get", "delete"])
def test_nobody_has_heard_of_it(client: TestClient, method: str) -> None:
    response = client.request(method, "/documents/nothing.md")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:steadyrag:problem:not-found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "x"}, "id"),
        ({"id": "", "text": "x"}, "id"),
        ({"id": "a/../b", "text": "x"}, "id"),
        ({"id": "a//b", "text": "x"}, "id"),
        ({"id": "/a", "text": "x"}, "id"),
        ({"id": "a\u0007", "text": "x"}, "id"),
        ({"id": "a%2Fb", "text": "x"}, "id"),
        ({"id": "가" * 400, "text": "x"}, "id"),
        ({"id": "a", "text": " "}, "text"),
        ({"id": "a", "text": "\ud800"}, "text"),
        ({"id": "a"}, "text"),
        ({"id": "a", "text": "x", "upload": True}, "text"),
        ({"id": "a.pdf", "content": "not base64!"}, "content"),
        ({"id": "a", "text": "x", "namespace": "../b"}, "namespace"),
        ({"id": "a", "text": "x", "url": "javascript:alert(1)"}, "url"),
        ({"id": "a", "text": "x", "url": "http://"}, "url"),
        ({"id": "a", "text": "x", "format": "exe"}, "format"),
        ({"id": "a", "text": "x", "metadata": {"a b": 1}}, "metadata.a b"),
        ({"id": "a", "text": "x", "metadata": {"a": {"b": 1}}}, "metadata.a"),
        ({"id": "a", "text": "x", "metadata": {"a": None}}, "metadata.a"),
        ({"id": "a", "text": "x", "metadata": {f"k{n}": "v" * 290 for n in range(9)}}, "metadata"),
        ({"id": "a", "text": "x", "titel": "y"}, "titel"),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, body: dict[str, object], field: str) -> None:
    response = client.post(
        "/documents",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 422, response.text
    assert field in [error["field"] for error in response.json()["errors"]]


def test_a_body_beyond_what_lambda_takes_is_told_to_upload(client: TestClient) -> None:
    response = client.post("/documents", json={"id": "a", "text": "x" * (5 * 1024 * 1024)})
    assert response.status_code == 413
    assert "upload" in response.json()["detail"]


@pytest.mark.parametrize("lost", ["bucket", "ledger", "store"])
@pytest.mark.parametrize("method", ["post", "delete"])
async def test_what_is_down_is_503_and_sending_it_again_helps(
    client: TestClient, rig: DocumentsRig, lost: str, method: str
) -> None:
    await rig.work([await rig.put("a", "Alpha.")])
    getattr(rig, lost).fail(Unavailable(lost, "down"))
    body = {"id": "a", "text": "Beta."} if method == "post" else None
    path = "/documents" if method == "post" else "/documents/a"
    response = client.request(method, path, json=body)
    if (method, lost) == ("post", "store"):  # adding needs no store
        assert response.status_code == 202
        return
    assert response.status_code == 503
    assert response.json()["type"] == "urn:steadyrag:problem:unavailable"
    assert int(response.headers["retry-after"]) >= 1
    getattr(rig, lost).heal()
    assert client.request(method, path, json=body).status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [("post", "/documents"), ("get", "/documents/a"), ("delete", "/documents/a")],
)
def test_another_namespace_is_refused_before_anything_is_asked(
    rig: DocumentsRig, method: str, path: str
) -> None:
    access = Access(parse_policy("key1=hr"))
    app = create_app([documents_router(rig.document_parts(), access)])
    with TestClient(app) as client:
        response = client.request(
            method, path, json={"id": "a", "text": "x"} if method == "post" else None
        )
    assert response.status_code == 403
    calls = rig.bucket.calls.total() + rig.ledger.calls.total() + rig.store.calls.total()
    assert calls == 0


async def test_documents_of_namespaces_are_kept_apart(
    client: TestClient, rig: DocumentsRig
) -> None:
    client.post("/documents", json={"id": "a", "text": "x", "namespace": "hr"})
    assert client.get("/documents/a").status_code == 404
    assert client.get("/documents/a?namespace=hr").status_code == 200
    assert await rig.ledger.look_up(place("a", "hr")) is not None
