"""The dashboard, as the local AWS keeps it; it draws none."""

import json
import re
from typing import Any

from e2e.stack import REGION, STACK, Cloud, Deployed


def test_the_dashboard_shows_what_was_deployed(cloud: Cloud, deployed: Deployed) -> None:
    body = cloud.client("cloudwatch").get_dashboard(DashboardName=STACK)["DashboardBody"]
    assert not re.findall(r"\$\{[^}]*\}", body)
    widgets: list[dict[str, Any]] = json.loads(body)["widgets"]
    graphs = [widget["properties"] for widget in widgets if widget["type"] == "metric"]
    assert {graph["region"] for graph in graphs} == {REGION}
    named = {part for graph in graphs for line in graph["metrics"] for part in map(str, line)}
    for output in ("SearchFunction", "HealthFunction", "DocumentsFunction", "IngestFunction"):
        assert deployed.outputs[output] in named
    assert STACK in named
    (sources,) = (one for one in graphs if one["title"].startswith("SourcesLatency"))
    marks = {one["label"]: one["value"] for one in sources["annotations"]["horizontal"]}
    assert marks == {"sources-slow": 1000, "goal": 500}


def test_the_output_leads_to_it(deployed: Deployed) -> None:
    assert deployed.outputs["DashboardUrl"].endswith(f"#dashboards/dashboard/{STACK}")
