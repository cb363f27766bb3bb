"""How the layer and the functions are put together, on small trees of files."""

import re
import shutil
import struct
import sys
from pathlib import Path

import pytest

from infra.cloudformation import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import bundle


def library(path: Path, machine: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF" + bytes(14) + struct.pack("<H", machine) + bytes(44))


def files(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_what_only_developers_need_is_left_out(tmp_path: Path) -> None:
    kept = ["a/__init__.py", "a/data.json", "a-1.dist-info/METADATA", "a-1.dist-info/licenses/MIT"]
    gone = [".lock", "bin/a", "a/tests/test_a.py", "a/b/c.pyi", "a-1.dist-info/RECORD"]
    files(tmp_path, *kept, *gone, "pinecone/_grpc.abi3.so")
    bundle.prune(tmp_path)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(kept)


def test_the_console_stays_on_the_developers_machine(tmp_path: Path) -> None:
    bundle.copy_package(tmp_path / "steadyrag")
    copied = {path.relative_to(tmp_path / "steadyrag") for path in tmp_path.rglob("*.*")}
    assert {path.suffix for path in copied} == {".py", ".typed"}
    assert Path("search.py") in copied


def test_a_library_for_another_processor_stops_the_build(tmp_path: Path) -> None:
    library(tmp_path / "a" / "fast.so", bundle.ELF_MACHINES["x86_64"])
    bundle.check("x86_64", tmp_path)
    with pytest.raises(SystemExit, match=r"fast\.so is built for machine 62, not arm64"):
        bundle.check("arm64", tmp_path)


def test_what_lambda_brings_stops_the_build(tmp_path: Path) -> None:
    files(tmp_path, "botocore/__init__.py")
    with pytest.raises(SystemExit, match="botocore is in the bundle"):
        bundle.check("arm64", tmp_path)


def test_what_lambda_brings_is_not_installed() -> None:
    pins = bundle.bundled((ROOT / bundle.REQUIREMENTS).read_text(encoding="utf-8"))
    names = {line.partition("==")[0] for line in pins.splitlines() if "==" in line}
    assert {"jmespath", "openai", "orjson"} <= names
    assert not names & set(bundle.OF_THE_RUNTIME)
    assert pins.count("--hash=") >= len(names)


def test_the_parsers_layer_holds_what_the_layer_beside_it_does_not() -> None:
    def names(pins: str) -> set[str]:
        return {line.partition("==")[0] for line in pins.splitlines() if "==" in line}

    common = (ROOT / bundle.REQUIREMENTS).read_text(encoding="utf-8")
    pins = bundle.parser_pins()
    assert {"lxml", "markdown-it-py", "mdurl", "pypdf", "python-docx"} == names(pins)
    both = (ROOT / bundle.PARSERS).read_text(encoding="utf-8")
    assert names(common) | names(pins) == names(both)
    versions = {line.partition(" ")[0] for line in common.splitlines() if "==" in line}
    assert versions <= {line.partition(" ")[0] for line in both.splitlines() if "==" in line}


def test_nothing_in_the_layer_needs_what_lambda_brings_but_the_adapters() -> None:
    text = (ROOT / bundle.REQUIREMENTS).read_text(encoding="utf-8")
    for name in bundle.OF_THE_RUNTIME:
        for pin in re.findall(rf"^{name}==(?:.*\n)+?(?=\S|\Z)", text, flags=re.MULTILINE):
            needed = set(re.findall(r"#\s+(?:via )?([a-z][a-z0-9-]+)$", pin, flags=re.MULTILINE))
            assert needed - {"via"} <= set(bundle.OF_THE_RUNTIME)


def test_the_size_tells_bytecode_from_the_rest(tmp_path: Path) -> None:
    package = tmp_path / "python" / "a"
    package.mkdir(parents=True)
    (package / "a.py").write_bytes(bytes(1_000_000))
    (package / "a.pyc").write_bytes(bytes(500_000))
    assert bundle.measure(tmp_path) == {"source_mb": 1.0, "total_mb": 1.5}


def test_a_function_is_its_handler_and_the_releases_fingerprint(tmp_path: Path) -> None:
    bundle.build_function("search", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["RELEASE", "search.py"]
    assert (tmp_path / "out" / "RELEASE").read_text().strip() == bundle.release()


@pytest.mark.parametrize(
    "changed",
    [
        "shared/steadyrag/settings.py",
        "functions/health.py",
        "infra/data.yaml",
        "requirements/lambda.txt",
        "requirements/parsers.txt",
        "samconfig.toml",
        "template.yaml",
        "scripts/bundle.py",
    ],
)
def test_anything_that_shapes_a_release_changes_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    for name in ("shared/steadyrag", "functions", "infra", "requirements", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("samconfig.toml", "template.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    before = bundle.release()
    assert bundle.release() == before
    with (tmp_path / changed).open("a") as file:
        file.write("\n# changed\n")
    assert bundle.release() != before


def test_documents_and_tests_do_not_change_the_fingerprint() -> None:
    released = {path.relative_to(ROOT).parts[0] for path in bundle.released()}
    assert released == {
        *("functions", "infra", "requirements", "samconfig.toml", "scripts", "shared"),
        "template.yaml",
    }
