"""What happens without anybody asking."""

import time

from e2e.stack import Cloud, Deployed

WITHIN_S = 100.0
"""A minute, and what the local scheduler and a busy machine add."""


def test_the_service_asks_itself_every_minute(cloud: Cloud, deployed: Deployed) -> None:
    """Nobody else calls the function while this waits."""
    before, ends = _invocations(cloud, deployed), time.monotonic() + WITHIN_S
    while _invocations(cloud, deployed) == before and time.monotonic() < ends:
        time.sleep(1)
    assert _invocations(cloud, deployed) == before + 1


def _invocations(cloud: Cloud, deployed: Deployed) -> int:
    group = f"/aws/lambda/{deployed.outputs['HealthFunction']}"
    events = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    return sum(event["message"].startswith("REPORT ") for event in events)
