"""Agents wait for their turn under rate limits, without holding a slot, and never past the deadline."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool

from guardgraph.agents import Agent, RateLimit
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Deadline
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, BadInput, Request, RunEvent
from tests.graphs.teams import plan_of, planner
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")

PER = 0.6


class Times:
    """Notes when it is called."""

    def __init__(self) -> None:
        self.at, self._lock = list[float](), Lock()

    def __call__(self, request: Any) -> str:
        with self._lock:
            self.at.append(time.monotonic())
        return "done"

    def most_in(self, seconds: float) -> int:
        return max(sum(start <= at < start + seconds for at in self.at) for start in self.at)


@pytest.fixture
def name() -> str:
    """Give a name that no other test uses: a limit without a database holds for the process."""
    return f"agent{uuid4().hex[:8]}"


def five(worker: Agent, *others: Agent, concurrency: int | None = None, guards: Any = None) -> Any:
    plans = planner(plan_of("a", "b", "c", "d", "e", skill="limited"), name=f"planner{worker.name}")
    return supervisor(
        planner=plans, workers=[worker, *others], concurrency=concurrency, guards=guards, name=f"team{worker.name}"
    ).compile()


def run(graph: Any, *, is_async: bool) -> Any:
    given = {"task": "work"}
    return (asyncio.run(graph.ainvoke(given)) if is_async else graph.invoke(given))["outcome"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_is_limited_by_its_attempts(name: str, is_async: bool) -> None:
    times = Times()
    worker = Agent(name, run=times, skills={"limited"}, rate_limit=RateLimit(calls=2, per=PER))

    began = time.monotonic()
    outcome = run(five(worker), is_async=is_async)

    assert outcome.status == "completed"
    assert len(times.at) == 5
    assert times.most_in(PER * 0.9) == 2
    assert 2 * PER * 0.95 <= time.monotonic() - began < 2 * PER + 3


@pytest.mark.parametrize("is_async", [False, True])
def test_a_model_agent_is_limited_by_its_calls(name: str, is_async: bool) -> None:
    """Each of three attempts makes two calls: one that calls a tool, and one that answers."""
    times = Times()

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    def reply(messages: Any) -> Any:
        times(messages)
        return (
            "done"
            if messages[-1].type == "tool"
            else AIMessage("", tool_calls=[tool_call(name="look", args={}, id="1")])
        )

    model = ScriptedModel(replies=reply)
    worker = Agent(name, model=model, tools=[look], skills={"limited"}, rate_limit=RateLimit(calls=3, per=PER))
    plans = planner(plan_of("a", "b", "c", skill="limited"), name=f"planner{name}")
    graph = supervisor(planner=plans, workers=[worker], name=f"team{name}").compile()

    assert run(graph, is_async=is_async).status == "completed"
    assert len(times.at) == 6
    assert times.most_in(PER * 0.9) == 3


def test_who_waits_holds_no_slot(name: str) -> None:
    limited, free = Times(), Times()
    workers = [
        Agent(name, run=limited, skills={"limited"}, rate_limit=RateLimit(calls=1, per=4 * PER)),
        Agent(f"free{name}", run=free, skills={"free"}),
    ]
    plan = plan_of("a", "b", skill="limited", priority=9)
    plan = plan.model_copy(update={"subtasks": (*plan.subtasks, *plan_of("c", "d", skill="free").subtasks)})
    graph = supervisor(
        planner=planner(plan, name=f"planner{name}"), workers=workers, concurrency=1, name=f"team{name}"
    ).compile()

    assert run(graph, is_async=False).status == "completed"
    assert max(free.at) < limited.at[1], "the others work while the second one waits for its turn"


@pytest.mark.parametrize("is_async", [False, True])
def test_no_attempt_waits_past_the_deadline(name: str, is_async: bool) -> None:
    times = Times()
    worker = Agent(name, run=times, skills={"limited"}, rate_limit=RateLimit(calls=2, per=60))

    began = time.monotonic()
    outcome = run(five(worker, guards=[Deadline(20)]), is_async=is_async)

    assert time.monotonic() - began < 10, "it is late at once"
    assert len(times.at) == 2
    assert outcome.status == "degraded"
    assert {gap.subtask for gap in outcome.gaps} == {"c", "d", "e"}
    assert "(2 calls per 60 s) grants its next turn in " in outcome.gaps[0].reason


def test_waiting_is_an_event_and_does_not_block_the_event_loop(name: str, sqlite_url: str) -> None:
    events, ticks = list[RunEvent](), list[float]()
    worker = Agent(name, run=Times(), skills={"limited"}, rate_limit=RateLimit(calls=3, per=PER))
    plans = planner(plan_of("a", "b", "c", "d", skill="limited"), name=f"planner{name}")

    async def work() -> None:
        async def tick() -> None:
            while True:
                ticks.append(time.monotonic())
                await asyncio.sleep(0.02)

        ticking = asyncio.create_task(tick())
        with Runner(sqlite_url, on_event=events.append) as runner:
            await runner.arun(supervisor(planner=plans, workers=[worker], name=f"team{name}"), "work")
        ticking.cancel()

    asyncio.run(work())
    waiting = [event for event in events if event.kind == "agent_waiting"]
    assert [event.path[-1] for event in waiting] == [name]
    assert waiting[0].data["reason"] == f"rate limit of agent team{name}/{name}"
    assert 0 < float(str(waiting[0].data["seconds"])) <= PER
    assert max(after - before for before, after in pairwise(ticks)) < 3 * PER / 4


def test_a_runner_limits_providers_and_models_of_all_agents(name: str, sqlite_url: str) -> None:
    times = Times()
    agents = [Agent(f"{kind}{name}", model=ScriptedModel(replies=times)) for kind in "ab"]
    own = Agent(f"c{name}", run=lambda request: ScriptedModel(replies=times).invoke("x").text)
    limits = {"offline": RateLimit(calls=2, per=PER), "openai": RateLimit(calls=1, per=60)}

    with Runner(sqlite_url, rate_limits=limits) as runner:
        assert runner.run(pipeline([*agents, own]), "work").status == "completed"
        assert runner.run(pipeline(agents), "work").status == "completed"

    assert len(times.at) == 5
    assert times.most_in(PER * 0.9) == 2


def test_a_run_that_is_drained_does_not_wait_for_its_turn(name: str, sqlite_url: str) -> None:
    worker = Agent(name, run=Times(), rate_limit=RateLimit(calls=1, per=30))
    graph = pipeline([Agent(f"first{name}", run=lambda _: "done"), worker])
    with Runner(sqlite_url, graphs={"g": graph}) as runner:
        assert runner.run("g", "work").status == "completed"
        seen = list[str]()
        with Runner(
            sqlite_url, graphs={"g": graph}, on_event=lambda event: seen.append(event.kind) or _drain(seen, second)
        ) as second:
            began = time.monotonic()
            run = second.run("g", "work")
    assert run.status == "stopped"
    assert time.monotonic() - began < 10


def _drain(seen: list[str], runner: Runner) -> None:
    if seen[-1] == "agent_waiting":
        runner.drain()


PROCESS = """
import sys, time
from guardgraph.agents import Agent, RateLimit
from guardgraph.graphs import pipeline
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner

def reply(messages):
    with open(sys.argv[2], "a") as log:
        log.write(f"{time.time()}\\n")
    return "done"

team = pipeline([Agent(name, model=ScriptedModel(replies=reply)) for name in "abc"])
with Runner(sys.argv[1], rate_limits={"offline": RateLimit(calls=2, per=1.0)}) as runner:
    assert runner.run(team, "work").status == "completed"
"""


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def shared_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


@pytest.mark.timeout(120)
def test_processes_share_a_limit_through_their_database(shared_url: str, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    with Runner(shared_url) as runner:  # the tables are made before, or one process would wait for the other
        runner.list_runs()
    command = [sys.executable, "-c", PROCESS, shared_url, str(log)]
    for process in [subprocess.Popen(command) for _ in range(2)]:
        assert process.wait(100) == 0

    at = sorted(map(float, log.read_text().split()))
    assert len(at) == 6
    assert max(sum(start <= one < start + 0.9 for one in at) for start in at) == 2


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ([RateLimit(calls=1)], "`rate_limits` maps providers and models"),
        ({"": RateLimit(calls=1)}, "a name is that of a provider"),
        ({"openai:": RateLimit(calls=1)}, "a name is that of a provider"),
        ({7: RateLimit(calls=1)}, "a name is that of a provider"),
        ({"openai": 60}, "what 'openai' has is no `RateLimit`"),
        ({"gpt-4o-mini": RateLimit(calls=1)}, "a model is named with its provider, as 'openai:gpt-4o-mini'"),
    ],
)
def test_limits_that_are_none_are_refused(limits: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=reason):
        Runner(f"sqlite:///{tmp_path / 'runs.db'}", rate_limits=limits)


def test_the_limit_of_an_agent_fits_its_kind() -> None:
    def work(request: Request) -> str:
        return "done"

    with pytest.raises(BadGraph, match="`rate_limit` must be RateLimit"):
        Agent("a", run=work, rate_limit=60)  # type: ignore[arg-type]
    with pytest.raises(BadGraph, match="`rate_limit` limits `tokens`, but only"):
        Agent("a", run=work, rate_limit=RateLimit(tokens=60))
    assert Agent("a", model="offline:extractive", rate_limit=RateLimit(tokens=60)).calls_models
