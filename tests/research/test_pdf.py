"""A damaged PDF is read as far as it can be, and what is lost is reported and not printed."""

from __future__ import annotations

import logging
import threading

import pytest

from guardgraph.research.contents import Unreadable, text_of_bytes
from tests.research.pdfs import pdf_of

WHOLE = pdf_of(["One."], ["Two."], ["Three."])


def read(data: bytes) -> tuple[str, list[str]]:
    lost: list[str] = []
    return text_of_bytes(data, suffix=".pdf", lost=lost), lost


def damaged(before: bytes, after: bytes) -> bytes:
    assert before in WHOLE
    return WHOLE.replace(before, after)


def with_filter(name: bytes) -> bytes:
    at = WHOLE.rindex(b"<< /Length", 0, WHOLE.index(b"(Two.)"))
    return WHOLE[:at] + WHOLE[at:].replace(b"<< ", b"<< /Filter /" + name + b" ", 1)


@pytest.mark.parametrize(
    ("data", "lost"),
    [
        (with_filter(b"FlateDecode"), "page 2 could not be read: Error -3 while decompressing data"),
        (with_filter(b"Nonsense"), "page 2 could not be read: Unsupported filter /Nonsense"),
        (damaged(b"(Two.) Tj", b"(Two. Tj "), "page 2 could not be read: Stream has ended unexpectedly"),
        (damaged(b"/Contents 7 0 R", b"/Contents 77 0 R"), "page 2 could not be read: Object 77 0 not defined"),
        (damaged(b"[4 0 R 6 0 R", b"[4 0 R 66 0 R"), "1 of 3 pages could not be found"),
    ],
)
def test_pages_that_cannot_be_read_are_named_and_the_others_are_read(
    data: bytes, lost: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text, missing = read(data)

    assert text.split() == ["One.", "Three."]
    assert [one[: len(lost)] for one in missing] == [lost]
    assert capfd.readouterr() == ("", "")


def test_what_could_be_repaired_is_not_reported(capfd: pytest.CaptureFixture[str]) -> None:
    assert read(damaged(b"startxref\n", b"startxref\n9")) == ("One.\nTwo.\nThree.", [])
    assert capfd.readouterr() == ("", "")


def test_a_page_of_which_something_is_read_may_be_incomplete() -> None:
    form = damaged(b"(Two.) Tj ET", b"(Two.) Tj /X1 Do ET").replace(
        b"/Resources << ", b"/Resources << /XObject << /X1 88 0 R >> "
    )

    text, lost = read(form)

    assert "Two." in text
    assert any(one.startswith("page 2 may be incomplete: ") for one in lost)


def test_a_pdf_of_which_nothing_can_be_read_is_refused() -> None:
    with pytest.raises(Unreadable, match="is no PDF that can be read: Stream has ended unexpectedly"):
        text_of_bytes(WHOLE[:500], suffix=".pdf")


def test_what_is_logged_goes_where_the_user_sends_it_and_nothing_is_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = list(logging.getLogger("pypdf").handlers)

    read(with_filter(b"FlateDecode"))

    assert "Error -3 while decompressing data" in caplog.text
    assert logging.getLogger("pypdf").handlers == before


def test_pages_of_another_thread_are_not_blamed() -> None:
    bad = with_filter(b"FlateDecode")
    stop = threading.Event()
    other = threading.Thread(target=lambda: [read(bad) for _ in iter(stop.is_set, True)])
    other.start()
    try:
        found = [read(WHOLE)[1] for _ in range(50)]
    finally:
        stop.set()
        other.join()

    assert found == [[]] * 50
