"""The text in the bytes of a file: plain text, HTML or PDF."""

from __future__ import annotations

import codecs
import io
import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from logging.handlers import BufferingHandler
from threading import get_ident
from typing import TYPE_CHECKING, Any

from guardgraph.research.html_text import text_of_html

if TYPE_CHECKING:
    from pypdf import PdfReader

__all__ = ("Unreadable", "text_of_bytes")

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HTML = frozenset({".htm", ".html", ".xhtml"})
_OTHER_BREAKS = re.compile("[\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
"""Line breaks of `str.splitlines` that are none in an editor."""


class Unreadable(Exception):
    """A file gives no text; the message completes a sentence that begins with its name."""

    def __init__(self, reason: str, *, advice: str) -> None:
        self.advice = advice
        super().__init__(reason)


def text_of_bytes(data: bytes, *, suffix: str, lost: list[str] | None = None) -> str:
    """Return the text in `data`; `suffix` (`.html`, `.pdf`, …) is the kind of file. Raises `Unreadable`.

    Where only a part of it can be read, what is missing is added to `lost`, if it is given. Lines end with a line feed
    only, so that line numbers are those of an editor.
    """
    is_pdf = suffix == ".pdf" or data.startswith(b"%PDF-")
    text = _text_of_pdf(data, [] if lost is None else lost) if is_pdf else _decoded(data)
    text = _OTHER_BREAKS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    if suffix in _HTML and not is_pdf:
        text = text_of_html(text)
    if not text.strip():
        raise Unreadable("holds no text", advice="name a file with text in it")
    return text


def _decoded(data: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise Unreadable("is a binary file", advice="name text, Markdown, HTML or PDF files")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"is not {name} text (byte {error.start:,}, line {line:,})"
        raise Unreadable(reason, advice="save it as UTF-8") from error


def _text_of_pdf(data: bytes, lost: list[str]) -> str:
    """Return the text of the pages that can be read; what `pypdf` logs about a page is added to `lost`."""
    from pypdf import PdfReader

    repair = "repair it or name another"
    try:
        with _pypdf_log() as log:
            reader = PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise Unreadable("is an encrypted PDF", advice="save it without a password")
            pages = [_text_of_page(reader, number, log, lost) for number in range(len(reader.pages))]
            missing = _page_count(reader) - len(pages)
    except Unreadable:
        raise
    except Exception as error:  # pypdf raises many types on a damaged PDF
        reason = f"is no PDF that can be read: {str(error) or type(error).__name__}"
        raise Unreadable(reason, advice=repair) from error
    if missing > 0:
        lost.append(f"{missing} of {missing + len(pages)} pages could not be found")
    text = "\n".join(pages).encode("utf-8", errors="replace").decode("utf-8")
    if not text.strip():
        advice = repair if lost else "run text recognition on it first"
        raise Unreadable(f"is a PDF without text ({lost[0] if lost else 'scanned pages?'})", advice=advice)
    return text


def _text_of_page(reader: PdfReader, index: int, log: BufferingHandler, lost: list[str]) -> str:
    log.buffer.clear()
    text, problems = "", list[str]()
    try:
        text = reader.pages[index].extract_text()
    except Exception as error:  # pypdf raises many types on a damaged page
        problems = [str(error) or type(error).__name__]
    problems = [record.getMessage() for record in log.buffer] + problems
    if problems:
        state = "may be incomplete" if text.strip() else "could not be read"
        lost.append(f"page {index + 1} {state}: {' '.join(problems[-1].split())}")
    return text


def _page_count(reader: PdfReader) -> int:
    """Return the number of pages according to the document itself; 0 if it has none."""
    try:
        count: Any = reader.root_object["/Pages"]["/Count"]  # pyright: ignore[reportIndexIssue] -- pypdf's types know no nesting
        return int(count)
    except Exception:  # a damaged document
        return 0


@contextmanager
def _pypdf_log() -> Generator[BufferingHandler]:
    """Collect what `pypdf` logs in this thread; with a handler, Python does not print it to stderr."""
    thread, logger, handler = get_ident(), logging.getLogger("pypdf"), BufferingHandler(capacity=1_000)
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: record.thread == thread)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
