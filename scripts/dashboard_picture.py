"""Draws docs/images/dashboard*.svg: the dashboard of infra/dashboard.yaml over a simulated day."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dashboard_drawing import draw
from dashboard_points import deployed

from infra.cloudformation import ROOT

if TYPE_CHECKING:
    from dashboard_day import Day

IMAGES = ROOT / "docs" / "images"
PICTURES: Mapping[str, Sequence[str]] = {
    "dashboard.svg": ("Users", "Quality", "Cost"),
    "dashboard-below.svg": ("Stages", "Dependencies", "Caches", "Ingest"),
}
"""By file, the rows it shows; the first has the alarms, too."""

SAID = "Simulated day: the index, a fake one, gets slow at 14:00, is lost at 14:20, back at 14:50."


def shown(rows: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The widgets of these rows, as they are deployed."""
    row = ""
    for widget in deployed()["widgets"]:
        if widget["type"] == "text":
            row = widget["properties"]["markdown"].partition("\n")[0].removeprefix("## ")
        if row in rows or (widget["type"] == "alarm" and "Users" in rows):
            yield widget


def pictures(day: Day) -> Iterator[tuple[str, str]]:
    for name, rows in PICTURES.items():
        yield (
            name,
            draw(
                list(shown(rows)),
                day.series,
                day.transitions,
                title=f"Dashboard: {', '.join(rows)}",
                said=SAID,
                window=(day.start, day.end),
                trouble=day.trouble,
            ),
        )


def main() -> None:
    # Imported here: it puts virtual time in the place of the machine's.
    from dashboard_day import simulated

    logging.disable(logging.CRITICAL)  # what the service says of its day
    for name, picture in pictures(simulated()):
        path = IMAGES / name
        path.write_text(picture, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
