"""Why a vendor refuses us, from what its SDK says: the error behind ours."""

from __future__ import annotations

from steadyrag.adapters.openai_client import OUT_OF_MONEY
from steadyrag.adapters.vendor_http import word
from steadyrag.domain.errors import DependencyError

_SPENT = OUT_OF_MONEY | {"QUOTA_EXCEEDED"}
_BY_STATUS = {401: "key", 403: "permission", 404: "unknown", 429: "busy"}


def reason(error: DependencyError) -> str | None:
    """One of `key` (not accepted), `permission`, `quota` (used up), `busy` (for now),
    `unknown` (no such model or index) and `dimension`; None for anything else."""
    cause = error.__cause__
    words = {word(getattr(cause, name, None)) for name in ("code", "type", "error_code")}
    if words & _SPENT:
        return "quota"
    if getattr(cause, "param", None) == "dimensions":
        return "dimension"
    return _BY_STATUS.get(getattr(cause, "status_code", None) or 0)
