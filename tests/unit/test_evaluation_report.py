import io
from statistics import fmean

import pytest
from pydantic import SecretStr
from rich.console import Console

from steadyrag.evaluation.bars import bars
from steadyrag.evaluation.bench_report import BenchReport
from steadyrag.evaluation.dataset import GoldQuestion
from steadyrag.evaluation.latency import Latency
from steadyrag.evaluation.output import publish
from steadyrag.evaluation.provenance import Provenance, changed_settings
from steadyrag.evaluation.quality import sum_up
from steadyrag.evaluation.questions import Outcome
from steadyrag.evaluation.report import EvalReport
from steadyrag.settings import Settings


def outcome(number, *, bm25, dense, fused, score=0.9, calibrated=True):
    """A question whose relevant document `d` each ranking has at the place given, from 1."""

    def ranking(place):
        return [f"x{i}" for i in range(1, place)] + ["d"]

    ranked = {"BM25": bm25, "dense": dense, "weighted": fused, "rrf": bm25, "full": fused}
    return Outcome(
        question=GoldQuestion(f"q{number}", "What?", {"d": 1}),
        ranked={name: ranking(place) for name, place in ranked.items()},
        latency_ms=dict.fromkeys(ranked, 2.0),
        top_score=score,
        calibrated=calibrated,
        lost=(),
    )


def ran_on(**changes):
    values = {
        "dataset": "small",
        "documents": 488,
        "questions": 900,
        "limit": None,
        "embedder": "fake/64",
        "index": "local",
        "reranker": "local",
        "generator": "extractive",
        "chunks": 490,
    }
    return Provenance(**(values | changes))


def latency(language, p50_ms):
    return Latency(language, 20, p50_ms, p50_ms + 1, p50_ms + 2, 9.0, {"embedding": 8.0}, 50.0, 0)


def rendered(report):
    console = Console(file=io.StringIO(), width=140)
    console.print(report.rendered())
    return console.file.getvalue()


def test_the_hybrid_line_compares_the_best_fusion_with_the_better_search():
    outcomes = [outcome(i, bm25=2, dense=3, fused=1 + i % 2) for i in range(40)]
    hybrid = sum_up(outcomes).hybrid
    assert (hybrid.fusion, hybrid.single) == ("weighted", "BM25")
    assert hybrid.gain.mean == pytest.approx(fmean([1, 0.6309] * 20) - 0.6309, abs=1e-3)
    assert 0 < hybrid.gain.low < hybrid.gain.mean < hybrid.gain.high


def test_calibration_compares_the_first_score_with_the_share_that_is_relevant():
    outcomes = [outcome(i, bm25=1, dense=1, fused=1 + i % 2) for i in range(10)]
    found = sum_up(outcomes).calibration
    assert (found.score, found.relevant) == (pytest.approx(0.9), 0.5)
    assert found.error == pytest.approx(0.4)


def test_the_table_and_the_file_hold_the_same_figures(tmp_path):
    quality = sum_up([outcome(i, bm25=2, dense=3, fused=1) for i in range(5)])
    report = EvalReport(ran_on(limit=488), "weighted+rerank", quality, ("a note [1]",))
    said = rendered(report)
    assert "weighted+rerank" in said
    assert "LIMIT=488" in said
    assert "a note [1]" in said
    figures = report.as_json()
    assert [row["name"] for row in figures["rows"]] == ["BM25", "dense", "weighted", "rrf", "full"]
    for row in figures["rows"]:
        assert f"{row['ndcg']:.4f}" in said
    out = tmp_path / "figures.json"
    publish(report, out)
    assert '"ndcg": 0.63093' in out.read_text()


def test_bars_that_are_missed_are_named():
    report = BenchReport(
        ran_on(), 250.0, 300.0, 1.0, 0.2, [latency("ko", 59.0), latency("en", 41.0)]
    )
    missed = [bar.name for bar in report.bars if not bar.met]
    assert missed == ["ingest, s", "p50 en, ms"]
    assert all(name in rendered(report) for name in missed)


def test_a_corpus_the_bars_are_not_meant_for_has_none():
    figures = {"ingest_s": 9e9, "reingest_s": 9e9, "open_s": 9e9, "latencies": []}
    assert bars(documents=5183, **figures) == []
    assert len(bars(documents=488, **figures)) == 3


def test_only_settings_that_change_a_figure_are_told_and_no_secret_is():
    settings = Settings.model_validate(
        {
            "STEADYRAG_FUSION": "rrf",
            "STEADYRAG_DATA_DIR": "elsewhere",
            "STEADYRAG_GENERATOR": "openai",
            "OPENAI_API_KEY": SecretStr("sk-secret"),
        }
    )
    assert changed_settings(settings) == {"STEADYRAG_FUSION": "rrf"}
