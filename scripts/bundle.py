"""Builds what `sam build` packages: the layers for one architecture, and each function.

The layer of all functions is `shared/steadyrag` with its pinned dependencies; the parsers that
only ingest needs have one of their own. uv downloads wheels for the target, so neither Docker
nor a machine of that architecture is needed. Only the standard library is used here: any Python
3.13 can run it.
"""

import argparse
import compileall
import contextlib
import hashlib
import json
import os
import platform
import py_compile
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = "requirements/lambda.txt"
PARSERS = "requirements/parsers.txt"

PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
ELF_MACHINES = {"arm64": 183, "x86_64": 62}
PYTHON = (3, 13)

PRUNED = {
    ".lock": "uv's own",
    "bin": "console scripts; nothing runs them",
    "*/tests": "packages' own tests",
    "**/*.pyi": "stubs; type checkers read them, the interpreter does not",
    "*.dist-info/RECORD": "for uninstalling",
    "*.dist-info/INSTALLER": "for uninstalling",
    "*.dist-info/REQUESTED": "for uninstalling",
    "*.dist-info/sboms": "bills of material; the pinned requirements are ours",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.js": "its router is not used",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.css": "its router is not used",
    "pinecone/_grpc.abi3.so": "imported by GrpcIndex alone; the service speaks HTTP",
}
"""Paths below `python/` that the running service can't need, and why."""

MOUNTED = "/opt/python"
"""Where Lambda mounts a layer's packages."""

OF_THE_RUNTIME = {
    "boto3": "boto3",
    "botocore": "botocore",
    "python-dateutil": "dateutil",
    "six": "six.py",
    "urllib3": "urllib3",
}
"""Distributions that Lambda brings, each with what it installs. A copy in the layer would be
28 MB of nothing, and would take the place of the one that Lambda's own SDK was tested with."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    layer = commands.add_parser("layer", help="build the layer")
    layer.add_argument("--architecture", choices=sorted(PLATFORMS), required=True)
    layer.add_argument("--into", type=Path, required=True)
    layer.set_defaults(run=lambda a: build_layer(a.architecture, a.into))
    parsers = commands.add_parser("parsers", help="build the layer of the parsers")
    parsers.add_argument("--architecture", choices=sorted(PLATFORMS), required=True)
    parsers.add_argument("--into", type=Path, required=True)
    parsers.set_defaults(run=lambda a: build_parsers(a.architecture, a.into))
    function = commands.add_parser("function", help="build one function")
    function.add_argument("name")
    function.add_argument("--into", type=Path, required=True)
    function.set_defaults(run=lambda a: build_function(a.name, a.into))
    size = commands.add_parser("size", help="say how large a built layer is, and why")
    size.add_argument("layer", type=Path, nargs="+")
    size.add_argument("--out", type=Path, help="write the figures as JSON, too")
    size.set_defaults(run=lambda a: report(a.layer, a.out))
    chosen = parser.parse_args(arguments)
    chosen.run(chosen)


def build_layer(architecture: str, into: Path) -> None:
    """Fills `into/python`, where Lambda's Python looks for a layer's packages."""
    started = time.monotonic()
    pins = bundled((ROOT / REQUIREMENTS).read_text(encoding="utf-8"))
    target = _fill("layer", architecture, pins, into)
    ours = target / "steadyrag"
    copy_package(ours)
    _compile(ours, as_if=f"{MOUNTED}/steadyrag")
    _say(f"layer for {architecture}", into, started)


def copy_package(into: Path) -> None:
    """The package, less the console's page, which Lambda never serves."""
    ignored = shutil.ignore_patterns("__pycache__", "console")
    shutil.copytree(ROOT / "shared" / "steadyrag", into, ignore=ignored)


def build_parsers(architecture: str, into: Path) -> None:
    """Fills `into/python` with the parsers, less what is in the layer beside them."""
    started = time.monotonic()
    _fill("parsers", architecture, parser_pins(), into)
    _say(f"parsers for {architecture}", into, started)


def _fill(kind: str, architecture: str, pins: str, into: Path) -> Path:
    if sys.version_info[:2] != PYTHON:
        sys.exit(f"bytecode for Lambda needs Python 3.13, not {platform.python_version()}")
    target = into / "python"
    shutil.rmtree(target, ignore_errors=True)
    kept = _dependencies(f"{kind}-{architecture}", architecture, pins)
    shutil.copytree(kept, target, copy_function=_link)
    return target


def _say(what: str, layer: Path, started: float) -> None:
    sizes = measure(layer)
    print(
        f"{what}: {sizes['source_mb']:.1f} MB, "
        f"{sizes['total_mb']:.1f} MB with bytecode, in {time.monotonic() - started:.1f} s",
        flush=True,
    )


def _dependencies(name: str, architecture: str, pins: str) -> Path:
    """The pinned dependencies, installed, pruned and compiled; kept until they, or the rules
    of this file, change. The folder appears whole or not at all."""
    digest = hashlib.sha256(platform.python_version().encode())
    digest.update(pins.encode())
    digest.update((ROOT / "scripts" / "bundle.py").read_bytes())
    kept = ROOT / ".aws-sam" / "dependencies" / f"{name}-{digest.hexdigest()[:16]}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            target = Path(scratch) / "python"
            _install(architecture, pins, target)
            prune(target)
            check(architecture, target)
            _compile(target, as_if=MOUNTED)
            with contextlib.suppress(OSError):  # another build was faster
                target.rename(kept)
        for old in kept.parent.glob(f"{name}-*"):
            if old != kept:
                shutil.rmtree(old, ignore_errors=True)
    return kept


def _link(source: str, target: str) -> None:
    """A hard link where the file system allows it: thousands of files in no time."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def build_function(name: str, into: Path) -> None:
    """Copies one handler, and beside it a fingerprint of everything that shapes a release.

    SAM publishes a new version of a function only when the function's own files change, so
    that without the fingerprint a change of the layer, or of a parameter's value, would
    never reach the alias that takes the traffic.
    """
    into.mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / "functions" / f"{name}.py", into)
    (into / "RELEASE").write_text(release() + "\n")


def release() -> str:
    """A fingerprint of sources, dependencies, template and deploy settings; 16 hex digits."""
    digest = hashlib.sha256()
    for path in released():
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def released() -> Iterator[Path]:
    """The files that a deployment is made from, always in the same order."""
    for name in ("template.yaml", "samconfig.toml"):
        yield ROOT / name
    yield ROOT / REQUIREMENTS
    yield ROOT / PARSERS
    yield ROOT / "scripts" / "bundle.py"
    for folder in ("functions", "shared/steadyrag", "infra"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".yaml", ".json"} and path.is_file():
                yield path


def _install(architecture: str, pins: str, target: Path) -> None:
    done = subprocess.run(  # noqa: S603
        [
            *(os.environ.get("UV", "uv"), "pip", "install", "--quiet", "--target", str(target)),
            *("--python-platform", PLATFORMS[architecture], "--python-version", "3.13"),
            *("--only-binary", ":all:", "--require-hashes", "--no-compile-bytecode"),
            *("--link-mode", "copy", "--no-deps", "-r", "-"),
        ],
        cwd=ROOT,
        input=pins,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit("uv could not install a layer's dependencies; its message is above")


def bundled(requirements: str) -> str:
    """The pins that belong in the layer: all but those of what Lambda brings."""
    return "".join(pin for name, pin in _pins(requirements) if name not in OF_THE_RUNTIME)


def parser_pins() -> str:
    """The pins of the parsers' layer: what ingest needs on top of every function."""
    common, parsers = (
        (ROOT / path).read_text(encoding="utf-8") for path in (REQUIREMENTS, PARSERS)
    )
    held = dict(_pins(common))
    return "".join(pin for name, pin in _pins(parsers) if name not in held)


def _pins(requirements: str) -> Iterator[tuple[str, str]]:
    """Each distribution's name and the lines that pin it."""
    for pin in re.split(r"^(?=[A-Za-z0-9])", requirements, flags=re.MULTILINE):
        if "==" in pin:
            yield pin.partition("==")[0], pin


def prune(target: Path) -> None:
    """Deletes what `PRUNED` names."""
    for pattern in PRUNED:
        for path in list(target.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def check(architecture: str, target: Path) -> None:
    """Stops a bundle that would fail in Lambda, or carry what Lambda has."""
    for name, installed in OF_THE_RUNTIME.items():
        if (target / installed).exists():
            sys.exit(f"{name} is in the bundle; Lambda brings its own")
    for library in target.rglob("*.so"):
        machine = elf_machine(library)
        if machine != ELF_MACHINES[architecture]:
            sys.exit(
                f"{library.relative_to(target)} is built for machine {machine}, not {architecture}"
            )


def elf_machine(path: Path) -> int:
    """`e_machine` of an ELF file: 183 is aarch64, 62 is x86-64."""
    head = path.read_bytes()[:20]
    if head[:4] != b"\x7fELF":
        sys.exit(f"{path} is not a shared library")
    return int(struct.unpack_from("<H", head, 18)[0])


def _compile(folder: Path, *, as_if: str) -> None:
    """Bytecode that Python takes without looking at the source again: Lambda's file system
    is read-only, so what is not compiled here would be compiled in every cold start. Traces
    name files as if the folder were where Lambda mounts it."""
    done = compileall.compile_dir(
        folder,
        quiet=2,
        force=True,
        workers=os.process_cpu_count() or 1,
        stripdir=str(folder),
        prependdir=as_if,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        sys.exit("some files of the bundle do not compile")


def measure(layer: Path) -> dict[str, float]:
    """Unzipped megabytes (10^6 bytes) of a built layer, with and without bytecode."""
    files = [path for path in (layer / "python").rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    bytecode = sum(path.stat().st_size for path in files if path.suffix == ".pyc")
    return {"source_mb": (total - bytecode) / 1e6, "total_mb": total / 1e6}


def report(layers: list[Path], out: Path | None) -> None:
    """Prints the size of each layer and of its largest packages."""
    figures = {}
    for layer in layers:
        sizes = measure(layer)
        figures[layer.name] = sizes
        print(
            f"{layer.name}: {sizes['source_mb']:.1f} MB unzipped, "
            f"{sizes['total_mb']:.1f} MB with bytecode"
        )
        packages: dict[str, list[int]] = {}
        for path in (layer / "python").rglob("*"):
            if path.is_file():
                top = path.relative_to(layer / "python").parts[0]
                held = packages.setdefault(top, [0, 0])
                held[path.suffix == ".pyc"] += path.stat().st_size
        largest = sorted(packages.items(), key=lambda item: -sum(item[1]))[:12]
        for name, (source, bytecode) in largest:
            print(f"  {name:<26} {source / 1e6:6.2f} MB  + {bytecode / 1e6:5.2f} bytecode")
    if out:
        out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
