"""What the doctor says of what it is told, over an account and vendors that are made up."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fakes import FakeEmbedder
from steadyrag.doctor import deployed, storage, vendors
from steadyrag.doctor.checking import Check, Finding, examine, healthy, ok, warn
from steadyrag.domain.account import (
    Bucket,
    Concurrency,
    Function,
    Identity,
    Notification,
    Queue,
    Stack,
    Subscription,
    Table,
)
from steadyrag.domain.errors import ConfigError, Refused, Throttled, Unavailable

CACHE = Table("ACTIVE", {"HASH": ("k", "S")}, "e", restorable=False)
DOCUMENTS = Table("ACTIVE", {"HASH": ("n", "S"), "RANGE": ("d", "S")}, "e", restorable=True)
QUEUE = Queue("arn:aws:sqs:x:1:in", 3, 1800, 345_600, "arn:aws:sqs:x:1:dead", 60.0)
DEAD = Queue("arn:aws:sqs:x:1:dead", 0, 30, 14 * 86_400, None, None)
NOTIFICATION = Notification(
    QUEUE.arn, frozenset({"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}), "documents/"
)
BUCKET = Bucket(versioned=True, encrypted=True, private=True, notifications=[NOTIFICATION])
PLENTY = Concurrency(1000, 900)
FUNCTION = Function("7", {}, 28, in_vpc=False, state="Active")


@dataclass
class FakeAccount:
    """An account where all is well, unless a test says otherwise. `error` is what it raises."""

    tables: dict[str, Table] = field(
        default_factory=lambda: {"rag-cache": CACHE, "rag-documents": DOCUMENTS}
    )
    buckets: dict[str, Bucket] = field(default_factory=lambda: {"docs": BUCKET})
    queues: dict[str, Queue] = field(
        default_factory=lambda: {"https://in": QUEUE, "https://dead": DEAD}
    )
    functions: dict[tuple[str, str | None], Function] = field(
        default_factory=lambda: {("search", "live"): FUNCTION}
    )
    limits: Concurrency = PLENTY
    role: str | None = "arn:aws:iam::1:role/gateway-logs"
    receivers: Mapping[str, Sequence[Subscription]] = field(default_factory=dict)
    time_s: float = 1_000_000.0
    error: Exception | None = None

    def _may_ask(self) -> None:
        if self.error is not None:
            raise self.error

    async def identity(self) -> Identity:
        self._may_ask()
        return Identity("123456789012", "eu-west-1")

    async def now(self) -> float:
        return self.time_s

    async def stack(self, name: str) -> Stack | None:
        return None

    async def function(self, name: str, qualifier: str | None = None) -> Function | None:
        return self.functions.get((name, qualifier))

    async def table(self, name: str) -> Table | None:
        self._may_ask()
        return self.tables.get(name)

    async def bucket(self, name: str) -> Bucket | None:
        return self.buckets.get(name)

    async def queue(self, url: str) -> Queue | None:
        return self.queues.get(url)

    async def concurrency(self) -> Concurrency:
        return self.limits

    async def gateway_log_role(self) -> str | None:
        return self.role

    async def subscriptions(self, topic_arn: str) -> Sequence[Subscription]:
        return self.receivers.get(topic_arn, [])

    async def aclose(self) -> None: ...


async def findings(*checks: Check) -> list[Finding]:
    return [finding for one in await examine(checks) for finding in one.findings]


async def only(*checks: Check) -> Finding:
    [finding] = await findings(*checks)
    if finding.status in ("warn", "fail"):
        assert finding.do, "whoever reads it must know what to do"
    return finding


# The runner


async def test_checks_run_at_once():
    meet = asyncio.Barrier(3)

    async def look() -> Finding:
        await meet.wait()
        return ok("met")

    assert {f.status for f in await findings(*(Check(f"c{n}", look) for n in range(3)))} == {"ok"}


async def test_a_check_that_hangs_fails_alone():
    async def hang() -> Finding:
        await asyncio.sleep(60)
        raise AssertionError

    async def fine() -> Finding:
        return ok("fine")

    slow, quick = await examine([Check("slow", hang), Check("quick", fine)], timeout_s=0.05)
    assert (slow.findings[0].status, quick.findings[0].status) == ("fail", "ok")
    assert "no answer" in slow.findings[0].said


async def test_a_check_that_breaks_fails_with_the_class_of_its_error_and_nothing_of_its_text():
    async def broken() -> Finding:
        raise RuntimeError("sk-secret")

    found = await only(Check("broken", broken))
    assert (found.status, found.said) == ("fail", "the check broke: RuntimeError")
    assert "sk-secret" not in found.do


async def test_a_setting_that_does_not_fit_is_a_finding():
    async def unfit() -> Finding:
        raise ConfigError("STEADYRAG_INDEX: needs a host")

    assert (await only(Check("index", unfit))).said == "STEADYRAG_INDEX: needs a host"


async def test_progress_counts_every_check():
    async def fine() -> Finding:
        return ok("fine")

    seen: list[tuple[int, int]] = []
    await examine([Check("a", fine)] * 3, advance=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


async def test_warnings_leave_a_deployment_healthy_and_failures_do_not():
    async def dubious() -> Finding:
        return warn("hm", do="look")

    async def broken() -> Finding:
        raise Unavailable("cache", "is gone")

    assert healthy(await examine([Check("a", dubious)]))
    assert not healthy(await examine([Check("a", dubious), Check("b", broken)]))


# Tables


def cache_table(account: FakeAccount) -> Check:
    return storage.table(account, "rag-cache", keys=storage.CACHE_KEYS, precious=False)


def documents_table(account: FakeAccount) -> Check:
    return storage.table(account, "rag-documents", keys=storage.DOCUMENTS_KEYS, precious=True)


async def test_tables_as_the_template_makes_them_are_fine():
    account = FakeAccount()
    found = await findings(cache_table(account), documents_table(account))
    assert [f.status for f in found] == ["ok", "ok"]


async def test_a_missing_table_names_the_prefix():
    found = await only(cache_table(FakeAccount(tables={})))
    assert found.status == "fail"
    assert "STEADYRAG_TABLE_PREFIX" in found.do


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"keys": {"HASH": ("id", "S")}}, "fail", "HASH id (S)"),
        ({"keys": {"HASH": ("n", "S"), "RANGE": ("d", "N")}}, "fail", "d (N)"),
        ({"expiry": None}, "warn", "expires"),
        ({"expiry": "ttl"}, "warn", "expires"),
        ({"restorable": False}, "warn", "point in time"),
        ({"status": "DELETING"}, "fail", "DELETING"),
    ],
)
async def test_a_table_that_is_not_as_it_should_be_says_how(change, status, said):
    account = FakeAccount(tables={"rag-documents": replace(DOCUMENTS, **change)})
    found = await only(documents_table(account))
    assert found.status == status
    assert said in found.said


async def test_everything_wrong_with_a_table_is_said_at_once():
    unfit = Table("ACTIVE", {"HASH": ("id", "S")}, None, restorable=False)
    account = FakeAccount(tables={"rag-documents": unfit})
    assert [f.status for f in await findings(documents_table(account))] == ["fail", "warn", "warn"]


async def test_what_aws_does_not_let_us_see_is_no_failure():
    account = FakeAccount(error=Refused("aws", "dynamodb describe_table answered 400 AccessDenied"))
    found = await only(cache_table(account))
    assert found.status == "warn"
    assert "AccessDenied" in found.said


async def test_an_aws_that_does_not_answer_is_one():
    account = FakeAccount(error=Unavailable("aws", "dynamodb could not be reached"))
    assert (await only(cache_table(account))).status == "fail"


# The bucket and its queues


def bucket(account: FakeAccount) -> Check:
    return storage.bucket(account, "docs", queue_url="https://in")


async def test_a_bucket_as_the_template_makes_it_is_fine():
    assert (await only(bucket(FakeAccount()))).status == "ok"


async def test_a_missing_bucket_names_its_setting():
    assert "STEADYRAG_DOCUMENTS_BUCKET" in (await only(bucket(FakeAccount(buckets={})))).do


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"versioned": False}, "warn", "versions"),
        ({"encrypted": False}, "warn", "encrypted"),
        ({"private": False}, "fail", "public"),
        ({"private": None}, "warn", "may not see"),
        ({"notifications": None}, "warn", "may not see"),
    ],
)
async def test_a_bucket_that_is_not_as_it_should_be_says_how(change, status, said):
    found = await only(bucket(FakeAccount(buckets={"docs": replace(BUCKET, **change)})))
    assert found.status == status
    assert said in found.said


@pytest.mark.parametrize(
    "change",
    [
        {"queue_arn": "arn:aws:sqs:x:1:other"},
        {"events": frozenset({"s3:ObjectTagging:*"})},
        {"prefix": "elsewhere/"},
    ],
    ids=str,
)
async def test_a_bucket_that_does_not_tell_the_queue_fails_for_each_event(change):
    told = replace(BUCKET, notifications=[replace(NOTIFICATION, **change)])
    found = await findings(bucket(FakeAccount(buckets={"docs": told})))
    assert [f.status for f in found] == ["fail", "fail"]


async def test_notifications_of_the_whole_bucket_and_in_two_parts_are_fine():
    parts = [
        Notification(QUEUE.arn, frozenset({event}), "")
        for event in ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    ]
    account = FakeAccount(buckets={"docs": replace(BUCKET, notifications=parts)})
    assert (await only(bucket(account))).status == "ok"


def ingest_queue(queue: Queue | None, function_timeout_s: int | None = 300) -> Check:
    queues = {"https://dead": DEAD} | ({"https://in": queue} if queue else {})
    return storage.ingest_queue(
        FakeAccount(queues=queues),
        "https://in",
        dead_url="https://dead",
        function_timeout_s=function_timeout_s,
    )


async def test_a_queue_that_keeps_up_is_fine():
    assert (await only(ingest_queue(QUEUE))).status == "ok"
    assert (await only(ingest_queue(replace(QUEUE, oldest_s=None)))).status == "ok"


@pytest.mark.parametrize(
    ("queue", "status", "said"),
    [
        (None, "fail", "no queue"),
        (replace(QUEUE, dead_letter_arn=None), "fail", "dead-letter"),
        (replace(QUEUE, dead_letter_arn="arn:aws:sqs:x:1:other"), "fail", "dead-letter"),
        (replace(QUEUE, visibility_s=1799), "warn", "1799 s"),
        (replace(QUEUE, oldest_s=7300.0), "warn", "2 h"),
    ],
)
async def test_a_queue_that_is_not_as_it_should_be_says_how(queue, status, said):
    found = await only(ingest_queue(queue))
    assert found.status == status
    assert said in found.said


async def test_dead_letters_warn_and_say_how_to_send_them_back():
    queue = replace(DEAD, waiting=4, oldest_s=3 * 86_400.0)
    found = await only(
        storage.dead_letters(FakeAccount(queues={"https://dead": queue}), "https://dead")
    )
    assert (found.status, found.said) == (
        "warn",
        "documents that could not be taken in: 4, the oldest for 3 days",
    )
    assert f"start-message-move-task --source-arn {DEAD.arn}" in found.do


async def test_dead_letters_that_are_lost_too_soon_warn():
    queue = replace(DEAD, retention_s=345_600)
    account = FakeAccount(queues={"https://dead": queue})
    assert "4 days" in (await only(storage.dead_letters(account, "https://dead"))).said


# The cache


@pytest.mark.parametrize(
    ("error", "do"),
    [
        (Refused("valkey", "does not accept our user or password"), "elasticache:Connect"),
        (Unavailable("valkey", "could not be reached"), "VPC"),
    ],
)
async def test_a_cache_that_does_not_serve_us_says_why(error, do):
    async def reach() -> str:
        raise error

    found = await only(storage.cache(reach))
    assert found.status == "fail"
    assert do in found.do


async def test_a_cache_without_a_vpc_to_reach_it_from_fails_and_one_with_it_is_left_alone():
    assert (await only(storage.cache_in_vpc(function_in_vpc=False))).status == "fail"
    assert (await only(storage.cache_in_vpc(function_in_vpc=True))).status == "skip"


# What is deployed


@pytest.mark.parametrize(
    ("skew_s", "status"),
    [
        (0, "ok"),
        (25, "ok"),
        (-25, "ok"),
        (45, "warn"),
        (-45, "warn"),
        (310, "fail"),
        (-310, "fail"),
    ],
)
async def test_a_clock_that_is_wrong_warns_and_one_that_aws_refuses_fails(skew_s, status):
    account = FakeAccount()
    check = deployed.clock("AWS", account.now, lambda: account.time_s + skew_s)
    assert (await only(check)).status == status


async def test_credentials_that_aws_does_not_know_say_how_to_log_in():
    account = FakeAccount(error=Refused("aws", "has no credentials"))
    found = await only(deployed.credentials(account))
    assert found.status == "fail"
    assert "aws sso login" in found.do


@pytest.mark.parametrize(
    ("function", "status", "said"),
    [
        (FUNCTION, "ok", "version 7"),
        (replace(FUNCTION, state="Inactive"), "ok", "version 7"),
        (None, "fail", "no alias live"),
        (replace(FUNCTION, version="$LATEST"), "fail", "$LATEST"),
        (replace(FUNCTION, state="Failed"), "fail", "Failed"),
    ],
)
async def test_the_alias_must_lead_to_a_version_that_runs(function, status, said):
    functions = {("search", "live"): function} if function else {}
    found = await only(deployed.alias(FakeAccount(functions=functions), "search"))
    assert found.status == status
    assert said in found.said


async def test_a_function_that_is_stopped_before_its_deadline_fails():
    assert (await only(deployed.timeout("s", timeout_s=28, deadline_s=25))).status == "ok"
    assert (await only(deployed.timeout("s", timeout_s=26, deadline_s=25))).status == "fail"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CREATE_COMPLETE", "ok"),
        ("UPDATE_COMPLETE", "ok"),
        ("UPDATE_IN_PROGRESS", "warn"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "warn"),
        ("UPDATE_ROLLBACK_COMPLETE", "warn"),
        ("ROLLBACK_COMPLETE", "fail"),
        ("UPDATE_ROLLBACK_FAILED", "fail"),
        ("DELETE_FAILED", "fail"),
    ],
)
async def test_a_stack_that_did_not_come_through_says_so(status, expected):
    check = deployed.stack_state("rag", Stack(status, []))
    assert (await only(check)).status == expected


async def test_few_invocations_at_once_warn():
    account = FakeAccount(limits=Concurrency(10, 10))
    assert "L-B99A9384" in (await only(deployed.concurrency(account))).do
    assert (await only(deployed.concurrency(FakeAccount()))).status == "ok"


async def test_a_gateway_without_a_role_for_its_logs_warns():
    assert (await only(deployed.gateway_logs(FakeAccount(role=None)))).status == "warn"


@pytest.mark.parametrize(
    ("held", "status", "said"),
    [
        ([], "warn", "nobody receives"),
        ([Subscription("email", False)], "warn", "nobody receives"),
        ([Subscription("email", False), Subscription("https", True)], "warn", "1 of 2"),
        ([Subscription("email", True)], "ok", "confirmed: 1"),
    ],
)
async def test_pages_that_nobody_receives_warn(held, status, said):
    arn = "arn:aws:sns:eu-west-1:1:rag-pages"
    found = await only(*deployed.receivers(FakeAccount(receivers={arn: held}), [arn]))
    assert found.status == status
    assert said in found.said


@pytest.mark.parametrize(
    "error", [ValueError("the document is not valid JSON"), Refused("appconfig", "answered 404")]
)
async def test_a_live_configuration_that_cannot_be_used_fails(error):
    async def read() -> str:
        raise error

    assert (await only(deployed.live_configuration("a/e/p", read))).status == "fail"


# Vendors


def refused_for(reason: str | None, error: Any = None) -> Finding:
    return vendors.refused(
        lambda _: reason,
        error or Refused("llm", "answered 4xx"),
        vendor="OpenAI",
        setting="STEADYRAG_CHAT_MODEL",
        what="gpt-9",
    )


@pytest.mark.parametrize(
    ("reason", "status", "do"),
    [
        ("key", "fail", "does not know this key"),
        ("permission", "fail", "permission"),
        ("quota", "fail", "credit"),
        ("unknown", "fail", "STEADYRAG_CHAT_MODEL"),
        ("dimension", "fail", "STEADYRAG_EMBEDDING_DIMENSION"),
        ("busy", "warn", "in a minute"),
        (None, "fail", "reached"),
    ],
)
def test_each_way_to_be_refused_has_its_own_remedy(reason, status, do):
    found = refused_for(reason)
    assert found.status == status
    assert do in found.do


def test_a_vendor_whose_key_cannot_be_read_is_not_blamed():
    assert refused_for(None, Refused("secrets", "can't be read")).status == "skip"


async def test_vectors_of_another_length_name_the_setting():
    embedder = FakeEmbedder(dimension=8)
    check = vendors.embedding(embedder, lambda _: None, model="m", dimension=16)
    assert "STEADYRAG_EMBEDDING_DIMENSION=8" in (await only(check)).do


async def test_a_key_says_where_it_was_read_from_and_never_what_it_is():
    async def read() -> str:
        return "sk-secret"

    found = await only(vendors.key("openai", read, held_in="secretsmanager:rag/openai"))
    assert (found.status, found.said) == ("ok", "read from secretsmanager:rag/openai")


@pytest.mark.parametrize(
    ("held_in", "do"),
    [
        ("secretsmanager:rag/openai", "create-secret --name rag/openai"),
        ("ssm:/rag/openai", "put-parameter --type SecureString --name /rag/openai"),
        ("OPENAI_API_KEY", "set OPENAI_API_KEY"),
    ],
)
async def test_a_key_that_is_not_there_says_how_to_put_it_there(held_in, do):
    async def read() -> str:
        raise Throttled("secrets", "can't be read")

    async def empty() -> str:
        return " "

    for reader in (read, empty):
        found = await only(vendors.key("openai", reader, held_in=held_in))
        assert found.status == "fail"
        assert do in found.do
