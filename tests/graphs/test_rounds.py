"""What becomes of the plans of several rounds: ids that come again, gaps that a later round closes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Convergence, Guard
from guardgraph.state import Plan, Request, Subtask
from guardgraph.storage import SQLSaver
from tests.graphs.teams import WAYS, listed, plan_of, team, worker

GOALS = {"price": "Find the price", "size": "Find the size", "vendor": "Find the vendor"}


def wants(*subtasks: tuple[str, str]) -> Plan:
    return Plan(subtasks=tuple(Subtask(id=id_, goal=GOALS[what]) for id_, what in subtasks))


def finder(*, fails: Sequence[tuple[int, str]]) -> Agent:
    """Return a worker that finds everything but what `fails` names by round."""

    def find(request: Request) -> str:
        for round_, what in fails:
            if (request.round, request.goal) == (round_, GOALS[what]):
                raise LookupError(f"no {what}")
        return request.goal.removeprefix("Find ")

    return worker("finder", find)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("id_", ["s1", "s9"])
@pytest.mark.parametrize("guards", [None, []])
def test_a_gap_stays_open_when_a_later_round_gives_its_id_to_other_work(way: str, id_: str, guards: Any) -> None:
    plans = wants(("s1", "price"), ("s2", "size")), wants((id_, "size"))
    graph = team(*plans, workers=[finder(fails=[(1, "price")])], guards=guards).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "degraded"
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("s1", "LookupError: no price")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("id_", ["s1", "s9"])
@pytest.mark.parametrize("guards", [[Convergence(3)], []])
def test_a_gap_is_closed_by_a_later_round_whatever_its_id(way: str, id_: str, guards: list[Guard]) -> None:
    plans = wants(("s1", "price"), ("s2", "size")), wants((id_, "price"))
    graph = team(*plans, workers=[finder(fails=[(1, "price")])], guards=guards).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.gaps) == ("completed", ())
    assert outcome.value == ["the size", "the price"]


def test_the_writer_is_told_each_result_and_gap_by_its_own_goal() -> None:
    seen: list[tuple[str, str, Any]] = []

    def write(request: Request) -> str:
        seen.extend((piece.kind, piece.title, piece.value) for piece in request.context)
        return "written"

    plans = wants(("s1", "price"), ("s2", "size")), wants(("s1", "vendor"))
    staff = [finder(fails=[(1, "price")])]
    WAYS["sync"](team(*plans, workers=staff, synthesizer=Agent("writer", run=write)).compile(), "the task", None)

    assert seen == [
        ("result", "Find the size", "the size"),
        ("result", "Find the vendor", "the vendor"),
        ("gap", "Find the price", "LookupError: no price"),
    ]


def test_without_a_guard_of_rounds_the_same_plan_is_worked_on_again() -> None:
    graph = team(plan_of("a"), plan_of("a"), guards=[]).compile()

    assert WAYS["sync"](graph, "the task", None).value == ["done: do a"] * 2


@pytest.mark.parametrize("way", WAYS)
def test_the_longest_id_may_come_again_and_is_read_back_from_the_database(way: str, tmp_path: Path) -> None:
    longest = "s" * 100
    plans = [Plan(subtasks=(Subtask(id=longest, goal=f"goal {number}"),)) for number in range(3)]
    config: Any = {"configurable": {"thread_id": "t"}}

    with SQLSaver.from_url(f"sqlite:///{tmp_path / 'runs.db'}") as saver:
        graph = team(*plans, guards=[Convergence(5)]).compile(checkpointer=saver)
        outcome = WAYS[way](graph, "the task", config)
        kept = graph.get_state(config).values["subtasks"]

    assert outcome.value == ["done: goal 0", "done: goal 1", "done: goal 2"]
    assert [len(subtask.id) for subtask in kept] == [100, 100, 100]
    assert len({subtask.id for subtask in kept}) == 3


def test_what_depends_on_a_subtask_of_its_own_round_follows_its_new_id() -> None:
    second = Plan(subtasks=(Subtask(id="b", goal="do b2", depends_on=("a",)), Subtask(id="a", goal="do a2")))
    seen: dict[str, list[Any]] = {}

    def notes(request: Request) -> str:
        seen[request.goal] = [piece.value for piece in request.results]
        return request.goal

    WAYS["sync"](team(plan_of("a", "a~2"), second, workers=[worker(run=notes)]).compile(), "the task", None)

    assert seen == {"do a": [], "do a~2": [], "do a2": [], "do b2": ["do a2"]}


def test_a_gap_within_a_nested_team_settles_nothing_of_the_team_above() -> None:
    def fails(request: Request) -> str:
        raise LookupError("no")

    staff = [worker("fails", fails, skills={"b"}), worker("works", skills={"a"})]
    both = Plan(subtasks=(Subtask(id="a", goal="do a", skill="a"), Subtask(id="b", goal="do b", skill="b")))
    low = team(both, workers=staff, guards=[], name="low").compile()
    plan = Plan(
        subtasks=(
            Subtask(id="x", goal="do x", skill="low"),
            Subtask(id="b", goal="our own b", skill="worker", depends_on=("x",)),
        )
    )
    outcome = WAYS["sync"](team(plan, workers=[Agent("low", run=low), worker()]).compile(), "the task", None)

    assert outcome.value == [["done: do a"], "done: our own b"]
    assert [(gap.path, gap.subtask) for gap in outcome.gaps] == [(("low:x",), "b")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("brings", "rounds"), [("AA", 2), ("ABAB", 4), ("ABCABC", 6), ("ABACBC", 6)])
def test_rounds_that_bring_the_same_again_are_the_last(way: str, brings: str, rounds: int) -> None:
    plans = [plan_of(f"part {number}") for number in range(7)]
    graph = team(
        *plans[: len(brings) + 1],
        workers=[worker(run=lambda request: (brings + "Z")[request.round - 1])],
        guards=[Convergence(20)],
    )
    outcome = WAYS[way](graph.compile(), "T", None)

    is_stopped = brings != "ABACBC"
    assert len(listed(outcome)) == (rounds if is_stopped else rounds + 1)
    assert outcome.stopped_by == ("Convergence" if is_stopped else None)
