"""State that may be read and not changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from time import perf_counter
from typing import Any

import pytest

from guardgraph.guards.read_only import read_only
from guardgraph.state import Result

STATE: dict[str, Any] = {
    "round": 2,
    "plans": [],
    "results": [Result(id="r", agent="a")],
    "own": {"votes": [[1], {"b"}]},
    "pair": ([1], "b"),
}


@pytest.mark.parametrize(
    "changes",
    [
        lambda state: state.update(round=7),
        lambda state: state.__setitem__("round", 7),
        lambda state: state["results"].append(1),
        lambda state: state["results"].clear(),
        lambda state: state["results"].__iadd__([1]),
        lambda state: state["results"].__setitem__(0, None),
        lambda state: state.get("results").pop(),
        lambda state: [*state.values()][1].sort(),
        lambda state: state["pair"][0].append(2),
        lambda state: state["own"].update(votes=[]),
        lambda state: state["own"]["votes"][0].append(2),
        lambda state: state["own"]["votes"][:1].append(2),
        lambda state: state["own"]["votes"][:1][0].append(2),
        lambda state: [*state["own"]["votes"]][1].add("c"),
        lambda state: [*reversed(state["own"]["votes"])][1].append(3),
        lambda state: dict(state.items())["own"]["votes"].insert(0, 1),
        lambda state: (state | {})["own"]["votes"].insert(0, 1),
        lambda state: (state["own"]["votes"] + [])[0].append(2),
    ],
)
def test_the_state_cannot_be_changed_however_deep_a_list_lies(changes: Callable[[Any], Any]) -> None:
    state = deepcopy(STATE)

    with pytest.raises((AttributeError, TypeError), match=r"no attribute|not support"):
        changes(read_only(state))

    assert state == STATE


def test_the_state_reads_as_what_it_is() -> None:
    state = read_only(STATE)
    votes = state["own"]["votes"]

    assert state == STATE
    assert dict(state) == STATE
    assert ("round" in state, "no" in state, len(state), list(state)) == (True, False, 5, list(STATE))
    assert (state["plans"] == [], not state["plans"], state["plans"] != [1]) == (True, True, True)
    assert ([1] in votes, votes.index([1]), votes.count([1]), len(votes)) == (True, 0, 1, 2)
    assert (votes[-1], votes[1:], votes[::-1]) == ({"b"}, [{"b"}], [{"b"}, [1]])
    assert votes + [9] == [*votes, 9] == [[1], {"b"}, 9]  # noqa: RUF005 -- a sum is what is tested
    assert [9] + votes == [9, [1], {"b"}]  # noqa: RUF005
    assert state["results"] + state["results"] == STATE["results"] * 2
    assert repr(votes) == repr(STATE["own"]["votes"])
    assert state["results"][0] is STATE["results"][0], "nothing is copied"
    assert isinstance(votes, Sequence)
    with pytest.raises(IndexError, match="out of range"):
        votes[2]


def test_nothing_is_copied_to_be_read_only() -> None:
    state = {"results": [object()] * 1_000_000}

    began = perf_counter()
    for _ in range(1_000):
        assert read_only(state)["results"][-1]
    assert perf_counter() - began < 1
