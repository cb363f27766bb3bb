"""A document in AWS AppConfig, over its data plane.

A session hands out one token for each poll; a poll that fails costs the session, and the next
one starts a new session, which brings the whole document.

Where nothing has ever been deployed, that is an empty document. Of what AppConfig answers then,
its documentation says only that it may name a `Deployment` or a `Configuration` as not found;
a name that is wrong it names as such, and that is an error.
"""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial
from typing import Any

from steadyrag.adapters.aws_client import AwsClient
from steadyrag.domain.errors import Refused
from steadyrag.domain.live_config import LARGEST_BYTES, Polled

NAME = "appconfig"

NOTHING = b"{}"
"""The document where nothing is deployed."""

SOCKET_TIMEOUT_S = 1.0
"""For connecting, and for each answer."""
POLL_TIMEOUT_S = 5.0
"""For all of a poll: at most three answers."""
LEAST_INTERVAL_S = 15
LONGEST_INTERVAL_S = 86_400
"""What AppConfig allows between two polls of a session."""

_NOT_DEPLOYED = frozenset({"Configuration", "Deployment"})
_NAMED = {
    "Application": "application",
    "ConfigurationProfile": "profile",
    "Environment": "environment",
}
"""What the settings name, by the resource that AppConfig did not find."""


class AppConfigSource:
    """A `ConfigSource` of `application/environment/profile`, each by name or id. One poll at a
    time; a caller that gives up leaves a thread behind until the sockets' timeouts."""

    def __init__(
        self, profile: str, *, endpoint_url: str | None = None, region: str | None = None
    ) -> None:
        application, environment, name = profile.split("/")
        self._profile = {
            "ApplicationIdentifier": application,
            "EnvironmentIdentifier": environment,
            "ConfigurationProfileIdentifier": name,
            "RequiredMinimumPollIntervalInSeconds": LEAST_INTERVAL_S,
        }
        self._client = AwsClient(
            "appconfigdata",
            name=NAME,
            endpoint_url=endpoint_url,
            region=region,
            timeout_s=POLL_TIMEOUT_S,
            connect_timeout_s=SOCKET_TIMEOUT_S,
            told_apart=_misnamed,
        )
        self._token: str | None = None

    async def poll(self) -> Polled:
        # A token is good for one call, whether or not its answer is heard.
        token, self._token = self._token, None
        work = partial(self._poll, token=token)
        polled, self._token = await self._client.run(work, within_s=POLL_TIMEOUT_S)
        return polled

    async def aclose(self) -> None:
        self._token = None
        await self._client.aclose()

    def _poll(self, client: Any, *, token: str | None) -> tuple[Polled, str | None]:
        missing = client.exceptions.ResourceNotFoundException
        if token is not None:
            # It has expired, or what it led to is no longer deployed: a new session knows.
            with suppress(client.exceptions.BadRequestException, missing):
                return _latest(client, token)
        begun: str | None = None
        try:
            begun = client.start_configuration_session(**self._profile)["InitialConfigurationToken"]
            polled, token = _latest(client, begun)
        except missing as error:
            if not _nothing_deployed(error.response, begun=begun is not None):
                raise
            return Polled(NOTHING, LEAST_INTERVAL_S), None
        return Polled(polled.document or NOTHING, polled.poll_after_s), token


def _nothing_deployed(response: Any, *, begun: bool) -> bool:
    """Whether all that was asked for is there but a deployment: a session that has `begun`
    found everything that was named, so that nothing else can be missing."""
    kind = _missing(response)
    return kind in _NOT_DEPLOYED or (begun and kind not in _NAMED)


def _misnamed(code: str, status: int, response: Any) -> Refused | None:
    which = _NAMED.get(_missing(response))
    return Refused(NAME, f"knows no such {which}: answered {status} {code}") if which else None


def _missing(response: Any) -> str:
    """The kind of resource that was not found, as far as AppConfig says so."""
    return str(response.get("ResourceType", ""))


def _latest(client: Any, token: str) -> tuple[Polled, str]:
    answer = client.get_latest_configuration(ConfigurationToken=token)
    with closing(answer["Configuration"]) as body:
        document: bytes = body.read(LARGEST_BYTES + 1)
    asked_s = int(answer["NextPollIntervalInSeconds"])
    poll_after_s = min(max(asked_s, LEAST_INTERVAL_S), LONGEST_INTERVAL_S)
    return Polled(document or None, poll_after_s), str(answer["NextPollConfigurationToken"])
