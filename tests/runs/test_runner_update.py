"""Changing the state of a run that waits, and what LangGraph's own `update_state` makes of it."""

from __future__ import annotations

import asyncio
import operator
from contextlib import suppress
from typing import Annotated, Any

import pytest
from langgraph.types import Command, Overwrite, interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import Team, supervisor
from guardgraph.runs import Run, Runner
from guardgraph.state import (
    BadInput,
    ContextItem,
    Plan,
    Request,
    RunEnded,
    RunState,
    RunStranded,
    Subtask,
    ThreadBusy,
    UnknownThread,
)
from guardgraph.storage import types_of_graph
from tests.runs.team import accepted_and_killed


class Extended(RunState, total=False):
    note: str
    notes: Annotated[list[str], operator.add]


class World:
    """Two agents side by side: one that works, and one that asks, or dies at first."""

    def __init__(self) -> None:
        self.worked: list[str] = []
        self.seen: list[Any] = []
        self.dies = False

    def work(self, request: Request) -> str:
        self.worked.append("works")
        return "done"

    def ask(self, request: Request) -> str:
        self.worked.append("asks")
        if self.dies:
            raise KeyboardInterrupt
        return str(interrupt("may I?"))

    def own(self) -> Any:
        """Return a pattern of its own, with channels of its own."""
        agents = [Agent("works", run=self.work), Agent("asks", run=self.ask)]
        own = Team("own", guards=[], entry=agents, state=Extended)
        own.add_agents(agents, gate="handoff")

        def look(state: Any) -> dict[str, Any]:
            self.seen.append((state.get("note"), state.get("notes"), [p.title for p in state.get("context") or ()]))
            return {}

        own.add_gate("handoff", agents=agents, route=lambda gate: "look", destinations=["look"])
        own.add_node("look", look, to="guard_exit")
        return own.build()

    def plan(self, request: Request) -> Plan:
        goals = ("works", "asks")
        subtasks = tuple(Subtask(id=goal, goal=goal, skill=goal) for goal in goals)
        return Plan(subtasks=subtasks) if request.round == 1 else Plan()

    def team(self) -> Any:
        workers = [Agent("w", run=self.work, skills={"works"}), Agent("a", run=self.ask, skills={"asks"})]
        return supervisor(planner=Agent("planner", run=self.plan), workers=workers)

    def nested(self) -> Any:
        one = Plan(subtasks=(Subtask(id="low", goal="low"),))
        low = Agent("low", run=self.team().compile())
        return supervisor(planner=Agent("planner", run=lambda r: one if r.round == 1 else Plan()), workers=[low])


@pytest.fixture
def world() -> World:
    return World()


def updated(runner: Runner, how: str, **values: Any) -> Run:
    if how == "async":
        return asyncio.run(runner.aupdate("thread", **values))
    return runner.update("thread", **values)


HOWS = pytest.mark.parametrize("how", ["sync", "async"])
PIECE = ContextItem(kind="background", title="seen by a human", value="all is well")
OTHER = ContextItem(kind="background", title="another one")


@HOWS
@pytest.mark.parametrize("dies", [False, True])
def test_values_are_merged_and_what_is_finished_stays_finished(
    database_url: str, world: World, how: str, dies: bool
) -> None:
    world.dies = dies
    with Runner(database_url, graphs={"own": world.own}) as runner:
        with suppress(KeyboardInterrupt):
            runner.run("own", "t", thread_id="thread")
        world.dies = False
        before = runner.status("thread").waiting

        run = updated(runner, how, note="new", notes=["a", "b"])
        assert run.status == "waiting"
        assert before in ((), run.waiting)
        again = updated(runner, how, notes=["c"], context=[PIECE])
        assert again.waiting == run.waiting

        done = runner.resume("thread", answers={run.waiting[0].id: "yes"})

    assert done.status == "completed"
    assert world.seen == [("new", ["a", "b", "c"], ["seen by a human"])]
    assert world.worked.count("works") == 1
    assert sorted(str(result.value) for result in done.results) == ["done", "yes"]


@HOWS
@pytest.mark.parametrize("dies", [False, True])
def test_of_several_updates_the_latest_value_wins_and_reducers_merge_each_once(
    database_url: str, world: World, how: str, dies: bool
) -> None:
    world.dies = dies
    with Runner(database_url, graphs={"own": world.own}) as runner:
        with suppress(KeyboardInterrupt):
            runner.run("own", "t", thread_id="thread")
        world.dies = False

        run = updated(runner, how, note="first", notes=["a"], context=[PIECE])
        run = updated(runner, how, context=[], note=None, notes=["b"])
        run = updated(runner, how, notes=["c"], note="last", context=[OTHER])
        assert (run.status, run.state["note"], run.state["notes"]) == ("waiting", "last", ["a", "b", "c"])
        assert runner.status("thread").waiting == run.waiting

        done = runner.resume("thread", answers={run.waiting[0].id: "yes"})

    assert done.status == "completed"
    assert world.seen == [("last", ["a", "b", "c"], ["another one"])]
    assert world.worked.count("works") == 1


def test_updates_between_the_answers_to_two_questions_are_all_kept(database_url: str, world: World) -> None:
    world.work = world.ask
    with Runner(database_url, graphs={"own": world.own}) as runner:
        run = runner.run("own", "t", thread_id="thread")
        runner.update("thread", note="a", notes=["a"])
        run = runner.resume("thread", answers={run.waiting[0].id: "yes"})
        run = runner.update("thread", note="b", notes=["b"])
        run = runner.resume("thread", answers={run.waiting[0].id: "no"})

    assert run.status == "completed"
    assert world.seen == [("b", ["a", "b"], [])]
    assert sorted(str(result.value) for result in run.results) == ["no", "yes"]


def test_what_is_overwritten_can_be_added_to_and_overwritten_again(database_url: str, world: World) -> None:
    with Runner(database_url, graphs={"own": world.own}) as runner:
        runner.run("own", "t", thread_id="thread")
        for notes in (["a"], Overwrite(["b"]), ["c"], Overwrite(["d"]), ["e"], ["f"]):
            run = runner.update("thread", notes=notes)
        assert run.state["notes"] == ["d", "e", "f"]
        runner.resume("thread", answers={run.waiting[0].id: "yes"})

    assert world.seen == [(None, ["d", "e", "f"], [])]


def test_what_a_reducer_cannot_take_leaves_the_thread_as_it_was(database_url: str, world: World) -> None:
    with Runner(database_url, graphs={"own": world.own}) as runner:
        run = runner.run("own", "t", thread_id="thread")
        with pytest.raises(BadInput, match=r"'notes' cannot be updated with 5: its reducer raised TypeError"):
            runner.update("thread", note="a", notes=5)
        assert runner.resume("thread", answers={run.waiting[0].id: "yes"}).status == "completed"

    assert world.seen == [(None, [], [])]


@HOWS
@pytest.mark.parametrize("graph", ["team", "nested"])
def test_nothing_that_is_finished_runs_again_at_any_level(
    database_url: str, world: World, how: str, graph: str
) -> None:
    with Runner(database_url, graphs={"team": world.team, "nested": world.nested}) as runner:
        runner.run(graph, "t", thread_id="thread")
        run = updated(runner, how, context=[PIECE])
        done = runner.resume("thread", answers={run.waiting[0].id: "yes"})

    assert done.status == "completed"
    assert world.worked.count("works") == 1
    assert "yes" in str(done.outcome and done.outcome.value)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, r"nothing is to be updated; name a channel: 'context', 'note', 'notes'"),
        ({"results": [], "note": "a"}, r"'results' cannot be updated: .*; what can be: 'context', 'note', 'notes'"),
        ({"position": None}, r"'position' cannot be updated"),
        (
            {"nonsense": 1},
            r"'nonsense' cannot be updated: the state has no such channel; what can be: 'context', 'note', 'notes'",
        ),
        ({"__pregel_tasks": 1}, r"'__pregel_tasks' cannot be updated: the state has no such channel"),
        ({"context": [{"title": 1}]}, r"`context` is a list of `ContextItem`, and does not fit: 0"),
    ],
)
def test_what_cannot_be_updated_is_refused_before_anything_runs(
    sqlite_url: str, world: World, values: dict[str, Any], why: str
) -> None:
    with Runner(sqlite_url, graphs={"own": world.own}) as runner:
        runner.run("own", "t", thread_id="thread")
        before = len(world.worked), runner.history("thread")

        with pytest.raises(BadInput, match=why):
            runner.update("thread", **values)

        assert (len(world.worked), runner.history("thread")) == before


def test_what_langgraph_computes_is_no_channel_to_update(sqlite_url: str, world: World) -> None:
    with Runner(sqlite_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
        why = "'remaining_steps' cannot be updated: LangGraph computes it; what can be: 'context'$"
        with pytest.raises(BadInput, match=why):
            runner.update("thread", remaining_steps=3)
        with pytest.raises(BadInput, match=r"name a channel: 'context'$"):
            runner.update("thread")


def test_nor_is_a_run_updated_that_has_ended_is_worked_on_or_has_not_begun(sqlite_url: str, world: World) -> None:
    errors: list[Exception] = []

    def work(request: Request) -> str:
        try:
            runner.update("busy", note="a")
        except ThreadBusy as error:
            errors.append(error)
        return "done"

    def busy() -> Any:
        world.work = work
        world.ask = work
        return world.own()

    with Runner(sqlite_url, graphs={"own": world.own, "busy": busy}) as runner:
        with pytest.raises(UnknownThread):
            runner.update("nowhere", note="a")
        accepted_and_killed(runner, "own", "t", "begun")
        with pytest.raises(BadInput, match="never reached its first node: there is nothing to update; resume it"):
            runner.update("begun", note="a")
        assert runner.run("busy", "t", thread_id="busy").status == "completed"
        with pytest.raises(RunEnded, match=r"has ended \(completed\), so its state cannot be updated"):
            runner.update("busy", note="a")

    assert len(errors) == 2


def compiled(runner: Runner, world: World) -> Any:
    graph = world.team()
    return graph.compile(checkpointer=runner.saver.with_types(*types_of_graph(graph)))


CONFIG: Any = {"configurable": {"thread_id": "thread"}}


@HOWS
def test_the_error_of_a_stranded_run_has_a_remedy(database_url: str, world: World, how: str) -> None:
    with Runner(database_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
        graph = compiled(runner, world)
        graph.update_state(CONFIG, {"context": [PIECE]})
        assert graph.get_state(CONFIG).next == ()

        stored = runner.status("thread")
        assert stored.status == "failed"
        assert [one.status for one in runner.list_runs()] == ["failed"]
        assert stored.outcome is not None
        assert "`update_state` has dropped what waited; say where it goes on" in stored.outcome.gaps[0].reason
        with pytest.raises(RunStranded, match=r"Runner.update\(thread_id, …\) in place of `update_state` keeps"):
            asyncio.run(runner.aresume("thread")) if how == "async" else runner.resume("thread")
        with pytest.raises(RunStranded):
            updated(runner, how, context=[])

        graph.update_state(CONFIG, Command(goto="guard_handoff"), as_node="guard_admission")
        run = runner.resume("thread")
        assert run.status == "waiting"
        assert runner.resume("thread", answers={run.waiting[0].id: "yes"}).status == "completed"


def test_one_that_is_stranded_can_be_cancelled(sqlite_url: str, world: World) -> None:
    with Runner(sqlite_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
        compiled(runner, world).update_state(CONFIG, {"context": [PIECE]})

        assert runner.cancel("thread").status == "cancelled"


@pytest.mark.parametrize(
    ("values", "node"),
    [
        ({"context": [PIECE]}, "a"),
        (Command(update={"context": [PIECE]}, goto="guard_dispatch"), "guard_handoff"),
    ],
)
def test_the_public_ways_of_update_state_go_on(sqlite_url: str, world: World, values: Any, node: str) -> None:
    with Runner(sqlite_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
        compiled(runner, world).update_state(CONFIG, values, as_node=node)
        assert runner.status("thread").status == "stopped"

        run = runner.resume("thread")
        done = runner.resume("thread", answers={run.waiting[0].id: "yes"})

    assert done.status == "completed"
    assert [piece.title for piece in run.state["context"]] == ["seen by a human"]
