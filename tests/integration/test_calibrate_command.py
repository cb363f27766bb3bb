"""`steadyrag calibrate` on the embedded default itself, with sets just large enough."""

import json

import pytest
from click.testing import CliRunner

from steadyrag.cli import cli

RIVERS = {
    "Seoul": "Han",
    "Paris": "Seine",
    "London": "Thames",
    "Cairo": "Nile",
    "Vienna": "Danube",
    "Rome": "Tiber",
}
DISHES = {
    "비빔밥": "나물과 고추장",
    "김치찌개": "묵은 김치와 두부",
    "잡채": "당면과 채소",
    "삼계탕": "닭과 인삼",
    "떡국": "가래떡과 육수",
    "냉면": "메밀면과 동치미",
}


def write(folder, documents, questions):
    folder.mkdir()
    for name, texts in (("corpus", documents), ("queries", questions)):
        rows = [{"_id": f"{i}", "text": text} for i, text in enumerate(texts)]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    judged = "".join(f"{i}\t{i}\t1\n" for i in range(len(questions)))
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


@pytest.fixture
def rivers(tmp_path):
    return write(
        tmp_path / "rivers",
        [f"The city of {city} lies on the river {river}." for city, river in RIVERS.items()],
        [f"Which river does {city} lie on?" for city in RIVERS],
    )


@pytest.fixture
def dishes(tmp_path):
    return write(
        tmp_path / "dishes",
        [f"{dish}에는 {what}가 들어간다." for dish, what in DISHES.items()],
        [f"{dish}에는 무엇이 들어가는가?" for dish in DISHES],
    )


@pytest.fixture
def rulers(tmp_path):
    return write(
        tmp_path / "rulers",
        [f"The ruler of {city} in this story is called {city}son." for city in RIVERS],
        [f"Who is the ruler of {city} in the story?" for city in RIVERS],
    )


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    monkeypatch.setenv("STEADYRAG_DATA_DIR", str(tmp_path / "data"))


def run(*arguments):
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


def test_it_fits_prints_and_writes_the_coefficients(rivers, dishes, tmp_path):
    out = tmp_path / "figures.json"
    result = run(rivers, dishes, "--out", out)
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["calibration"]["best"] > 0
    assert figures["calibration"]["below"] > 0
    assert [found["collection"] for found in figures["held_out"]] == ["rivers", "dishes"]
    for found in figures["fitted"]:
        assert found["by_kind"]["foreign"] < found["by_kind"]["answerable"]
    assert "fitted on all sets" in result.stdout


def test_keyword_search_alone_is_fitted_apart(rivers, rulers, tmp_path):
    for name, options in (("both", []), ("keyword", ["--keyword-only"])):
        result = run(rivers, rulers, "--out", tmp_path / name, *options)
        assert result.exit_code == 0, result.output
    both, keyword = (
        json.loads((tmp_path / name).read_text())["calibration"]["background"]["score"]
        for name in ("both", "keyword")
    )
    assert keyword < 1 < both


def test_one_set_is_refused_because_nothing_is_foreign_to_it(rivers):
    result = run(rivers)
    assert result.exit_code == 2
    assert "Two sets at least" in result.output


def test_a_folder_that_is_no_set_is_named(rivers, tmp_path):
    result = run(rivers, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.output


def test_a_reranker_without_scores_is_refused(rivers, dishes, monkeypatch):
    monkeypatch.setenv("STEADYRAG_RERANKER", "none")
    result = run(rivers, dishes)
    assert result.exit_code == 1
    assert "reranker" in result.output
