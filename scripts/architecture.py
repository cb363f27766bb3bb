"""Draws docs/images/architecture*.svg from the templates. `--check` only says whether they
are up to date."""

import sys
from collections.abc import Mapping, Sequence

from architecture_drawing import draw
from architecture_graph import read_graph

from infra.cloudformation import ROOT

IMAGES = ROOT / "docs" / "images"
PICTURES: Mapping[str, str] = {"architecture.svg": "en", "architecture.ko.svg": "ko"}


def main(arguments: Sequence[str]) -> None:
    graph = read_graph()
    for name, language in PICTURES.items():
        path, picture = IMAGES / name, draw(graph, language)
        if "--check" not in arguments:
            path.write_text(picture, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
        elif not path.exists() or path.read_text(encoding="utf-8") != picture:
            sys.exit(f"{path.relative_to(ROOT)} is stale: make docs")


if __name__ == "__main__":
    main(sys.argv[1:])
