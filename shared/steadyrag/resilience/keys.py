"""Names of everything in the shared stores.

sr:answer:<digest>     value   an answer, held 7 days
sr:vector:<digest>     value   a question's embedding, 24 hours
sr:corpus:<namespace>  map     which state the namespace's documents are in
sr:tombs:<namespace>   map     documents deleted lately
sr:breakers            map     which dependencies are not to be called
sr:lease:<name>        lease   who is computing, or probing
sr:rate:<name>         window  requests of one caller
"""

import hashlib
import json
import unicodedata
from base64 import urlsafe_b64encode
from typing import Any

from steadyrag.domain.models import Query

_ANSWER_FORMAT = "1"
"""Changes when an older release could not read what a newer one stores."""


def answer_key(query: Query, *, fingerprint: str, variant: str) -> str:
    """Where the answer to this question lives. `fingerprint` stands for everything in the
    configuration that shapes answers. Questions that differ only in case or white space
    share an answer; who asks makes no difference."""
    return "sr:answer:" + _digest(
        _ANSWER_FORMAT,
        fingerprint,
        variant,
        query.namespace,
        str(query.top_k),
        "g" if query.generate else "r",
        json.dumps(_sorted(query.filter.expression), sort_keys=True) if query.filter else "",
        normalised(query.text),
    )


def vector_key(embedder: str, namespace: str, text: str) -> str:
    """Where the embedding of a question lives. The text counts to the letter: an embedder
    tells upper from lower case. Namespaces share none, or what a question costs would tell
    one tenant what others have asked."""
    return "sr:vector:" + _digest(embedder, namespace, text)


def corpus_key(namespace: str) -> str:
    return f"sr:corpus:{namespace}"


def tombs_key(namespace: str) -> str:
    return f"sr:tombs:{namespace}"


def lease_key(name: str) -> str:
    return f"sr:lease:{name}"


def rate_key(name: str) -> str:
    return f"sr:rate:{name}"


def normalised(question: str) -> str:
    """The question as it is compared: NFC, case folded, single spaces. NFC comes last again,
    because folding can take composed characters apart."""
    if question.isascii():
        return " ".join(question.lower().split())
    folded = unicodedata.normalize("NFC", question).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def document_digest(document_id: str) -> str:
    """11 ASCII characters for any document id: 64 bits, so that two of a million documents
    meet with a chance of one in thirty million."""
    digest = hashlib.blake2b(document_id.encode(), digest_size=8).digest()
    return urlsafe_b64encode(digest)[:11].decode()


def _digest(*parts: str) -> str:
    """SHA-256 of parts that hold no NUL."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _sorted(expression: Any) -> Any:
    """A filter with the lists sorted, whose order changes nothing."""
    if isinstance(expression, list):
        return sorted(map(_sorted, expression), key=lambda part: json.dumps(part, sort_keys=True))
    if isinstance(expression, dict):
        return {key: _sorted(value) for key, value in expression.items()}
    return expression
