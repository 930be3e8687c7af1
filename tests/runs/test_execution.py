"""A route that is invented at run time fails the run, and is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langgraph.types import Command, Send

from guardgraph.graphs import Team
from guardgraph.runs import Run, Runner
from guardgraph.state import Gap, Result

GOES: dict[str, Any] = {
    "a name": Command(goto="nowhere"),
    "one of two": Command(goto=["other", "nowhere"]),
    "a send": Command(goto=Send("nowhere", {})),
}
REASON = "node 'mine' went to 'nowhere', which does not exist; the nodes are: 'guard_admission', 'guard_exit', "


def build(goes: Any) -> Any:
    """Return a graph of two nodes of a user's own, of which none has to reach `guard_exit`."""
    team = Team("own", guards=[], entry=lambda gate: "mine", destinations=["mine"])
    team.add_node("mine", lambda state: goes, destinations=["guard_exit", "other"])
    return team.add_node("other", lambda state: {}, destinations=["guard_exit"]).build()


@pytest.fixture
def runner(database_url: str) -> Iterator[Runner]:
    with Runner(database_url) as made:
        yield made


async def _astreamed(runner: Runner, graph: Any) -> Run:
    return [part async for part in runner.astream(graph, "t")][-1]


WAYS: dict[str, Callable[[Runner, Any], Run]] = {
    "run": lambda runner, graph: runner.run(graph, "t"),
    "arun": lambda runner, graph: asyncio.run(runner.arun(graph, "t")),
    "stream": lambda runner, graph: list(runner.stream(graph, "t"))[-1],
    "astream": lambda runner, graph: asyncio.run(_astreamed(runner, graph)),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("goes", list(GOES))
def test_a_route_to_nowhere_fails_the_run_and_names_the_node_and_the_route(runner: Runner, way: str, goes: str) -> None:
    run = WAYS[way](runner, build(GOES[goes]))

    assert run.status == "failed"
    assert run.outcome is not None
    assert run.outcome.gaps == (Gap(subtask="run", agent="mine", reason=f"{REASON}'mine', 'other'"),)
    assert runner.status(run.thread_id) == runner.resume(run.thread_id) == run
    assert f"missing: run: {REASON}" in str(run)


def test_a_way_that_ends_before_the_exit_fails_the_run_too(runner: Runner) -> None:
    run = runner.run(build({}), "t")

    reason = "the graph ended without an outcome after 'mine'; every way must lead to 'guard_exit'"
    assert run.outcome is not None
    assert run.outcome.status == "failed"
    assert run.outcome.gaps == (Gap(subtask="run", reason=reason),)


def test_the_next_task_on_the_thread_is_a_run_like_any_other(runner: Runner) -> None:
    first = runner.run(build(GOES["a name"]), "t", thread_id="thread")
    second = runner.run(build({}), "t", thread_id="thread")
    answer = Command(goto="guard_exit", update={"draft": Result(id="r", agent="mine", value="done")})
    third = runner.run(build(answer), "t", thread_id="thread")

    assert (first.status, second.status, third.status) == ("failed", "failed", "completed")
    assert "nowhere" in str(first)
    assert "nowhere" not in str(second)
