"""What may change while the service runs, as the live configuration says it.

    {"key_namespaces": {"a1b2c3": ["hr", "legal"], "anonymous": ["public"]},
     "trusted_keys": ["a1b2c3"],
     "rate_limit_overrides": {"key:a1b2c3": "6000/minute", "user:/search": "20/minute"}}

Each is optional and takes the place of the setting of its name while it is there. Nothing
else may be there: a misspelt name would leave a tenant's fence down without a word.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from steadyrag.domain.access import EVERY, OPEN, NamespacePolicy, is_key_id, policy_of
from steadyrag.domain.limits import Override, parse_overrides
from steadyrag.domain.ports import Closeable

LARGEST_BYTES = 1024 * 1024
"""AppConfig keeps no larger ones itself."""


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """What takes the place of settings; the setting holds where there is None."""

    key_namespaces: NamespacePolicy | None = None
    trusted_keys: frozenset[str] | None = None
    rate_limit_overrides: tuple[Override, ...] | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """What a source answered. `document` is None where it has not changed since the last
    poll, and where none is `deployed`; nobody may ask again before `poll_after_s` seconds
    are over."""

    document: bytes | None
    poll_after_s: float
    deployed: bool = True


class ConfigSource(Closeable, Protocol):
    """Where the document is kept. After `aclose` the next poll brings it whole."""

    async def poll(self) -> Polled:
        """Raises `DependencyError`; the next poll then brings the whole document."""


def parse_live_config(document: bytes) -> LiveConfig:
    """Raises `ValueError` that says what is wrong with the document, without quoting it."""
    fields = _object(_json(document), "the document")
    known = set(LiveConfig.__dataclass_fields__)
    if fields.keys() - known:
        raise ValueError(f"the document may hold {', '.join(sorted(known))} and nothing else")
    return LiveConfig(**{name: _PARSERS[name](value, name) for name, value in fields.items()})


def _json(document: bytes) -> Any:
    if len(document) > LARGEST_BYTES:
        raise ValueError(f"the document is larger than {LARGEST_BYTES // 1024} kB")
    try:
        return json.loads(document.decode(), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"the document is not valid JSON at {where}") from None
    except UnicodeDecodeError:
        raise ValueError("the document is not UTF-8") from None
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two grants for one key, a reader may have meant either."""
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("the document names something twice")
    return held


def _object(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{at} must be a JSON object")
    return value


def _texts(value: Any, at: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError(f"{at} must be a list of strings")
    return value


def _key_namespaces(value: Any, at: str) -> NamespacePolicy:
    """An empty object grants nothing: taking the last tenant out must not let everybody in."""
    if value == EVERY:
        return OPEN
    grants = _object(value, at).items()
    listed = [(key, _texts(names, f"{at}: entry {n}")) for n, (key, names) in enumerate(grants, 1)]
    try:
        return policy_of(listed)
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from None


def _trusted_keys(value: Any, at: str) -> frozenset[str]:
    listed = _texts(value, at)
    if not all(key == EVERY or is_key_id(key) for key in listed):
        raise ValueError(f"{at} must hold ids of API keys, or {EVERY}")
    return frozenset(listed)


def _rate_limit_overrides(value: Any, at: str) -> tuple[Override, ...]:
    limits = _object(value, at)
    told = _texts(list(limits.values()), f"{at}: limits")
    if any("," in part for part in (*limits, *told)):
        raise ValueError(f"{at} must not hold commas")
    try:
        return parse_overrides(",".join(f"{target}={limit}" for target, limit in limits.items()))
    except ValueError:
        raise ValueError(
            f'{at} must be like {{"key:ID": "6000/minute", "user:/search": "20/minute"}}'
        ) from None


_PARSERS: Mapping[str, Any] = {
    "key_namespaces": _key_namespaces,
    "trusted_keys": _trusted_keys,
    "rate_limit_overrides": _rate_limit_overrides,
}
