"""A golden question, from a deployer's shell to the hourly run that finds it lost."""

import json
from typing import Any

from e2e import logs
from e2e.conftest import Command
from e2e.shelf import Shelf
from e2e.stack import STACK, Cloud, Deployed
from e2e.test_sweep import every_minute, now_as_scheduled
from e2e.waiting import until

NAMESPACE = "golden"
QUESTION = "When is the boiler serviced?"
WITHIN_S = 100.0


def test_a_golden_question_is_asked_on_a_schedule_and_lost_with_its_document(
    shelf: Shelf, cloud: Cloud, deployed: Deployed, command: Command
) -> None:
    for name, text in (
        ("boiler.md", "The boiler is serviced every May."),
        ("roof.md", "The roof is looked at after storms."),
    ):
        shelf.put(name, text, namespace=NAMESPACE)
    for name in ("boiler.md", "roof.md"):
        shelf.until(name, "indexed", namespace=NAMESPACE)
    until(lambda: len(shelf.sources(QUESTION, namespace=NAMESPACE)), lambda found: found == 2)
    shell, chosen = cloud.environment(), ("--namespace", NAMESPACE, "--stack", STACK)
    added = command("golden", "add", QUESTION, "boiler.md", *chosen, env=shell)
    assert "boiler.md is found at 1 of 5" in added
    assert "0 lost, 0 unasked" in command("golden", "ask", *chosen, env=shell)
    function = deployed.outputs["QualityFunction"]
    with every_minute(cloud, f"{STACK}-golden"):
        counts = until(lambda: logs.values(cloud, function, "GoldenLost"), bool, within_s=WITHIN_S)
        assert set(counts) == {0.0}
    assert _standing(shelf)["rank"] == 1
    shelf.delete("boiler.md", namespace=NAMESPACE)
    shelf.until("boiler.md", "deleted", namespace=NAMESPACE)

    def lost_by_now() -> list[dict[str, Any]]:
        """Searches hide at once what is deleted; the index shows it for a while."""
        now_as_scheduled(cloud, f"{STACK}-golden")
        return _lost(cloud, function)

    lost = until(lost_by_now, bool)
    assert (lost[0]["namespace"], lost[0]["document_id"]) == (NAMESPACE, "boiler.md")
    assert lost[0]["rank_before"] == 1
    assert QUESTION not in json.dumps(lost)
    assert 1.0 in logs.values(cloud, function, "GoldenLost")
    until(lambda: _standing(shelf)["lost_since"], lambda since: since is not None)
    assert "boiler" in command("golden", "remove", QUESTION, *chosen, env=shell)


def _lost(cloud: Cloud, function: str) -> list[dict[str, Any]]:
    return [
        line
        for line in logs.lines(cloud, function)
        if line.get("message") == "golden question lost"
    ]


def _standing(shelf: Shelf) -> dict[str, Any]:
    """How the only question of the namespace stands, as the function has kept it."""
    key = f"golden/last/{NAMESPACE}.json"
    kept = json.loads(shelf.s3.get_object(Bucket=shelf.bucket, Key=key)["Body"].read())
    (standing,) = kept["questions"].values()
    return dict(standing)
