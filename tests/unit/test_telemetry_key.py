"""Which key the hashes of users' text are made with."""

from pathlib import Path

import pytest

from steadyrag.settings import load
from steadyrag.telemetry import redaction
from steadyrag.telemetry.redaction import redact
from steadyrag.wiring import telemetry

SET = {"STEADYRAG_SEARCH_ID_KEY": "s" * 32}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs, metrics and traces stay as other tests have them, and so does the key."""
    for part in ("log", "metrics", "spans", "records"):
        monkeypatch.setattr(getattr(telemetry, part), "configure", lambda *_, **__: None)
    monkeypatch.setattr(redaction, "_key", b"of this process" * 3)


def hashed(data: Path, environment: dict[str, str], function: str | None = None) -> str:
    settings = load({"STEADYRAG_DATA_DIR": str(data), **environment})
    telemetry.configure_telemetry(settings, function=function)
    return redact("What?", "hash")


def test_all_who_have_the_same_key_write_the_same_hash(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert hashed(here, SET, "search") == hashed(there, SET, "search") == hashed(there, SET)
    assert hashed(here, {"STEADYRAG_SEARCH_ID_KEY": "t" * 32}) != hashed(here, SET)
    assert not here.exists()
    assert not there.exists()


def test_it_is_not_the_key_that_signs_search_ids(tmp_path: Path) -> None:
    shown = hashed(tmp_path, SET)
    redaction.configure(b"s" * 32)
    assert redact("What?", "hash") != shown


def test_a_server_without_one_has_that_of_its_data_directory(tmp_path: Path) -> None:
    assert hashed(tmp_path / "a", {}) == hashed(tmp_path / "a", {}) != hashed(tmp_path / "b", {})


def test_a_function_without_one_has_its_own_and_keeps_none(tmp_path: Path) -> None:
    own = redact("What?", "hash")
    assert hashed(tmp_path, {}, "health") == own
    assert list(tmp_path.iterdir()) == []
