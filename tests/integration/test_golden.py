"""Golden questions by the command and by the function, on the vendors and the local AWS, and with
the embedded default."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from integration.test_lambda import FUNCTIONS, load_function
from integration.vendored import Vendors
from integration.xray_daemon import FUNCTION_SEGMENT, ROOT, Daemon, header
from servers import REGION, unique
from steadyrag.adapters.s3 import S3Bucket
from steadyrag.cli import cli
from steadyrag.domain.golden import GoldenQuestion, read_questions
from steadyrag.golden_sets import GoldenSets
from steadyrag.telemetry import log, metrics, records, spans
from vendors.faults import Fault

ENGLISH, KOREAN = "What is the capital of South Korea?", "한글은 누가 창제했나요?"
HOUR = SimpleNamespace(aws_request_id="r-1", get_remaining_time_in_millis=lambda: 900_000)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    listening = Daemon()
    yield listening
    listening.close()


@pytest.fixture
def bucket(local_aws: Any, local: Vendors, daemon: Daemon, monkeypatch: Any) -> Iterator[str]:
    """An empty bucket, which the environment of command and function names."""
    name = unique("golden")
    made = {
        "AWS_ENDPOINT_URL": local_aws.url,
        "AWS_DEFAULT_REGION": REGION,
        "STEADYRAG_TABLE_PREFIX": f"{name}-",
        "STEADYRAG_DOCUMENTS_BUCKET": name,
        "STEADYRAG_METRICS": "emf",
        "STEADYRAG_TRACING": "xray",
        "LAMBDA_TASK_ROOT": str(FUNCTIONS),
        "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
    }
    for variable, value in {**local.environment, **made}.items():
        monkeypatch.setenv(variable, value)
    client().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield name
    spans.configure("off")
    metrics.configure("off")
    records.configure("hash")


@pytest.fixture
def quality(bucket: str, monkeypatch: Any) -> Iterator[ModuleType]:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header())
    function = load_function("quality")
    yield function
    asyncio.get_event_loop().run_until_complete(function.parts.aclose())


def client() -> Any:
    return boto3.client("s3", region_name=REGION)


def steadyrag(*arguments: str) -> Result:
    """In a thread of its own: the function's event loop stays this one's."""
    with ThreadPoolExecutor(1) as thread:
        run = partial(CliRunner().invoke, cli, arguments, env={"COLUMNS": "200"})
        return thread.submit(run).result()


def golden(*arguments: str) -> Result:
    return steadyrag("golden", *arguments)


def pin(*questions: tuple[str, str], namespace: str = "default") -> None:
    for question, document in questions:
        result = golden("add", question, document, "--namespace", namespace, "--anyway")
        assert result.exit_code == 0, result.output


def metrics_in(printed: str) -> dict[str, list[float]]:
    """Values by name, of the metrics in what was printed."""
    found: dict[str, list[float]] = {}
    for document in map(json.loads, printed.splitlines()):
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                found.setdefault(metric["Name"], []).extend(document[metric["Name"]])
    return found


def stored(bucket: str, key: str) -> Any:
    return json.loads(client().get_object(Bucket=bucket, Key=key)["Body"].read())


def test_a_question_is_added_asked_listed_and_removed(bucket: str, local: Vendors) -> None:
    added = golden("add", ENGLISH, "seoul", "--top-k", "3")
    assert added.exit_code == 0, added.output
    assert "seoul is found at 1 of 3" in added.output
    assert "added to default" in added.output
    asked = golden("ask")
    assert asked.exit_code == 0, asked.output
    assert "1 questions, 0 lost, 0 unasked" in asked.output
    (row,) = [line.split() for line in asked.output.splitlines() if line.startswith(ENGLISH)]
    assert row[-4:] == ["seoul", "1", "1", "found"]
    assert ENGLISH in golden("list").output
    assert golden("list", "--namespace", "other").output.startswith("there are no golden")
    assert golden("remove", "Nothing?").exit_code == 1
    assert golden("remove", ENGLISH).exit_code == 0
    assert golden("list").output.startswith("there are no golden")


def test_a_question_that_finds_something_else_is_refused_unless_it_is_wanted(bucket: str) -> None:
    refused = golden("add", ENGLISH, "rome")
    assert refused.exit_code == 1
    assert "rome is not among the first 5 sources nor among all candidates" in refused.output
    assert "found: seoul, " in refused.output
    assert golden("list").output.startswith("there are no golden")
    assert golden("add", ENGLISH, "rome", "--anyway").exit_code == 0
    asked = golden("ask")
    assert asked.exit_code == 1
    assert "lost since 20" in asked.output
    assert "1 lost, 0 unasked" in asked.output


def test_a_rank_beyond_what_was_asked_for_is_said(bucket: str) -> None:
    refused = golden("add", ENGLISH, "bread", "--top-k", "1")
    assert "bread is not among the first 1 sources, but at " in refused.output


def test_a_vendor_that_is_down_adds_nothing_and_leaves_what_is_there(
    bucket: str, local: Vendors
) -> None:
    pin((ENGLISH, "seoul"))
    local.pinecone.faults.add("rerank", Fault("status", status=503))
    refused = golden("add", KOREAN, "hangul")
    assert refused.exit_code == 1
    assert "could not be asked, without rerank" in refused.output
    asked = golden("ask")
    assert asked.exit_code == 1
    assert "unasked: rerank" in asked.output
    local.forget()
    assert golden("ask").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("add", " ", "seoul"), "question: must not be empty"),
        (("add", ENGLISH, ""), "document: must not be empty"),
        (("add", ENGLISH, "seoul", "--namespace", "a/b"), "--namespace: must be 1 to 64"),
        (("add", ENGLISH, "seoul", "--top-k", "51"), "51 is not in the range"),
    ],
)
def test_what_is_wrong_with_a_command_is_named(
    bucket: str, arguments: tuple[str, ...], named: str
) -> None:
    result = golden(*arguments)
    assert result.exit_code == 2
    assert named in result.output


def test_a_file_that_somebody_broke_is_named_and_left_as_it_is(bucket: str) -> None:
    client().put_object(Bucket=bucket, Key="golden/default.json", Body=b'{"questions": [')
    result = golden("add", ENGLISH, "seoul")
    assert result.exit_code == 2
    assert "golden/default.json: questions" in result.output
    body = client().get_object(Bucket=bucket, Key="golden/default.json")["Body"].read()
    assert body == b'{"questions": ['


def test_of_many_who_add_to_s3_at_once_none_loses_anothers_question(bucket: str) -> None:
    new = [GoldenQuestion(f"Question {n}?", "seoul") for n in range(8)]

    async def add(question: GoldenQuestion) -> None:
        person = GoldenSets(S3Bucket(bucket, region=REGION, timeout_s=20.0))
        await person.put("default", question)
        await person.aclose()

    with ThreadPoolExecutor(len(new)) as people:
        for adding in [people.submit(asyncio.run, add(question)) for question in new]:
            adding.result()
    kept = stored(bucket, "golden/default.json")["questions"]
    assert {one["question"] for one in kept} == {one.text for one in new}


def test_the_hourly_event_asks_all_namespaces_and_counts_what_is_lost(
    bucket: str, quality: ModuleType, local: Vendors, capfd: Any
) -> None:
    pin((ENGLISH, "seoul"), (KOREAN, "kimchi-is-not-here"))
    pin((ENGLISH, "seoul"), namespace="empty")
    local.forget()
    log.configure()  # onto what captures now
    quality.handler({"golden": {}}, HOUR)
    printed = capfd.readouterr()
    (lost, elsewhere) = [
        line
        for line in map(json.loads, filter(None, printed.err.splitlines()))
        if line["message"] == "golden question lost"
    ]
    assert (lost["namespace"], lost["document_id"]) == ("default", "kimchi-is-not-here")
    assert (elsewhere["namespace"], elsewhere["document_id"]) == ("empty", "seoul")
    assert lost["question"].startswith("hmac:")
    assert lost["found"][0] == "hangul"
    assert "found" not in elsewhere
    assert KOREAN not in printed.err
    values = metrics_in(printed.out)
    assert (values["GoldenAsked"], values["GoldenLost"]) == ([3.0], [2.0])
    assert values["ColdStarts"] == [1.0]
    assert not values.keys() & {"Requests", "Latency", "CacheHit", "TopRelevance", "Degraded"}
    kept = stored(bucket, "golden/last/default.json")["questions"]
    assert sorted(one["lost_since"] is None for one in kept.values()) == [False, True]
    assert not [r for r in local.openai.requests if r.operation == "chat"]


def test_a_document_that_is_lost_is_counted_until_it_is_back(
    bucket: str, quality: ModuleType, local: Vendors, capfd: Any
) -> None:
    pin((ENGLISH, "seoul"))
    capfd.readouterr()

    def hour() -> list[float]:
        quality.handler({"golden": {}}, HOUR)
        return metrics_in(capfd.readouterr().out)["GoldenLost"]

    assert hour() == [0.0]
    content = stored(bucket, "golden/default.json")
    content["questions"][0]["document"] = "moved"  # as good as gone
    client().put_object(Bucket=bucket, Key="golden/default.json", Body=json.dumps(content))
    assert [hour(), hour()] == [[1.0], [1.0]]
    content["questions"][0]["document"] = "seoul"
    client().put_object(Bucket=bucket, Key="golden/default.json", Body=json.dumps(content))
    assert hour() == [0.0]


def test_without_a_set_the_function_lists_once_and_says_nothing(
    bucket: str, quality: ModuleType, local: Vendors, capfd: Any
) -> None:
    local.forget()
    for _ in range(2):
        quality.handler({"golden": {}}, HOUR)
    printed = capfd.readouterr()
    assert "Golden" not in printed.out
    assert printed.err == ""
    assert not local.openai.requests
    assert not local.pinecone.requests


def test_an_event_of_another_kind_is_an_error(quality: ModuleType) -> None:
    with pytest.raises(LookupError, match="golden"):
        quality.handler({"silver": {}}, HOUR)


def test_a_trace_has_the_whole_run_and_not_each_question(
    bucket: str, quality: ModuleType, daemon: Daemon
) -> None:
    pin((ENGLISH, "seoul"), (KOREAN, "hangul"))
    daemon.heard()
    quality.handler({"golden": {}}, HOUR)
    (run,) = daemon.heard()
    assert (run["name"], run["trace_id"], run["parent_id"]) == ("golden", ROOT, FUNCTION_SEGMENT)
    assert run["metadata"]["steadyrag"] == {"asked": 2, "lost": 0, "unasked": 0}


@pytest.fixture
def handbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the embedded default has taken in."""
    monkeypatch.setenv("STEADYRAG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "backups.md").write_text("Nightly backups are kept for 35 days.")
    (folder / "leave.md").write_text("연차는 15일이다.", encoding="utf-8")
    assert steadyrag("ingest", "handbook").exit_code == 0
    return folder


def fence(kind: str) -> str:
    """What the page's section has in its one block of this kind."""
    page = (FUNCTIONS.parent / "docs" / "retrieval.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## Golden questions\n(.*?)(?=^## )", page, re.M | re.S)
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```$", section, re.M | re.S)
    return str(block)


def test_the_pages_commands_work_with_the_embedded_default(handbook: Path) -> None:
    commands = [shlex.split(line)[1:] for line in fence("console").splitlines()]
    assert [command[1] for command in commands] == ["add", "ask", "list", "remove"]
    results = [steadyrag(*command) for command in commands]
    assert "handbook/backups.md is found at 1 of 5" in results[0].output
    assert [result.exit_code for result in results] == [0] * 4
    assert golden("list").output.startswith("there are no golden")


def test_a_document_that_is_not_there_to_ingest_any_more_is_lost(handbook: Path) -> None:
    assert golden("add", "연차는 며칠인가?", "handbook/leave.md").exit_code == 0
    (handbook / "leave.md").unlink()
    assert steadyrag("ingest", "handbook").exit_code == 0
    asked = golden("ask")
    assert asked.exit_code == 1
    (row,) = [line.split() for line in asked.output.splitlines() if line.startswith("연차는")]
    assert row[2:6] == ["handbook/leave.md", "none", "1", "lost"]


def test_the_pages_file_is_one_that_is_read() -> None:
    (question,) = read_questions(fence("json").encode())
    assert (question.document_id, question.top_k) == ("handbook/backups.md", 5)
