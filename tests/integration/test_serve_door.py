"""Whom a real `steadyrag serve` answers, and what it logs and keeps of what they ask."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

COMMAND = Path(sys.executable).with_name("steadyrag")
QUESTION = "Who calls 010-1234-5678 about refunds?"
ANYTHING = [
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("POST", "/search"),
    ("POST", "/feedback"),
    ("POST", "/documents"),
    ("GET", "/documents/a"),
    ("DELETE", "/documents/a"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/console"),
    ("GET", "/console/api/searches"),
    ("GET", "/no/such/path"),
]


@dataclass(frozen=True, slots=True)
class Served:
    port: int
    data: Path
    log: Path

    def ask(self, method: str, path: str, *, host: str = "127.0.0.1") -> httpx.Response:
        headers = {"host": f"{host}:{self.port}" if host else ""}
        body = {"query": QUESTION} if path == "/search" else {}
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}") as client:
            return client.request(method, path, headers=headers, json=body)

    def logged(self) -> list[str]:
        """What the lines `search` say was asked."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [one["query"] for line in lines if (one := json.loads(line))["message"] == "search"]

    def kept(self) -> list[str]:
        with closing(sqlite3.connect(self.data / "records.sqlite")) as db:
            rows = db.execute("select record from searches").fetchall()
        return [json.loads(record)["search"]["query"] for (record,) in rows]


@contextmanager
def serving(folder: Path, **given: str) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, log = folder / "data", folder / "log"
    own: Mapping[str, str] = {"STEADYRAG_DATA_DIR": str(data), "STEADYRAG_PORT": str(port)}
    others = {name: value for name, value in os.environ.items() if "STEADYRAG" not in name}
    with log.open("wb") as told:
        server = subprocess.Popen([COMMAND, "serve"], env={**others, **own, **given}, stderr=told)
    try:
        while b"Ready on" not in log.read_bytes():
            assert server.poll() is None, log.read_text()
        yield Served(port, data, log)
    finally:
        server.terminate()
        server.wait(15)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as one:
        yield one


@pytest.mark.parametrize(("method", "path"), ANYTHING)
@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "10.0.0.7", ""])
def test_by_a_name_that_was_made_to_point_here_nothing_is_answered(served, method, path, host):
    refused = served.ask(method, path, host=host)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-request-id"]
    assert refused.json()["type"] == "urn:steadyrag:problem:forbidden"
    assert "STEADYRAG_HOST" in refused.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_by_its_own_names_everything_is(served, host):
    for method, path in ANYTHING:
        assert served.ask(method, path, host=host).status_code != 403, path
    assert served.ask("POST", "/search", host=host).status_code == 200


def test_the_log_hashes_what_the_console_shows_to_the_person_at_this_machine(served):
    assert served.ask("POST", "/search").status_code == 200
    console = served.ask("GET", "/console/api/searches").json()["searches"]
    assert console[0]["query"] == "Who calls [phone] about refunds?"
    assert {query.partition(":")[0] for query in served.logged()} == {"hmac"}
    assert "refunds?" not in served.log.read_text().partition("Ready on")[2].partition("\n")[2]
    assert {file.stat().st_mode & 0o077 for file in served.data.glob("records.sqlite*")} == {0}


def test_a_question_is_hashed_to_the_same_after_a_restart_and_on_no_other_machine(tmp_path):
    hashes = []
    for folder in ("here", "here", "elsewhere"):
        (tmp_path / folder).mkdir(exist_ok=True)
        with serving(tmp_path / folder) as one:
            one.ask("POST", "/search")
            hashes += one.logged()
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_setting_says_what_both_log_and_console_show(tmp_path):
    with serving(tmp_path, STEADYRAG_LOG_TEXT="truncated") as one:
        one.ask("POST", "/search")
        one.ask("GET", "/console/api/searches")  # what was heard before is kept by then
        assert one.logged() == one.kept() == ["Who calls [phone] about refunds?"]
