"""Budgets of one team of which some are parts of others."""

from __future__ import annotations

import pytest

from guardgraph.guards import Budget, Guard, checked_guards
from guardgraph.state import BadGraph

AGENTS = {"a"}


@pytest.mark.parametrize(
    "guards",
    [
        [Budget(calls=5), Budget(calls=5, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="agent"), Budget(calls=5, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="agent"), Budget(calls=6, per="task").only(agents=AGENTS)],
        [Budget(calls=9, per="agent").only(agents=AGENTS), Budget(calls=5, per="agent").only(agents={"b"})],
    ],
)
def test_budgets_that_can_hold_are_taken(guards: list[Guard]) -> None:
    assert [*checked_guards(guards)] == guards


@pytest.mark.parametrize(
    "guards",
    [
        [Budget(calls=5), Budget(calls=6, per="agent")],
        [Budget(calls=5), Budget(calls=6, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="agent"), Budget(calls=6, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="task", window="day"), Budget(calls=6, per="task", window="hour").only(agents=AGENTS)],
    ],
)
def test_a_budget_that_would_never_hold_is_refused(guards: list[Guard]) -> None:
    for given in (guards, guards[::-1]):
        with pytest.raises(
            BadGraph, match=r"`calls` of Budget.* is 6, more than the 5 of Budget.*, of which it is a part"
        ):
            checked_guards(given)
