"""Namespaces at the door: who may use which, and 403."""

from __future__ import annotations

from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request

from steadyrag.api.rate_limit import api_key_id
from steadyrag.domain.access import OPEN, NamespacePolicy
from steadyrag.domain.errors import CallerError
from steadyrag.resilience.live_config import RETRY_S, ConfigPoller


class Forbidden(CallerError):
    """The caller may not use the namespace. Says the same whether or not it exists, and does
    not repeat its name."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "namespace: this caller may not use it (`default` where none is named); "
            "name one that your API key is for, or ask the operator to add it"
        )


class Access:
    """What a route asks before it does anything for a namespace, its rate limit included: what
    is refused costs no store a write, however many ask.

    `policy` is the settings', None where they say nothing; what `live` says takes its place.
    While `live` has yet to be read and the settings say nothing, nobody knows who is a tenant,
    and nothing is served.
    """

    def __init__(
        self, policy: NamespacePolicy | None = None, *, live: ConfigPoller | None = None
    ) -> None:
        self._stated = policy
        self._live = live

    def check(self, request: Request, namespace: str) -> None:
        """Raises `Forbidden`; or a 503 with `Retry-After` while the policy is not known.
        `namespace` has been through `clean_namespace`."""
        policy = self._policy()
        if policy is None:
            raise HTTPException(
                503,
                "which namespaces this caller may use could not be read yet; try again soon",
                headers={"Retry-After": str(int(RETRY_S))},
            )
        key_id = api_key_id(request.scope)
        if not policy.allows(key_id, namespace):
            raise Forbidden
        if self._live is not None:
            state = request.scope.setdefault("state", {})
            state.setdefault("allowed", []).append(partial(self._allows, key_id, namespace))

    def _allows(self, key_id: str | None, namespace: str) -> bool:
        policy = self._policy()
        return policy is not None and policy.allows(key_id, namespace)

    def _policy(self) -> NamespacePolicy | None:
        if self._live is None:
            return OPEN if self._stated is None else self._stated
        live = self._live.current.key_namespaces
        if live is not None:
            return live
        return OPEN if self._stated is None and self._live.known else self._stated
