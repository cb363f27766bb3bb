"""Each format's parser on files that people really have."""

import unicodedata
from contextlib import suppress

import pytest

from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.domain.documents import ParsedDocument, UnreadableDocument


def parse(name: str, data: bytes | str, **limits) -> ParsedDocument:
    raw = data.encode() if isinstance(data, str) else data
    return Parsers(**limits).parse(raw, document_id=f"docs/{name}", name=name)


def outline(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(" / ".join(section.headings), section.text) for section in document.sections]


class TestMarkdown:
    def test_headings_make_the_path_and_the_first_is_the_title(self) -> None:
        document = parse(
            "a.md", "# Manual\n\nIntro.\n\n## Setup\n\nDo.\n\n### Linux\n\napt.\n\n## Use\n\nRun."
        )
        assert document.title == "Manual"
        assert outline(document) == [
            ("", "Intro."),
            ("Setup", "Do."),
            ("Setup / Linux", "apt."),
            ("Use", "Run."),
        ]

    def test_front_matter_gives_the_title_and_metadata_a_filter_can_use(self) -> None:
        document = parse(
            "a.md",
            '---\ntitle: "환불 정책"\nyear: 2026\ndraft: false\nscore: 0.5\n'
            "tags: [refund, 환불]\nowners:\n  - kim\n  - lee\nnested:\n  a: 1\n---\n본문.",
        )
        assert document.title == "환불 정책"
        assert outline(document) == [("", "본문.")]
        assert document.metadata == {
            "source": "docs/a.md",
            "format": "markdown",
            "year": 2026,
            "draft": False,
            "score": 0.5,
            "tags": ["refund", "환불"],
            "owners": ["kim", "lee"],
        }

    def test_links_become_their_text_and_images_their_description(self) -> None:
        text = "See [the **guide**](https://x.y) and `code` ![a chart](c.png)."
        assert outline(parse("a.md", text)) == [("", "See the guide and code a chart.")]

    def test_wrapped_lines_are_one_line_again(self) -> None:
        assert outline(parse("a.md", "One sentence\nover two lines.")) == [
            ("", "One sentence over two lines.")
        ]

    def test_lists_keep_their_items_and_nesting(self) -> None:
        text = "- one\n- two\n  - inner\n\n1. first\n2. second"
        assert outline(parse("a.md", text)) == [
            ("", "- one\n- two\n  - inner\n\n1. first\n2. second")
        ]

    def test_tables_are_readable_rows(self) -> None:
        assert outline(parse("a.md", "| a | b |\n|---|---|\n| 1 | [2](x) |")) == [
            ("", "a | b\n1 | 2")
        ]

    def test_code_is_kept_as_it_is(self) -> None:
        text = "```python\nif x:\n    # no heading\n    run()\n```"
        assert outline(parse("a.md", text)) == [("", "if x:\n    # no heading\n    run()")]

    def test_embedded_html_is_read_and_comments_are_not(self) -> None:
        text = '<h1 align="center">Tool</h1>\n\n<!-- hidden -->\n\n<p>Fast &amp; small</p>\n'
        document = parse("a.md", text)
        assert document.title == "Tool"
        assert outline(document) == [("", "Fast & small")]

    def test_without_a_heading_the_file_name_is_the_title(self) -> None:
        assert parse("릴리스 노트.md", "글").title == "릴리스 노트"


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
    def test_every_common_korean_encoding_reads_the_same(self, encoding: str) -> None:
        assert outline(parse("a.txt", "첫 문장입니다.\r\n똠방각하".encode(encoding))) == [
            ("", "첫 문장입니다.\n똠방각하")
        ]

    def test_decomposed_hangul_is_composed(self) -> None:
        (section,) = parse("a.txt", unicodedata.normalize("NFD", "한국어")).sections
        assert section.text == "한국어"

    def test_control_characters_and_odd_spaces_are_made_plain(self) -> None:
        (section,) = parse("a.txt", "a\u00a0b\u200bc\x01\n\n\n\n\u3000d").sections
        assert section.text == "a bc\n\n d"

    def test_paragraphs_wrapped_for_the_eye_are_joined_and_lists_are_not(self) -> None:
        wrapped = "This line is long enough to have been wrapped for the\neye, like this."
        listed = "- this item is long enough to look as if it were wrapped\n- but it is not"
        (section,) = parse("a.txt", f"{wrapped}\n\n{listed}").sections
        assert section.text == wrapped.replace("\n", " ") + "\n\n" + listed

    @pytest.mark.parametrize("data", [bytes(range(256)) * 8, b"\x7fELF\x02\x01\x01" + b"\0" * 64])
    def test_a_binary_file_is_named_as_such(self, data: bytes) -> None:
        with pytest.raises(UnreadableDocument, match="binary"):
            parse("a.txt", data)

    def test_an_unknown_encoding_says_what_to_do(self) -> None:
        with pytest.raises(UnreadableDocument, match="save it as UTF-8"):
            parse("a.txt", "é".encode("latin-1") + b"\n\xff\xfe")

    def test_damaged_utf_16_is_named(self) -> None:
        with pytest.raises(UnreadableDocument, match="UTF-16 text but is damaged"):
            parse("a.txt", "글".encode("utf-16") + b"\x00")


class TestHtml:
    def test_main_text_comes_with_headings_and_without_furniture(self) -> None:
        page = """<!doctype html><html><head><title>Refunds - Shop</title><style>x{}</style></head>
        <body><nav><a href=/>Home</a></nav><script>track()</script>
        <h1>Refunds</h1><p>Within <b>14</b>&nbsp;days &mdash; always.</p>
        <h2>How</h2><ul><li>Write<ul><li>by mail</li></ul></li><li>Call</li></ul>
        <p hidden>secret</p><table><tr><th>Item<th>Days</tr><tr><td>Shoes<td>30</tr></table>
        <pre>a\n  b</pre>one<br>two<aside>Ads</aside></body></html>"""
        document = parse("a.html", page)
        assert document.title == "Refunds - Shop"
        assert outline(document) == [
            ("", "Within 14 days — always."),
            (
                "How",
                "- Write\n  - by mail\n- Call\n\nItem | Days\nShoes | 30\n\na\n  b\n\none\ntwo",
            ),
        ]

    def test_a_long_main_element_is_all_that_is_read(self) -> None:
        page = f"<body><div>Cookie banner</div><main><p>{'Text. ' * 60}</p></main>Footer</body>"
        (section,) = parse("a.html", page).sections
        assert section.text == ("Text. " * 60).strip()

    def test_a_charset_that_its_own_declaration_disproves_is_not_obeyed(self) -> None:
        page = '<meta charset="utf-16"><p>환불 안내</p>'.encode()
        even = page + b" " * (len(page) % 2)
        assert outline(parse("a.html", even)) == [("", "환불 안내")]

    @pytest.mark.parametrize("charset", ["euc-kr", "ks_c_5601-1987", "johab", "utf-8"])
    def test_the_declared_charset_is_obeyed(self, charset: str) -> None:
        encoding = charset if charset in ("utf-8", "johab") else "cp949"
        page = f'<meta charset="{charset}"><p>환불 똠방</p>'.encode(encoding)
        assert outline(parse("a.html", page)) == [("", "환불 똠방")]

    def test_xhtml_with_an_encoding_declaration_is_read(self) -> None:
        page = '<?xml version="1.0" encoding="UTF-8"?><html><body><p>글</p></body></html>'
        assert outline(parse("a.xhtml", page)) == [("", "글")]

    def test_a_page_without_text_is_an_empty_document(self) -> None:
        assert outline(parse("a.html", "<html><body></body></html>")) == []

    def test_absurd_nesting_is_an_answer_not_a_crash(self) -> None:
        with suppress(UnreadableDocument):
            parse("a.html", "<div>" * 100_000 + "deep")


class TestAnyFormat:
    def test_a_type_that_is_not_known_is_named(self) -> None:
        with pytest.raises(UnreadableDocument, match=r"not read \(\.zip\); known: \.md"):
            parse("a.zip", b"PK")

    def test_a_file_beyond_the_limit_is_refused(self) -> None:
        with pytest.raises(UnreadableDocument, match="at most 1 MB"):
            parse("a.txt", b"x" * 1_000_001, max_bytes=1_000_000)

    def test_text_beyond_the_limit_is_refused(self) -> None:
        with pytest.raises(UnreadableDocument, match="at most 10 are read"):
            parse("a.txt", "x" * 11, max_characters=10)

    @pytest.mark.parametrize("name", ["a.md", "a.html", "a.pdf", "a.docx"])
    @pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"%PDF-1.7\n\xff\xff", b"PK\x03\x04junk"])
    def test_garbage_raises_nothing_but_unreadable(self, name: str, data: bytes) -> None:
        with suppress(UnreadableDocument):
            parse(name, data)
