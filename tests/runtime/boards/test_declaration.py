"""The declaration of a board: what it grants, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Board, pipeline, supervisor
from guardgraph.state import BadGraph

WORKER = Agent("worker", run=lambda request: 1, fallback=Agent("spare", run=lambda request: 1))


def test_a_pattern_grants_the_keys_that_it_matches() -> None:
    board = Board("plan", write={"a": ("a/*", "x?"), "*": ("notes/*",)}, read={"a": ("*",)})

    assert [board.allows("write", "a", key) for key in ("a/1", "a/b/c", "x1", "x", "A/1", "notes/1", "b")] == [
        True, True, True, False, False, True, False,
    ]  # fmt: skip
    assert [board.allows("write", "b", key) for key in ("a/1", "notes/1")] == [False, True]
    assert [board.allows("read", name, "k") for name in ("a", "b")] == [True, False]
    assert Board("plan").allows("read", "anybody", "k")
    assert not Board("plan").allows("write", "anybody", "k")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": ""}, "1 to 100 characters"),
        ({"name": "x" * 101}, "1 to 100 characters"),
        ({"name": 7}, "`name` must be str"),
        ({"write": {"a": "k"}}, "`write` must be"),
        ({"write": {"a": (1,)}}, "`write` must be"),
        ({"write": ["a"]}, "`write` must be"),
        ({"read": {"a": "k"}}, "`read` must be"),
        ({"shared": "yes"}, "`shared` must be bool"),
    ],
)
def test_what_is_declared_wrongly_is_refused(given: dict[str, Any], reason: str) -> None:
    arguments: dict[str, Any] = {"name": "plan", **given}
    with pytest.raises(BadGraph, match=reason):
        Board(**arguments)


@pytest.mark.parametrize("grants", [{"write": {"stranger": ("*",)}}, {"read": {"stranger": ("*",)}}])
def test_a_grant_to_an_unknown_agent_is_refused_when_the_team_is_built(grants: dict[str, Any]) -> None:
    with pytest.raises(BadGraph, match="'stranger', which is no agent of the team; its agents are 'spare', 'worker'"):
        pipeline([WORKER], board=Board("plan", **grants))

    assert pipeline([WORKER], board=Board("plan", write={"spare": ("*",), "*": ("x",)}))


def test_what_is_no_board_is_refused() -> None:
    wrong: Any = "plan"
    with pytest.raises(BadGraph, match="`board` must be Board"):
        supervisor(planner=WORKER, workers=[Agent("a", run=lambda request: 1)], board=wrong)
