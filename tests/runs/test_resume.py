"""What a resumed run may spend, until when it may work, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.cli.exit_code import ExitCode, code_of_error
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Deadline, Depth, Guard, GuardContext, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.runs.attempts import Attempts
from guardgraph.state import Allowance, BadInput, Plan, Request, RunEnded, RunEvent, Subtask
from guardgraph.storage import SQLLedger
from guardgraph.storage.sql.engine import engine_of
from tests.runs.team import accepted_and_killed

MODEL = ScriptedModel(replies=lambda messages: "said", input_tokens=300, output_tokens=100)
HOUR = timedelta(hours=1)


@dataclass
class World:
    """What the agents of these tests do, and the clock by which they work."""

    calls: int = 1
    """How many model calls of 400 tokens the second worker makes, after the one that it makes before it asks."""
    ahead: timedelta = timedelta(0)
    """How far the runner's clock is ahead of LangGraph's."""
    takes: timedelta = timedelta(0)
    """How long the second worker works once it has its answer."""
    dies: bool = False
    """Whether its process dies instead of asking a human."""

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def plan(self, request: Request) -> Plan:
        needs = {"first": (), "second": ("first",), "third": ("second",)}
        steps = tuple(
            Subtask(id=name, goal=name, depends_on=before, skill="worker" if name == "second" else "helper")
            for name, before in needs.items()
        )
        return Plan(subtasks=steps) if request.round == 1 else Plan()

    def work(self, request: Request) -> str:
        MODEL.invoke("begin", max_tokens=100)
        if self.dies:
            raise KeyboardInterrupt
        answer = interrupt("may I?")
        for _ in range(self.calls):
            MODEL.invoke("go on", max_tokens=100)
        self.ahead += self.takes
        return f"{answer}, done"

    def team(self, *guards: Guard) -> Any:
        return supervisor(
            planner=Agent("planner", run=self.plan),
            workers=[Agent("worker", run=self.work), Agent("helper", run=lambda request: "done")],
            guards=[Depth(), Convergence(), *guards],
        )

    def nested(self, *guards: Guard) -> Any:
        plan = Plan(subtasks=(Subtask(id="all", goal="all"),))
        return supervisor(
            planner=Agent("head", run=lambda request: plan if request.round == 1 else Plan()),
            workers=[Agent("low", run=self.team(Deadline(3000)).compile(), timeout=3600)],
            guards=[Depth(), Convergence(), *guards],
            name="top",
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def runner_of(database_url: str, world: World) -> Iterator[Callable[..., Runner]]:
    opened: list[Runner] = []

    def make(build: Callable[[], Any], **options: Any) -> Runner:
        opened.append(Runner(database_url, graphs={"graph": build}, clock=world.clock, **options))
        return opened[-1]

    yield make
    for runner in opened:
        runner.close()


Build = Callable[..., Any]
"""A method of `World` that builds a team of it."""


async def resumed(runner: Runner, run: Run, how: str, **options: Any) -> Run:
    if how == "async":
        return await runner.aresume(run.thread_id, answers=answers(run), **options)
    return await asyncio.to_thread(runner.resume, run.thread_id, answers=answers(run), **options)


async def begun(runner: Runner, how: str) -> Run:
    run = await runner.arun("graph", "t") if how == "async" else await asyncio.to_thread(runner.run, "graph", "t")
    assert run.status == "waiting"
    return run


def answers(run: Run) -> dict[str, Any]:
    return {wait.id: "yes" for wait in run.waiting}


def reasons(run: Run) -> list[str]:
    return [gap.reason for gap in run.outcome.gaps] if run.outcome else ["no outcome"]


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("build", [World.team, World.nested])
@pytest.mark.parametrize(("add", "status"), [(None, "degraded"), (Allowance(tokens=600), "completed")])
async def test_added_allowance_reaches_the_work_that_remains_at_every_level(
    runner_of: Callable[..., Runner], world: World, build: Build, how: str, add: Allowance | None, status: str
) -> None:
    runner = runner_of(lambda: build(world, Budget(tokens=1000, reserve=0)))
    run = await begun(runner, how)
    assert run.usage.tokens == 400

    done = await resumed(runner, run, how, add=add)

    assert done.status == status, reasons(done)
    assert done.usage.tokens == (1200 if add else 800)


def test_what_was_added_is_kept_over_further_attempts(runner_of: Callable[..., Runner], world: World) -> None:
    world.calls = 2
    run = runner_of(lambda: world.team(Budget(tokens=1000, reserve=0))).run("graph", "t")
    for add in (400, 400):
        waits = runner_of(lambda: world.team(Budget(tokens=1000, reserve=0))).resume(
            run.thread_id, add=Allowance(tokens=add)
        )
        assert waits.status == "waiting"

    done = runner_of(lambda: world.team(Budget(tokens=1000, reserve=0))).resume(run.thread_id, answers=answers(run))

    assert done.status == "completed", reasons(done)
    assert done.usage.tokens == 1600


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("build", [World.team, World.nested])
async def test_waiting_for_a_human_does_not_count_against_the_deadline(
    runner_of: Callable[..., Runner], world: World, build: Build, how: str
) -> None:
    runner = runner_of(lambda: build(world, Deadline(60)))
    run = await begun(runner, how)
    world.ahead += HOUR

    done = await resumed(runner, run, how)

    assert done.status == "completed", reasons(done)
    assert done.usage.seconds < HOUR.total_seconds()


@pytest.mark.parametrize("build", [World.team, World.nested])
def test_nor_does_the_time_between_two_processes(runner_of: Callable[..., Runner], world: World, build: Build) -> None:
    world.dies = True
    with pytest.raises(KeyboardInterrupt):
        runner_of(lambda: build(world, Deadline(60))).run("graph", "t", thread_id="thread")
    world.dies = False
    runner = runner_of(lambda: build(world, Deadline(60)))
    world.ahead += HOUR
    waits = runner.resume("thread")
    world.ahead += HOUR

    run = runner.resume("thread", answers=answers(waits))

    assert run.status == "completed", reasons(run)


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("build", [World.team, World.nested])
@pytest.mark.parametrize(("more", "status"), [(None, "degraded"), (HOUR, "completed")])
async def test_a_later_deadline_holds_at_every_level(
    runner_of: Callable[..., Runner], world: World, build: Build, how: str, more: timedelta | None, status: str
) -> None:
    runner = runner_of(lambda: build(world, Deadline(60)))
    run = await begun(runner, how)
    world.ahead, world.takes = HOUR, timedelta(minutes=10)
    add = None if more is None else Allowance(deadline=world.clock() + more)

    done = await resumed(runner, run, how, add=add)

    assert done.status == status, reasons(done)
    assert done.outcome is not None
    assert done.outcome.stopped_by == ("Deadline" if more is None else None)
    assert 600 <= done.usage.seconds < 660  # the work, and not the hour of waiting


def test_an_earlier_deadline_changes_nothing(runner_of: Callable[..., Runner], world: World) -> None:
    runner = runner_of(lambda: world.team(Deadline(3600)))
    run = runner.run("graph", "t")
    world.ahead, world.takes = HOUR, timedelta(minutes=10)

    done = runner.resume(run.thread_id, answers=answers(run), add=Allowance(deadline=world.clock()))

    assert done.status == "completed", reasons(done)


def test_a_runs_own_time_never_goes_back_before_what_it_has_stored(
    runner_of: Callable[..., Runner], world: World
) -> None:
    seen: list[datetime] = []

    @guard(at="handoff")
    def watch(view: GuardContext) -> None:
        seen.append(view.now)

    top = Plan(subtasks=(Subtask(id="all", goal="all"),))

    def build() -> Any:
        return supervisor(
            planner=Agent("head", run=lambda request: top if request.round == 1 else Plan()),
            workers=[Agent("low", run=world.team(watch).compile())],
        )

    world.dies = True
    with pytest.raises(KeyboardInterrupt):
        runner_of(build).run("graph", "t", thread_id="thread")
    world.dies, before = False, len(seen)

    runner = runner_of(build)
    runner.resume("thread")
    runner.resume("thread", answers=answers(runner.status("thread")))

    assert before == 1
    assert len(seen) > before
    assert seen == sorted(seen)


def test_events_have_the_time_of_the_wall_clock(runner_of: Callable[..., Runner], world: World) -> None:
    events: list[RunEvent] = []
    runner = runner_of(lambda: world.team(Deadline(60)), on_event=events.append)
    run = runner.run("graph", "t")
    world.ahead, before = HOUR, len(events)
    since = world.clock()

    runner.resume(run.thread_id, answers=answers(run), add=Allowance(deadline=since + 24 * HOUR))

    assert len(events) > before
    assert all(event.at >= since for event in events[before:])


@pytest.mark.parametrize("how", ["sync", "async"])
async def test_a_run_that_has_ended_takes_no_answers_and_no_more_allowance(
    runner_of: Callable[..., Runner], world: World, how: str
) -> None:
    runner = runner_of(lambda: world.team(Budget(tokens=1000, reserve=0)))
    run = await begun(runner, how)
    done = await resumed(runner, run, how)
    assert done.status == "degraded"

    with pytest.raises(RunEnded, match=r"has ended \(degraded, stopped by Budget\), so it takes no answers") as caught:
        await asyncio.to_thread(runner.resume, run.thread_id, add=Allowance(tokens=1000))
    with pytest.raises(RunEnded, match="and no more allowance"):
        await resumed(runner, run, how)

    assert (caught.value.run_id, caught.value.thread_id) == (run.run_id, run.thread_id)
    assert code_of_error(caught.value) == ExitCode.BAD_INPUT
    assert await runner.aresume(run.thread_id) == done


def test_nor_does_one_whose_process_died_before_its_end_was_noted(
    runner_of: Callable[..., Runner], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = runner_of(world.team)
    run = runner.run("graph", "t")
    with monkeypatch.context() as patched:
        patched.setattr(Attempts, "end", _die)
        with pytest.raises(KeyboardInterrupt):
            runner.resume(run.thread_id, answers=answers(run))
    assert runner.status(run.thread_id).status == "stopped"

    with pytest.raises(RunEnded, match=r"has ended \(completed\)"):
        runner.resume(run.thread_id, add=Allowance(tokens=1000))
    with pytest.raises(RunEnded, match=r"has ended \(completed\)"):
        runner.resume(run.thread_id, answers=answers(run))

    assert runner.resume(run.thread_id).status == "completed"


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_nothing_can_be_added_before_the_first_node(runner_of: Callable[..., Runner], world: World) -> None:
    runner = runner_of(world.team)
    accepted_and_killed(runner, "graph", "t", "thread")

    with pytest.raises(BadInput, match="never reached its first node: there is nothing to add to; resume it"):
        runner.resume("thread", add=Allowance(tokens=1000))

    assert runner.resume("thread").status == "waiting"


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_question_that_was_answered_is_not_open_any_more(runner_of: Callable[..., Runner], is_nested: bool) -> None:
    def team(name: str, work: Any, *goals: str) -> Any:
        plan = Plan(subtasks=tuple(Subtask(id=goal, goal=goal) for goal in goals))
        planner = Agent("planner", run=lambda request: plan if request.round == 1 else Plan())
        return supervisor(planner=planner, workers=[Agent("worker", run=work)], name=name)

    def build() -> Any:
        low = team("low", lambda request: interrupt(f"may I {request.goal}?"), "a", "b")
        return team("top", low.compile(), "all") if is_nested else low

    runner = runner_of(build)
    run = runner.run("graph", "t")
    assert {wait.value for wait in run.waiting} == {"may I a?", "may I b?"}
    first, second = run.waiting

    waits = runner.resume(run.thread_id, answers={first.id: "yes"})

    assert waits.waiting == runner.status(run.thread_id).waiting == (second,)
    assert runner.resume(run.thread_id, answers={second.id: "yes"}).status == "completed"


def test_depth_cannot_be_added(runner_of: Callable[..., Runner], world: World) -> None:
    runner = runner_of(world.team)
    run = runner.run("graph", "t")

    with pytest.raises(BadInput, match="`add` holds a depth; how deep a run may delegate is a limit of its graph"):
        runner.resume(run.thread_id, answers=answers(run), add=Allowance(depth=1))

    assert runner.status(run.thread_id).status == "waiting"


def test_what_comes_with_a_wrong_answer_is_not_added(
    runner_of: Callable[..., Runner], world: World, database_url: str
) -> None:
    runner = runner_of(lambda: world.team(Budget(tokens=1000, reserve=0)))
    run = runner.run("graph", "t")

    with pytest.raises(BadInput, match="nothing waits for nobody"):
        runner.resume(run.thread_id, answers={"nobody": 1}, add=Allowance(tokens=1000))

    ledger = SQLLedger(engine_of(database_url), tenant="")
    assert ledger.balances(run.run_id)[0].cap.tokens == 1000
    ledger.engine.dispose()
