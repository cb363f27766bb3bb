"""The commands of the documents' page, run as they stand there against a service of their own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.pages import RUN, blocks

ADDRESS = "http://127.0.0.1:8080"
"""As the page has it."""

STRICT = """set -euo pipefail
curl() {{ command curl --fail-with-body "$@"; }}
URL={url}
"""
EXPECTED = {
    "/search": "Nightly backups are kept for 35 days. [1]",
    "-X DELETE": '"status": "deleting"',
}
"""What a block that holds the key has to print, if need be when it is typed again."""

_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("data")
    given = {"STEADYRAG_DATA_DIR": str(folder), "STEADYRAG_PORT": str(port)}
    with subprocess.Popen(
        [Path(sys.executable).with_name("steadyrag"), "serve"],
        env={**os.environ, **given},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
        process.terminate()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + _WITHIN_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health/live"):  # noqa: S310
                return
        except OSError:
            assert process.poll() is None, "the service has ended"
            assert time.monotonic() < ends_at, "the service does not answer"
            time.sleep(0.1)


def test_what_the_page_says_to_type_does_what_it_says(served: str, tmp_path: Path) -> None:
    typed = [block.text for page in RUN for block in blocks(page) if not block.needs_aws]
    assert ADDRESS in typed[0]
    assert all(any(key in text for text in typed) for key in EXPECTED)
    for text in typed:
        _type(text, served, tmp_path, [said for key, said in EXPECTED.items() if key in text])
    _type('curl -s "$URL/documents/leave"', served, tmp_path, ['"status": "indexed"'])
    _type('curl -s "$URL/documents/handbook/backups.md"', served, tmp_path, ['"deleted"'])


def _type(text: str, url: str, folder: Path, expected: list[str]) -> None:
    """Runs a block, again until it prints what is expected. Fails when a command does."""
    script = STRICT.format(url=url) + text.replace(ADDRESS, url)
    ends_at = time.monotonic() + _WITHIN_S
    while True:
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        if all(said in done.stdout for said in expected):
            return
        assert time.monotonic() < ends_at, f"{text}\n{done.stdout}"
        time.sleep(0.5)
