"""What `sam build` made, looked at as Lambda would load it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.stack import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import bundle

LAYERS = {"LayerArm64": "arm64", "LayerX86": "x86_64"}
PARSERS = {"ParsersArm64": "arm64", "ParsersX86": "x86_64"}
EVERY_LAYER = LAYERS | PARSERS


@pytest.mark.parametrize("layer", EVERY_LAYER)
def test_every_library_is_built_for_the_layers_architecture(built: Path, layer: str) -> None:
    libraries = list((built / layer / "python").rglob("*.so*"))
    assert libraries
    machine = bundle.ELF_MACHINES[EVERY_LAYER[layer]]
    assert {path.name for path in libraries if bundle.elf_machine(path) != machine} == set()


@pytest.mark.parametrize("layer", EVERY_LAYER)
def test_the_layer_is_small(built: Path, layer: str, say: Callable[[str], None]) -> None:
    sizes = bundle.measure(built / layer)
    say(
        f"              {layer}: {sizes['source_mb']:.1f} MB unzipped, "
        f"{sizes['total_mb']:.1f} MB with bytecode"
    )
    assert sizes["source_mb"] <= 60


def test_the_parsers_are_in_a_layer_of_their_own(built: Path) -> None:
    """Search starts without them; nothing is in both."""
    for common, parsers in zip(LAYERS, PARSERS, strict=True):
        held = {path.name for path in (built / common / "python").iterdir()}
        added = {path.name for path in (built / parsers / "python").iterdir()}
        assert {"lxml", "markdown_it", "pypdf", "docx"} <= added
        assert held & added <= {"__pycache__"}


@pytest.mark.parametrize("layer", EVERY_LAYER)
def test_every_module_comes_with_its_bytecode(built: Path, layer: str) -> None:
    python = built / layer / "python"
    missing = [
        path.relative_to(python)
        for path in python.rglob("*.py")
        if not (path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc").exists()
    ]
    assert missing == []


def test_both_layers_hold_the_same_sources(built: Path) -> None:
    arm64, x86_64 = (
        {
            path.relative_to(built / layer).as_posix(): path.read_bytes()
            for path in (built / layer / "python" / "steadyrag").rglob("*.py")
        }
        for layer in LAYERS
    )
    assert arm64 == x86_64


def test_a_functions_own_bundle_is_its_handler_and_the_releases_fingerprint(built: Path) -> None:
    for name in ("search", "health", "documents", "ingest", "quality", "report", "smoke"):
        folder = built / f"{name.title()}Function"
        assert sorted(p.name for p in folder.iterdir()) == ["RELEASE", f"{name}.py"]
