"""Runs that have not ended: they are refused a second one beside them, and can be cancelled."""

from __future__ import annotations

import asyncio
import operator
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.cli.exit_code import ExitCode, code_of_error, code_of_run
from guardgraph.graphs import Team, pipeline, supervisor
from guardgraph.guards import Finish, GuardContext, OnTrip, Refuse, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.nodes.accepted import accepted_of
from guardgraph.runs import Run, Runner
from guardgraph.runs.attempts import Attempts
from guardgraph.state import (
    BadInput,
    Outcome,
    Plan,
    Request,
    RunEnded,
    RunEvent,
    RunState,
    RunUnfinished,
    Subtask,
    TeamOutput,
    ThreadBusy,
    UnknownThread,
)
from tests.graphs.teams import worker
from tests.runs.team import accepted_and_killed

ORDER = ("first", "second", "third")


class World:
    """What the worker does for `second`, which needs `first` and is needed by `third`."""

    def __init__(self) -> None:
        self.worked: list[str] = []
        self.second: Any = lambda: interrupt("may I?")

    def plan(self, request: Request) -> Plan:
        chain = [Subtask(id=name, goal=name, depends_on=ORDER[:n][-1:]) for n, name in enumerate(ORDER)]
        return Plan(subtasks=tuple(chain)) if request.round == 1 else Plan()

    def work(self, request: Request) -> str:
        self.worked.append(request.goal)
        return str(self.second()) if request.goal == "second" else request.goal.upper()

    def team(self) -> Any:
        return supervisor(planner=Agent("planner", run=self.plan), workers=[Agent("worker", run=self.work)])


@pytest.fixture
def world() -> World:
    return World()


def cancelled(runner: Runner, how: str, **given: Any) -> Run:
    if how == "async":
        return asyncio.run(runner.acancel("thread", **given))
    return runner.cancel("thread", **given)


def begun(runner: Runner, how: str, task: str = "t") -> Run:
    if how == "async":
        return asyncio.run(runner.arun("team", task, thread_id="thread"))
    return runner.run("team", task, thread_id="thread")


def dies() -> None:
    raise KeyboardInterrupt


HOWS = pytest.mark.parametrize("how", ["sync", "async"])


@HOWS
@pytest.mark.parametrize("second", [lambda: interrupt("may I?"), dies])
def test_a_cancelled_run_ends_with_what_was_accepted_and_gaps_for_the_rest(
    database_url: str, world: World, how: str, second: Any
) -> None:
    world.second, events = second, list[RunEvent]()
    with Runner(database_url, graphs={"team": world.team}, on_event=events.append) as runner:
        try:
            runner.run("team", "t", thread_id="thread")
        except KeyboardInterrupt:
            assert runner.status("thread").status == "stopped"
        before = [*world.worked]

        run = cancelled(runner, how, reason="not needed any more")

        assert run.status == "cancelled"
        assert run.outcome is not None
        assert run.outcome.value == [{"subtask": "first", "agent": "worker", "value": "FIRST"}]
        assert {gap.subtask for gap in run.outcome.gaps} == {"second", "third"}
        assert all("not needed any more" in gap.reason for gap in run.outcome.gaps)
        assert run.outcome.usage.seconds < 60
        assert (run.waiting, code_of_run(run)) == ((), ExitCode.OK)
        assert runner.status("thread") == runner.resume("thread") == run
        assert [one.status for one in runner.list_runs(status="cancelled")] == ["cancelled"]
        assert world.worked == before
        assert (events[-1].kind, events[-1].data["status"]) == ("run_finished", "cancelled")

        with pytest.raises(RunEnded, match=r"has ended \(cancelled\), so there is nothing to cancel"):
            cancelled(runner, how)
        with pytest.raises(RunEnded, match="takes no answers"):
            runner.resume("thread", answers={"a": 1})


@HOWS
def test_the_thread_of_a_cancelled_run_takes_another_one(database_url: str, world: World, how: str) -> None:
    with Runner(database_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
        cancelled(runner, how)
        world.second, before = lambda: "said", len(world.worked)

        run = runner.run("team", "again", thread_id="thread")

        assert run.status == "completed"
        assert world.worked[before:] == [*ORDER]
        assert runner.status("thread") == run


@HOWS
def test_the_time_in_which_a_run_waited_is_no_work_when_it_is_cancelled(
    database_url: str, world: World, how: str
) -> None:
    begin = time.monotonic()
    with Runner(database_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
        time.sleep(1.5)

        run = cancelled(runner, how)

    assert run.outcome is not None
    assert run.outcome.usage.seconds <= time.monotonic() - begin - 1.5


REVIEWED = "done, but not reviewed, since the run was cancelled: enough"
NOT_DONE = "not done, since the run was stopped: enough"


def beside(first: Any, second: Any, write: Any = None, **facts: Any) -> Any:
    """Return a team that does two subtasks beside each other."""
    goals = {"first": first, "second": second}
    subtasks = tuple(Subtask(id=goal, goal=goal) for goal in goals)
    return supervisor(
        planner=Agent("planner", run=lambda r: Plan(subtasks=subtasks) if r.round == 1 else Plan()),
        workers=[Agent("worker", run=lambda r: goals[r.goal]())],
        synthesizer=Agent("writer", run=write) if write else None,
        **facts,
    )


@HOWS
def test_what_is_done_beside_what_waits_is_reported_and_kept(database_url: str, how: str) -> None:
    model = ScriptedModel(replies=lambda messages: "x", input_tokens=1000, output_tokens=100)

    def pays() -> str:
        return f"paid for {model.invoke('go').text}"

    with Runner(database_url, graphs={"team": lambda: beside(pays, lambda: interrupt("may I?"))}) as runner:
        waiting = begun(runner, how)
        assert [result.value for result in waiting.results] == ["paid for x"]
        assert runner.status("thread") == waiting
        assert str(runner.status("thread")) == str(waiting)
        assert "1 of 1 attempt gave a result" in str(waiting)

        run = cancelled(runner, how, reason="enough")

        assert run.outcome is not None
        assert (run.status, run.outcome.value) == ("cancelled", None)
        assert {gap.subtask: gap.reason for gap in run.outcome.gaps} == {"first": REVIEWED, "second": NOT_DONE}
        assert (run.results, run.usage.tokens) == (waiting.results, 1100)
        assert runner.status("thread") == run


@HOWS
def test_what_was_done_when_the_run_was_stopped_is_reported_and_kept(database_url: str, how: str) -> None:
    def stops() -> str:
        runner.drain()
        return "half of it"

    with Runner(database_url, graphs={"team": lambda: beside(stops, lambda: "all of it")}) as runner:
        assert begun(runner, how).status == "stopped"
        run = cancelled(runner, how, reason="enough")

    assert run.outcome is not None
    got = {gap.subtask: gap.reason for gap in run.outcome.gaps}
    done = {str(result.subtask): str(result.value) for result in run.results}
    assert done["first"] == "half of it"
    assert got["first"] == REVIEWED
    assert got["second"] == (REVIEWED if "second" in done else NOT_DONE)
    assert run.outcome.value is None


@pytest.mark.parametrize(
    ("refused", "value"),
    [((), "written"), (("written",), ["a", "b"]), (("written", "'a'"), None)],
    ids=["nothing refused", "the draft refused", "all refused"],
)
@pytest.mark.parametrize("on_trip", [Finish(), Refuse()])
def test_the_guards_of_the_exit_judge_what_becomes_the_value(
    database_url: str, refused: tuple[str, ...], value: Any, on_trip: OnTrip
) -> None:
    def writes(request: Request) -> str:
        runner.drain()
        return "written"

    @guard(at="exit", on_trip=on_trip)
    def fits(view: GuardContext) -> str | None:
        return next((word for word in refused if word in str(view.subject.value)), None)

    def build() -> Any:
        return beside(lambda: "a", lambda: "b", writes, guards=[fits])

    with Runner(database_url, graphs={"team": build}) as runner:
        assert runner.run("team", "t", thread_id="thread").status == "stopped"
        run = runner.cancel("thread", reason="enough")
        assert runner.status("thread") == run

    assert run.outcome is not None
    got = run.outcome.value
    assert (run.status, [one["value"] for one in got] if isinstance(got, list) else got) == ("cancelled", value)  # pyright: ignore
    assert (run.state["draft"].value, run.outcome.reason) == ("written", "enough")
    assert run.state["messages"][-1].response_metadata["outcome"]["status"] == "cancelled"


@pytest.mark.parametrize("graphs", [{}, {"team": lambda: 1 / 0}], ids=["not registered", "cannot be built"])
def test_without_its_graph_a_run_is_cancelled_but_has_no_value_that_was_not_judged(
    database_url: str, world: World, graphs: dict[str, Any]
) -> None:
    with Runner(database_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
    with Runner(database_url, graphs=graphs) as runner:
        run = runner.cancel("thread", reason="enough")
        assert runner.status("thread") == run

    assert run.outcome is not None
    assert (run.status, run.outcome.value, [result.value for result in run.results]) == ("cancelled", None, ["FIRST"])
    assert {gap.subtask: gap.reason for gap in run.outcome.gaps} == {
        "first": REVIEWED,
        "second": NOT_DONE,
        "third": NOT_DONE,
    }


def staged() -> Any:
    return pipeline([Agent(name, run=lambda request, name=name: name.upper()) for name in ("a", "b", "c")])


def planned() -> Any:
    return beside(lambda: "A", lambda: "B", lambda request: "written")


@pytest.mark.parametrize(("build", "names"), [(staged, {"a", "b", "c"}), (planned, {"first", "second"})])
def test_wherever_a_run_was_left_all_of_it_is_in_the_value_or_a_gap(
    database_url: str, build: Any, names: set[str]
) -> None:
    with Runner(database_url, graphs={"team": build}) as runner:
        left_after = 0
        for left_after in range(1, 20):
            parts = runner.stream("team", "t", thread_id=str(left_after))
            before = list(islice(parts, left_after))
            parts.close()  # pyright: ignore[reportAttributeAccessIssue]  # a generator
            stored = runner.status(str(left_after))
            if stored.status != "stopped":
                break
            accepted = {result.subtask or result.agent for result in accepted_of(stored.state)}

            run = runner.cancel(str(left_after), reason="enough")

            assert run.status == "cancelled", before
            assert run.outcome is not None
            got = run.outcome.value or []
            value = {one["subtask"] or one["agent"] for one in got} if isinstance(got, list) else names  # pyright: ignore
            gaps = {gap.subtask for gap in run.outcome.gaps}
            assert accepted <= value, before
            if stored.state.get("subtasks") or build is staged:
                assert names <= value | gaps, before
            assert value or gaps, before
            assert runner.status(str(left_after)) == run
    assert left_after > 5


def test_what_waits_without_a_subtask_is_a_gap_by_its_name(database_url: str) -> None:
    def build() -> Any:
        return supervisor(planner=Agent("planner", run=lambda request: interrupt("which?")), workers=[worker()])

    with Runner(database_url, graphs={"team": build}) as runner:
        runner.run("team", "t", thread_id="thread")
        run = runner.cancel("thread", reason="enough")

    assert run.outcome is not None
    assert [(gap.subtask, gap.reason) for gap in run.outcome.gaps] == [("planner", NOT_DONE)]


def test_channels_of_ones_own_that_were_written_beside_what_waits_are_kept(database_url: str) -> None:
    class Noted(RunState):
        notes: Annotated[list[str], operator.add]
        flag: str

    def build() -> Any:
        asks = Agent("asks", run=lambda request: interrupt("?"))
        own = Team(
            "own", guards=[], entry=lambda gate: [gate.send(asks), "note"], destinations=[asks, "note"], state=Noted
        )
        own.add_agents([asks], gate="handoff")
        own.add_gate("handoff", agents=[asks], route=lambda gate: gate.conclude())
        own.add_node("note", lambda state: {"notes": ["noted"], "flag": "up"}, to="handoff")
        return own.build()

    with Runner(database_url, graphs={"team": build}) as runner:
        runner.run("team", "t", thread_id="thread")
        run = runner.cancel("thread", reason="enough")

    assert (run.state["notes"], run.state["flag"], run.status) == (["noted"], "up", "cancelled")
    assert run.outcome is not None
    assert [gap.subtask for gap in run.outcome.gaps] == ["asks"]


def test_a_run_whose_graph_is_another_one_by_now_is_cancelled(database_url: str, world: World) -> None:
    def another() -> Any:
        graph = StateGraph(RunState, output_schema=TeamOutput)
        graph.add_node("guard_admission", lambda state: {"outcome": Outcome(status="completed", value=1)})
        graph.add_edge(START, "guard_admission")
        return graph

    with Runner(database_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
    with Runner(database_url, graphs={"team": another}) as runner:
        run = runner.cancel("thread")

    assert run.outcome is not None
    assert (run.status, run.outcome.value) == ("cancelled", None)


def test_a_run_that_never_reached_its_first_node_can_be_cancelled(database_url: str, world: World) -> None:
    with Runner(database_url, graphs={"team": world.team}) as runner:
        accepted_and_killed(runner, "team", "t", "thread")
        run = runner.cancel("thread")

    assert run.outcome is not None
    assert (run.status, run.outcome.value, code_of_run(run)) == ("cancelled", None, ExitCode.NO_VALUE)
    assert [gap.reason for gap in run.outcome.gaps] == ["cancelled by the caller"]


def test_what_cannot_be_cancelled_is_refused(database_url: str, world: World) -> None:
    with Runner(database_url, graphs={"team": world.team}) as runner:
        runner.run("team", "t", thread_id="thread")
        with pytest.raises(UnknownThread):
            runner.cancel("nowhere")
        with pytest.raises(BadInput, match="`reason` describes in a few words why the run is cancelled; got ''"):
            runner.cancel("thread", reason="")


def test_a_run_that_this_runner_works_on_is_stopped_and_then_cancelled(database_url: str, world: World) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def waits() -> str:
        entered.set()
        assert go_on.wait(60)
        return "said"

    world.second = waits
    with Runner(database_url, graphs={"team": world.team}) as runner, ThreadPoolExecutor() as pool:
        run = pool.submit(runner.run, "team", "t", thread_id="thread")
        assert entered.wait(60)
        assert runner.status("thread").status == "running"
        with pytest.raises(
            ThreadBusy, match=r"thread 'thread' is worked on by '.*' \(run '\w+'\) until it is done"
        ) as e:
            runner.run("team", "t", thread_id="thread")
        assert (e.value.thread_id, code_of_error(e.value)) == ("thread", ExitCode.BAD_INPUT)
        with pytest.raises(ThreadBusy):
            runner.cancel("thread", timeout=0.1)
        go_on.set()

        assert runner.cancel("thread").status == "cancelled"
        assert run.result().status == "stopped"
        assert world.worked == ["first", "second"]


@HOWS
@pytest.mark.parametrize("second", [lambda: interrupt("may I?"), dies])
def test_a_second_run_beside_one_that_has_not_ended_is_refused(
    database_url: str, world: World, how: str, second: Any
) -> None:
    world.second = second
    with Runner(database_url, graphs={"team": world.team}) as runner:
        with suppress(KeyboardInterrupt):
            runner.run("team", "t", thread_id="thread")
        first = runner.status("thread")

        why = r"go on with it by resume\('thread'\), end it by cancel\('thread'\)"
        with pytest.raises(RunUnfinished, match=why) as e:
            begun(runner, how, "other")

        assert (e.value.run_id, e.value.thread_id) == (first.run_id, "thread")
        assert code_of_error(e.value) == ExitCode.BAD_INPUT
        assert runner.status("thread") == first
        assert len(runner.list_runs()) == 1


def test_of_many_runs_that_begin_on_a_thread_at_once_one_is_accepted(database_url: str, world: World) -> None:
    def begin(number: int) -> bool:
        try:
            runner.run("team", "t", thread_id="thread")
        except (RunUnfinished, ThreadBusy):
            return False
        return True

    with Runner(database_url, graphs={"team": world.team}) as runner, ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(begin, range(8))) == [False] * 7 + [True]
        assert runner.status("thread").status == "waiting"


def test_a_run_that_ended_unnoted_makes_room_for_the_next(
    database_url: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.second = lambda: "said"
    with Runner(database_url, graphs={"team": world.team}) as runner:
        with monkeypatch.context() as patched:
            patched.setattr(Attempts, "end", lambda self, attempt: dies())
            with pytest.raises(KeyboardInterrupt):
                runner.run("team", "t", thread_id="thread")
        assert runner.status("thread").status == "stopped"

        assert runner.run("team", "again", thread_id="thread").status == "completed"
        assert [one.status for one in runner.list_runs()] == ["completed", "completed"]


def test_nor_can_it_be_cancelled(database_url: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.second = lambda: "said"
    with Runner(database_url, graphs={"team": world.team}) as runner:
        with monkeypatch.context() as patched:
            patched.setattr(Attempts, "end", lambda self, attempt: dies())
            with pytest.raises(KeyboardInterrupt):
                runner.run("team", "t", thread_id="thread")

        with pytest.raises(RunEnded, match=r"has ended \(completed\)"):
            runner.cancel("thread")
        assert runner.status("thread").status == "completed"


@HOWS
def test_a_waiting_run_emits_an_event(database_url: str, world: World, how: str) -> None:
    events: list[RunEvent] = []
    with Runner(database_url, graphs={"team": world.team}, on_event=events.append) as runner:
        run = begun(runner, how)
        got = [event for event in events if event.kind == "run_waiting"]
        assert [event.data for event in got] == [{"questions": [run.waiting[0].id]}]
        assert (got[0].run_id, got[0].path, events[-1]) == (run.run_id, ("supervisor",), got[0])

        runner.resume("thread")
        runner.resume("thread", answers={run.waiting[0].id: "yes"})
        assert [event.kind for event in events].count("run_waiting") == 1
