"""What the guards of an attempt know goes on after an interrupt and after a crash."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import guarded, pipeline
from guardgraph.guards import Budget, GuardContext, ModelCall, Repetition, Retry, ToolCall, Velocity, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import Outcome, Request
from guardgraph.storage import MemoryLedger
from tests.graphs.loops import calls

MOST = 12
"""How often a human answers at most."""


class Asking:
    """An agent of `create_agent` that asks a human in every turn, without end, and what it has done."""

    def __init__(self, reply: Any = None, *, questions: int = 1) -> None:
        self.asked: list[str] = []

        @tool
        def ask(q: str) -> str:
            """Ask a human."""
            self.asked.append(q)
            return " ".join(interrupt(f"{q} {n}") for n in range(questions))

        @tool
        def look(q: str) -> str:
            """Look for something."""
            return f"nothing on {q}"

        self.model = ScriptedModel(replies=reply or (lambda _: calls("ask", q="x")), input_tokens=60, output_tokens=40)
        self.agent: Any = create_agent(self.model, [ask, look], name="asking")


def in_team(run: Any, guards: Any, **facts: Any) -> Any:
    return pipeline([Agent("w", run=run, **facts)], guards=guards, name="team")


def alone(run: Any, guards: Any) -> Any:
    return guarded(run, guards)


def nested(run: Any, guards: Any) -> Any:
    """Return a team whose guards judge an agent of a team within."""
    inner = pipeline([Agent("w", run=run)], guards=[], name="inner").compile()
    return pipeline([Agent("inner", run=inner)], guards=guards, name="team")


GIVEN = {in_team: {"task": "look"}, nested: {"task": "look"}, alone: {"messages": [("user", "look")]}}
BUILDS = [in_team, nested, alone]


def in_memory(graph: Any, given: Any, tmp_path: Path) -> tuple[Outcome | None, int]:
    """Answer what a graph asks, with LangGraph's own saver in one process; return the outcome and the answers."""
    compiled, config = graph.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    state, answers = compiled.invoke(given, config), 0
    while state.get("__interrupt__") and answers < MOST:
        state, answers = compiled.invoke(Command(resume="yes"), config), answers + 1
    return state.get("outcome"), answers


def ain_memory(graph: Any, given: Any, tmp_path: Path) -> tuple[Outcome | None, int]:
    """Do the same on one event loop."""

    async def run() -> tuple[Outcome | None, int]:
        compiled, config = graph.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
        state, answers = await compiled.ainvoke(given, config), 0
        while state.get("__interrupt__") and answers < MOST:
            state, answers = await compiled.ainvoke(Command(resume="yes"), config), answers + 1
        return state.get("outcome"), answers

    return asyncio.run(run())


def by_runners(graph: Any, given: Any, tmp_path: Path) -> tuple[Outcome | None, int]:
    """Do the same with another `Runner` for each answer: nothing is known but what is stored."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with Runner(url) as runner:
        run = runner.run(graph, given.get("task") or given)
    answers = 0
    while run.waiting and answers < MOST:
        with Runner(url, graphs={run.graph: lambda: graph}) as runner:
            run, answers = runner.resume(run.thread_id, answers={run.waiting[0].id: "yes"}), answers + 1
    return run.outcome, answers


Drive = Callable[[Any, Any, Path], tuple[Outcome | None, int]]


@pytest.fixture(params=[in_memory, ain_memory, by_runners])
def drive(request: pytest.FixtureRequest) -> Drive:
    return request.param


@pytest.mark.parametrize("build", BUILDS)
def test_an_agent_that_asks_in_every_turn_is_stopped(build: Any, drive: Drive, tmp_path: Path) -> None:
    asking = Asking()

    outcome, answers = drive(build(asking.agent, [Repetition(2)]), GIVEN[build], tmp_path)

    assert outcome is not None
    assert (outcome.stopped_by, answers) == ("Repetition", 2)  # the third call is refused, the fourth stops it
    assert outcome.gaps[0].reason.startswith("the tool 'ask' was called 2 times with the same arguments")


def test_the_same_answers_of_a_model_are_counted_over_interrupts(drive: Drive, tmp_path: Path) -> None:
    turns = count()
    asking = Asking(lambda _: calls("ask", q=f"q{next(turns) // 3}"))  # no question three times

    outcome, answers = drive(in_team(asking.agent, [Repetition(2)]), GIVEN[in_team], tmp_path)

    assert outcome is not None
    assert outcome.stopped_by == "Repetition"
    assert answers < 9


def test_a_retry_is_granted_once_over_interrupts(drive: Drive, tmp_path: Path) -> None:
    refused: list[str] = []

    @guard(at="tool", on_trip=Retry(1))
    def no_looking(context: GuardContext) -> str | None:
        return "do not look" if isinstance(context.subject, ToolCall) and context.subject.name == "look" else None

    def reply(messages: list[Any]) -> Any:
        refused.extend(str(one.content) for one in messages[-1:] if "do not look" in str(one.content))
        turn = sum(isinstance(one, ToolMessage) for one in messages)
        return calls("look" if turn % 2 == 0 else "ask", q=str(turn))

    outcome, answers = drive(in_team(Asking(reply).agent, [no_looking]), GIVEN[in_team], tmp_path)

    assert outcome is not None
    assert (outcome.stopped_by, answers, len(refused)) == ("no_looking", 1, 1)


@pytest.mark.parametrize("build", BUILDS)
def test_a_tool_that_runs_again_for_each_of_its_questions_is_called_once(
    build: Any, drive: Drive, tmp_path: Path
) -> None:
    seen: list[int] = []

    @guard(at="model")
    def counts(context: GuardContext) -> str | None:
        seen.append(sum(isinstance(one, ToolCall) for one in context.calls))
        return None

    asking = Asking(
        lambda messages: "done" if isinstance(messages[-1], ToolMessage) else calls("ask", q="x"), questions=4
    )
    outcome, answers = drive(build(asking.agent, [Repetition(1), counts]), GIVEN[build], tmp_path)

    assert outcome is not None
    assert (outcome.status, answers, len(asking.asked)) == ("completed", 4, 5)
    assert seen == [0, 1]


@pytest.mark.parametrize("build", [in_team, nested])
def test_code_that_begins_anew_is_counted_anew(build: Any, drive: Drive, tmp_path: Path) -> None:
    model, seen = ScriptedModel(replies=lambda _: "said"), list[int]()

    @guard(at="model")
    def counts(context: GuardContext) -> str | None:
        seen.append(sum(isinstance(one, ModelCall) for one in context.calls))
        return None

    def code(request: Request) -> str:
        model.invoke("first")
        return "".join(interrupt(n) for n in range(3))  # it runs from its beginning for each answer

    outcome, _ = drive(build(code, [Repetition(2), counts]), GIVEN[build], tmp_path)

    assert outcome is not None
    assert (outcome.status, seen) == ("completed", [0, 0, 0, 0])


def test_the_pace_of_an_attempt_is_known_after_interrupts(tmp_path: Path) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]

    def reply(messages: list[Any]) -> Any:
        turn = sum(isinstance(one, ToolMessage) for one in messages)
        now[0] += timedelta(seconds=60 if turn < 5 else 0.1)
        return calls("ask" if turn < 5 else "look", q=str(turn))

    graph, url = in_team(Asking(reply).agent, [Velocity(4, least=5)]), f"sqlite:///{tmp_path / 'runs.db'}"
    with Runner(url, clock=lambda: now[0]) as runner:
        run = runner.run(graph, "look")
    while run.waiting:
        with Runner(url, clock=lambda: now[0], graphs={run.graph: lambda: graph}) as runner:
            run = runner.resume(run.thread_id, answers={run.waiting[0].id: "yes"})

    assert run.outcome is not None
    assert run.outcome.stopped_by == "Velocity"


def of_functions(request: Request) -> str:
    return "".join(interrupt(n) for n in range(3))


def of_a_graph() -> Any:
    return Asking(
        lambda messages: "done" if isinstance(messages[-1], ToolMessage) else calls("ask", q="x"), questions=3
    ).agent


@pytest.mark.parametrize("run", [of_functions, of_a_graph()], ids=["function", "graph"])
def test_the_cost_of_an_attempt_is_charged_once(run: Any, drive: Drive, tmp_path: Path) -> None:
    graph = in_team(run, [Budget(usd="0.05", reserve=0)], cost="0.05")

    outcome, answers = drive(graph, GIVEN[in_team], tmp_path)

    assert outcome is not None
    assert (outcome.status, answers, outcome.usage.usd) == ("completed", 3, Decimal("0.05"))


CRASHING = """
import os, sys
from tests.graphs import test_resumed_calls as t
from guardgraph.runs import Runner
with Runner(sys.argv[1], graphs={"team": lambda: t.crashing(3)}, lease_seconds=1) as runner:
    runner.run("team", "look", thread_id="t")
"""


def crashing(at: int) -> Any:
    """Return a team whose agent looks for the same without end; its process ends at the call `at`."""
    looked = count(1)

    @tool
    def look(q: str) -> str:
        """Look for something."""
        return "nothing" if next(looked) != at else os._exit(1)

    model = ScriptedModel(replies=lambda _: calls("look", q="x"), input_tokens=60, output_tokens=40)
    return in_team(create_agent(model, [look]), [Repetition(5)])


def test_calls_are_known_after_a_crash(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    ended = subprocess.run([sys.executable, "-c", CRASHING, url], cwd=Path(__file__).parents[2], check=False)
    graph = crashing(0)

    with Runner(url, graphs={"team": lambda: graph}, if_busy="wait") as runner:
        run = runner.resume("t")

    assert ended.returncode == 1
    assert run.outcome is not None
    assert run.outcome.stopped_by == "Repetition"
    assert run.outcome.usage.calls == 7  # five have looked, of which one twice, the next is refused, and the last


def test_nothing_is_kept_of_an_attempt_that_has_ended(tmp_path: Path) -> None:
    kept: list[Any] = []

    @guard(at="model")
    def seen(context: GuardContext) -> str | None:
        return None

    class Noting(MemoryLedger):
        def keep_notes(self, account: str, notes: Any) -> None:
            super().keep_notes(account, notes)
            kept.append(notes and notes())

    model = ScriptedModel(replies=lambda _: "done")
    graph = in_team(create_agent(model, []), [seen]).compile()
    services = Services(ledger=Noting())
    graph.invoke({"task": "look"}, {"configurable": {KEY: ExecutionContext(services)}})

    assert [None if one is None else len(one["calls"]) for one in kept] == [1, 1, None]
