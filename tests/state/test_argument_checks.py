"""What is declared is of its kind, or one sentence says what it has to be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from guardgraph.guards import Budget, Convergence, Deadline, Depth, Finish, Limits, OnTrip, Retry, Schema, guard
from guardgraph.state import BadGraph
from guardgraph.state.argument_checks import must_be


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, int),
        (1, float),
        (True, bool),
        (None, int | None),
        (Retry(2), OnTrip),
        (print, Callable[[Any], Any] | None),
        ({}, Mapping[str, str] | str),
        ([], Sequence[int]),
        ((1, 2), Sequence[int]),
        ({"a"}, Collection[str]),
        (["a", None], Sequence[Any]),
        (None, Sequence[Any] | None),
        (object(), Any),
    ],
)
def test_what_fits_passes(value: object, kind: Any) -> None:
    must_be("it", "field", value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ("1", int, "must be int, got '1'"),
        (1.0, int, "must be int, got 1.0"),
        (True, int, "must be int, got True"),
        ("60", float | None, "must be float | None, got '60'"),
        ("finish", OnTrip, "must be Finish | Retry | Escalate | Refuse, got 'finish'"),
        (Finish, OnTrip, "must be Finish | Retry | Escalate | Refuse, got the class Finish"),
        (3, Callable[[Any], str] | None, "must be Callable[[Any], str] | None, got 3"),
        ("x" * 1_000, int, f"must be int, got '{'x' * 79}"),
        (7, Sequence[int], "must be a list, got one int: write field=[…]"),
        (7, Sequence[str] | None, "must be Sequence[str] | None, got 7"),
        ("text", Sequence[str], "must be a list, got one str: write field=[…]"),
        ([1, "2"], Sequence[int], "each of `field` must be int, got '2'"),
    ],
)
def test_what_does_not_fit_is_named_with_what_it_has_to_be(value: object, kind: Any, says: str) -> None:
    with pytest.raises(BadGraph) as caught:
        must_be("it", "field", value, kind)

    assert str(caught.value).startswith("it: ")
    assert str(caught.value).endswith(says)


WRONG: list[tuple[Any, str]] = [
    (lambda: Depth("2"), "Depth: `limit` must be int, got '2'"),  # type: ignore[arg-type]
    (lambda: Deadline("60"), "Deadline: `seconds` must be float, got '60'"),  # type: ignore[arg-type]
    (lambda: Limits(calls="9"), "Limits: `calls` must be int | None, got '9'"),  # type: ignore[arg-type]
    (lambda: Convergence(None), "Convergence: `rounds` must be int, got None"),  # type: ignore[arg-type]
    (lambda: Schema(check=3), "Schema: `check` must be Callable.* | None, got 3"),  # type: ignore[arg-type]
    (lambda: Retry("2"), "Retry: `times` must be int, got '2'"),  # type: ignore[arg-type]
    (lambda: Budget(tokens=9, on_trip="finish"), "Budget: `on_trip` must be Finish"),  # type: ignore[arg-type]
    (lambda: guard(lambda view: None), r'write `@guard\(at="handoff"\)`'),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("declare", "says"), WRONG)
def test_a_guard_that_is_declared_wrongly_says_what_it_needs(declare: Callable[[], object], says: str) -> None:
    with pytest.raises(BadGraph, match=says):
        declare()
