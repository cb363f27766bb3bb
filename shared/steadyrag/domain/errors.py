"""Every error the service raises on purpose.

    SteadyragError
    ├── CallerError                the request is wrong; sending it again changes nothing
    │   ├── InvalidInput      422  a field is wrong, and the message names it
    │   └── NotFound          404  no such thing
    ├── ConfigError                a setting or an index does not fit; stops the start
    └── DependencyError            an outside system let us down; never reaches a caller as a 500
        ├── Unavailable            refused, reset, timed out, 5xx, garbage: may work next time
        ├── Throttled              429 with an optional Retry-After
        └── Refused                401, 403, 404, quota used up: lost until somebody acts
            └── Rejected           400, 413, 422: this one request; others like it work

Decisions are made by class and attribute, never by the text of a message.
"""


class SteadyragError(Exception):
    """Root of the tree."""


class CallerError(SteadyragError):
    """The caller's own mistake. Never counts against a dependency."""

    status = 400


class InvalidInput(CallerError):
    """A value in the request is wrong. `field` is its path, such as `filter.year.$gt`."""

    status = 422

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class NotFound(CallerError):
    """What the request names does not exist."""

    status = 404


class ConfigError(SteadyragError):
    """A setting, a secret or an index does not fit; the message says what to do about it."""


class DependencyError(SteadyragError):
    """An outside system failed. `dependency` is its name in `/health`, logs and metrics;
    `degraded` names the stage that was lost with it."""

    retryable = False
    """Whether asking again at once may help."""

    def __init__(
        self, dependency: str, problem: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{dependency}: {problem}")
        self.dependency = dependency
        self.problem = problem
        self.retry_after_s = retry_after_s


class Unavailable(DependencyError):
    """No usable answer: refused, reset, timed out, a 5xx, or a body that makes no sense."""

    retryable = True


class Throttled(DependencyError):
    """The vendor asks us to slow down (429); `retry_after_s` where it says for how long."""

    retryable = True


class Refused(DependencyError):
    """The vendor will not serve us: bad credentials, no permission, not found, no quota."""


class Rejected(Refused):
    """The vendor cannot take what this one request says, such as a text that is too long.
    Says nothing of the vendor's health."""
