"""The account, what is deployed in it, who is paged, and what time it is."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from steadyrag.doctor.checking import Check, Finding, Findings, fail, lost, ok, skip, warn
from steadyrag.doctor.storage import forbidden
from steadyrag.domain.account import Account, Stack
from steadyrag.domain.errors import DependencyError, Refused

LIVE = "live"
"""The alias that takes the traffic."""
LEAST_UNRESERVED = 100
"""What Lambda keeps back for functions that reserve nothing."""
SKEW_WARNS_S = 30.0
SKEW_FAILS_S = 300.0
"""AWS refuses a signature that is older than this, or that comes from the future."""
TIMEOUT_MARGIN_S = 2.0
"""What a function needs beyond a search's deadline to answer."""


def credentials(account: Account) -> Check:
    async def look() -> Finding:
        found = await account.identity()
        return ok(f"account {found.account_id}, {found.region}")

    def unknown(error: DependencyError) -> Finding:
        if not isinstance(error, Refused):
            return lost(error)
        return fail(
            error.problem,
            do="log in (`aws configure` or `aws sso login`), choose AWS_PROFILE, and set "
            "AWS_DEFAULT_REGION, until `aws sts get-caller-identity` answers",
        )

    return Check("aws credentials", look, unknown)


def clock(
    name: str, theirs: Callable[[], Awaitable[float]], ours: Callable[[], float] = time.time
) -> Check:
    async def look() -> Finding:
        # Their header says whole seconds.
        skew_s = ours() - (await theirs() + 0.5)
        said = f"this machine's clock is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
        do = "set it by NTP, such as `timedatectl set-ntp true`"
        if abs(skew_s) > SKEW_FAILS_S:
            return fail(f"{said}: AWS refuses what it signs", do=do)
        if abs(skew_s) > SKEW_WARNS_S:
            return warn(said, do=do)
        return ok(f"agrees with {name}'s")

    def unknown(error: DependencyError) -> Finding:
        return skip(f"{name} does not say what time it is: {error.problem}")

    return Check("clock", look, unknown)


def stack_state(name: str, stack: Stack) -> Check:
    async def look() -> Finding:
        status = stack.status
        if status.endswith("_IN_PROGRESS"):
            return warn(f"{name} is {status}", do="wait until it is done and run this again")
        if "ROLLBACK" in status or status.endswith("_FAILED"):
            return (warn if status == "UPDATE_ROLLBACK_COMPLETE" else fail)(
                f"{name} is {status}",
                do="its events say why: aws cloudformation describe-stack-events "
                f"--stack-name {name}",
            )
        return ok(f"{name} is {status}")

    return Check("stack", look)


def alias(account: Account, function: str) -> Check:
    """The alias is there, points at a version, and that can be invoked."""

    async def look() -> Finding:
        found = await account.function(function, LIVE)
        if found is None:
            return fail(
                f"{function} has no alias {LIVE}, so nothing answers",
                do="deploy the stack again",
            )
        if found.version == "$LATEST":
            return fail(
                f"{function}'s alias {LIVE} points at $LATEST, so every change is live at once",
                do="deploy the stack again; it publishes a version",
            )
        if found.state not in ("Active", "Inactive"):  # an idle one wakes up when invoked
            return fail(
                f"{function}, version {found.version}, is {found.state}",
                do=f"aws lambda get-function --function-name {function}:{LIVE} says why",
            )
        return ok(f"version {found.version} of {function}")

    return Check(f"alias {function}", look, forbidden)


def timeout(function: str, *, timeout_s: int, deadline_s: float) -> Check:
    async def look() -> Finding:
        if timeout_s < deadline_s + TIMEOUT_MARGIN_S:
            return fail(
                f"{function} is stopped after {timeout_s} s, and a search may take "
                f"{deadline_s:g} s: it ends without an answer",
                do=f"set STEADYRAG_DEADLINE_S to {max(1, timeout_s - TIMEOUT_MARGIN_S):g} or less",
            )
        return ok(f"{timeout_s} s, for a deadline of {deadline_s:g} s")

    return Check("search timeout", look)


def concurrency(account: Account) -> Check:
    async def look() -> Finding:
        found = await account.concurrency()
        if found.unreserved < LEAST_UNRESERVED:
            return warn(
                f"{found.unreserved} invocations at once are left for all functions that reserve "
                f"none, of {found.limit} in this account and region",
                do="ask for more: Service Quotas, AWS Lambda, Concurrent executions (L-B99A9384)",
            )
        return ok(f"{found.unreserved:,} invocations at once, of {found.limit:,}")

    return Check("lambda quota", look, forbidden)


def gateway_logs(account: Account) -> Check:
    async def look() -> Finding:
        role = await account.gateway_log_role()
        if role is None:
            return warn(
                "API Gateway may not write logs in this account and region",
                do="give it a role, once: aws apigateway update-account --patch-operations "
                "op=replace,path=/cloudwatchRoleArn,value=ROLE_ARN",
            )
        return ok(f"by {role.rpartition('/')[2]}")

    return Check("api gateway logs", look, forbidden)


def receivers(account: Account, topic_arns: Sequence[str]) -> list[Check]:
    """Whether somebody is told, topic by topic."""

    def of(arn: str) -> Check:
        name = arn.rpartition(":")[2]

        async def look() -> Findings:
            found = await account.subscriptions(arn)
            if not any(subscription.confirmed for subscription in found):
                pending = f"; {len(found)} wait to be confirmed" if found else ""
                return warn(
                    f"nobody receives what is sent to {name}{pending}",
                    do="confirm by the link in the message"
                    if found
                    else f"aws sns subscribe --topic-arn {arn} --protocol email "
                    "--notification-endpoint YOU@EXAMPLE.COM",
                )
            waiting = [s.protocol for s in found if not s.confirmed]
            if waiting:
                return warn(
                    f"{len(waiting)} of {len(found)} subscriptions of {name} wait to be confirmed",
                    do="confirm by the link in the message",
                )
            return ok(f"subscriptions confirmed: {len(found)}")

        return Check(f"topic {name}", look, forbidden)

    return [of(arn) for arn in topic_arns]


def live_configuration(name: str, read: Callable[[], Awaitable[str]]) -> Check:
    """`read` brings the document and says what is in it; raises `ValueError` that says what
    is wrong with it, without quoting it."""

    async def look() -> Finding:
        try:
            return ok(await read())
        except ValueError as error:
            return fail(
                f"{name}: {error}",
                do="deploy a corrected version of the profile in AppConfig",
            )

    def unreadable(error: DependencyError) -> Finding:
        if not isinstance(error, Refused):
            return lost(error)
        return fail(
            f"{name}: {error.problem}",
            do="it must be application/environment/profile, each there by its name or id, and "
            "these credentials must be allowed to read it; correct STEADYRAG_LIVE_CONFIG, or "
            "deploy a first version, which may be {}",
        )

    return Check("live configuration", look, unreadable)
