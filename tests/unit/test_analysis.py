from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyrag.domain.analysis import LONGEST_TERM, analyse


def test_korean_becomes_overlapping_pairs_so_particles_do_not_hide_a_noun() -> None:
    assert analyse("피라미드는") == ["피라", "라미", "미드", "드는"]
    assert set(analyse("피라미드")) < set(analyse("피라미드의 목적"))


def test_a_lone_syllable_stays_whole() -> None:
    assert analyse("그 왕") == ["그", "왕"]


def test_decomposed_korean_from_macos_gives_the_same_terms() -> None:
    import unicodedata

    assert analyse(unicodedata.normalize("NFD", "검색 서비스")) == analyse("검색 서비스")


def test_english_words_are_folded_and_stemmed() -> None:
    assert analyse("Relational DATABASES") == analyse("relate database")
    assert analyse("naïve Café") == analyse("naive cafe")
    assert analyse("ＡＢＣ１２３") == analyse("abc123")


def test_numbers_are_kept() -> None:
    assert analyse("2024년 1/2000") == ["2024", "년", "1", "2000"]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("IL-10", "IL10"),
        ("COVID-19는", "covid19"),
        ("up-regulated", "upregulated"),
        ("TGF-β", "TGFbeta"),
        ("TGFβ", "tgf-beta"),
        ("CO₂", "CO2"),
        ("MacBook-Pro", "macbookpro"),
        ("S3버킷", "S3 버킷"),
        ("λ", "lambda"),
    ],
)
def test_spellings_of_one_name_share_a_term_of_the_whole_name(written: str, asked: str) -> None:
    shared = set(analyse(written)) & set(analyse(asked))
    assert max(analyse(asked), key=len) in shared


def test_parts_of_a_mixed_name_are_found_on_their_own() -> None:
    assert {"vitamin", "b", "12", "b12"} <= set(analyse("vitamin B12"))


def test_chinese_and_japanese_become_pairs_too() -> None:
    assert analyse("機械学習") == ["機械", "械学", "学習"]
    assert analyse("データ") == ["デー", "ータ"]
    assert analyse("ﾃﾞｰﾀ") == analyse("データ")


def test_greek_words_stay_greek() -> None:
    assert analyse("Ελλάδα") == ["ελλαδα"]


@pytest.mark.parametrize("text", ["", "   ", "?!…", "\0", "\ud800", "__", "🙂"])
def test_text_without_words_has_no_terms(text: str) -> None:
    assert analyse(text) == []


@given(st.text())
def test_every_term_is_one_short_run_of_letters_and_digits(text: str) -> None:
    for term in analyse(text):
        assert term.isalnum()
        assert 0 < len(term) <= LONGEST_TERM


@given(st.text())
def test_terms_survive_being_written_out_and_analysed_as_words(text: str) -> None:
    """What a hosted analyser does to them: split on white space and lowercase."""
    terms = analyse(text)
    assert " ".join(terms).lower().split() == terms


def test_threads_do_not_disturb_each_others_stems() -> None:
    words = [f"running{chr(97 + i % 26)}{chr(97 + i // 26)}ational" for i in range(600)]
    alone = [analyse(word) for word in words]
    from steadyrag.domain import analysis

    analysis._term.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyse, words)) == alone
