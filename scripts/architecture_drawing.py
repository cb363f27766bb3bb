"""Draws the graph as SVG, readable in light and dark, with whatever fonts there are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

from architecture_graph import Graph
from architecture_labels import LABELS, VENDORS, WORDS
from architecture_layout import (
    BOX_WIDTH,
    BOXES,
    COLUMN,
    HEIGHT,
    LEFT,
    ROUTES,
    SHARED,
    STRIP,
    WIDTH,
    Box,
    Route,
)

STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", "Noto Sans KR", "Apple SD Gothic Neo",
  "Malgun Gothic", sans-serif; font-size: 10.5px; fill: #57606a; }
text.name { font-size: 13px; font-weight: 600; fill: #1f2328; }
text.title { font-size: 15px; font-weight: 600; fill: #1f2328; }
.page { fill: #ffffff; stroke: #d0d7de; }
.box { stroke-width: 1.2; }
.outside { fill: #f6f8fa; stroke: #8c959f; }
.entry { fill: #eef2ff; stroke: #6366f1; }
.function { fill: #fff4e5; stroke: #e07b00; }
.store { fill: #e8f3ff; stroke: #2f81d6; }
.queue { fill: #f5edff; stroke: #9057d8; }
.alarm { fill: #ffeef0; stroke: #d1434b; }
.strip { fill: none; stroke: #d0d7de; }
.network { fill: none; stroke: #8c959f; stroke-dasharray: 3 3; }
.edge { fill: none; stroke: #7d8590; stroke-width: 1.3; }
.head { fill: #7d8590; }
text.label { font-size: 10px; }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa4b0; }
  text.name, text.title { fill: #e6edf3; }
  .page { fill: #0d1117; stroke: #30363d; }
  .outside { fill: #161b22; stroke: #6e7681; }
  .entry { fill: #1a1d3a; stroke: #7c83f7; }
  .function { fill: #2f1f0a; stroke: #e8963a; }
  .store { fill: #0e2238; stroke: #4b9ae8; }
  .queue { fill: #241636; stroke: #a877e6; }
  .alarm { fill: #34161a; stroke: #e5656c; }
  .strip { stroke: #30363d; }
  .network { stroke: #6e7681; }
  .edge { stroke: #8b949e; }
  .head { fill: #8b949e; }
}
"""


def draw(graph: Graph, language: str) -> str:
    """Raises `LookupError` for a node or an edge that nobody has given a place."""
    words = WORDS[language]
    if lost := graph.nodes.keys() - BOXES.keys():
        raise LookupError(f"give these a place in BOXES and a label: {sorted(lost)}")
    parts = [*_frame(words), *_edges(graph, words)]
    for node in graph.nodes:
        parts += _node(node, graph, language)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        f"<title>{escape(words['title'])}</title>\n<style>{STYLE}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse"><path class="head" d="M0 0.5 8 4 0 7.5z"/>'
        f"</marker></defs>\n{body}\n</svg>\n"
    )


def _frame(words: Mapping[str, str]) -> Iterator[str]:
    yield (f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>')
    yield _text(LEFT, 31, words["title"], "title")
    end = LEFT + 5 * COLUMN + BOX_WIDTH
    legend = words["network"]
    start = end - _width(legend, 10.5) - 26
    yield f'<rect class="network" x="{start:.1f}" y="19" width="18" height="14" rx="3"/>'
    yield _text(start + 25, 30, legend)
    yield (
        f'<rect class="strip" x="{STRIP.x}" y="{STRIP.y}" width="{STRIP.width}" '
        f'height="{STRIP.height}" rx="8"/>'
    )
    yield _text(STRIP.x + 12, STRIP.y + 19, words["shared"])


def _edges(graph: Graph, words: Mapping[str, str]) -> Iterator[str]:
    for source, target in sorted(graph.edges):
        if target in SHARED or target in ("Alarms", "Release"):
            continue  # said in words in their boxes
        route = ROUTES.get((source, target))
        back = ROUTES.get((target, source))
        if route is None and back is not None and back.both and (target, source) in graph.edges:
            continue
        if route is None:
            raise LookupError(f"give the edge from {source} to {target} a route")
        both = route.both and (target, source) in graph.edges
        start = ' marker-start="url(#head)"' if both else ""
        points = _points(BOXES[source], BOXES[target], route)
        yield f'<path class="edge" d="{_rounded(points)}"{start} marker-end="url(#head)"/>'
        if route.label:
            word, x, y = route.label
            yield _text(x, y, words[word], "label", anchor="middle")


def _points(source: Box, target: Box, route: Route) -> list[tuple[float, float]]:
    """Corners of an edge: it leaves at a right angle to its side and turns at every bend."""
    start, end = source.at(*route.start), target.at(*route.end)
    points = [start]
    across = route.start[0] in ("left", "right")
    for bend in route.bends:
        x, y = points[-1]
        points.append((bend, y) if across else (x, bend))
        across = not across
    x, y = points[-1]
    corner = (end[0], y) if across else (x, end[1])
    return [*points, end] if corner in (points[-1], end) else [*points, corner, end]


def _rounded(points: Sequence[tuple[float, float]], radius: float = 6) -> str:
    (x, y), *rest = points
    said = [f"M{x:g} {y:g}"]
    for number, (corner_x, corner_y) in enumerate(rest[:-1]):
        before, after = points[number], points[number + 2]
        into = _towards((corner_x, corner_y), before, radius)
        out = _towards((corner_x, corner_y), after, radius)
        said.append(f"L{into} Q{corner_x:g} {corner_y:g} {out}")
    return " ".join([*said, f"L{rest[-1][0]:g} {rest[-1][1]:g}"])


def _towards(point: tuple[float, float], other: tuple[float, float], by: float) -> str:
    (x, y), (other_x, other_y) = point, other
    length = max(abs(other_x - x), abs(other_y - y))
    share = min(by, length / 2) / length
    return f"{x + (other_x - x) * share:g} {y + (other_y - y) * share:g}"


def _node(node: str, graph: Graph, language: str) -> Iterator[str]:
    box = BOXES[node]
    name, below = LABELS[node].of(language)
    if node in graph.in_network:
        yield (
            f'<rect class="network" x="{box.x - 4}" y="{box.y - 4}" width="{box.width + 8}" '
            f'height="{box.height + 8}" rx="9"/>'
        )
    yield (
        f'<rect class="box {box.kind}" x="{box.x}" y="{box.y}" width="{box.width}" '
        f'height="{box.height}" rx="6"/>'
    )
    lines = [below] if below else []
    lines += _said(node, graph, WORDS[language], language)
    wrapped = [part for line in lines for part in _wrapped(line, box.width - 14)]
    middle = box.x + box.width / 2
    y = box.y + box.height / 2 - len(wrapped) * 6.5 + 4.5
    yield _text(middle, y, name, "name", anchor="middle")
    for number, line in enumerate(wrapped, 1):
        yield _text(middle, y + 1 + number * 13, line, anchor="middle")


def _said(node: str, graph: Graph, words: Mapping[str, str], language: str) -> list[str]:
    """What a box says besides its label."""
    known = graph.nodes[node]
    if node == "vendors":
        return [VENDORS[vendor] for vendor in known]
    if node in ("Alarms", "Release"):
        watching = sorted(
            {LABELS[source].of(language)[0] for source, target in graph.edges if target == node}
        )
        said = [words["alarms"].format(count=len(known))]
        return [*said, f"{words['watch']} {', '.join(watching)}"] if watching else said
    if node in SHARED:
        users = [LABELS[user].of(language)[0] for user in BOXES if (user, node) in graph.edges]
        return [f"{words['used by']} {', '.join(users)}"]
    return [*_routes(known), *(_schedule(line, words) for line in known if "(" in line)]


def _routes(lines: Sequence[str]) -> Iterator[str]:
    """`GET, DELETE …/{id}` below `POST /documents`."""
    methods: dict[str, list[str]] = {}
    for line in lines:
        if "(" not in line:
            method, path = line.split()
            methods.setdefault(path.replace("+}", "}"), []).append(method)
    above = ""
    for path, named in methods.items():
        shown = f"…{path.removeprefix(above)}" if above and path.startswith(above) else path
        yield f"{', '.join(named)} {shown}"
        above = above or path


def _schedule(expression: str, words: Mapping[str, str]) -> str:
    if expression == "cron(* * * * ? *)":
        return words["every minute"]
    if re.fullmatch(r"cron\(\d+ \* \* \* \? \*\)", expression):
        return words["every hour"]
    daily = re.fullmatch(r"cron\((\d+) (\d+) \* \* \? \*\)", expression)
    if daily is None:
        raise LookupError(f"say {expression} in words")
    return words["daily"].format(hour=int(daily[2]), minute=int(daily[1]))


def _wrapped(text: str, width: float) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and _width(longer, 10.5) > width:
            yield line
            longer = word
        line = longer
    yield line


def _width(text: str, size: float) -> float:
    """About how wide a text is in any of the fonts."""
    return sum(size * (0.95 if ord(letter) > 0x1100 else 0.53) for letter in text)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:g}" y="{y:g}"{named}{anchored}>{escape(text)}</text>'
