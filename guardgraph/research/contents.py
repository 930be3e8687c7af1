"""The text in the bytes of a file."""

from __future__ import annotations

import codecs
import re

from guardgraph.research.markup import text_of_html
from guardgraph.research.pdf import text_of_pdf

__all__ = ("Unreadable", "text_of_bytes")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARKUP = frozenset({".htm", ".html", ".xhtml"})
_OTHER_BREAKS = re.compile("[\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
"""What `str.splitlines` takes for the end of a line and an editor does not."""


class Unreadable(Exception):
    """A file gives no text; the message completes a sentence that begins with its name."""

    def __init__(self, reason: str, *, advice: str) -> None:
        self.advice = advice
        super().__init__(reason)


def text_of_bytes(data: bytes, *, suffix: str, lost: list[str] | None = None) -> str:
    """Return the text in `data`; `suffix` (`.html`, `.pdf`, …) tells the kind of file. Raises `Unreadable`.

    Where only a part of it can be read, what is lost is added to `lost`, if it is given.

    Lines end with a line feed and nothing else counts as the end of one, so that line numbers are those of an editor.
    """
    is_pdf = suffix == ".pdf" or data.startswith(b"%PDF-")
    text = _text_of_pdf(data, [] if lost is None else lost) if is_pdf else _decoded(data)
    text = _OTHER_BREAKS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    if suffix in _MARKUP and not is_pdf:
        text = text_of_html(text)
    if not text.strip():
        raise Unreadable("holds no text", advice="name a file with text in it")
    return text


def _decoded(data: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise Unreadable("is a binary file", advice="name text, Markdown, HTML or PDF files")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"is not {name} text (byte {error.start:,}, line {line:,})", advice="save it as UTF-8"
        ) from error


def _text_of_pdf(data: bytes, lost: list[str]) -> str:
    try:
        found = text_of_pdf(data)
    except Exception as error:  # a damaged PDF breaks its reader in many ways
        reason = str(error) or type(error).__name__
        raise Unreadable(f"is no PDF that can be read: {reason}", advice="repair it or name another") from error
    if found.text is None:
        raise Unreadable("is an encrypted PDF", advice="save it without a password")
    if not found.text.strip():
        why = found.lost[0] if found.lost else "scanned pages?"
        advice = "repair it or name another" if found.lost else "run text recognition on it first"
        raise Unreadable(f"is a PDF without text ({why})", advice=advice)
    lost += found.lost
    return found.text
