"""The estimate against counts by OpenAI's own `o200k` vocabulary, taken once by hand."""

import pytest

from steadyrag.domain.tokens import estimate_tokens

COUNTED = [
    (
        40,
        "The service keeps answering when a dependency fails, and says which one it "
        "was. Every request carries a deadline; no stage may outlive it. A cached "
        "answer is never served as a fresh one.",
    ),
    (
        56,
        "서비스는 의존하는 시스템이 멈춰도 계속 답하고, 무엇이 빠졌는지 알려 줍니다. "
        "모든 요청에는 마감 시간이 있으며 어떤 단계도 이를 넘길 수 없습니다. 캐시된 "
        "답은 새 답으로 내보내지 않습니다.",
    ),
    (
        63,
        "세종대왕은 1443년에 훈민정음을 창제하고 1446년에 반포하였다. 훈민정음은 "
        "백성을 가르치는 바른 소리라는 뜻으로, 자음과 모음을 합하여 스물여덟 글자로 "
        "이루어져 있었다.",
    ),
    (
        42,
        "Mitochondrial phosphorylation was quantified by immunoprecipitation; "
        "heterozygous fibroblasts exhibited significantly attenuated transcriptional "
        "responses (p < 0.001, n = 48).",
    ),
    (
        43,
        "Lambda 함수의 cold start는 평균 235 ms였고, p99는 467 ms를 넘지 않았다. "
        "SnapStart를 켜면 API Gateway 뒤에서 첫 요청이 더 빨라진다.",
    ),
    (
        49,
        "def pack(sizes, limit):\n    total = sum(sizes)\n    if not sizes:\n        "
        "return []\n    target = total / max(1, math.ceil(total / limit))\n    return "
        "[range(0, len(sizes))]",
    ),
    (30, "| setting | value |\n|---|---|\n| timeout | 2.5 s |\n| retries | 1 |\n| 이름 | 값 |"),
    (
        38,
        "東京は日本の首都であり、世界最大の都市圏の一つです。人口は約"
        "1400万人で、経済と文化の中心地となっています。",
    ),
    (23, "北京是中华人民共和国的首都，也是全国政治、文化中心。它有三千多年的建城史。"),
    (41, "2026-11-23 12:34:56.789 ERROR 1234567890 192.168.1.254 99.95% $1,234,567.89"),
]


@pytest.mark.parametrize(("true", "text"), COUNTED)
def test_the_estimate_is_close_to_the_true_count(true: int, text: str) -> None:
    assert 0.85 * true <= estimate_tokens(text) <= 1.45 * true


def test_the_estimate_is_high_rather_than_low() -> None:
    total = sum(true for true, _ in COUNTED)
    assert total <= sum(estimate_tokens(text) for _, text in COUNTED) <= 1.15 * total


def test_counting_words_would_be_far_off_for_korean() -> None:
    true, text = COUNTED[1]
    assert len(text.split()) * 1.3 < 0.75 * true


def test_nothing_is_no_tokens() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("   ") == 0
