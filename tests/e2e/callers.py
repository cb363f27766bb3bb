"""Those who call the deployed API. AWS takes a caller's address from the connection, the local
gateway from a header: without an id of the key, which the local AWS doesn't pass on, the
address is what limits count."""

import ipaddress
import itertools
from collections.abc import Iterator

import httpx

ONE_BY_ONE = ipaddress.ip_network("198.51.100.0/24")
CROWD = ipaddress.ip_network("10.0.0.0/8")


class SomebodyElse(httpx.Auth):
    """Gives each request an address of its own, so that no limit of one caller is met."""

    def __init__(self) -> None:
        self._numbers = itertools.count(int(CROWD.network_address) + 1)

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers["x-forwarded-for"] = str(ipaddress.ip_address(next(self._numbers)))
        yield request


def one(url: str, api_key: str, address: ipaddress.IPv4Address) -> httpx.Client:
    """One caller, at one address."""
    headers = {"x-api-key": api_key, "x-forwarded-for": str(address)}
    return httpx.Client(base_url=url, headers=headers, timeout=30)


def crowd(url: str, api_key: str) -> httpx.Client:
    """Many callers, each of whom asks once."""
    headers = {"x-api-key": api_key}
    return httpx.Client(base_url=url, headers=headers, auth=SomebodyElse(), timeout=30)
