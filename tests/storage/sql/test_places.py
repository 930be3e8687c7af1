"""The ids of a config."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.state import BadInput
from guardgraph.storage.sql.places import NAMESPACE_LENGTH, Place, checked_id, config_at, digest_of, place_in
from guardgraph.storage.sql.tables import ID_LENGTH

TEXT = st.text(st.characters(codec="utf-8"), max_size=3)


def test_a_config_names_a_place() -> None:
    assert place_in({"configurable": {"thread_id": "t"}}, tenant="a") == Place("t", "", None, "a")
    assert place_in(config_at("t", "ns", "c"), tenant="a") == Place("t", "ns", "c", "a")


def test_a_config_without_a_thread_is_refused() -> None:
    with pytest.raises(BadInput, match="names no thread"):
        place_in({"configurable": {}}, tenant="a")


@pytest.mark.parametrize(("length", "fits"), [(ID_LENGTH, True), (ID_LENGTH + 1, False)])
def test_an_id_is_bounded(length: int, fits: bool) -> None:
    if fits:
        assert checked_id("thread_id", "😀" * length) == "😀" * length
    else:
        with pytest.raises(BadInput, match=f"has {length} characters, at most {ID_LENGTH} are stored"):
            checked_id("thread_id", "x" * length)


def test_a_namespace_may_be_long_and_is_bounded_too() -> None:
    assert place_in(config_at("t", "n" * NAMESPACE_LENGTH, "c"), tenant="a").namespace == "n" * NAMESPACE_LENGTH
    with pytest.raises(BadInput, match=f"at most {NAMESPACE_LENGTH} are stored"):
        place_in(config_at("t", "n" * (NAMESPACE_LENGTH + 1), "c"), tenant="a")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "must be a str, got int: 7"),
        (None, "must be a str, got NoneType"),
        (b"t", "must be a str, got bytes"),
        ("a\0b", "holds a NUL character"),
        ("a\ud800", "is not valid Unicode text"),
    ],
)
@pytest.mark.parametrize("name", ["thread_id", "checkpoint_id"])
def test_an_id_that_no_database_holds_is_refused(name: str, value: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=f"`{name}` {reason}"):
        checked_id(name, value)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_two_namespaces_never_share_a_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    names = [Place(thread, namespace, None, tenant).name for tenant, thread, namespace in (one, other)]

    assert (names[0] == names[1]) == (one == other)


def test_a_digest_tells_any_parts_apart() -> None:
    parts: list[tuple[str | bytes | None, ...]] = [
        ("a", "b"),
        ("ab", ""),
        ("", "ab"),
        ("ab",),
        ("a", None, "b"),
        (),
        (None,),
    ]

    assert len({digest_of(*some) for some in parts}) == len(parts)
