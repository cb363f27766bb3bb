"""What the vendors' servers have on record: the calls that reached them."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter


def asked(vendor: str) -> Counter[str]:
    """How often a vendor was asked, by operation, since it was last told to forget."""
    return Counter(request["operation"] for request in json.loads(_record(vendor, "GET")))


def forget(*vendors: str) -> None:
    """Begins the record anew."""
    for vendor in vendors:
        _record(vendor, "DELETE")


def _record(vendor: str, method: str) -> bytes:
    address = f"{vendor.removesuffix('/v1')}/_requests"
    request = urllib.request.Request(address, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        content: bytes = response.read()
    return content
