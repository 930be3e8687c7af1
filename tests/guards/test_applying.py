"""Conditions are resolved once the task or the agent is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import (
    AnyOf,
    Convergence,
    Depth,
    FunctionGuard,
    Grounding,
    Guard,
    Limits,
    Schema,
    applying,
    bounds_of,
    evaluate_guards,
)
from guardgraph.guards.composition import AllOf, Only
from guardgraph.state import Task
from tests.guards.views import view_of_result

SCHEMA, GROUNDING = Schema(), Grounding({})
FOR_X = SCHEMA.only(agents={"x"})
FOR_MONEY = SCHEMA.only(categories={"financial"})


@pytest.mark.parametrize(
    ("guard", "known", "left"),
    [
        (SCHEMA, {}, (SCHEMA,)),
        (SCHEMA & GROUNDING, {}, (SCHEMA, GROUNDING)),
        (FOR_X, {"agents": {"x"}}, (SCHEMA,)),
        (FOR_X, {"agents": {"y"}}, ()),
        (FOR_X, {"agents": ()}, ()),
        (FOR_X, {"categories": {"financial"}}, (FOR_X,)),
        (FOR_MONEY, {"agents": {"x"}}, (FOR_MONEY,)),
        (FOR_MONEY, {"categories": {"financial", "safety"}}, (SCHEMA,)),
        (FOR_MONEY, {"categories": ()}, ()),
        (FOR_X | GROUNDING, {"agents": {"x"}}, (SCHEMA | GROUNDING,)),
        (FOR_X | GROUNDING, {"agents": {"y"}}, ()),
        (FOR_X & GROUNDING, {"agents": {"y"}}, (GROUNDING,)),
        (FOR_X.only(categories={"safety"}), {"agents": {"x"}, "categories": {"safety"}}, (SCHEMA,)),
        (FOR_X.only(categories={"safety"}), {"agents": {"x"}, "categories": ()}, ()),
        (FOR_X.only(categories={"safety"}), {"agents": {"y"}}, ()),
        (FOR_X.only(categories={"safety"}), {"agents": {"x"}}, (SCHEMA.only(categories={"safety"}),)),
    ],
)
def test_a_guard_takes_the_place_of_its_condition(guard: Guard, known: dict[str, Any], left: tuple[Guard, ...]) -> None:
    assert applying([guard], **known) == left


@given(st.permutations([0, 1, 2]), st.sets(st.sampled_from("xy")), st.sets(st.sampled_from(["financial", "safety"])))
def test_the_order_in_which_things_become_known_does_not_matter(
    order: list[int], agents: set[str], categories: set[str]
) -> None:
    guards: list[Guard] = [FOR_X | GROUNDING, FOR_MONEY & GROUNDING, FOR_X.only(categories={"safety"})]
    guards = [guards[place] for place in order]

    at_once = applying(guards, agents=agents, categories=categories)

    assert applying(applying(guards, agents=agents), categories=categories) == at_once
    assert applying(applying(guards, categories=categories), agents=agents) == at_once
    assert not any(isinstance(guard, Only | AllOf) for guard in at_once)


@pytest.mark.parametrize(
    "guard", [SCHEMA, FOR_X, FOR_MONEY | GROUNDING, FOR_X.only(categories={"safety"}), Depth(1) | Depth(2)]
)
def test_a_guard_of_which_all_is_left_is_itself(guard: Guard) -> None:
    assert applying([guard])[0] is guard


def refusing(name: str) -> Guard:
    return FunctionGuard(name, lambda context: name, frozenset({"handoff"}))


PASSING = FunctionGuard("passing", lambda context: None, frozenset({"handoff"}))


@pytest.mark.parametrize(
    "make", [lambda both: Only(both, categories={"safety"}), lambda both: both.only(categories={"safety"})]
)
@pytest.mark.parametrize("parts", [(refusing("a"), PASSING), (PASSING, refusing("a"))])
def test_either_of_two_under_a_condition_and_a_third_trips_where_one_of_the_two_and_the_third_do(
    make: Any, parts: tuple[Guard, Guard]
) -> None:
    guard = make(AllOf(parts)) | refusing("b")
    context = replace(view_of_result("x"), state={"admitted": Task(goal="g", categories=frozenset({"safety"}))})

    trip = evaluate_guards(applying([guard], categories={"safety"}), context).trip

    assert trip is not None
    assert (guard(context).reason, trip.reason) == ("a; b", "a; b")
    assert evaluate_guards(applying([guard], categories=()), context).trip is None


def test_the_bound_of_either_is_the_widest() -> None:
    guards = [Convergence(5), Convergence(2) | Convergence(3), Depth(1) & Convergence(9), Limits(visits=7)]

    assert bounds_of(guards, Convergence, lambda guard: guard.rounds) == [5, 3, 9]
    assert bounds_of([Convergence(2).only(categories={"safety"})], Convergence, lambda guard: guard.rounds) == []
    assert bounds_of([AnyOf((SCHEMA, GROUNDING))], Convergence, lambda guard: guard.rounds) == []
