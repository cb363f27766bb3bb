"""Draws docs/images/architecture*.svg from the templates. `--check` only says whether they
are up to date."""

import sys
from collections.abc import Mapping, Sequence

from architecture_drawing import draw
from architecture_graph import read_graph
from written import write

from infra.cloudformation import ROOT

IMAGES = ROOT / "docs" / "images"
PICTURES: Mapping[str, str] = {"architecture.svg": "en", "architecture.ko.svg": "ko"}


def main(arguments: Sequence[str]) -> None:
    graph = read_graph()
    pictures = {IMAGES / name: draw(graph, language) for name, language in PICTURES.items()}
    write(pictures, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
