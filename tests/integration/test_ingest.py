"""What is in the folder is in the index, and nothing is paid for twice."""

import shutil
from pathlib import Path

import pytest

from fakes import FakeEmbedder, InMemoryIndex
from ingest_rig import ListedCorpus, Rig, section
from steadyrag.adapters.local.catalogue import SqliteCatalogue
from steadyrag.adapters.local.index import LocalIndex
from steadyrag.domain.filters import Filter


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "docs")


async def test_documents_become_searchable_through_the_real_index(tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    index = LocalIndex(file, embedder="fake/64", dimension=64)
    rig = Rig(tmp_path / "docs", index=index, catalogue=SqliteCatalogue(file))
    rig.write("환불.md", "# 환불 정책\n\n환불은 열흘 안에 됩니다.")
    rig.write("shipping.txt", "Parcels leave within two days.")
    summary = await rig.run()
    assert (summary.added, summary.failed) == (2, [])
    (hit, *_) = await index.keyword_search(
        "환불은 언제", top_k=5, namespace="default", filter=Filter()
    )
    assert hit.chunk.document_id == "docs/환불.md"
    assert hit.chunk.context == "환불 정책"
    assert hit.chunk.metadata == {"source": "docs/환불.md", "format": "markdown"}

    again = await rig.run()
    assert (again.unchanged, again.chunks_embedded, again.chunks_kept) == (2, 0, 2)
    (tmp_path / "docs/shipping.txt").unlink()
    gone = await rig.run()
    assert (gone.unchanged, gone.removed, gone.chunks_deleted) == (1, 1, 1)
    status = await index.status("default")
    assert status.chunks == 1
    await index.aclose()
    await rig.catalogue.aclose()


async def test_an_unchanged_folder_is_neither_parsed_nor_embedded(rig: Rig) -> None:
    documents = [("a", "One text."), ("b", "Another text.")]
    await rig.run(corpus=ListedCorpus(documents))
    rig.embedder.texts.clear()
    summary = await rig.run(corpus=ListedCorpus(documents, parsable=False))
    assert (summary.unchanged, summary.failed) == (2, [])
    assert rig.embedder.texts == []


async def test_only_the_changed_section_of_a_document_is_embedded(rig: Rig) -> None:
    sections = [section(name) for name in ("One", "Two", "Three")]
    rig.write("a.md", "# Manual\n\n" + "\n".join(sections))
    await rig.run()
    rig.embedder.texts.clear()
    sections[1] = sections[1].replace("Line 3", "Line three")
    rig.write("a.md", "# Manual\n\n" + "\n".join(sections))
    summary = await rig.run()
    assert [text.split("\n")[0] for text in rig.embedder.texts] == ["Manual › Two"]
    assert (summary.changed, summary.chunks_embedded) == (1, 1)
    assert (summary.chunks_kept, summary.chunks_deleted) == (2, 1)
    assert "three" in rig.held()["docs/a.md"][2]


async def test_a_section_put_in_front_leaves_the_others_as_they_are(rig: Rig) -> None:
    rig.write("a.md", "# Manual\n\n" + section("One") + section("Two"))
    await rig.run()
    rig.write("a.md", "# Manual\n\n" + section("Zero") + section("One") + section("Two"))
    summary = await rig.run()
    assert (summary.chunks_embedded, summary.chunks_kept, summary.chunks_deleted) == (1, 2, 0)


async def test_a_broken_file_is_named_and_the_rest_goes_in(rig: Rig) -> None:
    rig.write("good.md", "Good.")
    (rig.folder / "bad.pdf").write_bytes(b"not a pdf")
    summary = await rig.run()
    assert list(rig.held()) == ["docs/good.md"]
    ((document_id, reason),) = summary.failed
    assert document_id == "docs/bad.pdf"
    assert "no pdf" in reason


async def test_a_file_that_breaks_keeps_its_last_good_version(rig: Rig) -> None:
    path = rig.write("a.txt", "Good.")
    rig.write("b.txt", "Other.")
    await rig.run()
    path.write_bytes(b"\0" * 100)
    summary = await rig.run()
    assert summary.removed == 0
    assert rig.held()["docs/a.txt"] == ["Good."]


async def test_a_broken_line_of_a_set_removes_nothing(rig: Rig) -> None:
    rig.write("corpus.jsonl", '{"_id": "1", "text": "One."}\n{"_id": "2", "text": "Two."}\n')
    await rig.run()
    rig.write("corpus.jsonl", '{"_id": "1", "text": "One."}\n{"_id": "2", "tex')
    summary = await rig.run()
    assert summary.removed == 0
    assert list(rig.held()) == ["1", "2"]


async def test_an_emptied_folder_removes_nothing(rig: Rig) -> None:
    path = rig.write("a.txt", "Text.")
    other = Rig(rig.folder.parent / "other")
    other.write("b.txt", "Text.")
    await rig.run(rig.folder, other.folder)
    path.unlink()
    summary = await rig.run(rig.folder, other.folder)
    assert summary.removed == 0
    assert list(rig.held()) == ["docs/a.txt", "other/b.txt"]


async def test_calls_are_filled_across_documents(rig: Rig) -> None:
    await rig.run(corpus=ListedCorpus((f"d{n}", f"Text number {n}.") for n in range(250)))
    assert rig.embedder.batches == [100, 100, 50]


async def test_sentences_are_embedded_where_the_index_keeps_them(rig: Rig) -> None:
    rig.index = InMemoryIndex(keeps_sentences=True)
    rig.write("a.md", "# Title\n\nA first sentence of length. A second sentence of length.")
    await rig.run()
    assert rig.embedder.texts == [
        "Title\nA first sentence of length. A second sentence of length.",
        "Title",
        "A first sentence of length.",
        "A second sentence of length.",
    ]
    (embedded,) = rig.index.held().values()
    assert len(embedded.sentences) == 3


async def test_a_sentence_that_many_chunks_share_is_embedded_once_a_batch(rig: Rig) -> None:
    rig.index = InMemoryIndex(keeps_sentences=True)
    footer = "This sentence stands at the end of each document."
    await rig.run(
        corpus=ListedCorpus((f"d{n}", f"Sentence {n} is long enough. {footer}") for n in range(20))
    )
    assert rig.embedder.texts.count(footer) == 1
    assert all(len(e.sentences) == 2 for e in rig.index.held().values())


async def test_documents_are_streamed_not_collected(rig: Rig) -> None:
    corpus = ListedCorpus((f"d{n}", f"Text number {n}.") for n in range(1000))
    waiting: list[int] = []
    embed = rig.embedder.embed_passages

    async def watched(texts):
        waiting.append(corpus.taken - sum(rig.embedder.batches))
        return await embed(texts)

    rig.embedder.embed_passages = watched
    await rig.run(corpus=corpus)
    assert len(waiting) == 10
    assert max(waiting) <= 100


async def test_a_second_document_with_the_same_id_is_a_failure(rig: Rig) -> None:
    summary = await rig.run(corpus=ListedCorpus([("a", "First."), ("a", "Second.")]))
    assert [document_id for document_id, _ in summary.failed] == ["a"]
    assert rig.held() == {"a": ["First."]}


async def test_another_embedder_means_other_vectors_for_everything(rig: Rig) -> None:
    rig.write("a.md", "Text.")
    await rig.run()
    rig.embedder = FakeEmbedder(name="fake-2/64")
    summary = await rig.run()
    assert (summary.changed, summary.chunks_embedded, summary.chunks_deleted) == (1, 1, 0)


async def test_rebuild_embeds_everything_again(rig: Rig) -> None:
    rig.write("a.md", "Text.")
    await rig.run()
    summary = await rig.run(rebuild=True)
    assert (summary.changed, summary.chunks_embedded, summary.chunks_kept) == (1, 1, 0)
    assert rig.held() == {"docs/a.md": ["Text."]}


async def test_namespaces_do_not_see_each_other(rig: Rig) -> None:
    path = rig.write("a.md", "Text.")
    rig.write("b.md", "Text.")
    await rig.run(namespace="one")
    path.unlink()
    summary = await rig.run(namespace="two")
    assert summary.removed == 0
    assert list(rig.held("one")) == ["docs/a.md", "docs/b.md"]
    assert list(rig.held("two")) == ["docs/b.md"]


async def test_another_folder_of_the_same_name_does_not_overwrite_the_first(rig: Rig) -> None:
    rig.write("README.md", "Mine.")
    await rig.run()
    other = Rig(rig.folder.parent / "elsewhere/docs")
    path = other.write("README.md", "Theirs.")
    summary = await rig.run(path.parent)
    ((_, reason),) = summary.failed
    assert "use another --namespace" in reason
    assert rig.held() == {"docs/README.md": ["Mine."]}


async def test_a_folder_that_moved_is_recognised_without_embedding(rig: Rig) -> None:
    rig.write("a.md", "Text.")
    await rig.run()
    moved = rig.folder.parent / "new/docs"
    moved.parent.mkdir()
    shutil.move(rig.folder, moved)
    summary = await rig.run(moved)
    assert (summary.unchanged, summary.chunks_embedded) == (1, 0)
    (record,) = (await rig.catalogue.records("default")).values()
    assert record.origin == str(moved / "a.md")


async def test_a_file_given_by_itself_replaces_what_its_folder_gave(rig: Rig) -> None:
    path = rig.write("sub/a.md", "Text.")
    await rig.run()
    await rig.run(path)
    assert rig.held() == {"a.md": ["Text."]}
    await rig.run()
    assert rig.held() == {"docs/sub/a.md": ["Text."]}


async def test_a_document_without_text_is_counted_not_failed(rig: Rig) -> None:
    rig.write("a.md", "\n")
    summary = await rig.run()
    assert (summary.added, summary.empty, summary.failed) == (1, 1, [])
    assert rig.held() == {}
    assert (await rig.run()).unchanged == 1
