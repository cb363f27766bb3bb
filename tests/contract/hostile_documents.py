"""Documents made to break, spy or wear out whoever reads them. All are small as files."""

import io
import zipfile
import zlib

import docx

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def word(body: str = "", *, before: str = "", document: bytes | None = None) -> bytes:
    """A Word document with this XML in its body, and `before` its root element."""
    template = io.BytesIO()
    docx.Document().save(template)
    content = f'<?xml version="1.0"?>{before}<w:document {_WORD}><w:body>{body}</w:body>'
    own = document or f"{content}</w:document>".encode()
    package = io.BytesIO()
    with (
        zipfile.ZipFile(template) as parts,
        zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in parts.namelist():
            target.writestr(name, own if name == "word/document.xml" else parts.read(name))
    return package.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(*objects: bytes, root: bytes = b"<</Type/Catalog/Pages 2 0 R>>") -> bytes:
    """Object 1 is the root; those given are numbered from 2."""
    body = b"".join(
        b"%d 0 obj%s\nendobj\n" % (number, text) for number, text in enumerate((root, *objects), 1)
    )
    return b"%%PDF-1.4\n%strailer<</Root 1 0 R/Size 99>>\nstartxref\n0\n%%%%EOF" % body


PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
FONT = b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
TEXT = b"BT /F 12 Tf (harmless) Tj ET\n"


def page(resources: bytes = FONT, contents: bytes = b"4 0 R") -> bytes:
    return b"<</Type/Page/Parent 2 0 R/Resources<<%s>>/Contents %s>>" % (resources, contents)


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), entries, content)


def deflated(times: int, size: int = 300_000_000) -> bytes:
    data = TEXT + b" " * size
    for _ in range(times):
        data = zlib.compress(data, 9)
    return stream(data, b"/Filter[%s]" % (b"/FlateDecode" * times))


def form(name: bytes, times: int) -> bytes:
    """A drawing that draws another one some times."""
    entries = b"/Type/XObject/Subtype/Form/Resources<</XObject<</F %s 0 R>>>>" % name
    return stream(b"/F Do " * times, entries)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
CMAP = (
    b"begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange "
    b"1 beginbfrange <00000000> <FFFFFFFF> <00000000> endbfrange endcmap"
)

BOMBS: dict[str, bytes] = {
    "a part that unpacks to 300 MB.docx": word(document=b" " * 300_000_000),
    "more than may be unpacked.docx": word(document=b" " * 600_000_000),
    "ten million paragraphs.docx": word("<w:p/>" * 10_000_000),
    "a billion laughs.docx": word(
        paragraph("&l11;"), before=f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'
    ),
    "a cell that spans a billion columns.docx": word(
        '<w:tbl><w:tblGrid/><w:tr><w:tc><w:tcPr><w:gridSpan w:val="900000000"/></w:tcPr><w:p/>'
        "</w:tc></w:tr></w:tbl>"
    ),
    "nested without an end.docx": word("<w:sdt>" * 200_000),
    "a page that unpacks to 300 MB.pdf": pdf(PAGES, page(), deflated(1)),
    "packed five times over.pdf": pdf(PAGES, page(), deflated(5)),
    "pages that hold themselves.pdf": pdf(b"<</Type/Pages/Kids[2 0 R]/Count 1>>"),
    "two billion pages.pdf": pdf(
        b"<</Type/Pages/Kids[3 0 R]/Count 2000000000>>", page(), stream(TEXT)
    ),
    "a drawing that draws itself.pdf": pdf(
        PAGES, page(b"/XObject<</F 5 0 R>>"), stream(b"/F Do "), form(b"5", 2)
    ),
    "ten drawings of ten drawings.pdf": pdf(
        PAGES,
        page(b"/XObject<</F 5 0 R>>"),
        stream(b"/F Do " * 10),
        *[form(b"%d" % number, 10) for number in range(6, 15)],
        stream(TEXT, b"/Type/XObject/Subtype/Form"),
    ),
    "arrays in arrays.pdf": pdf(PAGES, page(contents=b"[" * 100_000 + b"]" * 100_000)),
    "four billion characters in a font.pdf": pdf(
        PAGES,
        page(b"/Font<</F 5 0 R>>"),
        stream(TEXT),
        b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/ToUnicode 6 0 R>>",
        stream(CMAP),
    ),
    "a table two billion columns wide.pdf": pdf(
        PAGES,
        page(),
        stream(
            zlib.compress(TEXT),
            b"/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 2000000000>>",
        ),
    ),
    "elements in elements.html": b"<div>" * 2_000_000 + b"x",
    "lists in lists.html": b"<ul><li>" * 100_000 + b"x",
    "tables in tables.html": b"<table><tr><td>" * 100_000 + b"x",
    "half a million attributes.html": b"<p " + b" ".join(b"a%d" % n for n in range(500_000)) + b">",
    "one endless heading.html": b"<h1>" + b"a" * 20_000_000,
    "quotes in quotes.md": b">" * 100_000 + b"x",
    "brackets.md": b"[" * 50_000 + b"x",
    "links in links.md": b"![" * 20_000 + b"x" + b"](a)" * 20_000,
    "emphasis.md": b"*a **a " * 20_000,
    "lists in lists.md": b"".join(b" " * (2 * n) + b"- a\n" for n in range(1_500)),
    "half a million headings.md": b"# a\nb\n" * 500_000,
    "front matter without an end.md": b"---\n" + b"a: b\n" * 50_000,
    "spaces before the end of a line.txt": b" " * 3_000_000 + b"x",
    "a letter with a million accents.txt": ("a" + "\u0301\u0323" * 500_000).encode(),
    "blank lines.txt": b"\n \n " * 1_000_000 + b"x",
}
