"""PDF and Word files, made by the libraries that people's tools are built on."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import docx
import pytest
from docx.oxml import OxmlElement
from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from contract import hostile_documents as hostile
from steadyrag.adapters.parsers.docx import parse_docx
from steadyrag.adapters.parsers.pdf import parse_pdf
from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.domain.documents import ParsedDocument, UnreadableDocument


def parse(name: str, data: bytes) -> ParsedDocument:
    return Parsers().parse(data, document_id=name, name=name)


def outline(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(" / ".join(section.headings), section.text) for section in document.sections]


def pdf(*pages: list[str], title: str = "", font: str = "Helvetica") -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    canvas.setTitle(title)
    for lines in pages:
        canvas.setFont(font, 11)
        for number, line in enumerate(lines):
            canvas.drawString(72, 770 - 16 * number, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def encrypted(data: bytes, *, password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


class TestPdf:
    def test_pages_are_sections_named_by_their_number(self) -> None:
        document = parse("report.pdf", pdf(["First page."], ["Second page."], title="Report"))
        assert document.title == "Report"
        assert outline(document) == [("p. 1", "First page."), ("p. 2", "Second page.")]

    def test_korean_text_is_read(self) -> None:
        pdfmetrics.registerFont(UnicodeCIDFont("HYSMyeongJo-Medium"))
        document = parse("보고서.pdf", pdf(["환불은 열흘 안에 됩니다."], font="HYSMyeongJo-Medium"))
        assert outline(document) == [("p. 1", "환불은 열흘 안에 됩니다.")]

    @pytest.mark.parametrize("title", ["", "untitled", "Microsoft Word - draft_v3.doc", "scan.pdf"])
    def test_a_title_that_says_nothing_gives_way_to_the_file_name(self, title: str) -> None:
        assert parse("report.pdf", pdf(["Text."], title=title)).title == "report"

    def test_lines_of_a_paragraph_are_joined_and_hyphens_mended(self) -> None:
        lines = ["A paragraph in a PDF file is broken into lines and may be hyphen-", "ated too."]
        assert outline(parse("a.pdf", pdf(lines))) == [
            ("p. 1", "A paragraph in a PDF file is broken into lines and may be hyphenated too.")
        ]

    def test_headers_and_footers_of_every_page_are_dropped(self) -> None:
        pages = [["ACME confidential", f"Body {n * n}.", f"Page {n} of 5"] for n in range(1, 6)]
        document = parse("a.pdf", pdf(*pages))
        assert [section.text for section in document.sections] == [
            f"Body {n * n}." for n in range(1, 6)
        ]

    def test_a_password_is_named(self) -> None:
        with pytest.raises(UnreadableDocument, match="protected by a password"):
            parse("a.pdf", encrypted(pdf(["Secret."]), password="x"))

    def test_a_file_that_only_restricts_printing_is_read(self) -> None:
        document = parse("a.pdf", encrypted(pdf(["Open."]), password=""))
        assert outline(document) == [("p. 1", "Open.")]

    def test_scanned_pages_are_named(self) -> None:
        with pytest.raises(UnreadableDocument, match="OCR"):
            parse("a.pdf", pdf([], []))

    def test_too_many_pages_are_refused(self) -> None:
        with pytest.raises(UnreadableDocument, match="has 3 pages; at most 2"):
            parse_pdf(pdf(["a"], ["b"], ["c"]), max_pages=2)

    @pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
    def test_half_a_file_is_read_as_far_as_possible_or_named(self, cut: float) -> None:
        data = pdf(["Text."])
        try:
            document = parse("a.pdf", data[: int(len(data) * cut)])
        except UnreadableDocument:
            return
        assert outline(document) == [("p. 1", "Text.")]

    def test_a_decompression_bomb_is_stopped(self) -> None:
        bomb = zlib.compress(b"0" * 200_000_000, 9)
        stream = b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(bomb), bomb)
        page = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R>>"
        with pytest.raises(UnreadableDocument):
            parse("a.pdf", hostile.pdf(hostile.PAGES, page, stream))


def word(build: Callable[[docx.document.Document], object]) -> bytes:
    document = docx.Document()
    build(document)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


class TestDocx:
    def test_headings_paragraphs_lists_and_tables_come_in_order(self) -> None:
        def build(document: docx.document.Document) -> None:
            document.add_heading("Manual", 0)
            document.add_paragraph("Intro.")
            document.add_heading("Setup", 1)
            document.add_paragraph("one", style="List Bullet")
            document.add_paragraph("two", style="List Number")
            document.add_heading("Linux", 2)
            table = document.add_table(rows=2, cols=3)
            for cell, text in zip(table.rows[0].cells, ["Item", "Days", "Note"], strict=True):
                cell.text = text
            table.rows[1].cells[0].text = "Shoes"
            table.rows[1].cells[1].merge(table.rows[1].cells[2]).text = "30 days"
            document.add_paragraph("After.")

        document = parse("a.docx", word(build))
        assert document.title == "Manual"
        assert outline(document) == [
            ("", "Intro."),
            ("Setup", "- one\n- two"),
            ("Setup / Linux", "Item | Days | Note\nShoes | 30 days\n\nAfter."),
        ]

    def test_the_properties_title_is_used_where_no_paragraph_is_one(self) -> None:
        def build(document: docx.document.Document) -> None:
            document.core_properties.title = "환불 정책"
            document.add_paragraph("본문")

        assert parse("a.docx", word(build)).title == "환불 정책"

    def test_numbered_paragraphs_of_any_style_are_list_items(self) -> None:
        def build(document: docx.document.Document) -> None:
            paragraph = document.add_paragraph("item")
            paragraph._p.get_or_add_pPr().append(OxmlElement("w:numPr"))

        assert outline(parse("a.docx", word(build))) == [("", "- item")]

    def test_an_old_or_encrypted_file_is_named(self) -> None:
        with pytest.raises(UnreadableDocument, match=r"old \.doc format"):
            parse("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512)

    def test_another_zip_file_is_named(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as package:
            package.writestr("hello.txt", "hello")
        with pytest.raises(UnreadableDocument, match="damaged, or is no docx"):
            parse("a.docx", buffer.getvalue())

    def test_a_zip_bomb_is_refused_unopened(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
            package.writestr("word/document.xml", b" " * 2_000_000)
        with pytest.raises(UnreadableDocument, match="unpacks to 2 MB; at most 1 MB"):
            parse_docx(buffer.getvalue(), max_unpacked_bytes=1_000_000)

    def test_a_zip_that_lies_about_its_size_is_an_answer_not_a_full_disk(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
            package.writestr("word/document.xml", b" " * 2_000_000)
        data = buffer.getvalue().replace(struct.pack("<I", 2_000_000), struct.pack("<I", 10))
        with pytest.raises(UnreadableDocument):
            parse("a.docx", data)
