"""`steadyrag serve --stores` as `make run` starts it, with an ingest in another terminal."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from servers import LOCAL_AWS, running
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.local.announced import announcements
from steadyrag.adapters.local.child_process import free_port
from steadyrag.adapters.local.services import start_valkey
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.cli.serve import _Signals
from steadyrag.domain.ports import SharedStore
from steadyrag.resilience.corpus import digests
from steadyrag.resilience.keys import corpus_key, tombs_key

CLI = Path(sys.executable).with_name("steadyrag")
REFUNDS = {"query": "How long does a refund take?"}

pytestmark = pytest.mark.skipif(
    not LOCAL_AWS.exists(), reason="the local AWS is not installed: make .venv-cloud/.ready"
)


class Here:
    """Two documents, a folder for what is made of them, and the commands that work on both."""

    def __init__(self, documents: Path, data: Path) -> None:
        self.documents = documents
        self.data = data
        self.port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "STEADYRAG_DATA_DIR": str(self.data),
            "STEADYRAG_PORT": str(self.port),
            "STEADYRAG_LOCAL_AWS": str(LOCAL_AWS),
        }

    def ingest(self) -> None:
        command = [str(CLI), "ingest", str(self.documents)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def serving(self, **environment: str) -> Iterator["Serving"]:
        process = subprocess.Popen(
            [str(CLI), "serve", "--stores"],
            stderr=subprocess.PIPE,
            env=self.environment | environment,
            text=True,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30) as client:
                serving = Serving(process, client, self)
                serving.wait_until_ready()
                yield serving
        finally:
            process.kill()
            process.communicate(timeout=10)


class Serving:
    def __init__(self, process: subprocess.Popen[str], client: httpx.Client, here: Here) -> None:
        self.process = process
        self.client = client
        self.said = ""
        self._here = here

    def wait_until_ready(self) -> None:
        assert self.process.stderr is not None
        while "Ready on" not in self.said:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.post("/search", json=body).raise_for_status().json()
        return answer

    def health(self) -> dict[str, str]:
        checks = self.client.get("/health").raise_for_status().json()["checks"]
        return {name: check["status"] for name, check in checks.items()}

    @contextlib.asynccontextmanager
    async def stores(self) -> Any:
        """What it shares with others."""
        [at] = announcements(self._here.data)
        made: list[SharedStore] = [ValkeyStore(url=str(at.cache_url), timeout_s=5.0, prefix="")]
        made.append(
            DynamoStore(
                table=f"{at.table_prefix}cache",
                endpoint_url=at.local_dynamodb_url,
                local=True,
                timeout_s=5.0,
                connect_timeout_s=5.0,
            )
        )
        yield made
        for store in made:
            await store.aclose()

    def store_ports(self) -> list[int]:
        [at] = announcements(self._here.data)
        urls = (at.cache_url, at.local_dynamodb_url)
        return [int(port) for url in urls if url for port in re.findall(r":(\d+)", url)]


def written_and_ingested(folder: Path) -> Here:
    here = Here(folder / "docs", folder / "data")
    here.documents.mkdir()
    (here.documents / "refunds.md").write_text("# Refunds\n\nA refund takes ten days.")
    (here.documents / "opening.md").write_text("# Opening\n\nWe open at nine.")
    here.ingest()
    return here


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Here:
    return written_and_ingested(tmp_path_factory.mktemp("ingested"))


@pytest.fixture
def here(ingested: Here, tmp_path: Path) -> Here:
    """With an index of its own; the documents are everybody's."""
    shutil.copytree(ingested.data, tmp_path / "data")
    return Here(ingested.documents, tmp_path / "data")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def titles(answer: dict[str, Any]) -> set[str]:
    return {source["title"] for source in answer["sources"]}


async def test_who_changes_documents_meanwhile_tells_the_stores(tmp_path):
    here = written_and_ingested(tmp_path)
    with here.serving() as serving:
        health = serving.health()
        assert (health["valkey"], health["dynamodb"]) == ("ok", "ok")

        first, again = serving.search(REFUNDS), serving.search(REFUNDS)
        [gone] = [s["document_id"] for s in first["sources"] if s["title"] == "Refunds"]
        assert again["cache"]["status"] == "hit"
        assert again["cache"]["tier"] in {"memory", "valkey"}
        async with serving.stores() as stores:
            before = [await version(store) for store in stores]

        (here.documents / "refunds.md").unlink()
        here.ingest()

        assert titles(serving.search(REFUNDS)) == {"Opening"}
        async with serving.stores() as stores:
            for store, old in zip(stores, before, strict=True):
                assert await version(store) > old
                _, maps = await store.read([], [tombs_key("default")])
                assert digests([gone])[0] in maps[tombs_key("default")]


async def version(store: SharedStore) -> int:
    _, maps = await store.read([], [corpus_key("default")])
    return int(maps[corpus_key("default")]["version"])


def test_trying_it_out_meets_no_limit_but_one_that_was_set(here):
    with here.serving() as serving:
        for _ in range(12):
            serving.search(REFUNDS)
    with here.serving(STEADYRAG_RATE_LIMIT="1/minute") as serving:
        serving.search(REFUNDS)
        assert serving.client.post("/search", json=REFUNDS).status_code == 429


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_it(here, number):
    with here.serving() as serving:
        ports = serving.store_ports()
        assert len(ports) == 2
        assert all(listens(port) for port in ports)
        serving.process.send_signal(number)
        serving.process.wait(10)
        before = time.monotonic() + 5
        while any(listens(port) for port in ports) and time.monotonic() < before:
            time.sleep(0.05)
        assert not any(listens(port) for port in ports)
    assert announcements(here.data) == []
    if number != signal.SIGKILL:
        assert not list(here.data.glob("stores-*"))
    here.ingest()


@pytest.mark.parametrize("after_s", [0.1, 0.4])
def test_it_can_be_interrupted_while_they_start(here, after_s):
    command = [str(CLI), "serve", "--stores"]
    with subprocess.Popen(command, env=here.environment, stderr=subprocess.PIPE, text=True) as it:
        assert it.stderr is not None
        assert it.stderr.readline().startswith("Starting")
        time.sleep(after_s)
        it.send_signal(signal.SIGINT)
        try:
            it.communicate(timeout=10)
        finally:
            it.kill()
    assert not list(here.data.glob("stores-*"))


def test_a_signal_waits_until_nothing_is_being_imported_and_a_second_one_does_not(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    for number, unwinds in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)):
        signals = _Signals()
        signals.obey()
        signals._remember(number, None)
        with pytest.raises(unwinds):
            signals.obey()
        with pytest.raises(unwinds):
            signals._remember(number, None)


def test_what_does_not_start_is_said_and_done_without(here):
    with here.serving(STEADYRAG_LOCAL_AWS="/nowhere/ministack") as serving:
        assert "no local AWS at /nowhere/ministack" in serving.said
        health = serving.health()
        assert health["valkey"] == "ok"
        assert "dynamodb" not in health
        assert serving.search(REFUNDS)["mode"] == "full"
    program = here.data / "broken"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with here.serving(STEADYRAG_LOCAL_AWS=str(program)) as serving:
        assert "local AWS did not start" in serving.said
        assert serving.search(REFUNDS)["mode"] == "full"


def test_stores_that_the_settings_name_are_used_and_none_is_started_in_their_place(here, tmp_path):
    with running(start_valkey(tmp_path / "own")) as own:
        with here.serving(STEADYRAG_CACHE_URL=own.url) as serving:
            assert own.port in serving.store_ports()
            limited = serving.client.post("/search", json=REFUNDS)
            assert '"user";q=10;w=60' in limited.headers["ratelimit-policy"]
        assert own.running
    assert not (here.data / "valkey").exists()
