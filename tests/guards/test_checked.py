"""Lists of guards are checked where a team or an agent is declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from guardgraph.guards import Depth, Grounding, Refuse, Retry, Schema, checked_guards, checked_own_guards, guard
from guardgraph.state import BadGraph

DEPTH: Any = Depth
AT_ADMISSION = guard(at=("admission", "handoff"), on_trip=Refuse())(lambda context: None)


@dataclass(frozen=True)
class Odd:
    """A guard with attributes that are given."""

    gates: Any = frozenset({"handoff"})
    on_trip: Any = field(default=Refuse())

    def __call__(self, context: Any) -> Any:
        return None


class Unreadable(Odd):
    """Cannot say whether it judges failures."""

    @property
    def judges_failures(self) -> bool:
        raise KeyError("settings")


def test_the_parts_of_both_are_in_their_place() -> None:
    assert checked_guards([Depth(1), Schema() & Grounding("docs")]) == (Depth(1), Schema(), Grounding("docs"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (DEPTH, r"holds the class Depth; make a guard of it: Depth\(…\)"),
        ("depth", "holds 'depth', which is no guard"),
        (Odd(on_trip="stop"), "which is no guard: a guard is a callable with `gates` and `on_trip`"),
        (Odd(gates={"handoff", "end"}), "names gates that do not exist: 'end'"),
        (Odd(gates={"dispatch"}, on_trip=Retry(1)), "judges only at dispatch, where there is no answer yet"),
        (Odd(gates=None), "cannot be read: TypeError"),
        (Unreadable(), "holds a Unreadable that cannot be read: KeyError: 'settings'"),
        (Schema() & Odd(on_trip="stop"), "which is no guard"),
    ],
)
def test_what_is_no_guard_is_refused(given: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        checked_guards([Schema(), given])


@pytest.mark.parametrize("given", [Depth(), Depth().only(categories={"safety"}), Depth(1) | Depth(2), AT_ADMISSION])
def test_an_agent_has_no_guards_of_a_whole_team(given: Any) -> None:
    with pytest.raises(BadGraph, match="limits a team; an agent has `timeout`"):
        checked_own_guards([Schema(), given])


def test_an_agent_has_the_guards_that_it_is_given() -> None:
    given = [Schema(), Grounding("docs") & Schema(int)]

    assert checked_own_guards(given) == tuple(given)
