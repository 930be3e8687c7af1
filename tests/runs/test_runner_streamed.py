"""What a runner streams: only what was asked for, when it is stored, and marked where it is not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from threading import Event
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.state import Plan, Request, Subtask

_GOALS = ("one", "two", "three")


def plan(request: Request) -> Plan:
    return Plan() if request.round > 1 else Plan(subtasks=tuple(Subtask(id=goal, goal=goal) for goal in _GOALS))


def team(run: Callable[[Request], Any] = lambda request: f"done {request.goal}") -> Any:
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=run)])


def talking() -> Any:
    model = ScriptedModel(replies=lambda messages: "done")
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", model=model)])


def unstored() -> Any:
    within = team().compile(checkpointer=False)
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("team", run=within)], name="outer")


def streamed(runner: Runner, graph: str, **options: Any) -> list[Any]:
    *parts, run = runner.stream(graph, "t", **options)
    assert isinstance(run, Run)
    assert run.status == "completed"
    return parts


def astreamed(runner: Runner, graph: str, **options: Any) -> list[Any]:
    async def collected() -> list[Any]:
        return [part async for part in runner.astream(graph, "t", **options)]

    *parts, run = asyncio.run(collected())
    assert run.status == "completed"
    return parts


both = pytest.mark.parametrize("stream", [streamed, astreamed])


@both
@pytest.mark.parametrize("modes", ["updates", "values", "debug", ["tasks", "values"], ["checkpoints"]])
def test_only_the_modes_that_were_asked_for_are_streamed(sqlite_url: str, stream: Any, modes: Any) -> None:
    with Runner(sqlite_url, graphs={"team": team}) as runner:
        parts = stream(runner, "team", stream_mode=modes)

    assert {part["type"] for part in parts} == ({modes} if isinstance(modes, str) else {*modes})
    assert not any("provisional" in part for part in parts)


@both
def test_tokens_and_events_are_marked_as_provisional(sqlite_url: str, stream: Any) -> None:
    with Runner(sqlite_url, graphs={"team": talking}) as runner:
        parts = stream(runner, "team", stream_mode=["updates", "messages", "custom"])

    marked = {
        kind: {part.get("provisional") for part in parts if part["type"] == kind} for kind in ("messages", "custom")
    }
    assert marked == {"messages": {True}, "custom": {True}}
    assert not any("provisional" in part for part in parts if part["type"] == "updates")


@both
def test_or_come_when_their_work_is_stored(sqlite_url: str, stream: Any) -> None:
    with Runner(sqlite_url, graphs={"team": talking}) as runner:
        modes = ["updates", "messages", "custom"]
        live, held = (
            stream(runner, "team", stream_mode=modes, provisional=provisional) for provisional in (True, False)
        )

    assert not any("provisional" in part for part in held)
    assert Counter(part["type"] for part in held) == Counter(part["type"] for part in live)
    kinds = [part["type"] for part in held]
    assert kinds.index("updates") < kinds.index("custom")


@both
def test_a_team_without_a_checkpointer_within_another_is_streamed(database_url: str, stream: Any) -> None:
    with Runner(database_url, graphs={"unstored": unstored}) as runner:
        parts = stream(runner, "unstored", stream_mode="updates")
        assert runner.run("unstored", "t").status == "completed"

    nodes = Counter(("/".join([*(step.partition(":")[0] for step in part["ns"]), *part["data"]])) for part in parts)
    assert (nodes["team/worker"], nodes["team"]) == (9, 3)


def test_a_worker_is_told_as_done_while_another_is_at_work(sqlite_url: str) -> None:
    may_end, told = Event(), list[str]()

    def work(request: Request) -> str:
        assert request.goal != "three" or may_end.wait(20)
        return f"done {request.goal}"

    with Runner(sqlite_url, graphs={"team": lambda: team(work)}) as runner:
        for part in runner.stream("team", "t"):
            if not isinstance(part, Run) and "worker" in part["data"]:
                told.append(part["data"]["worker"]["results"][0].value)
                if len(told) == 2:
                    may_end.set()

    assert told[2] == "done three"


async def test_a_run_that_is_drained_while_it_is_streamed_tells_all_that_it_stored(sqlite_url: str) -> None:
    begun: list[str] = []

    def work(request: Request) -> str:
        begun.append(request.goal)
        return f"done {request.goal}"

    with Runner(sqlite_url, graphs={"team": lambda: team(work)}) as runner:
        told: list[Any] = []
        async with aclosing(runner.astream("team", "t", thread_id="thread")) as parts:  # pyright: ignore[reportArgumentType]
            async for part in parts:
                told.append(part)
                if not isinstance(part, Run) and "worker" in part["data"]:
                    runner.drain()
        assert told[-1].status == "stopped"
        assert sum("worker" in part["data"] for part in told[:-1]) == len(begun)
        assert (await runner.aresume("thread")).status == "completed"

    assert sorted(begun) == sorted(_GOALS)
