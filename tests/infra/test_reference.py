"""What is written and drawn from the templates is what they say now."""

import re
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from infra.cloudformation import ROOT
from infra.stack import template
from steadyrag.settings import VARIABLES

sys.path.insert(0, str(ROOT / "scripts"))
import architecture
import reference
from architecture_drawing import draw
from architecture_graph import Graph, read_graph


def test_the_reference_is_up_to_date() -> None:
    reference.main(["--check"])


def test_the_pictures_are_up_to_date() -> None:
    architecture.main(["--check"])


def test_a_stale_reference_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = ROOT / "docs" / "stale.md"
    monkeypatch.setattr(reference, "PAGE", stale)
    with pytest.raises(SystemExit, match=r"docs/stale\.md is stale: make docs"):
        reference.main(["--check"])


def test_every_setting_and_every_parameter_has_one_row() -> None:
    rows = re.findall(r"^\| `([A-Za-z0-9_]+)` \|", reference.page().split("## What samc")[0], re.M)
    assert sorted(rows) == sorted([*VARIABLES, *template().parameters])


@pytest.mark.parametrize(
    ("variable", "sources"),
    [
        ("STEADYRAG_CHAT_MODEL", ["`ChatModel`"]),
        ("STEADYRAG_PINECONE_API_KEY_FROM", ["`PineconeKeyName`", "`SecretStore`"]),
        ("STEADYRAG_CACHE_URL", ["`CacheMode`"]),
        ("STEADYRAG_INDEX", ["`pinecone`"]),
        ("STEADYRAG_DOCUMENTS_BUCKET", ["the stack's own"]),
    ],
)
def test_a_setting_says_what_in_a_stack_sets_it(variable: str, sources: list[str]) -> None:
    assert reference.sources_of_variables()[variable] == sources


def test_a_parameter_says_where_it_arrives() -> None:
    reached = reference.arrivals()
    assert all(reached.values()), "a parameter without any effect"
    assert reached["TracePercent"] == ["`infra/tracing.yaml`"]
    assert reached["CorsOrigin"] == [
        "`STEADYRAG_CORS_ORIGIN`",
        "`infra/data.yaml`",
        "`template.yaml`",
    ]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph()


def test_who_may_not_read_the_vendors_keys_is_not_drawn_to_call_them(graph: Graph) -> None:
    callers = {source for source, target in graph.edges if target == "vendors"}
    assert callers == {"SearchFunction", "HealthFunction", "IngestFunction", "QualityFunction"}
    assert graph.nodes["vendors"] == ["openai", "pinecone"]


def test_a_document_is_drawn_on_its_way(graph: Graph) -> None:
    way = ["Api", "DocumentsFunction", "Data.Documents", "Data.IngestQueue", "IngestFunction"]
    assert {*pairwise(way), ("IngestFunction", "vendors")} <= graph.edges
    assert ("Data.IngestQueue", "Data.DeadQueue") in graph.edges


def test_what_reaches_the_cache_is_drawn_in_the_network(graph: Graph) -> None:
    callers = {source for source, target in graph.edges if target == "Network.Cache"}
    assert graph.in_network == callers | {"Network.Cache"}


def test_a_new_part_of_the_stack_has_to_be_given_a_place(graph: Graph) -> None:
    grown = Graph({**graph.nodes, "TidyFunction": []}, graph.edges, graph.in_network)
    with pytest.raises(LookupError, match="TidyFunction"):
        draw(grown, "en")
    busier = Graph(graph.nodes, graph.edges | {("SmokeFunction", "vendors")}, graph.in_network)
    with pytest.raises(LookupError, match="SmokeFunction to vendors"):
        draw(busier, "en")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_picture_stands_alone_and_is_readable_in_light_and_dark(
    graph: Graph, language: str
) -> None:
    picture = draw(graph, language)
    ET.fromstring(picture)  # noqa: S314 - our own
    assert "prefers-color-scheme: dark" in picture
    assert "@import" not in picture
    assert re.findall(r"https?://[^\s\"]+", picture) == ["http://www.w3.org/2000/svg"]
    assert bool(re.search("[가-힣]", picture)) is (language == "ko")


def test_both_pictures_show_the_same(graph: Graph) -> None:
    shapes = [re.findall(r"<(?:path|rect)[^>]*>", draw(graph, name)) for name in ("en", "ko")]
    moved = [shape for shape in shapes[0] if shape not in shapes[1]]
    assert len(shapes[0]) == len(shapes[1])
    assert len(moved) <= 1  # the legend's sample stands before its text
