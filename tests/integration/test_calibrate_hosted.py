"""`steadyrag calibrate` for a hosted reranker, over the vendors' wire servers, whose scores and
judgements were planted."""

import json
import math
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakes import InMemoryStore
from integration.vendored import Vendors, vendors
from steadyrag.cli import cli
from steadyrag.domain.models import Answer, Query
from steadyrag.domain.platt import Platt, parse_fitted
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.search import search
from steadyrag.settings import load
from steadyrag.telemetry import metrics
from steadyrag.wiring.service import build
from vendors import Fault
from vendors.pinecone import PineconeVendor

PLANTED = Platt(-2.0, 0.5, 0.8)
SETTING = "STEADYRAG_RERANK_CALIBRATION"


def planted_score(question: str, passage: str) -> float:
    """The same for the same pair, its logit spread evenly from -8 to 8."""
    chance = random.Random(f"{question}|{passage}")  # noqa: S311 - reproducible, not secret
    return 1 / (1 + math.exp(chance.uniform(-8, 8)))


def written(folder: Path, subject: str, questions: int, *, truth: Platt = PLANTED) -> Path:
    """Twelve documents, of which any is relevant to a question as often as `truth` says."""
    folder.mkdir()
    chance = random.Random(subject)  # noqa: S311 - reproducible, not secret
    texts = {f"{subject}{n}": f"Page {n} of the {subject} handbook." for n in range(12)}
    asked, judged = [], []
    for number in range(questions):
        question = f"What does the {subject} handbook say of matter {number}?"
        scores = [planted_score(question, text) for text in texts.values()]
        found = truth.probabilities(scores)
        gold = [key for key, p in zip(texts, found, strict=True) if chance.random() < p]
        asked.append({"_id": f"q{number}", "text": question})
        judged += [f"q{number}\t{key}\t1\n" for key in gold]
    rows = {"corpus": [{"_id": k, "text": t} for k, t in texts.items()], "queries": asked}
    for name, made in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in made)
        (folder / f"{name}.jsonl").write_text(lines)
    (folder / "qrels.tsv").write_text("".join(judged))
    return folder


@pytest.fixture(scope="module")
def hosted() -> Iterator[Vendors]:
    with vendors() as running:
        running.pinecone.score = planted_score
        yield running


@pytest.fixture
def pinecone(
    hosted: Vendors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PineconeVendor]:
    hosted.forget()
    monkeypatch.setenv("STEADYRAG_DATA_DIR", str(tmp_path / "data"))
    for name, value in hosted.environment.items():
        monkeypatch.setenv(name, value)
    yield hosted.pinecone
    hosted.forget()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    at = tmp_path_factory.mktemp("sets")
    return written(at / "travel", "travel", 80), written(at / "leave", "leave", 100)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


def printed(result: Result) -> str:
    """The value of the setting, which both lines to copy hold."""
    assert result.exit_code == 0, result.output
    [value] = re.findall(rf"^{SETTING}=(\S+)$", result.stdout, re.M)
    assert f'"RerankCalibration={value}",' in result.stdout.splitlines()
    return str(value)


def test_it_says_what_it_will_pay_for_fits_what_was_planted_and_prints_the_lines_to_copy(
    pinecone: PineconeVendor, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "figures.json"
    result = run(*folders, "--out", out)
    value, calls = printed(result), len(pinecone.asked("rerank"))
    first, *_ = result.stderr.splitlines()
    assert first.startswith(
        f"This asks bge-reranker-v2-m3 {calls} times, for about ${calls * 0.002:.2f}"
    )
    fitted = parse_fitted(value)
    assert fitted.model == "bge-reranker-v2-m3"
    assert fitted.platt.below == pytest.approx(PLANTED.below, abs=0.2)
    [shown] = fitted.platt.probabilities([0.99])
    assert shown == pytest.approx(PLANTED.probabilities([0.99])[0], abs=0.15)
    figures = json.loads(out.read_text())
    assert figures["setting"] == value
    assert [found["collection"] for found in figures["held_out"]] == ["travel", "leave"]
    for found in figures["held_out"]:
        assert found["calibration"] is not None
        assert found["first"]["error"] < 0.15
        assert set(found["by_kind"]) == {"answerable", "unanswerable", "foreign"}


def test_one_set_is_checked_in_parts_and_says_what_a_second_would_add(
    pinecone: PineconeVendor, folders: tuple[Path, Path]
) -> None:
    result = run(folders[0])
    assert parse_fitted(printed(result)).platt.best > 0
    assert "Name a second folder" in " ".join(result.stdout.split())
    assert "foreign  " not in result.stdout


def test_two_folders_with_the_same_documents_are_refused_before_anything_is_paid_for(
    pinecone: PineconeVendor, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    result = run(folders[1], written(tmp_path / "copy", "leave", 60))
    assert result.exit_code == 2
    assert "hold the same documents" in " ".join(result.output.split())
    assert not pinecone.requests


def test_too_few_questions_are_refused_before_anything_is_paid_for(
    pinecone: PineconeVendor, tmp_path: Path
) -> None:
    result = run(written(tmp_path / "few", "few", 20))
    assert result.exit_code == 1
    assert "too few for a calibration: bring 50 or more" in result.output
    assert not pinecone.requests


def test_judgements_that_have_nothing_to_do_with_the_scores_are_refused(
    pinecone: PineconeVendor, tmp_path: Path
) -> None:
    at_random = Platt(-1.0, 1e-9, 1e-9)
    result = run(written(tmp_path / "noise", "noise", 60, truth=at_random))
    assert result.exit_code == 1
    assert "may be chance" in result.output or "no higher than others" in result.output
    assert SETTING not in result.output


def test_a_reranker_that_refuses_is_named(
    pinecone: PineconeVendor, folders: tuple[Path, Path]
) -> None:
    pinecone.faults.add("rerank", Fault("status", status=403))
    result = run(*folders)
    assert result.exit_code == 1
    assert "reranker: answered 403" in result.output
    assert len(pinecone.asked("rerank")) == 1


def test_keywords_alone_are_no_matter_of_a_hosted_model(pinecone: PineconeVendor) -> None:
    result = run("--keyword-only", "anywhere")
    assert result.exit_code == 2
    assert "--keyword-only" in result.output


async def answered(environment: Mapping[str, str], question: str, **parts: Any) -> Answer:
    service = build(load(environment), **parts)
    try:
        return await search(Query(question, namespace="default"), service)
    finally:
        await service.aclose()


async def test_with_the_setting_scores_are_probabilities_in_the_same_order_and_the_alarm_sees_them(
    local: Vendors, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that belongs to another model is passed over."""
    question = "Which city is the capital of Korea?"
    raw = await answered(local.environment, question)
    metrics.configure("emf", service="steadyrag", strict=True)
    found = await answered(
        {**local.environment, SETTING: "bge-reranker-v2-m3:-2,0.5,0.8"}, question
    )
    metrics.answered(found)
    other = await answered(
        {**local.environment, SETTING: "pinecone-rerank-v0:-2,0.5,0.8"}, question
    )
    metrics.answered(other)
    metrics.configure("off", strict=True)

    assert [s.id for s in found.sources] == [s.id for s in raw.sources]
    assert [s.score for s in found.sources] == pytest.approx(
        PLANTED.probabilities([s.score for s in raw.sources]), abs=0.01
    )
    assert (raw.calibrated, found.calibrated, other.calibrated) == (False, True, False)
    assert [s.score for s in other.sources] == [s.score for s in raw.sources]
    emitted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    relevance = [one["TopRelevance"] for one in emitted if "TopRelevance" in one]
    assert relevance == [[found.sources[0].score]]


async def test_another_calibration_ends_held_answers(local: Vendors) -> None:
    store = InMemoryStore()
    before, after = (
        {**local.environment, SETTING: f"bge-reranker-v2-m3:{c}", "STEADYRAG_SETTLE_S": "0"}
        for c in ("-1,0.5,1", "-1,0.6,1")
    )
    statuses = [
        (await answered(e, "Which city is the capital?", stores=[GuardedStore(store)])).cache.status
        for e in (before, before, after)
    ]
    assert statuses == ["miss", "hit", "miss"]
