"""A team below with wider limits than the team above is refused when the outer team is built."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Tier, hierarchy, pipeline
from guardgraph.guards import Budget, Deadline, Depth, Guard, GuardContext, Limits
from guardgraph.state import Allowance, BadGraph, Gate


def team(*guards: Guard, inside: Any = None, name: str = "team", **declared: Any) -> Any:
    run = (lambda request: 1) if inside is None else inside.compile()
    return pipeline([Agent("member", run=run, **declared)], guards=[*guards], name=name)


@pytest.mark.parametrize(
    ("below", "above", "says"),
    [
        (
            Budget(usd="5.01"),
            Budget(usd="5"),
            "`usd` of the Budget of the team of agent 'member' is 5.01",
        ),
        (Budget(tokens=11), Budget(tokens=10), "`tokens` of the Budget of the team of agent 'member' is 11"),
        (Budget(calls=11), Budget(calls=10), "`calls` of the limits of the team of agent 'member' is 11"),
        (Limits(calls=11), Budget(calls=10), "`calls` of the limits of the team of agent 'member' is 11"),
        (Budget(calls=11), Limits(calls=10), "`calls` of the limits of the team of agent 'member' is 11"),
        (Deadline(61), Deadline(60), "`seconds` of the Deadline of the team of agent 'member' is 61, more than the 60"),
        (Budget(tokens=9) | Budget(tokens=11), Budget(tokens=10), "is 11, more than the 10"),
        (Budget(tokens=11) & Depth(), Budget(tokens=10) & Depth(), "is 11, more than the 10"),
    ],
)
def test_a_wider_limit_is_refused_by_name(below: Guard, above: Guard, says: str) -> None:
    with pytest.raises(BadGraph) as caught:
        team(above, inside=team(below), name="outer")

    assert str(caught.value).startswith("outer: ")
    assert says in str(caught.value)
    assert "lower the first, raise the second, or give its agent a `" in str(caught.value)


@pytest.mark.parametrize(
    ("below", "above"),
    [
        (Budget(usd="5", tokens=10, calls=10), Budget(usd="5", tokens=10, calls=10)),
        (Budget(tokens=10), Budget(calls=5)),
        (Budget(tokens=11), Budget(tokens=10).only(categories={"financial"})),
        (Budget(tokens=11).only(categories={"financial"}), Budget(tokens=10)),
        (Budget(tokens=11, per="agent"), Budget(tokens=10)),
        (Budget(tokens=11, per="tenant", window="day"), Budget(tokens=10)),
        (Depth(), Depth(2)),
        (Limits(), Limits(subtasks=5)),
        (Deadline(60), Deadline(60)),
    ],
)
def test_what_is_no_wider_or_counted_elsewhere_is_taken(below: Guard, above: Guard) -> None:
    team(above, inside=team(below))


def test_it_is_found_at_every_depth() -> None:
    lowest = team(Budget(tokens=11), name="lowest")

    with pytest.raises(BadGraph, match="top: `tokens` of the Budget of the team of agent 'member' is 11"):
        team(Budget(tokens=10), inside=team(inside=lowest, name="middle"), name="top")


def test_a_share_and_a_timeout_narrow_by_intent() -> None:
    team(Budget(tokens=10), inside=team(Budget(tokens=11)), budget_share=0.5)
    team(Deadline(10), inside=team(Deadline(60)), timeout=5)
    with pytest.raises(BadGraph, match="`seconds` of the Deadline"):
        team(Deadline(10), inside=team(Deadline(60)), budget_share=0.5)


def test_the_tiers_of_a_hierarchy_are_compared() -> None:
    def lead(name: str) -> Agent:
        return Agent(name, run=lambda request: 1)

    low = Tier(lead("low"), [lead("w")], guards=[Budget(tokens=11)])

    hierarchy(Tier(lead("top"), [Tier(lead("low"), [lead("w")])]), guards=[Budget(tokens=10)])
    with pytest.raises(BadGraph, match="`tokens` of the Budget of the team of agent 'low-tier' is 11"):
        hierarchy(Tier(lead("top"), [low]), guards=[Budget(tokens=10)])


def test_a_guard_of_ones_own_counts_as_far_as_its_limit_is_known() -> None:
    class Cap:
        gates = frozenset[Gate]({"admission"})
        on_trip = Depth().on_trip

        def __init__(self, *, raises: bool = False) -> None:
            self.raises = raises

        def narrow(self, context: GuardContext) -> Allowance:
            if self.raises:
                raise RuntimeError("needs a task")
            return Allowance(tokens=11, deadline=context.now + timedelta(seconds=5))

        def __call__(self, context: GuardContext) -> Any:
            return context.verdict(self, trips=False)

    team(Budget(tokens=10), inside=team(Cap(raises=True)))
    with pytest.raises(BadGraph, match="is 11, more than the 10"):
        team(Budget(tokens=10), inside=team(Cap()))
