from __future__ import annotations

import codecs

import pytest

from guardgraph.research.contents import Unreadable, text_of_bytes
from tests.research.pdfs import pdf_of


@pytest.mark.parametrize(
    "data",
    [
        "Grün\nzwei".encode(),
        codecs.BOM_UTF8 + "Grün\nzwei".encode(),
        codecs.BOM_UTF16_LE + "Grün\nzwei".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "Grün\nzwei".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "Grün\nzwei".encode("utf-32-le"),
        "Grün\r\nzwei".encode(),
        "Grün\rzwei".encode(),
    ],
)
def test_encodings_with_a_mark_and_all_line_ends_give_the_same_text(data: bytes) -> None:
    assert text_of_bytes(data, suffix=".txt") == "Grün\nzwei"


def test_only_what_an_editor_takes_for_the_end_of_a_line_is_one() -> None:
    text = text_of_bytes("a\fb\u2028c\x85d\ne".encode(), suffix=".txt")

    assert text.splitlines() == ["a b c d", "e"]


def test_the_pages_of_a_pdf_follow_each_other() -> None:
    assert text_of_bytes(pdf_of(["One.", "Two."], ["Three."]), suffix=".pdf").split("\n") == ["One.", "Two.", "Three."]


def test_a_pdf_is_known_by_its_first_bytes_too() -> None:
    assert text_of_bytes(pdf_of(["One."]), suffix="") == "One."


def test_an_encrypted_pdf_is_refused() -> None:
    from io import BytesIO

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf_of(["Secret words."]))))
    writer.encrypt("password", algorithm="RC4-128")
    file = BytesIO()
    writer.write(file)

    with pytest.raises(Unreadable, match="is an encrypted PDF") as caught:
        text_of_bytes(file.getvalue(), suffix=".pdf")
    assert caught.value.advice == "save it without a password"
