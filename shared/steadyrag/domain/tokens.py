"""How many tokens a text is, without a vocabulary.

A tokenizer's vocabulary is tens of megabytes or a download at run time, so production
estimates. The rates below were fitted by least squares to OpenAI's `o200k` on Korean and
English prose, Markdown and code, then raised a little: a chunk that turns out shorter than
its estimate costs nothing, one that turns out longer is cut off.
"""

import re
from math import ceil

_RUN = re.compile(
    r"(?P<hangul>[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]+)"
    r"|(?P<kana>[\u3040-\u30ff]+)"
    r"|(?P<han>[\u3400-\u9fff\uf900-\ufaff]+)"
    r"|(?P<digits>[0-9]+)"
    r"|(?P<latin>[A-Za-z\u00c0-\u024f]+)"
    r"|(?P<letters>[^\W\d_]+)"
    r"|(?P<line>\s*\n\s*)"
    r"|(?P<space>\s+)"
    r"|(?P<marks>[!-/:-@\[-`{-~]+)"
    r"|(?P<other>.)",
    re.DOTALL,
)

_PER_CHARACTER = {"hangul": 0.82, "kana": 0.75, "han": 0.8, "letters": 0.3, "other": 1.4}
_COMMON_WORD = 4
"""Latin words up to this length are one token."""
_PER_FURTHER_LETTER = 0.14


def estimate_tokens(text: str) -> int:
    """Tokens that a current OpenAI model sees in `text`, a few per cent high on average.

    A paragraph is estimated closely; a single short line may be a third off.
    """
    tokens = sum(
        _tokens(run.lastgroup or "other", run.end() - run.start()) for run in _RUN.finditer(text)
    )
    return ceil(tokens)


def _tokens(kind: str, length: int) -> float:
    match kind:
        case "latin":
            return 1.0 + _PER_FURTHER_LETTER * max(0, length - _COMMON_WORD)
        case "digits":
            return 1.25 * ceil(length / 3)
        case "marks":
            return 0.7 + 0.5 * (length - 1)
        case "line":
            return 1.2
        case "space":
            return 0.0
    return _PER_CHARACTER[kind] * length
