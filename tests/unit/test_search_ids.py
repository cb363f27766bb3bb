"""Ids that are bound to who asked, and the key that binds them."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyrag.adapters.local.kept_key import kept_key
from steadyrag.domain.errors import ConfigError
from steadyrag.domain.search_ids import LONGEST, made_for, new_id, sign
from steadyrag.settings import load
from steadyrag.wiring.search_ids import search_ids

KEY, OTHER_KEY = b"k" * 32, b"l" * 32
CALLERS = st.sampled_from(["ip:203.0.113.9", "key:a1", "sub:ann", "key:", ""]) | st.text(max_size=9)


def test_an_id_fits_into_addresses_and_headers():
    signed = sign(new_id(), "key:a1", KEY)
    assert re.fullmatch(r"[0-9a-z]{26}\.[a-z2-7]{16}", signed)
    assert len(sign("f" * 32, "key:a1", KEY)) <= LONGEST


def test_later_ids_sort_after_earlier_ones():
    ids = [new_id(1_700_000_000 + n / 1000) for n in range(2000)]
    assert ids == sorted(ids)
    assert new_id(2**48 / 1000 - 1) > ids[-1]


def test_ids_of_one_moment_differ():
    assert len({new_id(1_700_000_000) for _ in range(1000)}) == 1000


@given(CALLERS, CALLERS, st.binary(min_size=16, max_size=40))
def test_an_id_is_its_callers_and_nobody_elses(caller, other, key):
    signed = sign(new_id(), caller, key)
    assert made_for(signed, caller, key)
    assert made_for(signed, other, key) is (other == caller)
    assert not made_for(signed, caller, key + b"x")


@given(st.integers(0, 42), st.characters())
def test_no_letter_of_an_id_can_be_another(place, letter):
    signed = sign(new_id(1_700_000_000), "key:a1", KEY)
    changed = signed[:place] + letter + signed[place + 1 :]
    assert made_for(changed, "key:a1", KEY) is (changed == signed)


@given(st.text(st.characters(exclude_categories=()), max_size=80))
def test_what_was_made_up_is_nobodys(text):
    assert not made_for(text, "key:a1", KEY)


def test_what_is_cut_off_is_nobodys():
    signed = sign(new_id(), "key:a1", KEY)
    for end in range(len(signed)):
        assert not made_for(signed[:end], "key:a1", KEY)
        assert not made_for(signed[end + 1 :], "key:a1", KEY)


def test_a_caller_and_an_id_cannot_trade_letters():
    assert sign("ab", "c", KEY).partition(".")[2] != sign("a", "bc", KEY).partition(".")[2]


def test_a_kept_key_is_the_same_after_a_restart_and_nobody_elses_to_read(tmp_path: Path):
    path = tmp_path / "data" / "search-id.key"
    key = kept_key(path)
    assert kept_key(path) == key
    assert len(key) == 32
    assert path.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_start_at_once_keep_one_key(tmp_path: Path):
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(kept_key, [tmp_path / "search-id.key"] * 64))
    assert len(keys) == 1


def test_a_key_that_was_cut_off_is_made_anew(tmp_path: Path):
    path = tmp_path / "search-id.key"
    path.write_bytes(b"cut")
    assert kept_key(path) == kept_key(path) != b"cut"


def test_a_key_that_cannot_be_kept_serves_this_process_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING, "steadyrag"):
        key = kept_key(tmp_path / "file" / "search-id.key")
    assert len(key) == 32
    assert [line.message for line in caplog.records] == ["no key kept"]


def test_a_key_that_is_set_is_used_and_none_is_kept(tmp_path: Path):
    search_ids(
        load({"STEADYRAG_SEARCH_ID_KEY": "s" * 32, "STEADYRAG_DATA_DIR": str(tmp_path)}),
    )
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_could_be_guessed_stops_the_start_and_is_not_repeated():
    with pytest.raises(ConfigError, match=r"^STEADYRAG_SEARCH_ID_KEY: .* at least 16") as stopped:
        load({"STEADYRAG_SEARCH_ID_KEY": "qwerty"})
    assert "qwerty" not in str(stopped.value)


def test_the_key_never_prints():
    key = "what-signs-search-ids"
    settings = load({"STEADYRAG_SEARCH_ID_KEY": key})
    assert key not in repr(settings)
    assert key not in settings.model_dump_json()
