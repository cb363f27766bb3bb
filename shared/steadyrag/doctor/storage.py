"""Tables, the documents' bucket with its queues, the cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from steadyrag.doctor.checking import Check, Finding, Findings, fail, lost, ok, skip, warn
from steadyrag.domain.account import Account, Bucket, Queue, Table
from steadyrag.domain.errors import DependencyError, Refused
from steadyrag.domain.objects import PREFIX

CACHE_KEYS: Final = {"HASH": ("k", "S")}
DOCUMENTS_KEYS: Final = {"HASH": ("n", "S"), "RANGE": ("d", "S")}
EXPIRY = "e"

OLD_S = 3600.0
"""A message that waits for longer than this says that ingest does not keep up."""
DEAD_LETTERS_KEPT_S = 14 * 86_400
RECEIVES_OUTLAST = 6
"""AWS's advice: a message is hidden for as long as that many runs of its function."""

_EVENTS = ("s3:ObjectCreated:", "s3:ObjectRemoved:")


def forbidden(error: DependencyError) -> Finding:
    """What is said where AWS does not let us look: nothing is known to be wrong."""
    if isinstance(error, Refused):
        return warn(
            f"can't be looked at: {error}",
            do="let these credentials read it, or look in AWS's console",
        )
    return lost(error)


def table(
    account: Account,
    name: str,
    *,
    keys: Mapping[str, tuple[str, str]],
    precious: bool,
) -> Check:
    """A `precious` one can't be made again from something else, so it needs backups."""

    async def look() -> Findings:
        found = await account.table(name)
        if found is None:
            return fail(
                f"there is no table {name}",
                do="deploy the stack, or correct STEADYRAG_TABLE_PREFIX",
            )
        problems = list(_table_problems(found, name, keys, precious))
        return problems or ok(f"{name} is there, with its keys and expiry")

    return Check(f"table {name}", look, forbidden)


def _table_problems(
    found: Table, name: str, keys: Mapping[str, tuple[str, str]], precious: bool
) -> list[Finding]:
    problems = []
    if dict(found.keys) != dict(keys):
        held = ", ".join(f"{kind} {at} ({type_})" for kind, (at, type_) in found.keys.items())
        problems.append(
            fail(
                f"{name} has the keys {held}",
                do="it is another table: let the stack make its own under another "
                "STEADYRAG_TABLE_PREFIX",
            )
        )
    if found.status not in ("ACTIVE", "UPDATING"):
        problems.append(fail(f"{name} is {found.status}", do="wait until it is ACTIVE"))
    if found.expiry != EXPIRY:
        problems.append(
            warn(
                f"nothing in {name} expires, so it grows for ever",
                do=f"aws dynamodb update-time-to-live --table-name {name} "
                f"--time-to-live-specification Enabled=true,AttributeName={EXPIRY}",
            )
        )
    if precious and found.restorable is False:
        problems.append(
            warn(
                f"{name} can't be restored to a point in time",
                do=f"aws dynamodb update-continuous-backups --table-name {name} "
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
            )
        )
    return problems


def bucket(account: Account, name: str, *, queue_url: str | None) -> Check:
    async def look() -> Findings:
        found = await account.bucket(name)
        if found is None:
            return fail(
                f"there is no bucket {name}",
                do="deploy the stack, or correct STEADYRAG_DOCUMENTS_BUCKET",
            )
        queue = await account.queue(queue_url) if queue_url else None
        problems = _bucket_problems(found, name, queue)
        return problems or ok(f"{name} is versioned, encrypted and private, and tells the queue")

    return Check("documents bucket", look, forbidden)


def _bucket_problems(found: Bucket, name: str, queue: Queue | None) -> list[Finding]:
    problems = []
    if found.versioned is False:
        problems.append(
            warn(
                f"{name} keeps no versions, so a document that is overwritten is lost",
                do=f"aws s3api put-bucket-versioning --bucket {name} "
                "--versioning-configuration Status=Enabled",
            )
        )
    if found.encrypted is False:
        problems.append(
            warn(f"{name} is not encrypted", do="give it default encryption (SSE-S3 or SSE-KMS)")
        )
    if found.private is False:
        problems.append(
            fail(
                f"{name} does not block public access",
                do=f"aws s3api put-public-access-block --bucket {name} "
                "--public-access-block-configuration BlockPublicAcls=true,"
                "IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
            )
        )
    if queue is not None and found.notifications is not None:
        told = {
            event
            for notification in found.notifications
            if notification.queue_arn == queue.arn and PREFIX.startswith(notification.prefix)
            for event in notification.events
        }
        problems += [
            fail(
                f"{name} does not tell the ingest queue of {kind}*",
                do="deploy the stack again; it sets the bucket's notifications",
            )
            for kind in _EVENTS
            if f"{kind}*" not in told
        ]
    unseen = [
        word
        for word, known in {
            "versions": found.versioned,
            "encryption": found.encrypted,
            "public access": found.private,
            "notifications": found.notifications,
        }.items()
        if known is None
    ]
    if unseen:
        problems.append(
            warn(
                f"these credentials may not see {name}'s {', '.join(unseen)}",
                do="allow them, or look in AWS's console",
            )
        )
    return problems


def ingest_queue(
    account: Account, url: str, *, dead_url: str | None, function_timeout_s: int | None
) -> Check:
    async def look() -> Findings:
        found = await account.queue(url)
        if found is None:
            return _no_queue(url, "STEADYRAG_INGEST_QUEUE_URL")
        problems = []
        dead = await account.queue(dead_url) if dead_url else None
        if found.dead_letter_arn is None or (dead and found.dead_letter_arn != dead.arn):
            problems.append(
                fail(
                    "what can't be taken in does not go to the dead-letter queue, so it is tried "
                    "for ever",
                    do="deploy the stack again; it sets the queue's redrive policy",
                )
            )
        least_s = RECEIVES_OUTLAST * (function_timeout_s or 0)
        if found.visibility_s < least_s:
            problems.append(
                warn(
                    f"messages are hidden for {found.visibility_s} s, and the ingest function "
                    f"may run for {function_timeout_s} s: documents are taken in twice",
                    do=f"set the queue's visibility timeout to {least_s} s",
                )
            )
        if found.oldest_s is not None and found.oldest_s > OLD_S:
            problems.append(
                warn(
                    f"messages that wait: {found.waiting:,}, "
                    f"the oldest for {_hours(found.oldest_s)}",
                    do="see the ingest function's log for why it does not keep up",
                )
            )
        return problems or ok(f"messages that wait: {found.waiting:,}")

    return Check("ingest queue", look, forbidden)


def dead_letters(account: Account, url: str) -> Check:
    async def look() -> Findings:
        found = await account.queue(url)
        if found is None:
            return _no_queue(url, "STEADYRAG_DEAD_QUEUE_URL")
        problems = []
        if found.waiting:
            oldest = f", the oldest for {_hours(found.oldest_s)}" if found.oldest_s else ""
            problems.append(
                warn(
                    f"documents that could not be taken in: {found.waiting:,}{oldest}",
                    do="see the ingest function's log for why, then send them back: "
                    f"aws sqs start-message-move-task --source-arn {found.arn}",
                )
            )
        if found.retention_s < DEAD_LETTERS_KEPT_S:
            problems.append(
                warn(
                    f"dead letters are lost after {_hours(found.retention_s)}",
                    do=f"set the queue's retention to {DEAD_LETTERS_KEPT_S} s (14 days)",
                )
            )
        return problems or ok("empty")

    return Check("dead letters", look, forbidden)


def cache(reach: Callable[[], Awaitable[str]]) -> Check:
    """`reach` asks the cache something and says what it is."""

    async def look() -> Finding:
        return ok(await reach())

    def unreachable(error: DependencyError) -> Finding:
        if isinstance(error, Refused):
            do = (
                "correct the user and password in STEADYRAG_CACHE_URL; with STEADYRAG_CACHE_USER, "
                "allow these credentials elasticache:Connect on that user and that cache"
            )
        else:
            do = (
                "correct STEADYRAG_CACHE_URL; an ElastiCache is reached from inside its VPC only, "
                "with rediss:// and a security group that lets this machine in"
            )
        return fail(str(error), do=do)

    return Check("cache", look, unreachable)


def cache_in_vpc(*, function_in_vpc: bool) -> Check:
    async def look() -> Finding:
        if not function_in_vpc:
            return fail(
                "there is a cache, and the search function is in no VPC to reach it from",
                do="give the functions the VPC of the cache, or unset STEADYRAG_CACHE_URL",
            )
        return skip("can be reached from inside its VPC only; GET /health asks it there")

    return Check("cache", look)


def _no_queue(url: str, setting: str) -> Finding:
    return fail(
        f"there is no queue {url.rpartition('/')[2]}",
        do=f"deploy the stack, or correct {setting}",
    )


def _hours(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} days"
