"""Where each node is, in six columns, and how each edge runs between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from architecture_graph import KEYS

WIDTH, HEIGHT = 960, 628
COLUMN, _ROW, LEFT, _TOP = 160, 84, 17, 52
BOX_WIDTH, _BOX_HEIGHT = 126, 62


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node is, in units of the picture. `kind` is its class in the style sheet."""

    kind: str
    x: float
    y: float
    width: float = BOX_WIDTH
    height: float = _BOX_HEIGHT

    def at(self, side: str, share: float) -> tuple[float, float]:
        """A point on a side, `share` of its length from the left or the top."""
        across, down = self.x + self.width * share, self.y + self.height * share
        match side:
            case "left":
                return self.x, down
            case "right":
                return self.x + self.width, down
            case "top":
                return across, self.y
            case _:
                return across, self.y + self.height


def _cell(kind: str, column: int, row: int, rows: int = 1) -> Box:
    height = (rows - 1) * _ROW + _BOX_HEIGHT
    return Box(kind, LEFT + column * COLUMN, _TOP + row * _ROW, height=height)


STRIP = Box("strip", LEFT, 482, 766, 130)
_CARD = 175
SHARED = ("Data.CacheTable", "Network.Cache", "Operations.LiveApplication", KEYS)

BOXES: Mapping[str, Box] = {
    "callers": _cell("outside", 0, 0, 3),
    "Api": _cell("entry", 1, 0, 3),
    "SearchFunction": _cell("function", 2, 0),
    "HealthFunction": _cell("function", 2, 1),
    "DocumentsFunction": _cell("function", 2, 2),
    "Data.Documents": _cell("store", 3, 2),
    "Data.IngestQueue": _cell("queue", 4, 2),
    "Data.DocumentsTable": _cell("store", 3, 3),
    "IngestFunction": _cell("function", 4, 3),
    "Data.DeadQueue": _cell("queue", 4, 4),
    "QualityFunction": _cell("function", 1, 3),
    "ReportFunction": _cell("function", 3, 4),
    "vendors": _cell("outside", 5, 0, 4),
    "Release": _cell("alarm", 0, 4),
    "codedeploy": _cell("entry", 1, 4),
    "SmokeFunction": _cell("function", 2, 4),
    "Alarms": Box("alarm", LEFT + 5 * COLUMN, _TOP + 4 * _ROW, height=82),
    "Operations.PageTopic": Box("queue", LEFT + 5 * COLUMN, 502, 59, 44),
    "Operations.TicketTopic": Box("queue", LEFT + 5 * COLUMN + 67, 502, 59, 44),
    "people": Box("outside", LEFT + 5 * COLUMN, 578, height=34),
    **{
        node: Box("store", STRIP.x + 12 + number * (_CARD + 14), STRIP.y + 30, _CARD, 88)
        for number, node in enumerate(SHARED)
    },
}
"""By node. A node of the stack that is not here has to be given a place."""


@dataclass(frozen=True, slots=True)
class Route:
    """How an edge runs: from a side, along bends (x and y in turn), to a side. `both` where
    each end begins now and then."""

    start: tuple[str, float] = ("right", 0.5)
    end: tuple[str, float] = ("left", 0.5)
    bends: Sequence[float] = ()
    both: bool = False
    label: tuple[str, float, float] | None = None


_LANE = _TOP + 2 * _ROW - 11  # above the row of documents
_UNDER = _TOP + 3 * _ROW - 11  # below it
_LOWER = _TOP + 4 * _ROW - 11  # and below the next
_LOWEST = STRIP.y - 6  # above what functions share

ROUTES: Mapping[tuple[str, str], Route] = {
    ("callers", "Api"): Route(),
    ("Api", "SearchFunction"): Route(("right", 31 / 230)),
    ("Api", "HealthFunction"): Route(("right", 0.5)),
    ("Api", "DocumentsFunction"): Route(("right", 199 / 230)),
    ("SearchFunction", "vendors"): Route(("right", 0.5), ("left", 31 / 314)),
    ("HealthFunction", "vendors"): Route(("right", 0.5), ("left", 115 / 314)),
    ("IngestFunction", "vendors"): Route(("right", 0.5), ("left", 283 / 314)),
    ("DocumentsFunction", "Data.Documents"): Route(),
    ("DocumentsFunction", "Data.DocumentsTable"): Route(("bottom", 0.6), ("left", 0.5)),
    ("DocumentsFunction", "Data.IngestQueue"): Route(("top", 0.9), ("top", 0.4), (_LANE,)),
    ("callers", "Data.Documents"): Route(
        ("bottom", 0.5), ("bottom", 0.25), (_UNDER,), label=("upload", 124, _UNDER + 13)
    ),
    ("Data.Documents", "Data.IngestQueue"): Route(("right", 0.35), ("left", 0.35)),
    ("Data.IngestQueue", "IngestFunction"): Route(("bottom", 0.5), ("top", 0.5), both=True),
    ("IngestFunction", "Data.Documents"): Route(("left", 0.25), ("right", 0.75), (643,)),
    ("IngestFunction", "Data.DocumentsTable"): Route(("left", 0.6), ("right", 0.6)),
    ("IngestFunction", "Data.DeadQueue"): Route(("bottom", 0.5), ("top", 0.5)),
    ("Data.IngestQueue", "Data.DeadQueue"): Route(("right", 0.7), ("right", 0.5), (794,)),
    ("QualityFunction", "Data.Documents"): Route(("right", 0.3), ("left", 0.8), (480,)),
    ("QualityFunction", "vendors"): Route(("bottom", 0.5), ("bottom", 0.3), (_LOWER,)),
    ("ReportFunction", "Operations.TicketTopic"): Route(
        ("bottom", 0.5), ("top", 48 / 59), (_LOWEST,)
    ),
    ("Release", "codedeploy"): Route(),
    ("codedeploy", "SmokeFunction"): Route(),
    ("SmokeFunction", "SearchFunction"): Route(("left", 0.2), ("left", 0.8), (320,)),
    ("Alarms", "Operations.PageTopic"): Route(("bottom", 0.25), ("top", 31.5 / 59)),
    ("Alarms", "Operations.TicketTopic"): Route(("bottom", 0.75), ("top", 27.5 / 59)),
    ("Operations.PageTopic", "people"): Route(("bottom", 31.5 / 59), ("top", 0.25)),
    ("Operations.TicketTopic", "people"): Route(("bottom", 27.5 / 59), ("top", 0.75)),
}
