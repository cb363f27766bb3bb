"""Documents sent to the API, looked up there and taken out there."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from e2e.files import pdf, word
from e2e.local_vendors import Vendors
from e2e.shelf import Shelf
from e2e.stack import Cloud, Deployed

NAMESPACE = "by-api"


@pytest.mark.parametrize(
    ("id_", "text", "question", "fact"),
    [
        ("hr/leave/2026 rules.md", "# Leave\n\nLeave is 25 days.", "How long is leave?", "25 days"),
        ("인사/휴가 규정(안).md", "# 휴가\n\n연차는 15일이다.", "연차는 며칠인가?", "15일"),
        ("lab/a+b&c=d;e#1?.md", "# Signs\n\nA plus is a plus.", "What is a plus?", "plus"),
    ],
    ids=["slashes", "korean", "signs"],
)
def test_a_text_goes_in_under_its_id_and_is_found(
    shelf: Shelf, vendors: Vendors, id_: str, text: str, question: str, fact: str
) -> None:
    """Whatever the id holds passes the gateway's greedy path."""
    sent = shelf.post(id=id_, namespace=NAMESPACE, text=text, metadata={"year": 2026})
    assert sent.status_code == 202, sent.text
    assert sent.json()["id"] == id_
    where = sent.url.join(sent.headers["location"])
    assert str(where).startswith(str(shelf.http.base_url))
    followed = shelf.http.get(where)
    assert (followed.status_code, followed.json()["id"]) == (200, id_)
    said = shelf.until(id_, "indexed", namespace=NAMESPACE)
    assert (said["id"], said["chunks"], said["reason"]) == (id_, 1, None)
    vendors.settle()
    assert any(fact in text for text in shelf.sources(question, namespace=NAMESPACE))


@pytest.mark.parametrize(("id_", "file"), [("lifts.docx", word), ("lifts.pdf", pdf)])
def test_bytes_in_base64_are_read_for_what_they_are(
    shelf: Shelf, vendors: Vendors, id_: str, file: Callable[[str], bytes]
) -> None:
    content = base64.b64encode(file(f"The lifts of {id_} stop at night.")).decode()
    assert shelf.post(id=id_, namespace=NAMESPACE, content=content).status_code == 202
    shelf.until(id_, "indexed", namespace=NAMESPACE)
    vendors.settle()
    found = shelf.sources(f"When do the lifts of {id_} stop?", namespace=NAMESPACE)
    assert any(f"The lifts of {id_} stop at night." in text for text in found)


def test_what_is_too_large_for_a_request_is_uploaded_by_a_form(
    shelf: Shelf, vendors: Vendors
) -> None:
    id_ = "big/도면.md"
    offered = shelf.post(id=id_, namespace=NAMESPACE, upload=True, title="Plans")
    assert offered.status_code == 202, offered.text
    form = offered.json()["upload"]
    content = "# Floors\n\nThe plans are kept on floor 9.\n\n" + "Filling. " * 20_000
    sent = httpx.post(form["url"], data=form["fields"], files={"file": content.encode()})
    assert sent.status_code in (200, 201, 204), sent.text
    said = shelf.until(id_, "indexed", namespace=NAMESPACE)
    assert said["title"] == "Plans"
    assert said["chunks"] > 1
    vendors.settle()
    found = shelf.sources("On which floor are the plans kept?", namespace=NAMESPACE)
    assert any("floor 9" in text for text in found)


def test_a_form_lets_nobody_send_more_or_elsewhere(shelf: Shelf) -> None:
    offered = shelf.post(id="form.md", namespace=NAMESPACE, upload=True).json()["upload"]
    elsewhere = offered["fields"] | {"key": "documents/by-api/other.md"}
    sent = httpx.post(offered["url"], data=elsewhere, files={"file": b"Mine now."})
    assert sent.status_code == 403
    assert shelf.get("other.md", namespace=NAMESPACE).status_code == 404


@contextmanager
def workers_rest(cloud: Cloud, deployed: Deployed) -> Iterator[None]:
    """Leaves the messages of the ingest queue where they are until the block ends."""
    functions, name = cloud.client("lambda"), deployed.outputs["IngestFunctionAlias"]
    (source,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    try:
        yield
    finally:
        functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)


def test_what_was_deleted_is_in_no_answer_while_the_index_still_finds_it(
    shelf: Shelf, vendors: Vendors, cloud: Cloud, deployed: Deployed
) -> None:
    question = "What is the code of the back door?"
    shelf.post(id="door.md", namespace=NAMESPACE, text="The code of the back door is 4711.")
    shelf.until("door.md", "indexed", namespace=NAMESPACE)
    vendors.settle()
    assert any("4711" in text for text in shelf.sources(question, namespace=NAMESPACE))
    with vendors.slow_to_show(600):
        with workers_rest(cloud, deployed):
            gone = shelf.delete("door.md", namespace=NAMESPACE)
            assert (gone.status_code, gone.json()["status"]) == (202, "deleting")
            assert not any("4711" in text for text in shelf.sources(question, namespace=NAMESPACE))
        shelf.until("door.md", "deleted", namespace=NAMESPACE)
        assert not any("4711" in text for text in shelf.sources(question, namespace=NAMESPACE))
        shelf.post(id="late.md", namespace=NAMESPACE, text="The back door is painted green.")
        shelf.until("late.md", "indexed", namespace=NAMESPACE)
        found = shelf.sources("Which colour is the back door painted?", namespace=NAMESPACE)
        assert not any("green" in text for text in found), "the index is not behind at all"
    assert shelf.delete("door.md", namespace=NAMESPACE).json()["status"] == "deleted"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_document_that_nobody_has_heard_of_is_not_found(shelf: Shelf, method: str) -> None:
    response = shelf.http.request(method, "/documents/없는/문서.md")
    assert_problem(response, 404, "not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"id": "../a.md", "text": "x"}, "id"),
        ({"id": "a.md", "text": "x", "namespace": "a b"}, "namespace"),
        ({"id": "a.md"}, "text"),
        ({"id": "a.md", "text": " "}, "text"),
        ({"id": "a.md", "content": "not base64!"}, "content"),
        ({"id": "a.md", "text": "x", "txet": "x"}, "txet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_field_is_named(shelf: Shelf, body: dict[str, Any], field: str) -> None:
    response = shelf.post(**body)
    assert_problem(response, 422, "invalid-input")
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_a_body_that_is_too_large_is_told_of_the_upload(shelf: Shelf) -> None:
    response = shelf.post(id="a.md", text="x" * (5 * 1024 * 1024))
    assert_problem(response, 413, "body-too-large")
    assert "upload: true" in response.json()["detail"]


def assert_problem(response: httpx.Response, status: int, kind: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == f"urn:steadyrag:problem:{kind}"
