"""The text of a PDF, and what of it could not be read."""

from __future__ import annotations

import io
import logging
from collections.abc import Generator
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pypdf import PdfReader

__all__ = ("PDFText", "text_of_pdf")


class PDFText(NamedTuple):
    """What a PDF says."""

    text: str | None
    """The text of its pages, one after the other; `None` where it is encrypted."""
    lost: tuple[str, ...]
    """What could not be read of it, a sentence for each page."""


def text_of_pdf(data: bytes) -> PDFText:
    """Return the text of the pages that can be read. Raises whatever `pypdf` does where none can.

    What `pypdf` logs is not printed; what it says of a page is told with the page.
    """
    from pypdf import PdfReader

    with _logged() as said:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return PDFText(None, ())
        texts: list[str] = []
        lost: list[str] = []
        fault: Exception | None = None
        count = len(reader.pages)
        for at in range(count):
            said.clear()
            try:
                text = reader.pages[at].extract_text()
            except Exception as error:  # a damaged page breaks its reader in many ways
                text, fault = "", error
                said.append(str(error) or type(error).__name__)
            texts.append(text)
            if said:
                state = "may be incomplete" if text.strip() else "could not be read"
                lost.append(f"page {at + 1} {state}: {' '.join(said[-1].split())}")
        missing = _declared(reader) - count
    if fault is not None and not "".join(texts).strip():
        raise fault
    if missing > 0:
        lost.append(f"{missing} of {missing + count} pages could not be found")
    return PDFText("\n".join(texts).encode("utf-8", errors="replace").decode("utf-8"), tuple(lost))


def _declared(reader: PdfReader) -> int:
    """Return how many pages the document says it has; 0 if it does not say."""
    try:
        count: Any = reader.root_object["/Pages"]["/Count"]  # pyright: ignore[reportIndexIssue] -- pypdf's types know no nesting
        return int(count)
    except Exception:  # a damaged document
        return 0


class _Collector(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.said, self.thread = said, get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.said.append(record.getMessage())


@contextmanager
def _logged() -> Generator[list[str]]:
    """Collect what `pypdf` logs in this thread; with a handler there, Python does not print it to stderr."""
    said: list[str] = []
    logger, handler = logging.getLogger("pypdf"), _Collector(said)
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
