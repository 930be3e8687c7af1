"""What a run that ends early tells: all that is missing, and the guard that stopped it."""

from __future__ import annotations

from time import sleep

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.guards import Deadline, Escalate, Guard, GuardContext, Limits, Retry, guard
from guardgraph.state import Plan, Reply, Request, Subtask
from tests.graphs.teams import WAYS, plan_of, team, worker


def fails(request: Request) -> str:
    raise LookupError("no")


@guard(at="handoff", on_trip=Escalate())
def decent(view: GuardContext) -> str | None:
    return "that is indecent" if "b" in str(view.subject.value) else None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_who_was_to_try_again_when_a_human_is_called_is_a_gap(way: str, order: str) -> None:
    subtasks = tuple(Subtask(id=id_, goal=f"do {id_}", skill=id_) for id_ in order)
    later = Subtask(id="c", goal="do c", skill="b", depends_on=("b",))
    staff = [worker("first", fails, attempts=2, skills={"a"}), worker("second", skills={"b"})]
    graph = team(Plan(subtasks=(*subtasks, later)), workers=staff, guards=[decent]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("escalated", "decent")
    assert {gap.subtask: gap.reason for gap in outcome.gaps} == {
        "a": "LookupError: no",
        "b": "that is indecent",
        "c": "not done, since the run was stopped: that is indecent",
    }
    assert {gap.guard for gap in outcome.gaps if gap.subtask in "bc"} == {"decent"}


@guard(at="dispatch", on_trip=Escalate())
def harmless(view: GuardContext) -> str | None:
    return "ask a human first" if view.subject.id == "b" else None


@pytest.mark.parametrize("way", WAYS)
def test_what_was_not_sent_when_a_human_is_called_is_a_gap_and_is_not_counted(way: str) -> None:
    left: list[int | None] = []

    @guard(at="round")
    def notes(view: GuardContext) -> None:
        left.append(view.remaining.subtasks)

    low = team(plan_of("a", "b", "c"), guards=[harmless], name="low").compile()
    top = team(plan_of("x"), plan_of("y"), workers=[Agent("low", run=low)], guards=[Limits(9), notes]).compile()

    outcome = WAYS[way](low, "the task", None)
    WAYS[way](top, "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("escalated", "harmless")
    assert {gap.subtask: gap.reason for gap in outcome.gaps} == {
        "a": "not done, since the run was stopped: ask a human first",
        "b": "ask a human first",
        "c": "not done, since the run was stopped: ask a human first",
    }
    assert left == [9, 8]


@pytest.mark.parametrize("way", WAYS)
def test_a_writer_that_says_that_there_is_nothing_to_tell_has_written(way: str) -> None:
    silent = Agent("writer", run=lambda _: Reply(value=None))
    staff = [worker("good", skills={"a"}), worker("bad", fails, skills={"b"})]
    plan = Plan(subtasks=tuple(Subtask(id=id_, goal=f"do {id_}", skill=id_) for id_ in "ab"))
    low = team(plan, workers=staff, synthesizer=silent, name="low").compile()
    top = team(plan_of("x"), workers=[Agent("low", run=low)]).compile()

    below, above = WAYS[way](low, "the task", None), WAYS[way](top, "the task", None)

    assert (below.status, below.value, [gap.subtask for gap in below.gaps]) == ("degraded", None, ["b"])
    assert (above.status, above.value) == ("degraded", [None])
    assert [(gap.path, gap.subtask) for gap in above.gaps] == [(("low:x",), "b")]


@guard(at="dispatch")
def no_errands(view: GuardContext) -> str | None:
    return "no errands" if view.subject.id == "b" else None


@guard(at="handoff", on_trip=Retry(1))
def no_echoes(view: GuardContext) -> str | None:
    return "only an echo" if view.subject.subtask == "b" else None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("judge", "name"), [(no_errands, "no_errands"), (no_echoes, "no_echoes"), (Limits(subtasks=1), "Limits")]
)
@pytest.mark.parametrize("ids", ["ab", "b"])
def test_the_guard_that_stopped_work_is_named_whoever_wrote_it(way: str, judge: Guard, name: str, ids: str) -> None:
    judged = [judge] if name != "Limits" or len(ids) > 1 else [Limits(subtasks=0)]

    outcome = WAYS[way](team(plan_of(*ids), guards=judged).compile(), "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("degraded" if "a" in ids else "failed", name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "limit", [Deadline(0.3, on_trip=Escalate()), Limits(visits=1, on_trip=Escalate())], ids=["Deadline", "Limits"]
)
def test_a_limit_that_is_reached_between_two_agents_calls_a_human_where_its_guard_declares_it(
    way: str, limit: Guard
) -> None:
    slow = worker("slow", lambda _: sleep(0.4) or "late", attempts=3)
    stages = [Agent("first", run=fails, attempts=3)] if isinstance(limit, Limits) else [slow]
    graph = pipeline([*stages, Agent("last", run=lambda _: "done")], guards=[limit]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("escalated", type(limit).__name__)
