"""Files that commands write, and that a check holds against what they would write now."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write(files: Mapping[Path, str], arguments: Sequence[str]) -> None:
    """Writes each; with `--check` among the arguments only ends with an error for the first that
    is not as it would be written."""
    for path, text in files.items():
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.relative_to(ROOT)} is stale: make docs")
