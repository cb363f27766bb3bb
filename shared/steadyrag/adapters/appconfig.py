"""A document in AWS AppConfig, over its data plane.

A session hands out one token for each poll; a poll that fails costs the session, and the next
one starts a new session, which brings the whole document.

Nothing is deployed where AppConfig says that it finds no `Deployment`, or has no news for a new
session. Whatever else it doesn't find is an error: its documentation also knows a missing
`Configuration`, and doesn't say when.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from steadyrag.adapters.aws_client import AwsClient
from steadyrag.domain.errors import Refused
from steadyrag.domain.live_config import LARGEST_BYTES, Polled

NAME = "appconfig"

SOCKET_TIMEOUT_S = 1.0
"""For connecting, and for each answer."""
POLL_TIMEOUT_S = 5.0
"""For all of a poll: at most three answers."""
LEAST_INTERVAL_S = 15
LONGEST_INTERVAL_S = 86_400
"""What AppConfig allows between two polls of a session."""

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
        try:
            begun = client.start_configuration_session(**self._profile)
            polled, token = _latest(client, begun["InitialConfigurationToken"])
        except missing as error:
            if _missing(error.response) != "Deployment":
                raise
            return Polled(None, LEAST_INTERVAL_S, deployed=False), None
        return replace(polled, deployed=polled.document is not None), token


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
