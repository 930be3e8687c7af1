from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.types import Overwrite

from guardgraph.graphs import GateContext
from guardgraph.guards import Budget, Deadline, Depth, Escalate, Finish, Guard, GuardContext, OnTrip, Refuse, guard
from guardgraph.nodes.admission import admission, task_of
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Allowance,
    BadInput,
    ContextItem,
    Delegation,
    DelegationScope,
    EarlyStop,
    Gate,
    RunEvent,
    Task,
    Verdict,
)
from tests.nodes.gates import spec_of

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
PIECE = ContextItem(kind="background", title="house rules", value="be brief")
LISTS = {
    "results",
    "accepted",
    "refused",
    "gaps",
    "verdicts",
    "plans",
    "reviews",
    "subtasks",
    "passed",
    "trusted_subtasks",
}


def admit(
    asked: Any = "compare",
    guards: Sequence[Guard] = (),
    *,
    here: ExecutionContext | None = None,
    begin: Any = lambda gate: "planner",
    **state: Any,
) -> Any:
    """Return what the way in of a team says to a task."""
    node = admission(spec_of(guards=guards), entry=begin, destinations=["planner"])
    said = node(
        {"task": asked, **state}, {"configurable": {KEY: here or ExecutionContext(Services(clock=lambda: NOW))}}
    )
    if said.update.get("unfit"):
        assert (said.goto, said.update["admitted"], said.update["context"]) == ("guard_exit", None, [])
        raise BadInput(said.update["unfit"])
    return said


def position_of(*guards: Guard, above: DelegationScope | None = None) -> DelegationScope:
    return admit(guards=guards, here=ExecutionContext(Services(clock=lambda: NOW), position=above)).update["position"]


def above(**allowance: Any) -> DelegationScope:
    return DelegationScope(
        run_id="r",
        account="r/work/worker:s#1",
        spending_account="r/work/worker:s#1",
        path=("top", "worker"),
        depth=1,
        allowance=Allowance(**allowance),
        started=NOW,
    )


@pytest.mark.parametrize(
    "asked", ["compare", {"goal": "compare"}, Task(goal="compare"), {"goal": "compare", "stakes": "normal"}]
)
def test_a_task_is_a_text_its_fields_or_a_task(asked: Any) -> None:
    task = task_of(asked)

    assert (task.goal, task.stakes) == ("compare", "normal")
    assert task.id


def test_a_task_stays_as_it_is() -> None:
    task = Task(goal="compare", id="mine")

    assert task_of(task) is task
    assert task_of(task.model_dump(mode="json")) == task


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (None, r'no task: pass \{"task"'),
        ("", "goal: String should have at least 1 character"),
        ("  ", "the goal is empty; say what is to be done"),
        (7, "a text, a Task or a mapping of its fields, got int"),
        (["compare"], "got list"),
        ({}, "goal: Field required; its fields are goal, id, inputs"),
        ({"goal": "g", "stake": "high"}, "stake: Extra inputs are not permitted; its fields are .*stakes"),
        (
            {"goal": "g", "stakes": "huge", "categories": ["fun"]},
            "stakes: Input should be .*; categories.0: Input should",
        ),
        ({"goal": "g", "inputs": {"a": object()}}, "inputs.a"),
        ({1: 2}, "goal: Field required"),
    ],
)
def test_what_does_not_fit_is_named_field_by_field(asked: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        task_of(asked)
    with pytest.raises(BadInput, match=message):
        admit(asked)


@pytest.mark.parametrize("given", [None, [], [PIECE], [PIECE.model_dump(mode="json")], (PIECE, PIECE)])
def test_background_is_pieces_or_their_fields(given: Any) -> None:
    assert admit(background=given).update["context"] == [PIECE] * len(given or [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("be brief", "background: Input should be a valid list; the fields of an item are kind, title"),
        ([{"kind": "rumour", "title": "t"}], "0.kind: Input should be 'result'"),
        ([PIECE, {"kind": "gap"}], "1.title: Field required"),
        ([{"kind": "gap", "title": "t", "vale": 1}], "0.vale: Extra inputs are not permitted"),
    ],
)
def test_background_that_does_not_fit_is_bad_input(given: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        admit(background=given)


def test_an_admitted_task_goes_where_the_team_begins() -> None:
    seen: list[GateContext] = []

    def begin(gate: GateContext) -> str:
        seen.append(gate)
        return "planner"

    said = admit({"goal": "compare"}, begin=begin, background=[PIECE])
    (gate,) = seen

    assert said.goto == ["planner"]
    assert (gate.task.goal, gate.round, gate.context()) == ("compare", 1, (PIECE,))
    assert gate.position == said.update["position"]


def test_all_that_belongs_to_the_run_before_is_reset() -> None:
    update = admit(results=["old"], outcome="old", round=7).update

    assert {name for name, value in update.items() if isinstance(value, Overwrite) and value.value == []} == LISTS
    assert all(update[name] is None for name in ("plan", "draft", "ending", "outcome"))
    assert update["round"] == 1


def test_the_first_team_stands_at_the_top_of_a_run_of_its_own() -> None:
    one, other = position_of(), position_of()

    assert one == DelegationScope(
        run_id=one.run_id,
        account=one.run_id,
        spending_account=one.run_id,
        path=("team",),
        chain=one.chain,
        trusted=True,
        started=NOW,
    )
    assert [Delegation.of(link).agent for link in one.chain] == ["team"]
    assert one.run_id != other.run_id
    named = admit(here=ExecutionContext(Services(clock=lambda: NOW), run_id="mine")).update["position"]
    assert (named.run_id, named.account) == ("mine", "mine")


def test_without_anything_at_hand_a_team_keeps_its_own_time() -> None:
    node = admission(spec_of(guards=[Depth(2)]), entry=lambda gate: "planner", destinations=["planner"])

    assert node({"task": "compare"}, {}).update["position"].started.utcoffset() == timedelta(0)


def test_a_nested_team_stands_below_the_agent_that_called_it() -> None:
    nested = position_of(above=above(tokens=50, depth=4))

    assert nested.account.startswith("r/work/worker:s#1/team-")
    assert (nested.run_id, nested.path, nested.depth, nested.spending_account) == (
        "r",
        ("top", "worker"),
        1,
        nested.account,
    )
    assert nested.allowance == Allowance(tokens=50, depth=4)
    assert position_of(above=above()).account != nested.account, "the same agent may call it twice"


def test_guards_narrow_the_allowance_and_never_widen_it() -> None:
    guards: list[Guard] = [Depth(9), Depth(3), Budget(tokens=200, calls=5, reserve=0), Deadline(60)]

    allowance = position_of(*guards, above=above(tokens=50)).allowance

    assert allowance == Allowance(tokens=50, calls=5, depth=3, deadline=NOW + timedelta(seconds=60))
    assert allowance.within(above(tokens=50).allowance)


@pytest.mark.parametrize(
    ("own", "inherited", "reserve"),
    [(100, None, 0.2), (100, 200, 0.2), (100, 100, 0), (100, 50, 0)],
)
def test_the_reserve_is_kept_where_the_budget_is_made_narrower(own: int, inherited: int | None, reserve: float) -> None:
    position = position_of(Budget(tokens=own, reserve=0.2), above=above(tokens=inherited))

    assert position.reserve == reserve
    assert position.spending_account == (f"{position.account}/work" if reserve else position.account)


def test_the_name_of_a_team_cannot_break_its_account() -> None:
    node = admission(spec_of(name="a/b c"), entry=lambda gate: "planner", destinations=["planner"])

    position = node({"task": "t"}, {"configurable": {KEY: ExecutionContext(Services(), position=above())}}).update[
        "position"
    ]

    assert "/a%2Fb%20c-" in position.account


@pytest.mark.parametrize(
    ("on_trip", "status"), [(Finish(), "failed"), (Escalate(), "escalated"), (Refuse(), "refused")]
)
def test_a_task_that_a_guard_stops_goes_to_the_end_with_the_reason(on_trip: OnTrip, status: Any) -> None:
    @guard(at="admission", on_trip=on_trip)
    def no_rivals(view: GuardContext) -> str | None:
        return "names a rival" if "ACME" in view.subject.goal else None

    events: list[RunEvent] = []
    said = admit("praise ACME", [no_rivals], here=ExecutionContext(Services(on_event=events.append)))

    assert said.goto == "guard_exit"
    assert said.update["ending"] == EarlyStop(status=status, stopped_by="no_rivals", reason="names a rival")
    assert [verdict.action for verdict in said.update["verdicts"].value] == ["trip"]
    assert [event.kind for event in events] == ["verdict"]
    assert admit("compare", [no_rivals]).goto == ["planner"]


def test_only_guards_of_the_admission_are_asked() -> None:
    @guard(at="handoff")
    def elsewhere(view: GuardContext) -> str:
        return "not here"

    assert admit(guards=[elsewhere]).update["verdicts"].value == []


@pytest.mark.parametrize(("limit", "goes"), [(0, "guard_exit"), (1, ["planner"])])
def test_a_nested_team_that_stands_too_deep_is_stopped(limit: int, goes: Any) -> None:
    assert admit(guards=[Depth(9)], here=ExecutionContext(Services(), position=above(depth=limit))).goto == goes


@dataclass(frozen=True)
class Narrowing:
    """Lets everything pass, and answers `says` where it is asked to narrow."""

    says: Any
    on_trip: OnTrip = field(default=Finish())
    gates = frozenset[Gate]({"dispatch"})

    def narrow(self, view: GuardContext) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def __call__(self, view: GuardContext) -> Verdict:
        return view.verdict(self, trips=False)


@pytest.mark.parametrize(
    ("on_trip", "status"), [(Finish(), "failed"), (Refuse(), "refused"), (Escalate(), "escalated")]
)
@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (KeyError("limit"), "guard 'Narrowing' raised KeyError: 'limit'"),
        (None, "guard 'Narrowing' must return Allowance, got NoneType"),
    ],
)
def test_a_guard_that_cannot_narrow_lets_nobody_in(says: object, reason: str, on_trip: OnTrip, status: str) -> None:
    events: list[RunEvent] = []
    command = admit(
        guards=[Narrowing(says, on_trip)], here=ExecutionContext(Services(clock=lambda: NOW, on_event=events.append))
    )

    assert command.goto == "guard_exit"
    assert command.update["ending"] == EarlyStop(status=status, stopped_by="Narrowing", reason=reason)  # type: ignore[arg-type]
    assert [event.data["guard"] for event in events if event.kind == "verdict"] == ["Narrowing"]


def test_a_guard_that_narrows_keeps_its_limits_beside_one_that_cannot() -> None:
    assert position_of(Narrowing(None), Narrowing(Allowance(calls=3))).allowance.calls == 3
