"""Which stores are in use on a data directory, told from process to process."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from servers import ROOT
from steadyrag.adapters.local.announced import StoreAddresses, announced, announcements
from steadyrag.domain.errors import ConfigError

HERE = StoreAddresses(cache_url="redis://user:word@127.0.0.1:1")
ELSEWHERE = StoreAddresses(table_prefix="other-", local_dynamodb_url="http://127.0.0.1:2")

OTHER = f"""
import sys
from pathlib import Path
from steadyrag.adapters.local.announced import StoreAddresses, announced

with announced(Path(sys.argv[1]), {ELSEWHERE!r}):
    print("announced", flush=True)
    sys.stdin.read()
"""


def other_process(data_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "shared")},
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "announced\n"
    return process


def test_every_process_is_found_as_long_as_it_lives(tmp_path):
    data_dir = tmp_path / "not there yet"
    with announced(data_dir, HERE), other_process(data_dir):
        assert set(announcements(data_dir)) == {HERE, ELSEWHERE}
    assert announcements(data_dir) == []
    assert list(data_dir.iterdir()) == []


def test_the_file_of_a_process_that_was_killed_is_ignored_and_swept_up(tmp_path):
    with other_process(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.iterdir())) == 1
    assert announcements(tmp_path) == []
    with announced(tmp_path, HERE):
        assert len(list(tmp_path.iterdir())) == 1


def test_nobody_else_may_read_it(tmp_path):
    with announced(tmp_path, HERE):
        [path] = tmp_path.iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_nobody_ever_served_there_is_nothing(tmp_path):
    assert announcements(tmp_path / "nowhere") == []


def test_a_directory_that_can_not_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="can't be written"),
        announced(tmp_path / "file", HERE),
    ):
        raise AssertionError
