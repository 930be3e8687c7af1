"""Conditions are resolved once the task or the agent is known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import AnyOf, Convergence, Depth, Grounding, Guard, Limits, Schema, applying, bounds_of
from guardgraph.guards.composition import AllOf, Only

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


def test_the_bound_of_either_is_the_widest() -> None:
    guards = [Convergence(5), Convergence(2) | Convergence(3), Depth(1) & Convergence(9), Limits(visits=7)]

    assert bounds_of(guards, Convergence, lambda guard: guard.rounds) == [5, 3, 9]
    assert bounds_of([Convergence(2).only(categories={"safety"})], Convergence, lambda guard: guard.rounds) == []
    assert bounds_of([AnyOf((SCHEMA, GROUNDING))], Convergence, lambda guard: guard.rounds) == []
