"""The daily schedule of the ingest function, which finds what no event told of."""

from collections.abc import Iterator
from contextlib import contextmanager

from e2e.shelf import Shelf
from e2e.stack import STACK, Cloud
from e2e.waiting import until

NAMESPACE = "sweep"
WITHIN_S = 90.0
KEPT = (
    *("Name", "GroupName", "Description", "State", "ScheduleExpression"),
    *("ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target"),
)


def test_the_sweep_finds_an_object_that_no_event_told_of(shelf: Shelf, cloud: Cloud) -> None:
    """The bucket is mute for a moment."""
    told = shelf.s3.get_bucket_notification_configuration(Bucket=shelf.bucket)
    told.pop("ResponseMetadata")
    shelf.put("kept.md", "This one went missing only later.", namespace=NAMESPACE)
    shelf.until("kept.md", "indexed", namespace=NAMESPACE)
    shelf.s3.put_bucket_notification_configuration(
        Bucket=shelf.bucket, NotificationConfiguration={}
    )
    shelf.put("lost.md", "Nobody told of this one.", namespace=NAMESPACE)
    shelf.drop("kept.md", namespace=NAMESPACE)
    shelf.s3.put_bucket_notification_configuration(
        Bucket=shelf.bucket, NotificationConfiguration=told
    )
    assert shelf.get("lost.md", namespace=NAMESPACE).status_code == 404
    with every_minute(cloud, f"{STACK}-sweep"):
        until(
            lambda: shelf.get("lost.md", namespace=NAMESPACE).status_code,
            lambda code: code == 200,
            within_s=WITHIN_S,
        )
    shelf.until("lost.md", "indexed", namespace=NAMESPACE)
    shelf.until("kept.md", "deleted", namespace=NAMESPACE)


@contextmanager
def every_minute(cloud: Cloud, name: str) -> Iterator[None]:
    """Lets a schedule fire each minute instead of each night, all else as deployed."""
    scheduler = cloud.client("scheduler")
    schedule = scheduler.get_schedule(Name=name)
    kept = {key: schedule[key] for key in KEPT if key in schedule}
    assert kept["State"] == "ENABLED"
    scheduler.update_schedule(**{**kept, "ScheduleExpression": "rate(1 minute)"})
    try:
        yield
    finally:
        scheduler.update_schedule(**kept)


def now_as_scheduled(cloud: Cloud, name: str) -> None:
    """What the schedule calls, called at once with what the schedule says."""
    target = cloud.client("scheduler").get_schedule(Name=name)["Target"]
    answer = cloud.client("lambda").invoke(FunctionName=target["Arn"], Payload=target["Input"])
    assert "FunctionError" not in answer, answer["Payload"].read()
