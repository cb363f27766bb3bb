"""What logs may not hold, whatever breaks: keys, and what people ask and write."""

import io
import logging
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping

import pytest
from starlette.testclient import TestClient

from fakes import InMemoryBucket, InMemoryLedger
from integration.vendored import DIMENSION, OPENAI_KEY, PINECONE_KEY
from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.api import create_app
from steadyrag.api.documents import documents_router
from steadyrag.api.health import health_router
from steadyrag.api.search import search_router
from steadyrag.documents import DocumentParts
from steadyrag.domain.documents import UnreadableDocument
from steadyrag.domain.errors import Unavailable
from steadyrag.settings import load
from steadyrag.wiring.readiness import probes
from steadyrag.wiring.service import build

QUESTION = "Is Mina Kim's salary 73,000 euros?"
TEXT = "The launch code is 8531-alpha."
CLIENTS_KEY = "gateway-key-91c2"
SECRETS = (OPENAI_KEY, PINECONE_KEY, "Bearer ", CLIENTS_KEY, "73,000", "8531-alpha", "Mina")


class Echo(socketserver.StreamRequestHandler):
    """A vendor whose error quotes all it was sent, head and body, as a message to read."""

    statuses = (400, 401, 403, 404, 422, 429, 500, 503, 200)
    count = 0

    def handle(self) -> None:
        head, length = [], 0
        while (line := self.rfile.readline().decode("latin-1").strip()) != "":
            head.append(line)
            if line.lower().startswith("content-length:"):
                length = int(line.partition(":")[2])
        body = self.rfile.read(length).decode("utf-8", "replace")
        told = "; ".join((*head, body)).replace("\\", " ").replace('"', "'")
        told = "".join(c for c in told if c.isprintable())
        named = f'"{told}"' if Echo.count % 2 else "{}"  # a code may be anything
        error = f'{{"error":{{"message":"{told}","code":{named},"type":{named},"param":{named}}}}}'
        status = self.statuses[Echo.count % len(self.statuses)]
        Echo.count += 1
        answer = (error if status != 200 else told).encode()
        self.wfile.write(
            f"HTTP/1.1 {status} {told[:200]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode()
            + answer
        )


@pytest.fixture(scope="module")
def echoing() -> Iterator[Mapping[str, str]]:
    """Settings that lead to a vendor that quotes."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield {
            "STEADYRAG_EMBEDDER": "openai",
            "STEADYRAG_INDEX": "pinecone",
            "STEADYRAG_RERANKER": "pinecone",
            "STEADYRAG_GENERATOR": "openai",
            "STEADYRAG_EMBEDDING_DIMENSION": str(DIMENSION),
            "OPENAI_API_KEY": OPENAI_KEY,
            "OPENAI_BASE_URL": f"{url}/v1",
            "PINECONE_API_KEY": PINECONE_KEY,
            "PINECONE_CONTROLLER_HOST": url,
            "STEADYRAG_PINECONE_INDEX_HOST": url,
        }
        server.shutdown()
        thread.join()


@pytest.fixture
def printed(printed_log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed anywhere."""
    monkeypatch.setattr(sys, "stdout", printed_log)
    return printed_log


def no_secret_in(printed: str) -> None:
    assert [secret for secret in SECRETS if secret in printed] == []


def test_a_vendor_that_quotes_keys_and_questions_puts_them_into_no_log_and_no_answer(
    echoing, printed
):
    service = build(load(echoing))
    app = create_app([search_router(service), health_router(probes(service))])
    headers = {"x-api-key": CLIENTS_KEY, "authorization": f"Bearer {CLIENTS_KEY}"}
    with TestClient(app, headers=headers, raise_server_exceptions=False) as client:
        answers = [
            client.post("/search", json={"query": f"{QUESTION} {n}", "user": "mina"})
            for n in range(2 * len(Echo.statuses))
        ]
        answers.append(client.get("/health"))
        client.portal.call(service.aclose)
    assert '"stage"' in printed.getvalue()  # the failures were logged
    assert {answer.status_code for answer in answers[:-1]} == {200}
    no_secret_in(printed.getvalue())
    for answer in answers:
        no_secret_in(answer.text + str(answer.headers))


def test_a_bug_on_the_way_logs_its_place_and_not_its_words(echoing, printed, monkeypatch):
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"{QUESTION} {OPENAI_KEY}") from ValueError(TEXT)

    monkeypatch.setattr("steadyrag.api.search.search", broken)
    with TestClient(
        create_app([search_router(build(load(echoing)))]), raise_server_exceptions=False
    ) as client:
        answer = client.post(
            "/search", json={"query": QUESTION}, headers={"x-api-key": CLIENTS_KEY}
        )
    assert answer.status_code == 500
    assert "RuntimeError" in printed.getvalue()
    no_secret_in(printed.getvalue() + answer.text)


def test_a_document_and_what_is_said_of_it_are_in_no_log(printed):
    bucket, ledger = InMemoryBucket(), InMemoryLedger()
    parts = DocumentParts(bucket, ledger, lambda: 1_800_000_000.0)
    document = {"id": "a.md", "text": TEXT, "title": "Mina", "metadata": {"pay": "73,000"}}
    with TestClient(create_app([documents_router(parts)]), raise_server_exceptions=False) as client:
        assert client.post("/documents", json=document).status_code == 202
        bucket.fail(Unavailable("s3", "is down"), on="put", times=1)
        assert client.post("/documents", json=document).status_code == 503
        bucket.fail(RuntimeError(TEXT), on="put")
        assert client.post("/documents", json=document).status_code == 500
        client.post("/documents", json=document | {"id": "a\n8531-alpha"})
    no_secret_in(printed.getvalue())


@pytest.mark.parametrize("name", ["a.md", "a.html", "a.txt", "a.pdf", "a.docx"])
def test_parsers_complain_to_nobody(name, printed, caplog):
    with caplog.at_level(logging.DEBUG):
        for raw in (TEXT, f"%PDF-1.4 {TEXT} trailer<<", f"PK\x03\x04{TEXT}", f"<p {TEXT}<<<&x"):
            try:
                Parsers().parse(raw.encode(), document_id="a", name=name)
            except UnreadableDocument:
                continue
    no_secret_in(printed.getvalue() + caplog.text)
