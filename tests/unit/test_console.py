"""Who may read the console, what it serves, and what it leaves alone."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fakes import InMemoryRecords
from steadyrag.api import create_app
from steadyrag.api.console import console_router
from steadyrag.api.console_door import ConsoleDoor
from steadyrag.api.console_files import FOLDER
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.models import Stage
from steadyrag.domain.records import Feedback, Result, SearchRecord
from steadyrag.wiring.console import LocalMonitor

HERE = {"host": "127.0.0.1:8080"}


def two_searches() -> InMemoryRecords:
    """One of them failed."""
    stage = Stage("keyword", 1.0, 2.5, facts={"hits": 3})
    good = SearchRecord("s-1", 100.0, "What?", mode="full", stages=[stage], total_ms=4.0)
    bad = SearchRecord("s-2", 200.0, "Why?", error="InvalidInput")

    async def filled() -> InMemoryRecords:
        records = InMemoryRecords(clock=lambda: 300.0)
        await records.add_search(good)
        await records.add_search(bad)
        await records.add_feedback(Feedback("s-1", 101.0, rating=1))
        return records

    return asyncio.run(filled())


def client(
    host: str = "127.0.0.1",
    runbooks: Path | None = None,
    records: InMemoryRecords | None = None,
) -> TestClient:
    monitor = LocalMonitor(service="steadyrag", runbooks=runbooks, clock=lambda: 1_000_000.0)
    app = create_app([console_router(records or two_searches(), monitor, ConsoleDoor(host))])
    return TestClient(app, base_url="http://127.0.0.1:8080", follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080", "127.9.9.9"])
def test_this_machine_answers_to_its_own_names(host):
    assert client().get("/console", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test:8080", "10.0.0.7", "", "["]
)
def test_a_name_that_was_made_to_point_here_is_refused(host):
    for path in ("/", "/console", "/console/app.js", "/console/api/searches"):
        refused = client().get(path, headers={"host": host})
        assert refused.status_code == 403, path
        assert "STEADYRAG_HOST" in refused.json()["detail"]


def test_a_server_on_all_addresses_answers_to_addresses_and_no_other_names():
    served = client("0.0.0.0")  # noqa: S104 - nothing listens here
    assert served.get("/console", headers={"host": "10.0.0.7:8080"}).status_code == 200
    assert served.get("/console", headers={"host": "evil.test"}).status_code == 403
    assert client("box.lan").get("/console", headers={"host": "BOX.lan"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.test"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
    ],
)
def test_a_page_of_another_site_reads_nothing(headers):
    for path in ("searches", "searches/s-1", "metrics", "alarms", "runbooks/errors"):
        assert client().get(f"/console/api/{path}", headers=HERE | headers).status_code == 403


def test_a_link_from_another_site_may_open_the_page():
    headers = HERE | {"sec-fetch-site": "cross-site"}
    assert client().get("/console", headers=headers).status_code == 200


def test_the_page_itself_and_tools_read_the_data():
    for headers in ({}, {"sec-fetch-site": "same-origin"}, {"origin": "http://127.0.0.1:8080"}):
        found = client().get("/console/api/searches", headers=HERE | headers).json()
        assert [one["search_id"] for one in found["searches"]] == ["s-2", "s-1"]


def test_searches_come_with_stages_and_feedback():
    [failed] = client().get("/console/api/searches?failed=true").json()["searches"]
    assert (failed["query"], failed["error"], failed["failed"]) == ("Why?", "InvalidInput", True)
    one: dict[str, Any] = client().get("/console/api/searches/s-1").json()
    assert one["stages"][0]["facts"] == {"hits": 3}
    assert one["feedback"][0]["rating"] == 1
    assert client().get("/console/api/searches/s-3").status_code == 404
    assert client().get("/console/api/searches?limit=0").status_code == 422


@pytest.mark.parametrize("path", ["searches", "searches/s-1"])
def test_a_file_that_cannot_be_read_is_a_503_that_says_which(path):
    records = two_searches()
    records.fail(Unavailable("records", "/data/records.sqlite: disk I/O error"))
    refused = client(records=records).get(f"/console/api/{path}")
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert "/data/records.sqlite: disk I/O error" in refused.json()["detail"]
    assert refused.json()["type"] == "urn:steadyrag:problem:unavailable"


def test_a_number_that_is_none_is_null_and_hides_no_search():
    records, nan = two_searches(), float("nan")
    stage = Stage("rerank", 1.0, float("inf"), facts={"top_score": nan})
    odd = SearchRecord("s-3", 250.0, "Odd?", results=[Result("c", "d", nan, 1)], stages=[stage])
    asyncio.run(records.add_search(odd))
    found = client(records=records).get("/console/api/searches")
    assert found.status_code == 200
    assert [one["search_id"] for one in found.json()["searches"]] == ["s-3", "s-2", "s-1"]
    first = found.json()["searches"][0]
    assert first["results"][0]["score"] is None
    assert first["stages"][0]["duration_ms"] is None
    assert first["stages"][0]["facts"] == {"top_score": None}
    assert client(records=records).get("/console/api/searches/s-3").json() == first


def test_only_its_own_code_runs_in_the_page():
    page = client().get("/console")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    text = page.text
    assert re.findall(r"<script(?![^>]* src=\"/console/)", text) == []
    assert re.findall(r"\s(?:style|on\w+)=", text) == []
    wanted = re.findall(r'(?:src|href)="(/console/[^"]+)"', text)
    assert all(client().get(path).status_code == 200 for path in wanted)


def test_no_script_writes_html_or_reaches_another_address():
    for script in FOLDER.glob("*.js"):
        code = script.read_text(encoding="utf-8")
        for banned in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
            assert banned not in code, script.name
        addresses = set(re.findall(r"https?://[^'\"\s]+", code))
        assert addresses <= {"http://www.w3.org/2000/svg"}, script.name


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
def test_files_have_their_types(name, media_type):
    assert client().get(f"/console/{name}").headers["content-type"].startswith(media_type)


@pytest.mark.parametrize(
    "path", ["/console/..%2f..%2fsettings.py", "/console/%2e%2e/x", "/console/none.js"]
)
def test_no_other_file_is_served(path):
    assert client().get(path).status_code == 404


def test_the_front_door_leads_to_the_console():
    assert client().get("/").headers["location"] == "/console"


def test_it_is_no_part_of_the_api():
    paths = client().get("/openapi.json").json()["paths"]
    assert paths == {}


def test_a_runbook_is_read_in_the_language_that_is_wanted(tmp_path):
    (tmp_path / "errors.md").write_text("# Errors\n")
    (tmp_path / "errors.ko.md").write_text("# 오류\n", encoding="utf-8")
    (tmp_path / "down.md").write_text("# Down\n")
    (tmp_path.parent / "secret.md").write_text("no runbook")
    served = client(runbooks=tmp_path)

    def text(name: str) -> str | None:
        answer = served.get(f"/console/api/runbooks/{name}")
        return answer.json()["text"] if answer.status_code == 200 else None

    assert text("errors") == "# Errors\n"
    assert text("errors?language=ko") == "# 오류\n"
    assert text("down?language=ko") == "# Down\n"
    assert text("%2e%2e%2fsecret") is None
    assert text("..%5csecret") is None
    assert text("none") is None


def test_both_languages_say_the_same_things():
    def keys(name: str) -> dict[str, set[str]]:
        code = (FOLDER / name).read_text(encoding="utf-8")
        words = re.findall(r"^  (\w+):\s+'(.*)',$", code, re.MULTILINE)
        assert len(words) == len(re.findall(r"^  \w+:", code, re.MULTILINE))
        return {key: set(re.findall(r"\{(\w+)\}", said)) for key, said in words}

    english = keys("words.en.js")
    assert english == keys("words.ko.js")
    asked = {
        key
        for script in FOLDER.glob("*.js")
        for key in re.findall(r"\bt\('(\w+)'", script.read_text(encoding="utf-8"))
    }
    labels = re.findall(r'data-t(?:-\w+)?="(\w+)"', (FOLDER / "index.html").read_text("utf-8"))
    assert asked | {*labels} <= english.keys()
