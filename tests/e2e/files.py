"""Files as office programs write them."""

import io

import docx
from reportlab.pdfgen.canvas import Canvas


def word(text: str) -> bytes:
    """A Word document of one paragraph."""
    document, file = docx.Document(), io.BytesIO()
    document.add_paragraph(text)
    document.save(file)
    return file.getvalue()


def pdf(text: str) -> bytes:
    """A page of one line."""
    file = io.BytesIO()
    page = Canvas(file)
    page.drawString(72, 720, text)
    page.save()
    return file.getvalue()
