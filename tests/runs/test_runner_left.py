"""A caller that leaves a run, by a cancellation or by leaving its stream, leaves finished work finished."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import Run, Runner
from guardgraph.state import Plan, Request, Subtask

_PARTS = 8


class Team:
    """Workers that note when they have ended; the first goals take no time, the others a little more each."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.ended_before: list[str] = []
        self.hangs = False

    def leaves(self) -> None:
        """Note what has ended when the caller leaves."""
        self.ended_before = [*self.ended]

    def takes(self, request: Request) -> float:
        number = int(request.goal.rpartition(".")[2])
        return 60 if self.hangs and number == _PARTS - 1 else number * 0.02

    def work(self, request: Request) -> str:
        self.began.append(request.goal)
        time.sleep(self.takes(request))
        self.ended.append(request.goal)
        return request.goal

    async def awork(self, request: Request) -> str:
        self.began.append(request.goal)
        await asyncio.sleep(self.takes(request))
        self.ended.append(request.goal)
        return request.goal


def plan(request: Request) -> Plan:
    goals = [f"{request.goal}.{number}" for number in range(_PARTS)]
    return Plan() if request.round > 1 else Plan(subtasks=tuple(Subtask(id=goal, goal=goal) for goal in goals))


def one(request: Request) -> Plan:
    return Plan() if request.round > 1 else Plan(subtasks=(Subtask(id="low", goal="low"),))


def flat(work: Callable[[Request], Any]) -> Any:
    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=work)], concurrency=None)


def nested(work: Callable[[Request], Any]) -> Any:
    return supervisor(planner=Agent("planner", run=one), workers=[Agent("low", run=flat(work).compile())], name="top")


def in_a_function(work: Callable[[Request], Any]) -> Any:
    low = flat(work).compile()

    async def calls(request: Request) -> Any:
        return (await low.ainvoke({"task": request.goal}))["outcome"].value

    return supervisor(planner=Agent("planner", run=one), workers=[Agent("low", run=calls)], name="top")


GRAPHS = {"flat": flat, "nested": nested, "in a function": in_a_function}


async def cancelled(runner: Runner, team: Team, moment: float) -> None:
    run = asyncio.create_task(runner.arun("graph", "t", thread_id="thread"))
    await until_begun(team)
    await asyncio.sleep(moment)
    team.leaves()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run


async def cancelled_at_last(runner: Runner, team: Team, moment: float) -> None:
    """Leave when only the one that hangs is at work."""
    run = asyncio.create_task(runner.arun("graph", "t", thread_id="thread"))
    while len(team.ended) < _PARTS - 1:
        await asyncio.sleep(0.001)
    team.leaves()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run


async def timed_out(runner: Runner, team: Team, moment: float) -> None:
    run = asyncio.ensure_future(runner.arun("graph", "t", thread_id="thread"))
    await until_begun(team)
    await asyncio.sleep(moment)
    team.leaves()
    with suppress(TimeoutError):
        await asyncio.wait_for(run, 0.0001)


async def closed(runner: Runner, team: Team, moment: float) -> None:
    parts: Any = runner.astream("graph", "t", thread_id="thread", stream_mode=["tasks"])
    async with aclosing(parts):
        async for _ in parts:
            if len(team.ended) * 0.02 >= moment:
                team.leaves()
                break


async def broken_off(runner: Runner, team: Team, moment: float) -> None:
    async for _ in runner.astream("graph", "t", thread_id="thread", stream_mode=["tasks"]):
        if len(team.ended) * 0.02 >= moment:
            team.leaves()
            break
    while runner.drain():  # the stream is closed in a task of its own
        await asyncio.sleep(0.01)


async def closed_sync(runner: Runner, team: Team, moment: float) -> None:
    def leave() -> None:
        for _ in runner.stream("graph", "t", thread_id="thread", stream_mode=["tasks"]):
            if len(team.ended) * 0.02 >= moment:
                team.leaves()
                break

    await asyncio.to_thread(leave)


async def until_begun(team: Team) -> None:
    while not team.began:
        await asyncio.sleep(0.001)


def left(runner: Runner, team: Team, leave: Any, moment: float) -> Run:
    asyncio.run(leave(runner, team, moment))
    stored = runner.status("thread")
    if stored.status == "stopped":
        team.hangs = False
        stored = runner.resume("thread")

    assert stored.status == "completed"
    assert [goal for goal in team.ended_before if Counter(team.began)[goal] > 1] == []
    return stored


@pytest.mark.parametrize("leave", [cancelled, timed_out, closed, broken_off, closed_sync])
@pytest.mark.parametrize("graph", ["flat", "nested"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_had_ended_when_the_caller_left_does_not_run_again(
    sqlite_url: str, leave: Any, graph: str, kind: str
) -> None:
    team, moment = Team(), random.Random(f"{leave.__name__}{graph}{kind}").uniform(0, 0.15)
    work = team.awork if kind == "async" else team.work
    with Runner(sqlite_url, graphs={"graph": lambda: GRAPHS[graph](work)}) as runner:
        left(runner, team, leave, moment)


@pytest.mark.parametrize("seed", range(8))
def test_nor_does_it_on_postgresql_or_where_a_function_calls_the_team(postgres_url: str, seed: int) -> None:
    team, moment = Team(), random.Random(seed).uniform(0, 0.15)
    graph = "in a function" if seed % 2 else "flat"
    with Runner(postgres_url, graphs={"graph": lambda: GRAPHS[graph](team.awork)}) as runner:
        left(runner, team, cancelled, moment)


@pytest.mark.parametrize("graph", ["flat", "nested", "in a function"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_caller_that_is_cancelled_does_not_wait_for_what_hangs(sqlite_url: str, graph: str, kind: str) -> None:
    team = Team()
    team.hangs = True
    work = team.awork if kind == "async" else team.work
    with Runner(sqlite_url, graphs={"graph": lambda: GRAPHS[graph](work)}) as runner:
        began = time.monotonic()
        left(runner, team, cancelled_at_last, 0)

    assert time.monotonic() - began < 15
    assert len(team.ended) == _PARTS
    assert len(team.began) == _PARTS + 1


async def test_a_node_of_the_users_that_hangs_is_cancelled_too(sqlite_url: str) -> None:
    from guardgraph.graphs import Team

    began = asyncio.Event()

    async def hangs(state: Any) -> dict[str, Any]:
        began.set()
        await asyncio.sleep(60)
        return {}

    def build() -> Any:
        own = Team("own", guards=[], entry=lambda gate: "hangs", destinations=["hangs"])
        return own.add_node("hangs", hangs, to="guard_exit").build()

    with Runner(sqlite_url, graphs={"own": build}) as runner:
        run = asyncio.ensure_future(runner.arun("own", "t", thread_id="thread"))
        await began.wait()
        run.cancel()
        finished, _ = await asyncio.wait({run}, timeout=20)

        assert finished
        assert run.cancelled()
        assert runner.status("thread").status == "stopped"
        assert not runner.drain()
