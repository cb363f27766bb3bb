"""Which document a refusal is about, when documents share the request that is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from documents_rig import DocumentsRig, place, sentences
from ingest_rig import ListedCorpus, Rig
from integration.vendored import DIMENSION, PINECONE_KEY, vendors
from steadyrag.adapters.pinecone_index import PineconeIndex
from steadyrag.domain.errors import DependencyError, Refused, Rejected, Unavailable
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.indexing import LARGEST_METADATA_BYTES
from steadyrag.ingest_batches import MOST_PARTS

TOO_MUCH = Rejected("embedding", "answered 400")
NOT_TAKEN = Rejected("index", "stored 0 of 9 chunks; answered 400")
DOWN = Unavailable("embedding", "answered 503")


@pytest.fixture
def rig() -> DocumentsRig:
    return DocumentsRig()


def refuse_texts(rig: Rig | DocumentsRig, *, otherwise: DependencyError | None = None) -> list[int]:
    """Has the embedder reject each call with a text that says `bad`, and answer all others, if
    at all, as usual. Returns the sizes of the calls to come."""
    inner = rig.embedder.embed_passages
    sizes: list[int] = []

    async def embed(texts: Sequence[str]) -> Any:
        sizes.append(len(texts))
        if any("bad" in text for text in texts):
            raise TOO_MUCH
        if otherwise is not None:
            raise otherwise
        return await inner(texts)

    rig.embedder.embed_passages = embed  # type: ignore[method-assign]
    return sizes


def refuse_chunks(rig: Rig | DocumentsRig) -> list[int]:
    """The same of an index that gets chunks of documents whose id begins with `bad`."""
    inner = rig.index.upsert
    sizes: list[int] = []

    async def upsert(namespace: str, chunks: Sequence[EmbeddedChunk]) -> None:
        sizes.append(len(chunks))
        if any(one.chunk.document_id.startswith("bad") for one in chunks):
            raise NOT_TAKEN
        await inner(namespace, chunks)

    rig.index.upsert = upsert  # type: ignore[method-assign]
    return sizes


async def put(rig: DocumentsRig, *names: str) -> list[str]:
    return [await rig.put(name, f"Text of {name}.") for name in names]


async def statuses(rig: DocumentsRig, *names: str) -> list[str]:
    entries = [await rig.ledger.look_up(place(name)) for name in names]
    return [entry.status if entry else "" for entry in entries]


GOOD = [f"good{n}" for n in range(8)]


class TestTexts:
    async def test_two_that_are_refused_fail_two_documents(self, rig: DocumentsRig) -> None:
        refuse_texts(rig)
        await rig.work(await put(rig, "bad1", *GOOD, "bad-at-the-end"))
        assert await statuses(rig, "bad1", "bad-at-the-end") == ["failed"] * 2
        assert list(rig.held()) == GOOD
        assert len(rig.dead.sent) == 2

    async def test_nobody_is_blamed_while_the_vendor_answers_nothing_else(
        self, rig: DocumentsRig
    ) -> None:
        refuse_texts(rig, otherwise=DOWN)
        await rig.work(await put(rig, "bad", *GOOD))
        assert await statuses(rig, "bad", *GOOD) == ["pending"] * 9
        assert rig.dead.sent == []
        entry = await rig.ledger.look_up(place("good7"))
        assert entry is not None
        assert entry.reason == str(DOWN)

    async def test_all_refused_is_the_vendor_and_documents_wait(self, rig: DocumentsRig) -> None:
        rig.embedder.fail(TOO_MUCH)
        await rig.work(await put(rig, *GOOD))
        assert await statuses(rig, *GOOD) == ["pending"] * 8
        assert rig.dead.sent == []

    async def test_one_that_is_refused_alone_fails(self, rig: DocumentsRig) -> None:
        refuse_texts(rig)
        await rig.work(await put(rig, "bad"))
        assert await statuses(rig, "bad") == ["failed"]

    async def test_three_in_a_row_do_not_end_a_run(self, tmp_path: Path) -> None:
        rig = Rig(tmp_path / "docs")
        refuse_texts(rig)
        texts = [f"Text number {n}, bad." if n % 100 == 0 else f"Number {n}." for n in range(500)]
        summary = await rig.run(corpus=ListedCorpus((f"d{n}", t) for n, t in enumerate(texts)))
        assert summary.stopped is None
        assert [name for name, _ in summary.failed] == ["d0", "d100", "d200", "d300", "d400"]

    @pytest.mark.parametrize("places", [(0, 1, 99), (0, 50, 99), (24, 25, 75)])
    async def test_any_three_of_a_hundred_are_found(
        self, tmp_path: Path, places: tuple[int, ...]
    ) -> None:
        rig = Rig(tmp_path / "docs")
        sizes = refuse_texts(rig)
        texts = [f"{'bad' if n in places else 'Good'} text {n}." for n in range(100)]
        summary = await rig.run(corpus=ListedCorpus((f"d{n}", t) for n, t in enumerate(texts)))
        assert {name for name, _ in summary.failed} == {f"d{n}" for n in places}
        assert len(sizes) <= 1 + MOST_PARTS

    async def test_a_hundred_do_not_cost_a_call_each(self, tmp_path: Path) -> None:
        rig = Rig(tmp_path / "docs")
        sizes = refuse_texts(rig)
        texts = [f"Text {n}, {'good' if n == 3 else 'bad'}." for n in range(100)]
        await rig.run(corpus=ListedCorpus((f"d{n}", t) for n, t in enumerate(texts)))
        assert len(sizes) <= 1 + MOST_PARTS

    async def test_what_was_not_singled_out_waits_for_its_turn(self, rig: DocumentsRig) -> None:
        bad = [f"bad{n}" for n in range(40)]
        refuse_texts(rig)
        await rig.work(await put(rig, *GOOD, *bad))
        first = await statuses(rig, *bad)
        assert {"failed", "pending"} == set(first)
        for n in range(8):
            await rig.work([*await put(rig, f"more{n}"), *map(rig.event, bad)])
        assert await statuses(rig, *bad) == ["failed"] * 40
        assert len(rig.held()) == 8 + 8


class TestChunks:
    async def test_one_document_that_the_index_rejects_holds_up_nobody(
        self, rig: DocumentsRig
    ) -> None:
        refuse_chunks(rig)
        await rig.work(await put(rig, "bad", *GOOD))
        assert await statuses(rig, "bad") == ["failed"]
        assert list(rig.held()) == GOOD
        assert await rig.worker_parts().pause.left_s() == 0
        assert len(rig.dead.sent) == 1

    async def test_by_itself_it_fails_with_the_reason(self, rig: DocumentsRig) -> None:
        refuse_chunks(rig)
        await rig.work(await put(rig, "bad"))
        entry = await rig.ledger.look_up(place("bad"))
        assert entry is not None
        assert (entry.status, entry.reason) == ("failed", str(NOT_TAKEN))

    async def test_an_index_that_rejects_every_one_fails_nobody(self, rig: DocumentsRig) -> None:
        rig.index.fail(NOT_TAKEN, on="upsert")
        await rig.work(await put(rig, *GOOD))
        assert await statuses(rig, *GOOD) == ["pending"] * 8
        rig.index.heal()
        for name in GOOD:
            await rig.queue.send(rig.event(name))
        await rig.work_off()
        assert list(rig.held()) == GOOD

    async def test_a_neighbour_that_the_index_is_too_busy_for_waits(
        self, rig: DocumentsRig
    ) -> None:
        refuse_chunks(rig)
        inner = rig.index.upsert

        async def busy(namespace: str, chunks: Sequence[EmbeddedChunk]) -> None:
            if {one.chunk.document_id for one in chunks} == {"good0"}:
                raise Unavailable("index", "answered 503")
            await inner(namespace, chunks)

        rig.index.upsert = busy  # type: ignore[method-assign]
        await rig.work(await put(rig, "bad", *GOOD))
        assert await statuses(rig, "bad", *GOOD) == ["failed", "pending", *["indexed"] * 7]

    async def test_they_never_end_a_run_and_no_more_is_embedded_of_them(
        self, tmp_path: Path
    ) -> None:
        rig = Rig(tmp_path / "docs")
        refuse_chunks(rig)
        names = [f"{'bad' if n % 40 == 0 else 'd'}{n}" for n in range(400)]
        documents = [(name, f"Text of {name}.") for name in names]
        long = ("bad-long", sentences("cats", 800))
        summary = await rig.run(corpus=ListedCorpus([*documents, long]))
        assert summary.stopped is None
        assert len(summary.failed) == 11
        assert len(rig.held()) == 390
        assert sum("cats" in text for text in rig.embedder.texts) < 150


class TestMetadata:
    async def test_more_than_an_index_takes_is_said_of_the_document(self, tmp_path: Path) -> None:
        rig = Rig(tmp_path / "docs")
        tags = "".join(f"  - tag number {n}\n" for n in range(900))
        rig.write("big.md", f"---\ntags:\n{tags}---\nText.")
        rig.write("good.md", "---\ntags: [a, b]\n---\nText.")
        summary = await rig.run()
        ((name, reason),) = summary.failed
        assert name == "docs/big.md"
        assert "metadata, front matter included; at most 8,000" in reason
        assert list(rig.held()) == ["docs/good.md"]

    async def test_as_much_as_may_be_is_taken_by_pinecone(self, tmp_path: Path) -> None:
        with vendors() as v:
            host = v.environment["STEADYRAG_PINECONE_INDEX_HOST"]
            index = PineconeIndex(api_key=PINECONE_KEY, host=host, dimension=DIMENSION)
            rig = Rig(tmp_path / "docs", index=index)
            rig.embedder = type(rig.embedder)(dimension=DIMENSION)
            rig.max_tokens = 480
            tags = "".join("  - 가\n" for _ in range((LARGEST_METADATA_BYTES - 120) // 7))
            rig.write("a.md", f"---\ntags:\n{tags}---\n" + "환불 정책은 이렇습니다. " * 300)
            summary = await rig.run()
            assert (summary.failed, summary.added) == ([], 1)
            await index.aclose()


async def test_a_key_that_is_refused_midway_blames_no_text(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "docs")
    inner = rig.embedder.embed_passages
    answers = iter([TOO_MUCH, None])

    async def embed(texts: Sequence[str]) -> Any:
        if error := next(answers, Refused("embedding", "answered 401")):
            raise error
        return await inner(texts)

    rig.embedder.embed_passages = embed  # type: ignore[method-assign]
    summary = await rig.run(corpus=ListedCorpus((f"d{n}", f"Text {n}.") for n in range(100)))
    assert len(summary.failed) == 50
    assert {reason for _, reason in summary.failed} == {"embedding: answered 401"}
