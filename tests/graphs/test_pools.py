from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Deadline
from guardgraph.state import BadGraph, Plan, Request, Subtask
from tests.graphs.teams import WAYS, echo, listed, plan_of, planner, team, worker


class Meter:
    """Counts how many work at a time, by name."""

    def __init__(self) -> None:
        self.now, self.most, self.total = Counter[str](), Counter[str](), Counter[str]()
        self._lock = Lock()

    @contextmanager
    def counted(self, *names: str) -> Generator[None]:
        with self._lock:
            for name in names:
                self.now[name] += 1
                self.total[name] += 1
                self.most[name] = max(self.most[name], self.now[name])
        try:
            yield
        finally:
            with self._lock:
                self.now.subtract(names)

    def sync(self, *names: str) -> Any:
        def run(request: Request) -> str:
            with self.counted(*names):
                time.sleep(0.02)
            return "done"

        return run

    def coroutine(self, *names: str) -> Any:
        async def run(request: Request) -> str:
            with self.counted(*names):
                await asyncio.sleep(0.02)
            return "done"

        return run


def many(count: int, skill: str | None = None) -> Plan:
    return Plan(subtasks=tuple(Subtask(id=f"{skill}{n}", goal=f"work {n}", skill=skill) for n in range(count)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["sync", "coroutine"])
def test_no_more_than_its_copies_work_at_a_time(way: str, kind: str) -> None:
    meter = Meter()
    workers = [
        Agent("few", run=getattr(meter, kind)("few"), copies=2, skills={"s"}),
        Agent("more", run=getattr(meter, kind)("more"), copies=4, skills={"s"}),
    ]
    outcome = WAYS[way](team(many(24, "s"), workers=workers, concurrency=None).compile(), "T", None)

    assert outcome.status == "completed"
    assert meter.most == {"few": 2, "more": 4}
    assert meter.total == {"few": 8, "more": 16}, "by load, in proportion to the copies"


@pytest.mark.parametrize("way", WAYS)
def test_a_cap_holds_for_all_agents_with_a_skill(way: str) -> None:
    meter = Meter()
    workers = [
        Agent("a", run=meter.sync("search", "a"), skills={"search"}),
        Agent("b", run=meter.sync("search", "b"), skills={"search", "write"}),
        Agent("c", run=meter.sync("write"), skills={"write"}),
    ]
    plan = Plan(subtasks=(*many(8, "search").subtasks, *many(8, "write").subtasks))
    graph = team(plan, workers=workers, concurrency=None, skill_limits={"search": 2, "write": 3}).compile()

    assert WAYS[way](graph, "T", None).status == "completed"
    assert meter.most["search"] == 2
    assert meter.most["write"] <= 3


def test_workers_of_overlapping_skills_share_by_load() -> None:
    meter = Meter()
    both = Agent("both", run=meter.sync("both"), skills={"x", "y"})
    only = Agent("only", run=meter.sync("only"), skills={"x"})
    plan = Plan(subtasks=(*many(4, "y").subtasks, *many(4, "x").subtasks))

    assert team(plan, workers=[both, only]).compile().invoke({"task": "T"})["outcome"].status == "completed"
    assert meter.total == {"both": 4, "only": 4}, "who is busy with what only it can do gets nothing else"


@pytest.mark.parametrize("way", WAYS)
def test_a_pool_of_teams_cannot_deadlock(way: str) -> None:
    meter = Meter()
    leaf = Agent("leaf", run=meter.sync("leaf"), copies=1)
    inner = supervisor(planner=planner(plan_of("x", "y")), workers=[leaf], name="inner").compile()
    pool = [Agent(name, run=inner, copies=1, skills={"team"}) for name in ("one", "two")]
    graph = team(many(6, "team"), workers=pool, concurrency=1, skill_limits={"team": 2})

    outcome = WAYS[way](graph.compile(), "T", None)

    assert (outcome.status, meter.total["leaf"]) == ("completed", 12)
    assert meter.most["leaf"] == 1, "`concurrency` holds over the tree"


def test_who_waits_for_a_copy_until_the_deadline_is_a_gap() -> None:
    def slow(request: Request) -> str:
        time.sleep(0.6)
        return "done"

    graph = team(many(3), workers=[Agent("slow", run=slow, copies=1)], guards=[Deadline(1.0)], concurrency=None)
    outcome = graph.compile().invoke({"task": "T"})["outcome"]

    assert (outcome.status, listed(outcome)) == ("degraded", ["done"])
    assert {gap.guard for gap in outcome.gaps} == {"Deadline"}
    assert len(outcome.gaps) == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: worker(copies=0), "`copies` must be at least 1, got 0"),
        (lambda: worker(copies=True), "`copies` must be int"),
        (lambda: team(skill_limits={"s": 0}, workers=[worker(skills={"s"})]), "at least 1 each, got 0 for 's'"),
        (lambda: team(skill_limits={"x": 2}), "`skill_limits` names 'x', which no agent has as a skill"),
        (lambda: team(skill_limits={"s": "two"}, workers=[worker(skills={"s"})]), "`skill_limits` must be Mapping"),
        (lambda: team(skill_limits=["s"], workers=[worker(skills={"s"})]), "`skill_limits` must be Mapping"),
    ],
)
def test_what_is_declared_wrongly_is_refused(wrong: Any, says: str) -> None:
    with pytest.raises(BadGraph, match=says):
        wrong()


def test_a_worker_added_to_a_team_changes_nothing_else() -> None:
    """The same plan, with the same workers for what they can do, and one more for what only that one can."""
    staff = [worker("a", echo, skills={"a"}), worker("b", echo, skills={"b"})]
    plan = Plan(subtasks=(*plan_of("x", skill="a").subtasks, *plan_of("y", skill="b").subtasks))
    before = team(plan, workers=staff)
    after = team(plan, workers=[*staff, worker("c", echo, skills={"c"})])

    assert {*after.nodes} - {*before.nodes} == {"c"}
    assert before.edges < after.edges
    answers = [graph.compile().invoke({"task": "T"})["outcome"] for graph in (before, after)]
    assert answers[0].value == answers[1].value
