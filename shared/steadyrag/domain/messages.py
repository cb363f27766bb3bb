"""What the service itself says to people, in both languages."""

from steadyrag.domain.models import Language

_TEXTS: dict[str, dict[Language, str]] = {
    "not_found": {
        "en": "The documents I searched do not hold an answer to this question.",
        "ko": "검색한 문서에서 이 질문의 답을 찾지 못했습니다.",
    },
    "no_documents": {
        "en": "No documents have been indexed in this namespace yet.",
        "ko": "이 네임스페이스에는 아직 색인된 문서가 없습니다.",
    },
    "no_match": {
        "en": "No document matches this question and its filter.",
        "ko": "이 질문과 필터에 맞는 문서가 없습니다.",
    },
    "canned": {
        "en": "Search is not available at the moment. Please try again in a minute.",
        "ko": "지금은 검색을 할 수 없습니다. 잠시 뒤에 다시 시도해 주세요.",
    },
}


def message(key: str, language: Language) -> str:
    """The sentence called `key` in `language`."""
    return _TEXTS[key][language]
