import json

import pytest

from steadyrag.evaluation.dataset import BrokenDataset, limited, read_dataset

HEADER = "query-id\tcorpus-id\tscore\n"


def write(folder, *, documents=("d1", "d2", "d3"), id_key="id", qrels="qrels.tsv", judged=None):
    """A test set: question q1 is answered by d1, q2 by d2, unless `judged` says otherwise."""
    corpus = [{id_key: key, "title": f"On {key}", "text": f"Text of {key}."} for key in documents]
    queries = [
        {id_key: "q1", "text": "What of d1?", "answers": ["one"]},
        {id_key: "q2", "text": "What of d2?"},
    ]
    for name, rows in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        folder.joinpath(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / qrels
    path.parent.mkdir(exist_ok=True)
    path.write_text(judged if judged is not None else f"{HEADER}q1\td1\t1\nq2\td2\t2\n")
    return folder


@pytest.mark.parametrize(
    ("id_key", "qrels"), [("_id", "qrels/test.tsv"), ("id", "qrels.tsv")], ids=["beir", "short"]
)
def test_both_spellings_read_the_same(tmp_path, id_key, qrels):
    dataset = read_dataset(write(tmp_path, id_key=id_key, qrels=qrels))
    assert list(dataset.texts) == ["d1", "d2", "d3"]
    assert dataset.texts["d1"] == "On d1\nText of d1."
    assert [(q.id, q.relevant, q.answers) for q in dataset.questions] == [
        ("q1", {"d1"}, ("one",)),
        ("q2", {"d2"}, ()),
    ]


def test_judgements_need_no_header(tmp_path):
    dataset = read_dataset(write(tmp_path, judged="q1\td1\t1\n\nq1\td2\t0\n"))
    assert [dict(q.judged) for q in dataset.questions] == [{"d1": 1, "d2": 0}]


def test_a_question_that_nothing_answers_is_left_out(tmp_path):
    dataset = read_dataset(write(tmp_path, judged="q1\td1\t1\nq2\td2\t0\n"))
    assert [q.id for q in dataset.questions] == ["q1"]


def test_numbers_serve_as_ids_and_a_byte_order_mark_does_not_hurt(tmp_path):
    write(tmp_path, judged="7\t8\t1\n")
    (tmp_path / "corpus.jsonl").write_text('\ufeff{"_id": 8, "text": "Eight."}\n')
    (tmp_path / "queries.jsonl").write_text('\n{"_id": 7, "text": "Seven?"}\n')
    (question,) = read_dataset(tmp_path).questions
    assert (question.id, question.relevant) == ("7", {"8"})


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named(tmp_path, missing):
    (write(tmp_path) / missing).unlink()
    with pytest.raises(BrokenDataset, match=missing):
        read_dataset(tmp_path)


def test_missing_judgements_are_named_in_both_spellings(tmp_path):
    (write(tmp_path) / "qrels.tsv").unlink()
    with pytest.raises(BrokenDataset, match=r"neither qrels/test\.tsv nor qrels\.tsv"):
        read_dataset(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BrokenDataset, match="nowhere is not a folder"):
        read_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("corpus.jsonl", b'{"id": "d1", "text": "x"}\n{oops\n', "line 2: is not JSON"),
        ("corpus.jsonl", b'{"id": "d1", "text": "\xff"}\n', "line 1: is not UTF-8"),
        ("corpus.jsonl", b'{"text": "x"}\n', 'line 1: has no "_id" or "id"'),
        ("corpus.jsonl", b'{"id": "d1", "text": 5}\n', 'line 1: "text" is not a string'),
        ("corpus.jsonl", b'{"id": "d", "text": ""}\n' * 2, "line 2: repeats the id 'd'"),
        ("corpus.jsonl", b"[]\n", "line 1: is not a JSON object"),
        ("corpus.jsonl", b"\n", "holds no document"),
        ("queries.jsonl", b'{"id": "q1", "text": " "}\n', "line 1: text: must not be empty"),
        ("queries.jsonl", b'{"id": "q1", "text": "x", "answers": [1]}\n', 'line 1: "answers"'),
        ("qrels.tsv", b"q1 d1 1\n", "line 1: has 1 columns"),
        ("qrels.tsv", b"q1\td1\t1\nq1\td2\thigh\n", "line 2: the grade 'high'"),
        ("qrels.tsv", b"q9\td1\t1\n", "line 1: no question 'q9'"),
        ("qrels.tsv", b"q1\td1\t0\n", "judges no document relevant"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, name, content, problem):
    write(tmp_path, judged="q1\td1\t1\n")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrokenDataset) as raised:
        read_dataset(tmp_path)
    assert name in str(raised.value)
    assert problem in str(raised.value)


def documents(count):
    return [f"d{number}" for number in range(1, count + 1)]


def test_a_subset_keeps_judged_documents_first_and_is_the_same_every_time(tmp_path):
    dataset = read_dataset(write(tmp_path, documents=documents(40)))
    subset = limited(dataset, 10)
    assert len(subset.texts) == 10
    assert {"d1", "d2"} <= subset.texts.keys()
    assert [q.id for q in subset.questions] == ["q1", "q2"]
    reordered = read_dataset(write(tmp_path, documents=documents(40)[::-1]))
    assert limited(reordered, 10).content_hash == subset.content_hash


def test_a_larger_subset_holds_the_smaller_one(tmp_path):
    dataset = read_dataset(write(tmp_path, documents=documents(40)))
    assert limited(dataset, 10).texts.keys() < limited(dataset, 20).texts.keys()


def test_questions_whose_judged_documents_do_not_all_fit_are_left_out(tmp_path):
    judged = "q1\td1\t1\nq1\td2\t1\nq2\td3\t1\n"
    dataset = read_dataset(write(tmp_path, judged=judged))
    subset = limited(dataset, 2)
    assert len(subset.texts) == 2
    assert [q.id for q in subset.questions] == [
        q.id for q in dataset.questions if q.judged.keys() <= subset.texts.keys()
    ]
    assert len(subset.questions) == 1


def test_a_subset_too_small_for_any_question_says_so(tmp_path):
    dataset = read_dataset(write(tmp_path, judged="q1\td1\t1\nq1\td2\t1\n"))
    with pytest.raises(BrokenDataset, match="take more"):
        limited(dataset, 1)


def test_a_limit_above_the_corpus_changes_nothing(tmp_path):
    dataset = read_dataset(write(tmp_path))
    assert limited(dataset, 3) is dataset


def test_the_content_hash_tells_texts_apart(tmp_path):
    before = read_dataset(write(tmp_path)).content_hash
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("Text of d3", "Test of d3"))
    assert read_dataset(tmp_path).content_hash != before
