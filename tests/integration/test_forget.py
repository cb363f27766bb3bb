"""Documents taken out everywhere, and caches told of every change."""

from dataclasses import replace

import pytest

from builders import hit
from cache_rig import Fleet
from ingest_rig import Rig, section
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.models import Query
from steadyrag.forget import Forgotten, forget
from steadyrag.resilience.corpus import read_corpus
from steadyrag.resilience.keys import corpus_key

DOWN = Unavailable("valkey", "down")
GONE = Unavailable("index", "gone")


class Told(Rig):
    """A rig whose changes reach a fleet's stores."""

    fleet: Fleet

    def parts(self):
        return replace(super().parts(), changes=self.fleet.changes())

    async def hidden(self) -> set[str]:
        """Documents that environments keep out of answers."""
        state = await self.fleet.environment().shared.open(Query("anything?"))
        names = ["docs/a.md", "docs/b.md", "docs/c.md", "docs/never.md"]
        shown = state.filter_hits([hit(document_id=name) for name in names])
        return set(names) - {h.chunk.document_id for h in shown}

    async def version(self) -> int:
        held = (await self.fleet.valkey.read((), [corpus_key("default")]))[1]
        corpus = read_corpus(held.get(corpus_key("default"), {}))
        return corpus.version if corpus else 0


@pytest.fixture
async def rig(tmp_path) -> Told:
    rig = Told(tmp_path / "docs")
    rig.fleet = Fleet()
    for name in ("a", "b", "c"):
        rig.write(f"{name}.md", section(name))
    await rig.run()
    return rig


class TestIngest:
    async def test_a_run_that_changes_nothing_tells_nobody(self, rig):
        before = await rig.version()
        await rig.run()
        assert await rig.version() == before > 0

    async def test_versions_move_before_and_after_the_index_does(self, rig):
        seen = []
        upsert = rig.index.upsert

        async def watched(*what):
            seen.append(await rig.version())
            await upsert(*what)

        rig.index.upsert = watched
        before = await rig.version()
        rig.write("a.md", section("a, changed"))
        await rig.run()
        assert before < seen[0] < await rig.version()

    async def test_a_document_that_vanished_is_kept_out_until_it_is_back(self, rig):
        (rig.folder / "b.md").unlink()
        assert (await rig.run()).removed == 1
        assert await rig.hidden() == {"docs/b.md"}
        rig.write("b.md", section("b"))
        await rig.run()
        assert await rig.hidden() == set()

    async def test_without_a_store_to_tell_the_index_is_not_touched(self, rig):
        before = rig.held()
        rig.fleet.valkey.fail(DOWN)
        rig.write("a.md", section("a, changed"))
        (rig.folder / "b.md").unlink()
        summary = await rig.run()
        assert {id_ for id_, _ in summary.failed} == {"docs/a.md", "docs/b.md"}
        assert rig.held() == before

    async def test_a_run_that_cannot_tell_of_its_end_says_so(self, rig):
        upsert = rig.index.upsert

        async def then_down(*what):
            await upsert(*what)
            rig.fleet.valkey.fail(DOWN)

        rig.index.upsert = then_down
        rig.write("d.md", section("d"))
        assert "not everybody was told" in (await rig.run()).stopped


class TestForget:
    async def test_a_forgotten_document_is_nowhere(self, rig):
        done = await forget(["docs/a.md", "docs/c.md"], rig.parts())
        assert (done.documents, done.unknown) == (2, [])
        assert done.chunks > 0
        assert set(rig.held()) == {"docs/b.md"}
        assert set(await rig.catalogue.records("default")) == {"docs/b.md"}
        assert await rig.hidden() == {"docs/a.md", "docs/c.md"}

    async def test_doing_it_again_does_no_harm_and_tells_again(self, rig):
        await forget(["docs/a.md"], rig.parts())
        before = await rig.version()
        assert await forget(["docs/a.md", "docs/never.md"], rig.parts()) == Forgotten(
            0, 0, ["docs/a.md", "docs/never.md"]
        )
        assert await rig.hidden() == {"docs/a.md", "docs/never.md"}
        assert await rig.version() > before

    async def test_nothing_is_acknowledged_that_a_store_does_not_know(self, rig):
        before = rig.held()
        rig.fleet.dynamodb.fail(DOWN)
        with pytest.raises(Unavailable):
            await forget(["docs/a.md"], rig.parts())
        assert rig.held() == before

    @pytest.mark.parametrize("part", ["index", "catalogue", "valkey", "dynamodb"])
    async def test_an_interrupted_one_is_finished_by_the_next(self, rig, part):
        broken = rig.fleet.stores.get(part) or getattr(rig, part)
        on = {"index": "delete", "catalogue": "remove"}.get(part, "update")
        broken.fail(GONE, on=on, times=5)
        with pytest.raises(Unavailable):
            await forget(["docs/a.md"], rig.parts())
        await forget(["docs/a.md"], rig.parts())
        assert set(rig.held()) == {"docs/b.md", "docs/c.md"}
        assert await rig.hidden() == {"docs/a.md"}

    @pytest.mark.parametrize("part", ["index", "catalogue", "valkey", "dynamodb"])
    async def test_after_an_interrupted_one_the_document_can_be_ingested_again(self, rig, part):
        before = rig.held()
        broken = rig.fleet.stores.get(part) or getattr(rig, part)
        on = {"index": "delete", "catalogue": "remove"}.get(part, "update")
        broken.fail(GONE, on=on, times=5)
        with pytest.raises(Unavailable):
            await forget(["docs/a.md"], rig.parts())
        await rig.run()
        assert rig.held() == before
        assert await rig.hidden() == set()

    async def test_many_go_in_steps(self, rig):
        for n in range(230):
            rig.write(f"many/{n}.md", f"# {n}\n\nNumber {n} says this.\n")
        await rig.run()
        ids = [f"docs/many/{n}.md" for n in range(230)]
        done = await forget(ids, rig.parts())
        assert done.documents == 230
        assert set(rig.held()) == {"docs/a.md", "docs/b.md", "docs/c.md"}

    async def test_without_stores_there_is_nobody_to_tell(self, rig):
        rig.fleet = Fleet(names=())
        await forget(["docs/a.md"], rig.parts())
        assert set(rig.held()) == {"docs/b.md", "docs/c.md"}
