"""The functions behind documents and the ingest queue, on the local AWS and the vendors."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from integration.test_lambda import CONTEXT, event, load_function
from integration.vendored import Vendors
from servers import REGION, unique
from steadyrag.adapters.dynamodb_table import create_table, ensure_documents_table
from steadyrag.domain.letters import event_letter
from steadyrag.domain.objects import ObjectEvent

ID = "handbook/휴가 규정.md"
INGEST = SimpleNamespace(aws_request_id="r-1", get_remaining_time_in_millis=lambda: 60_000)


@pytest.fixture
def aws(local_aws: Any, local: Vendors, monkeypatch: Any) -> Iterator[Mapping[str, str]]:
    """A bucket, two queues and two tables; the functions' environment names them."""
    prefix = f"{unique('documents')}-"
    create_table(table=f"{prefix}cache", endpoint_url=local_aws.url, region=REGION)
    ensure_documents_table(prefix, endpoint_url=local_aws.url, region=REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", local_aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    client("s3").create_bucket(
        Bucket=prefix.rstrip("-"), CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    made = {
        "STEADYRAG_TABLE_PREFIX": prefix,
        "STEADYRAG_DOCUMENTS_BUCKET": prefix.rstrip("-"),
        "STEADYRAG_INGEST_QUEUE_URL": queue(f"{prefix}ingest"),
        "STEADYRAG_DEAD_QUEUE_URL": queue(f"{prefix}dead"),
    }
    for name, value in {**local.environment, **made}.items():
        monkeypatch.setenv(name, value)
    return made


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def queue(name: str) -> str:
    url: str = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url


def loaded(name: str) -> Iterator[ModuleType]:
    function = load_function(name)
    yield function
    asyncio.get_event_loop().run_until_complete(function.parts.aclose())


@pytest.fixture
def documents(aws: Any) -> Iterator[ModuleType]:
    yield from loaded("documents")


@pytest.fixture
def ingest(aws: Any) -> Iterator[ModuleType]:
    yield from loaded("ingest")


def post(function: ModuleType, **body: Any) -> dict[str, Any]:
    answer = function.handler(event("POST", "/documents", body), CONTEXT)
    return {"status": answer["statusCode"], **json.loads(answer["body"])}


def about(function: ModuleType, method: str, id_: str, **changes: Any) -> dict[str, Any]:
    path = f"/documents/{id_}"
    asked = event(method, path) | {
        "resource": "/documents/{id+}",
        "pathParameters": {"id": id_},
    }
    answer = function.handler(asked | changes, CONTEXT)
    return {"code": answer["statusCode"], **json.loads(answer["body"])}


def take_in(function: ModuleType, aws: Mapping[str, str], *ids: str) -> dict[str, Any]:
    """An invocation with an event about each document."""
    bucket = aws["STEADYRAG_DOCUMENTS_BUCKET"]
    records = [
        {
            "messageId": f"m{n}",
            "body": event_letter(ObjectEvent(bucket, f"documents/default/{id_}", "01", 1e9)),
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
        }
        for n, id_ in enumerate(ids)
    ]
    answer: dict[str, Any] = function.handler({"Records": records}, INGEST)
    return answer


def test_a_document_goes_in_and_out(
    documents: ModuleType, ingest: ModuleType, aws: Mapping[str, str], local: Vendors
) -> None:
    posted = post(documents, id=ID, text="# 휴가\n\n연차는 15일이다.", metadata={"year": 2026})
    assert (posted["status"], posted["id"]) == ("pending", ID)
    assert take_in(ingest, aws, ID) == {"batchItemFailures": []}
    found = about(documents, "GET", ID)
    assert (found["status"], found["title"], found["chunks"]) == ("indexed", "휴가", 1)
    local.pinecone.settle()
    search = load_function("search")
    question = event("POST", "/search", {"query": "연차는 며칠인가?", "filter": {"year": 2026}})
    answer = json.loads(search.handler(question, CONTEXT)["body"])
    assert [source["document_id"] for source in answer["sources"]] == [ID]
    assert about(documents, "DELETE", ID)["code"] == 202
    local.pinecone.faults.clear()
    again = json.loads(search.handler(question, CONTEXT)["body"])
    assert again["sources"] == []
    assert take_in(ingest, aws, ID) == {"batchItemFailures": []}
    assert about(documents, "GET", ID)["status"] == "deleted"


@pytest.mark.parametrize(
    "path",
    [
        f"/rag/documents/{ID}",
        f"/documents/documents/{ID}",
        f"/documents/{quote(ID)}",
        f"/documents/{ID}/",
    ],
)
def test_however_the_gateway_writes_the_path(
    documents: ModuleType, ingest: ModuleType, aws: Mapping[str, str], path: str
) -> None:
    post(documents, id=ID, text="연차는 15일이다.")
    assert about(documents, "GET", ID, path=path)["id"] == ID


def test_a_word_document_of_which_only_its_bytes_are_known(
    documents: ModuleType, ingest: ModuleType, aws: Mapping[str, str]
) -> None:
    from docx import Document

    made = Document()
    made.add_heading("Backups", 1)
    made.add_paragraph("Backups are kept for 35 days.")
    file = io.BytesIO()
    made.save(file)
    client("s3").put_object(
        Bucket=aws["STEADYRAG_DOCUMENTS_BUCKET"],
        Key="documents/default/ops/backups.docx",
        Body=file.getvalue(),
    )
    take_in(ingest, aws, "ops/backups.docx")
    found = about(documents, "GET", "ops/backups.docx")
    assert (found["status"], found["title"]) == ("indexed", "Backups")


def test_a_zip_bomb_is_put_aside_with_the_reason_and_the_rest_goes_in(
    documents: ModuleType, ingest: ModuleType, aws: Mapping[str, str]
) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 300_000_000)
    bucket = aws["STEADYRAG_DOCUMENTS_BUCKET"]
    client("s3").put_object(Bucket=bucket, Key="documents/default/bomb.docx", Body=bomb.getvalue())
    post(documents, id="good.md", text="Good.")
    assert take_in(ingest, aws, "bomb.docx", "good.md") == {"batchItemFailures": []}
    found = about(documents, "GET", "bomb.docx")
    assert found["status"] == "failed"
    assert about(documents, "GET", "good.md")["status"] == "indexed"
    (dead,) = client("sqs").receive_message(
        QueueUrl=aws["STEADYRAG_DEAD_QUEUE_URL"], MessageAttributeNames=["All"]
    )["Messages"]
    assert dead["MessageAttributes"]["reason"]["StringValue"] == found["reason"]


def test_a_sweep_asks_for_what_nobody_told(ingest: ModuleType, aws: Mapping[str, str]) -> None:
    bucket = aws["STEADYRAG_DOCUMENTS_BUCKET"]
    client("s3").put_object(Bucket=bucket, Key="documents/hr/a b.md", Body=b"Alpha.")
    assert ingest.handler({"sweep": {}}, INGEST) == {}
    (message,) = client("sqs").receive_message(QueueUrl=aws["STEADYRAG_INGEST_QUEUE_URL"])[
        "Messages"
    ]
    (record,) = json.loads(message["Body"])["Records"]
    assert record["s3"]["object"]["key"] == "documents%2Fhr%2Fa+b.md"


def test_an_upload_form_puts_the_object_and_what_is_said_of_it(
    documents: ModuleType, ingest: ModuleType, aws: Mapping[str, str]
) -> None:
    import httpx

    offered = post(documents, id="big.md", upload=True, title="Big")
    assert offered["status"] == "uploading"
    form = offered["upload"]
    sent = httpx.post(form["url"], data=form["fields"], files={"file": b"# Large\n\nText."})
    assert sent.status_code in (200, 201, 204), sent.text
    take_in(ingest, aws, "big.md")
    found = about(documents, "GET", "big.md")
    assert (found["status"], found["title"]) == ("indexed", "Big")
