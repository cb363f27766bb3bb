"""Who may read the console: the person at this machine, and no page of another site.

What it shows is private, and a browser would fetch it for any page that its user has open: for
one of another site by its address (`Sec-Fetch-Site`, `Origin`), and for one whose name was made
to point here by the name it asks for (`Host`).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request


class ConsoleDoor:
    """`host` is the address that the server listens on. Where that is all of the machine's,
    any address will do: it is names that can be made to point elsewhere."""

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._open = _is(self._host, "is_unspecified")

    def refusal(self, request: Request) -> str | None:
        """What to say unless the request asks for this machine by a name of its own."""
        name = _name(request.headers.get("host", ""))
        known = name in ("localhost", self._host) or _is(name, "is_loopback")
        if known or (self._open and _is(name)):
            return None
        return (
            "Host: this server answers to the address that it was started on; ask for it as "
            "http://127.0.0.1 with the port, or set STEADYRAG_HOST to the name it is to have"
        )

    def page(self, request: Request) -> None:
        """Raises a 403 for such a request."""
        if refusal := self.refusal(request):
            raise HTTPException(403, refusal)

    def data(self, request: Request) -> None:
        """The same, and unless a page of this server asks, or no page at all."""
        self.page(request)
        headers = request.headers
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        foreign = site not in (None, "same-origin", "none")
        if foreign or (origin and urlsplit(origin).netloc != headers.get("host")):
            raise HTTPException(403, "the console's data is not for pages of other sites")


def _name(host: str) -> str:
    """`Host` without its port, and without the brackets of an IPv6 address."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is(name: str, kind: str | None = None) -> bool:
    """Whether `name` is an address, and of this kind."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return kind is None or bool(getattr(address, kind))
