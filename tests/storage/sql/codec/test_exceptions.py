"""Stored exceptions."""

from __future__ import annotations

import pytest

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.exceptions import StoredException


class Unknown(Exception):
    """An exception that only the process knows that raised it."""


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        (ValueError("bad", 1), StoredException("ValueError", "('bad', 1)", ("bad", 1))),
        (Unknown("x"), StoredException("Unknown", "x", ("x",))),
        (KeyboardInterrupt(), StoredException("KeyboardInterrupt", "", ())),
    ],
)
def test_an_exception_becomes_a_record_of_it(error: BaseException, stored: StoredException) -> None:
    found = Codec().loads(Codec().dumps(error))

    assert found == stored
    assert hash(found) == hash(stored)
    assert Codec().loads(Codec().dumps(found)) == found


def test_an_argument_that_cannot_be_stored_is_kept_as_text() -> None:
    found = Codec().loads(Codec().dumps(ValueError(object, 1)))

    assert found.arguments == ("<class 'object'>", 1)


def test_it_reads_like_the_last_line_of_a_traceback() -> None:
    assert str(StoredException("ValueError", "bad")) == "ValueError: bad"
    assert str(StoredException("KeyboardInterrupt", "")) == "KeyboardInterrupt"
    assert StoredException("A", "") != "A"
