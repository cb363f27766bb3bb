"""An AWS account as the doctor sees it: what it asks, and what it is told.

A part of an answer that the credentials may not ask for is None where its type allows that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from steadyrag.domain.ports import Closeable


@dataclass(frozen=True, slots=True)
class Identity:
    account_id: str
    region: str


@dataclass(frozen=True, slots=True)
class Resource:
    """Something a stack made. `kind` is its CloudFormation type."""

    kind: str
    logical_id: str
    physical_id: str


@dataclass(frozen=True, slots=True)
class Stack:
    """`resources` are those of nested stacks, too."""

    status: str
    resources: Sequence[Resource]

    def of_kind(self, kind: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.kind == kind]

    def named(self, logical_id: str) -> str | None:
        """The physical id of a resource."""
        found = (r.physical_id for r in self.resources if r.logical_id == logical_id)
        return next(found, None)


@dataclass(frozen=True, slots=True)
class Function:
    """One version of a function. `state` is Lambda's word."""

    version: str
    environment: Mapping[str, str]
    timeout_s: int
    in_vpc: bool
    state: str


@dataclass(frozen=True, slots=True)
class Table:
    """keys: such as `{"HASH": ("n", "S"), "RANGE": ("d", "S")}`.
    expiry: the attribute by which items expire, None where none does.
    restorable: whether it can be restored to a point in time."""

    status: str
    keys: Mapping[str, tuple[str, str]]
    expiry: str | None
    restorable: bool | None


@dataclass(frozen=True, slots=True)
class Notification:
    """What a bucket tells a queue: of which `events`, such as `s3:ObjectCreated:*`, of keys
    that begin with `prefix`."""

    queue_arn: str
    events: frozenset[str]
    prefix: str


@dataclass(frozen=True, slots=True)
class Bucket:
    versioned: bool | None
    encrypted: bool | None
    private: bool | None
    notifications: Sequence[Notification] | None


@dataclass(frozen=True, slots=True)
class Queue:
    """`oldest_s` is the age of the oldest message as of the last minutes, None where nobody
    has measured it."""

    arn: str
    waiting: int
    visibility_s: int
    retention_s: int
    dead_letter_arn: str | None
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many invocations an account may have at once, and what of it nobody has reserved."""

    limit: int
    unreserved: int


@dataclass(frozen=True, slots=True)
class Subscription:
    protocol: str
    confirmed: bool


class Account(Closeable, Protocol):
    """What is not there is None. Everything may raise `DependencyError`; `Refused` is what
    the credentials may not ask."""

    async def identity(self) -> Identity: ...

    async def now(self) -> float:
        """What time AWS says it is, in epoch seconds. Needs no credentials."""

    async def stack(self, name: str) -> Stack | None: ...

    async def function(self, name: str, qualifier: str | None = None) -> Function | None:
        """`qualifier` is a version or an alias."""

    async def table(self, name: str) -> Table | None: ...

    async def bucket(self, name: str) -> Bucket | None: ...

    async def queue(self, url: str) -> Queue | None: ...

    async def concurrency(self) -> Concurrency: ...

    async def gateway_log_role(self) -> str | None:
        """The role by which API Gateway writes logs, one for the account and region."""

    async def subscriptions(self, topic_arn: str) -> Sequence[Subscription]: ...
