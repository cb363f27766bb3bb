import json
from dataclasses import replace

import pytest

from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryCatalogue, InMemoryIndex
from steadyrag.domain.errors import Unavailable
from steadyrag.evaluation.benchmark import benchmark, questions_by_language
from steadyrag.evaluation.dataset import limited, read_dataset
from steadyrag.evaluation.english import ENGLISH_QUESTIONS
from steadyrag.evaluation.evaluate import evaluate
from steadyrag.evaluation.workbench import IngestFailed, Workbench
from steadyrag.indexing import IngestParts
from steadyrag.ingest_batches import Retry
from steadyrag.search import Service
from steadyrag.wiring.ingest import files

DOCUMENTS = {
    "d1": "Seoul is the capital of Korea and lies on the Han river.",
    "d2": "The reranker orders candidates by how well they fit.",
    "d3": "경주는 신라의 수도였으며 불국사가 있는 도시이다.",
    "d4": "Bananas ripen faster next to apples.",
}
QUESTIONS = {
    "q1": ("Which river does the capital Seoul lie on?", "d1", ["Han river"]),
    "q2": ("What orders the candidates?", "d2", ["the judge"]),
    "q3": ("불국사가 있는 도시는 어디인가?", "d3", []),
}


@pytest.fixture
def folder(tmp_path):
    rows = [{"id": key, "title": "", "text": text} for key, text in DOCUMENTS.items()]
    queries = [
        {"id": key, "text": text, "answers": answers}
        for key, (text, _, answers) in QUESTIONS.items()
    ]
    home = tmp_path / "small"
    home.mkdir()
    for name, lines in (("corpus", rows), ("queries", queries)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (home / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (home / "qrels.tsv").write_text("".join(f"{q}\t{d}\t1\n" for q, (_, d, _) in QUESTIONS.items()))
    return home


class FakeBench:
    """A workbench of fakes; `open` makes it anew over the same index and catalogue."""

    def __init__(self) -> None:
        self.embedder = FakeEmbedder()
        self.index = InMemoryIndex()
        self.catalogue = InMemoryCatalogue()
        self.reranker = FakeReranker()
        self.generator = FakeGenerator()
        self.opened = 0

    def open(self, **changes) -> Workbench:
        self.opened += 1
        service = Service(self.embedder, self.index, self.reranker, self.generator, self.generator)
        parts = IngestParts(
            self.embedder,
            self.index,
            self.catalogue,
            self.embedder.count_tokens,
            files,
            retry=Retry(attempts=1),
        )
        return Workbench(replace(service, **changes), parts, namespace="small")


@pytest.fixture
def fake():
    return FakeBench()


async def test_every_ranking_is_measured_from_one_retrieval_a_question(folder, fake):
    found = await evaluate(read_dataset(folder), fake.open(), answers=False)
    assert [row.name for row in found.quality.rows] == ["BM25", "dense", "weighted", "rrf", "full"]
    assert all(0 < row.ndcg <= 1 for row in found.quality.rows)
    assert found.quality.full.ndcg == 1
    assert found.chunks == 4
    assert fake.embedder.calls["embed_query"] == 3
    assert fake.index.calls["keyword_search"] == 3
    assert found.quality.answers is None


async def test_answers_are_looked_for_where_a_user_would_read_them(folder, fake):
    found = (await evaluate(read_dataset(folder), fake.open(), answers=True)).quality.answers
    assert (found.questions, found.sources, found.context, found.answer) == (2, 0.5, 0.5, 0.5)
    assert found.literal_questions == 1
    assert (found.literal_sources, found.literal_context, found.literal_answer) == (1, 1, 1)
    assert fake.generator.calls["generate"] == 2


async def test_an_answer_that_leaves_out_the_gold_one_is_only_in_sources_and_context(folder, fake):
    fake.generator.says = "Nobody knows [1]."
    found = (await evaluate(read_dataset(folder), fake.open(), answers=True)).quality.answers
    assert (found.literal_sources, found.literal_context, found.literal_answer) == (1, 1, 0)


async def test_a_lost_stage_is_counted_and_never_passed_over(folder, fake):
    fake.reranker.fail(Unavailable("rerank", "down"), times=4)  # each stage is tried twice
    found = await evaluate(read_dataset(folder), fake.open(), answers=False)
    assert found.quality.lost == {"rerank": 2}


async def test_calibration_is_measured_where_scores_are_calibrated(folder, fake):
    assert (await evaluate(read_dataset(folder), fake.open(), answers=False)).quality.calibration
    fake.reranker = FakeReranker(calibrated=False)
    found = await evaluate(read_dataset(folder), fake.open(), answers=False)
    assert found.quality.calibration is None


async def test_without_a_reranker_the_last_row_is_the_fusion_in_use(folder, fake):
    found = await evaluate(read_dataset(folder), fake.open(reranker=None), answers=False)
    rows = {row.name: row for row in found.quality.rows}
    assert rows["full"].ndcg == rows["weighted"].ndcg


async def test_a_subset_indexes_nothing_else(folder, fake):
    found = await evaluate(limited(read_dataset(folder), 3), fake.open(), answers=False)
    assert found.chunks == 3
    documents = {chunk.chunk.document_id for chunk in fake.index.held("small").values()}
    assert documents == {"d1", "d2", "d3"}


async def test_a_second_run_embeds_no_document_again(folder, fake):
    await evaluate(read_dataset(folder), fake.open(), answers=False)
    embedded = len(fake.embedder.texts)
    await evaluate(read_dataset(folder), fake.open(), answers=False)
    assert len(fake.embedder.texts) == embedded


async def test_an_index_that_takes_nothing_in_ends_the_run(folder, fake):
    fake.index.fail(Unavailable("index", "down"), on="upsert")
    with pytest.raises(IngestFailed, match="index: down"):
        await evaluate(read_dataset(folder), fake.open(), answers=False)


async def test_a_benchmark_ingests_from_empty_then_finds_nothing_to_do(folder, fake):
    found = await benchmark(read_dataset(folder), fake.open)
    assert len(fake.embedder.texts) == 4
    assert found.chunks == 4
    assert min(found.ingest_s, found.reingest_s, found.open_s) > 0
    assert [(row.language, row.questions, row.lost) for row in found.latencies] == [
        ("ko", 1, 0),
        ("en", 2, 0),
    ]
    for row in found.latencies:
        assert row.p50_ms <= row.p90_ms <= row.p99_ms
        assert {"embedding", "vector", "keyword", "rerank", "total"} <= row.stages_ms.keys()


def test_a_korean_set_is_asked_in_english_too(folder):
    dataset = read_dataset(folder)
    korean = replace(dataset, questions=dataset.questions[2:])
    asked = questions_by_language(korean)
    assert asked["ko"] == [QUESTIONS["q3"][0]]
    assert set(asked["en"]) == set(ENGLISH_QUESTIONS)


def test_an_english_set_is_asked_in_english_alone(folder):
    dataset = read_dataset(folder)
    english = replace(dataset, questions=dataset.questions[:2])
    assert questions_by_language(english) == {"en": [QUESTIONS["q1"][0], QUESTIONS["q2"][0]]}
