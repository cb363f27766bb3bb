"""What is left of user text when it is shown: no number or address of a person, whatever stands
around it, and all that is none."""

import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyrag.domain.masking import mask
from steadyrag.telemetry import redaction
from steadyrag.telemetry.redaction import Redacted, redact

WIDE = {ord(narrow): ord(narrow) + 0xFEE0 for narrow in "0123456789-+@.ABCDEFGHIJabcdefghij"}


def luhn(digits: str) -> str:
    """The digits with their check digit."""
    for check in "0123456789":
        number = [int(d) for d in digits + check][::-1]
        if (sum(number[::2]) + sum(sum(divmod(2 * d, 10)) for d in number[1::2])) % 10 == 0:
            return digits + check
    raise AssertionError


class TestWhatIsMasked:
    @pytest.mark.parametrize(
        "mail",
        [
            "mina.kim+work@example.co.kr",
            "a@b.io",
            "o'brien_1@mail.example.museum",
            "mina@xn--bj0bj06e.xn--3e0b707e",
            "김미나@회사.한국",
            "josé.garcía@example.com",
            "mina@example.com",
            f"{'long.' * 40}name@example.com",
        ],
    )
    def test_mail_addresses(self, mail):
        assert mask(f"Write to {mail}, please") == "Write to [e-mail], please"

    def test_a_mail_address_between_korean_words_leaves_them(self):
        assert mask("메일은mina@example.com으로 주세요") == "메일은[e-mail]으로 주세요"

    @pytest.mark.parametrize(
        "phone",
        [
            *("010-1234-5678", "01012345678", "010 1234 5678", "010.1234.5678", "010-12345678"),
            *("011-123-4567", "010ㅡ1234ㅡ5678", "010–1234–5678", "010\u200b-1234-5678"),
            *("02-123-4567", "02-1234-5678", "02)1234-5678", "(02) 1234-5678", "021234567"),
            *("031-123-4567", "070-1234-5678", "0505-123-4567", "080-123-4567"),
            *("+82 10-1234-5678", "+82-2-123-4567", "+821012345678", "+82 (0)10-1234-5678"),
            *("82-10-1234-5678", "821012345678", "0082-10-1234-5678"),
            *("+1 (415) 555-0132", "+44 20 7946 0958", "+4915123456789", "+33 1 23 45 67 89"),
            *("(415) 555-0132", "415-555-0132", "020 7946 0958", "03-1234-5678"),
            *("０１０－１２３４－５６７８", "٠١٠-١٢٣٤-٥٦٧٨"),
            *("010\t1234\t5678", "010\n1234\n5678", "010\r\n1234\r\n5678", "02\v123\f4567"),
            *("010\u20281234\u20285678", "+82\t10\n1234\n5678"),
            *("010/1234/5678", "010_1234_5678", "010 / 1234 / 5678", "02/123/4567"),
            *("+82/10/1234/5678", "+82_010_1234_5678"),
        ],
    )
    def test_phone_numbers(self, phone):
        assert mask(f"전화 {phone}번") == "전화 [phone]번"

    @pytest.mark.parametrize(
        "card",
        [
            *("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"),
            *("5555 5555 5555 4444", "2223003122003222", "6011111111111117", "3530111333300000"),
            *("378282246310005", "3782 822463 10005", "30569309025904", "3056 930902 5904"),
            *(
                "4222222222222",
                "6304 0000 0000 0000 000",
                luhn("94101234567890"),
                "4111–1111 1111.1111",
            ),
            "４１１１－１１１１－１１１１－１１１１",
            *("4111\n1111\n1111\n1111", "4111\t1111\t1111\t1111", "4111\r\n1111\r\n1111\r\n1111"),
            *("4111/1111/1111/1111", "4111_1111_1111_1111", "3782 / 822463 / 10005"),
        ],
    )
    def test_payment_cards(self, card):
        assert mask(f"카드 {card}로") == "카드 [card]로"

    @pytest.mark.parametrize(
        "number",
        [
            *("900101-1234567", "9001011234567", "900101 - 1234567", "000229-3123456"),
            *("851231-5234567", "050731-8234567", "９００１０１－２２３４５６７"),
            *("900101\t1234567", "900101\n1234567", "900101\r\n1234567", "900101/1234567"),
            *("900101_1234567", "900101 / 1234567"),
        ],
    )
    def test_resident_numbers(self, number):
        assert mask(f"주민번호는{number}입니다") == "주민번호는[resident number]입니다"

    def test_one_after_the_other(self):
        text = "5 4111 1111 1111 1111 7, 01 010-1234-5678 a@b.io,c@d.io"
        assert mask(text) == "5 [card] 7, [phone] [e-mail],[e-mail]"

    def test_one_that_begins_within_another(self):
        assert mask("02 010 1234 5678") == "[phone]"
        assert mask("4111 4111 1111 1111 1111") == "4111 [card]"

    def test_in_ascii_too_where_nothing_else_is_folded(self):
        assert mask("tel\t010\t1234\t5678\tend\n") == "tel\t[phone]\tend\n"
        assert mask("900101\n1234567\r\n4111\n1111\n1111\n1111") == "[resident number]\r\n[card]"

    def test_inside_of_json_and_markup(self):
        text = json.dumps({"to": "a@b.io", "tel": "010-1234-5678"})
        assert mask(text) == '{"to": "[e-mail]", "tel": "[phone]"}'
        assert mask("<a@b.io>") == "<[e-mail]>"


class TestWhatIsLeft:
    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", "What is the capital of South Korea?", "한글은 누가 창제했나요?"),
            *("In 1443, 1592-1598 and 2019 2020 2021 2022", "2024-01-02", "2024-01-02T03:04:05Z"),
            *("2024.01.02 ~ 2024.12.31", "20241231", "01/02/2024", "09:30-18:00"),
            *("2024/01/15", "2024/01/15 ~ 2024/02/15", "2024/01/02/1000/1000", "15/02/2024"),
            *("2024/01/02\n1000\n1000", "2024_01_02_1000_1000", "1/2/3/4/5/6/7/8/9/10"),
            *("C++11/14/17/20/23", "a\tb\n\nc\r\n", "1/1000/2000", "24/7", "2023/2024/2025/2026"),
            *("path/to/2024/07/1234", "snake_case_1000_2000", "100\n200\n3000", "10/100/1000"),
            *("₩1,234,567,890", "$19.99", "1234567.89", "12,000원", "3.14159265358979"),
            *("v3.13.2", "python 3.13, 10.0.19045.5011", "192.168.100.101", "127.0.0.1:8080"),
            *("section 4.2.1.10", "제1조 제2항 (3)", "§ 12-34", "RFC 9457", "ISO/IEC 27001:2022"),
            *("50,000 pieces", "order 100200300", "1000 2000 3000 4000", "10 20 30 40 50 60 70"),
            *("1588-1234", "119", "112", "900101-1******", "010-****-5678", "4111-****-****-1111"),
            *("4111111111111112", "901301-1234567", "900231-1234567", "900101-9234567"),
            *("@mina", "a @ b", "@decorator.py", "5@10", "mina@", "@", "me@home"),
            *("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "sha256:cd372fb85148700fa88095e3"),
        ],
    )
    def test_ordinary_text(self, text):
        assert mask(text) == text

    ordinary = st.one_of(
        st.integers(1000, 2199).map(str),
        st.dates().map(str),
        st.dates().map(lambda day: f"{day:%Y/%m/%d}".zfill(10)),
        st.tuples(*[st.integers(0, 99)] * 3).map(lambda v: "v{}.{}.{}".format(*v)),
        st.tuples(*[st.integers(1, 40)] * 4).map(lambda v: "{}.{}.{}.{}".format(*v)),
        st.integers(0, 10**9).map(lambda n: f"${n:,}"),
        st.integers(1, 10**6).map(lambda n: f"{n}개"),
        st.sampled_from(["order", "in", "제조", "판매량은", "section", "(", ")", "costs", "원,"]),
    )

    @given(st.lists(ordinary, max_size=12), st.sampled_from([*" \t\n", "\r\n", ", ", "; ", ") "]))
    def test_years_prices_versions_sections_dates_and_quantities(self, words, gap):
        text = gap.join(words)
        assert mask(text) == text


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


phones = st.builds(
    lambda head, gap, middle, last: gap.join((head, middle, last)),
    st.sampled_from(["010", "011", "02", "031", "064", "070", "+82 10", "+82-2", "(02)"]),
    st.sampled_from(["-", " ", ".", "", "\t", "\n", "\r\n"]),
    st.one_of(digits(3), digits(4)),
    digits(4),
)

residents = st.builds(
    lambda born, gap, century, rest: f"{born:%y%m%d}{gap}{century}{rest}",
    st.dates(),
    st.sampled_from(["-", "", " - ", " ", "\t", "\n", "\r\n", "/", "_"]),
    st.sampled_from("12345678"),
    digits(6),
)


def grouped(number: str, gap: str) -> str:
    sizes = [4, 6, 5] if len(number) == 15 and number[0] == "3" else [4, 4, 4, 4, 4]
    groups, at = [], 0
    for size in sizes:
        groups.append(number[at : at + size])
        at += size
    return gap.join(filter(None, groups))


cards = st.builds(
    lambda head, body, gap: grouped(luhn(head + body), gap),
    st.sampled_from(["4", "51", "55", "2221", "2720", "34", "37", "36", "6011", "62", "9410"]),
    st.integers(12, 14).flatmap(digits),
    st.sampled_from(["", " ", "-", "\t", "\n", "\r\n", "/", "_"]),
).filter(lambda card: 13 <= len(re.sub(r"\D", "", card)) <= 19)

mails = st.builds(
    lambda name, host, top: f"{name}@{host}.{top}",
    st.from_regex(r"[a-z][a-z0-9._+-]{0,20}[a-z0-9]", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,12}(-[a-z0-9]{1,8})?(\.[a-z]{2,8})?", fullmatch=True),
    st.sampled_from(["com", "co.kr", "kr", "io", "museum"]),
)

around = st.text(max_size=30)


def before(text: str) -> str:
    """Without digits at its end, which would make another number of the one that follows."""
    return text if not text or not digit(text[-1]) else f"{text},"


def after(text: str) -> str:
    return text if not text or not digit(text[0]) else f",{text}"


def digit(character: str) -> bool:
    return any(c.isdecimal() for c in unicodedata.normalize("NFKC", character))


def seam(text: str) -> str:
    """Surroundings without invisible characters at their ends, behind which digits may be."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Mn", "Me"))


class TestWhateverStandsAround:
    @given(st.one_of(phones, residents, cards, mails), around, around)
    def test_no_number_and_no_address_survives(self, planted, left, right):
        text = before(seam(left)) + planted + after(seam(right))
        assert planted not in mask(text)

    @given(st.one_of(phones, residents, cards), around, around)
    def test_in_full_width_it_does_not_survive_either(self, planted, left, right):
        wide = planted.translate(WIDE)
        assert wide not in mask(before(seam(left)) + wide + after(seam(right)))

    @given(st.lists(st.one_of(phones, residents, cards, mails), min_size=2, max_size=5))
    def test_neighbours_hide_none_of_each_other(self, planted):
        masked = mask(", ".join(planted))
        assert not any(one in masked for one in planted)

    @given(st.lists(st.one_of(phones, cards, st.sampled_from(["1", "2024", "10000"]))))
    def test_numbers_beside_it_hide_none(self, parts):
        masked = mask(" ".join(parts))
        assert not any(one in masked for one in parts if one not in ("1", "2024", "10000"))

    @given(st.text())
    def test_any_text_can_be_masked_and_masked_text_stays(self, text):
        once = mask(text)
        assert mask(once) == once


HOSTILE = {
    "digits": "0",
    "mobile": "010-",
    "digits apart": "1 ",
    "ones": "1111 ",
    "cards": "4111-1111-",
    "pluses": "+1",
    "brackets": "(0",
    "at signs": "@",
    "names": "a",
    "domains": "@a.",
    "labels": "a-",
    "addresses": "a@a.a",
    "dates": "900101-",
    "wide": "０",
    "slashes": "010/",
    "abroad by slashes": "+82/10/1234/",
    "lines": "010\n1234\n",
    "marks": "e\u0301",
}


def cpu_s(text: str) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        mask(text)
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_time_grows_with_the_length_and_no_faster(unit):
    text = unit * (100_000 // len(unit))
    for hostile in (text, text + "@", f"@{text}"):
        assert cpu_s(hostile) < 40 * cpu_s(hostile[:10_000]) + 0.02


@pytest.fixture
def key(monkeypatch):
    """One that is set, and gone after the test."""
    monkeypatch.setattr(redaction, "_key", redaction._key)
    redaction.configure(b"k" * 32)
    return b"k" * 32


class TestRedact:
    def test_a_hash_tells_texts_apart_and_nothing_else(self, key):
        text = "한글은 누가 창제했나요?"
        expected = hmac.digest(key, text.encode(), "sha256").hex()[:16]
        assert redact(text, "hash") == f"hmac:{expected}"
        assert redact(unicodedata.normalize("NFD", text), "hash") == redact(text, "hash")
        assert redact(text + " ", "hash") != redact(text, "hash")

    def test_without_the_key_no_phone_number_can_be_tried(self, key):
        shown = redact("010-1234-5678", "hash")
        for tried in (b"", b"l" * 32, hashlib.sha256(key).digest()):
            redaction.configure(tried)
            assert redact("010-1234-5678", "hash") != shown
        assert hashlib.sha256(b"010-1234-5678").hexdigest()[:16] not in shown
        redaction.configure(key)
        assert redact("010-1234-5678", "hash") == shown

    def test_where_no_key_is_set_each_process_has_its_own(self):
        code = "from steadyrag.telemetry.redaction import redact; print(redact('a', 'hash'))"
        run = [sys.executable, "-c", code]
        first, second = (subprocess.check_output(run, text=True) for _ in range(2))
        assert re.fullmatch(r"hmac:[0-9a-f]{16}\n", first)
        assert first != second

    def test_a_truncated_text_is_masked_first(self):
        text = f"{'a' * 35} 010-1234-5678"
        assert redact(text, "truncated") == f"{'a' * 35} [pho…"
        assert redact("short, a@b.io", "truncated") == "short, [e-mail]"

    def test_a_full_text_is_masked_too(self):
        text = f"{'a' * 100} 010-1234-5678"
        assert redact(text, "full") == f"{'a' * 100} [phone]"

    def test_what_is_redacted_is_not_redacted_again(self):
        once = redact("a question", "hash")
        assert isinstance(once, Redacted)
        assert redact(once, "hash") == redact(once, "truncated") == once

    @pytest.mark.parametrize("how", ["hash", "truncated", "full"])
    def test_half_a_surrogate_pair_breaks_nothing(self, how):
        assert redact("a\ud800b", how)
