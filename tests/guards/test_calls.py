"""The calls of an attempt, as guards see them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from guardgraph.guards.calls import normalized
from tests.guards.call_views import model_call, tool_call


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2.0], "a": 1}),
        ({"q": "price  of\n X "}, {"q": "price of X"}),
        ({"deep": {"x": " y", "k": None}}, {"deep": {"k": None, "x": "y"}}),
        ({"t": ("a", "b")}, {"t": ["a", "b"]}),
        ({"n": 10**40}, {"n": 10**40}),
        ({"n": 1000}, {"n": 1000.0}),
        ({"n": -(2**53) + 1}, {"n": float(-(2**53) + 1)}),
    ],
)
def test_equal_arguments_have_one_form(one: Any, other: Any) -> None:
    assert normalized(one) == normalized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"q": "x"}, {"q": "X"}),
        ({"a": 1}, {"a": True}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": None}, {}),
        ("ab", "a b"),
        ({"a": None}, {"a": "None"}),
        ({"a": 1.5}, {"a": 1}),
        ({"a": Decimal(1)}, {"a": Decimal(2)}),
    ],
)
def test_different_arguments_do_not(one: Any, other: Any) -> None:
    assert normalized(one) != normalized(other)


def test_the_arguments_of_a_call_cannot_be_changed() -> None:
    call = tool_call(q="x")

    with pytest.raises(TypeError, match="does not support item assignment"):
        call.arguments["q"] = "y"  # type: ignore[index]
    assert call.signature == tool_call(q="x").signature != tool_call("other", q="x").signature


def test_arguments_that_are_no_json_have_a_form() -> None:
    assert normalized({"o": object, "f": float("nan"), "s": {1}}).startswith("{")


def test_a_prompt_is_no_part_of_what_is_compared_and_shown() -> None:
    call = model_call("said")

    assert replace(call, messages=("secret",)) == call
    assert "secret" not in repr(replace(call, messages=("secret",)))
    assert (call.tokens, call.calls_tools) == (0, False)
