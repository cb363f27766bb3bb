"""Dependency confusion: nothing but the package index named by its hashes can get in."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = sorted((ROOT / "requirements").glob("*.txt"))
ELSEWHERE = ("--index-url", "--extra-index-url", "--find-links", "--trusted-host", "-i ", "-f ")


def entries(path: Path) -> list[str]:
    """Requirements with their continuation lines."""
    text = re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [entry.strip() for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_every_requirement_is_one_version_with_hashes_and_comes_from_no_address(path):
    assert entries(path)
    for entry in entries(path):
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==[^ ;]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
        assert " @ " not in entry
        assert "://" not in entry


def test_no_other_index_is_configured():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert not {"index", "sources", "find-links"} & project.get("tool", {}).get("uv", {}).keys()
    for name in ("uv.toml", "pip.conf", ".pip/pip.conf", ".pypirc", "setup.cfg"):
        assert not (ROOT / name).exists()


def test_no_command_of_ours_names_another_index_or_installs_without_hashes():
    files = [ROOT / "Makefile", ROOT / "scripts/bundle.py", *(ROOT / "infra").glob("*.mk")]
    files += [ROOT / ".ci/run", ROOT / "functions/Makefile", ROOT / "shared/Makefile"]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert [option for option in ELSEWHERE[:4] if option in text] == [], path
        for line in re.findall(r".*pip install.*", text):
            bootstrap = "pip install --quiet --disable-pip-version-check uv" in line
            own = "--no-deps" in line and "--build-constraints" in line
            assert "--require-hashes" in line or bootstrap or own, (path, line)
