"""The end of the stack, and what outlives it."""

import httpx

from e2e import stack
from e2e.conftest import SAM, Step
from e2e.stack import Cloud, Deployed
from e2e.templates import Templates

ARCHIVE = "steadyrag-e2e-archive"
"""Made by a test."""

STAYS = {
    "Logs/GatewayAccount",
    "Logs/GatewayLogRole",
    "Data/Documents",
    "Data/DocumentsTable",
}
"""Other stacks' logs need the first two, and nothing can bring the documents back. The bucket's
policy and, where there is one, the key of both stay with them."""


def test_what_can_not_be_computed_again_outlives_the_stack(templates: Templates) -> None:
    """Read from what CloudFormation gets: the local one keeps nothing of a nested stack."""
    kept = {
        name
        for name, resource in templates.resources.items()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    }
    assert kept == STAYS | {"Data/DocumentsPolicy", "Data/Key"}


def test_nothing_else_is_left_of_a_deleted_stack(
    client: httpx.Client, cloud: Cloud, deployed: Deployed, step: Step
) -> None:
    with step("sam delete"):
        stack.delete(cloud, SAM)
    assert client.get("/health/live").status_code in (403, 404)
    assert cloud.client("lambda").list_functions()["Functions"] == []
    assert cloud.client("lambda").list_layers()["Layers"] == []
    # What a nested stack asks to keep is not kept locally; the test above reads that it asks.
    assert cloud.client("dynamodb").list_tables()["TableNames"] == []
    buckets = [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]
    assert set(buckets) <= {stack.BUCKET, ARCHIVE}
    assert cloud.client("sqs").list_queues().get("QueueUrls", []) == []
    assert cloud.client("sns").list_topics()["Topics"] == []
    assert cloud.client("scheduler").list_schedules()["Schedules"] == []
    assert cloud.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert cloud.client("appconfig").list_applications()["Items"] == []
    assert cloud.client("logs").describe_log_groups()["logGroups"] == []
    assert cloud.client("apigateway").get_rest_apis()["items"] == []
    assert cloud.client("apigateway").get_api_keys()["items"] == []
    roles = cloud.client("iam").list_roles()["Roles"]
    assert [role["RoleName"] for role in roles if role["RoleName"].startswith(stack.STACK)] == []
