"""`steadyrag index create`, from the command line to the vendor."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from steadyrag.cli import cli
from vendors import PineconeVendor, serving

KEY = "pcsk-local-secret"


@pytest.fixture
def pinecone() -> Iterator[PineconeVendor]:
    with serving(PineconeVendor(api_key=KEY)) as vendor:
        yield vendor


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, pinecone: PineconeVendor) -> None:
    monkeypatch.setenv("STEADYRAG_EMBEDDER", "openai")
    monkeypatch.setenv("STEADYRAG_EMBEDDING_DIMENSION", "512")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused")
    monkeypatch.setenv("PINECONE_API_KEY", KEY)
    monkeypatch.setenv("PINECONE_CONTROLLER_HOST", pinecone.url)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["index", "create", *arguments])


def test_it_creates_the_index_for_the_chosen_embedder_and_prints_its_host(
    pinecone: PineconeVendor,
) -> None:
    result = run("--name", "docs", "--region", "us-west-2")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"Index 'docs' created.\nSTEADYRAG_PINECONE_INDEX_HOST={pinecone.host('docs')}\n"
    )
    body = pinecone.asked("create_index")[0].json
    assert body["schema"]["fields"]["embedding"]["dimension"] == 512
    assert body["deployment"]["region"] == "us-west-2"


def test_a_second_run_finds_that_it_fits(pinecone: PineconeVendor) -> None:
    run()
    result = run()
    assert result.exit_code == 0
    assert "Index 'steadyrag' exists and fits." in result.stdout


def test_an_index_for_another_embedder_is_refused(
    pinecone: PineconeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setenv("STEADYRAG_EMBEDDING_DIMENSION", "1536")
    result = run()
    assert result.exit_code == 1
    assert "field 'embedding' has dimension 512, not 1536" in result.stderr
    assert result.stdout == ""


def test_a_wrong_key_is_a_message_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINECONE_API_KEY", "pcsk-wrong")
    result = run()
    assert result.exit_code == 1
    assert result.stderr.endswith("\nsteadyrag: index: answered 401 UNAUTHENTICATED\n")
