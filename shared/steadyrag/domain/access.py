"""Which namespaces a caller may use.

    a1b2c3=hr+legal       this API key, by its id, these two
    d4e5f6=*              this one all of them
    anonymous=public      callers without a key
    *                     every caller every namespace, said aloud

Entries are separated by commas. As soon as there is one, whoever is not named may use none.
Ids and namespaces are compared to the letter: `HR` is not `hr`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.text import clean_namespace

EVERY = "*"
ANONYMOUS = "anonymous"

SMOKE = "steadyrag-smoke"
"""Who asks a new version its first question, straight from Lambda. No caller of the API is
called that: API Gateway makes the ids of its keys itself. The namespace it asks in is always
open to it."""
SMOKE_NAMESPACE = "default"

MAX_KEYS = 10_000
MAX_NAMESPACES = 1_000

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

type Grant = frozenset[str]

NONE: Grant = frozenset()


@dataclass(frozen=True, slots=True)
class NamespacePolicy:
    """Who may use what. `keys` is by the id of the API key; `everyone` leaves nobody out."""

    keys: Mapping[str, Grant] = field(default_factory=dict)
    anonymous: Grant = NONE
    everyone: bool = False

    def allows(self, key_id: str | None, namespace: str) -> bool:
        """Whether the caller with this key, or with none, may use the namespace."""
        if self.everyone or (key_id == SMOKE and namespace == SMOKE_NAMESPACE):
            return True
        granted = self.anonymous if key_id is None else self.keys.get(key_id, NONE)
        return namespace in granted or EVERY in granted


OPEN = NamespacePolicy(everyone=True)


def parse_policy(text: str) -> NamespacePolicy:
    """The policy as a setting writes it; raises `ValueError` that says which entry is wrong,
    without repeating it: somebody may have taken a key's value for its id."""
    if text.strip() == EVERY:
        return OPEN
    grants: list[tuple[str, Sequence[str]]] = []
    for number, entry in enumerate(text.split(","), 1):
        key_id, equals, namespaces = (part.strip() for part in entry.partition("="))
        if not equals:
            raise ValueError(
                f"entry {number} must be an API key's id (or {ANONYMOUS}), then = and its "
                f"namespaces joined by + ({EVERY}: all of them)"
            )
        grants.append((key_id, [name.strip() for name in namespaces.split("+")]))
    return policy_of(grants)


def policy_of(grants: Iterable[tuple[str, Sequence[str]]]) -> NamespacePolicy:
    """The policy that grants each key its namespaces; raises `ValueError` as `parse_policy`."""
    keys: dict[str, Grant] = {}
    for number, (key_id, namespaces) in enumerate(grants, 1):
        at = f"entry {number}"
        if number > MAX_KEYS:
            raise ValueError(f"names more than {MAX_KEYS:,} keys")
        if not is_key_id(key_id):
            raise ValueError(f"{at}: an API key's id has 1 to 128 letters, digits, '_' or '-'")
        if key_id in keys:
            raise ValueError(f"{at} names a key that another entry names already")
        keys[key_id] = _grant(namespaces, at)
    return NamespacePolicy(keys, anonymous=keys.pop(ANONYMOUS, NONE))


def is_key_id(text: str) -> bool:
    """Whether this may be the id of an API key."""
    return _KEY_ID.fullmatch(text) is not None


def _grant(namespaces: Sequence[str], at: str) -> Grant:
    if len(namespaces) > MAX_NAMESPACES:
        raise ValueError(f"{at} has more than {MAX_NAMESPACES:,} namespaces; {EVERY} means all")
    if EVERY in namespaces and len(namespaces) > 1:
        raise ValueError(f"{at}: {EVERY} means every namespace and stands alone")
    for name in namespaces:
        if name != EVERY:
            try:
                clean_namespace(name)
            except InvalidInput as error:
                raise ValueError(f"{at}: a namespace {error.problem}") from None
    return frozenset(namespaces)
