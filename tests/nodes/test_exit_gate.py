from __future__ import annotations

from typing import Any

import pytest
from langgraph.types import Send

from guardgraph.agents import Agent
from guardgraph.guards import Escalate, Finish, GuardContext, OnTrip, Refuse, Retry, guard
from guardgraph.nodes.exit_gate import exit_gate
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import BadInput, EarlyStop, Outcome, Request, Result, RunEvent, Task
from tests.nodes.gates import NOW, position, spec_of

TASK = Task(goal="compare")
AUTHOR = Agent("author", run=str)
DRAFT = Result(id="d", agent="author", value="draft")
FOUND = Result(id="1", agent="w", value="found")


def judges(on_trip: OnTrip, *, at: Any = "exit", passes: Any = "nothing") -> Any:
    @guard(at=at, on_trip=on_trip)
    def strict(context: GuardContext) -> str | None:
        return None if getattr(context.subject, "value", None) == passes else "too short"

    return strict


def left(
    state: dict[str, Any], *guards: Any, workers: Any = (), on_event: Any = None, **facts: Any
) -> tuple[Any, dict[str, Any]]:
    """Return the destination and the update of the exit of a team in this state."""
    known_team: dict[str, Any] = {"drafters": frozenset(["author"]), "workers": frozenset(workers), **facts}
    spec = spec_of(AUTHOR, guards=guards, author=AUTHOR, **known_team)
    services = Services(clock=lambda: NOW, on_event=on_event)
    known = {"position": position(), "admitted": TASK, "requests": {"d": Request(task=TASK)}, **state}
    command = exit_gate(spec)(known, {"configurable": {KEY: ExecutionContext(services)}})
    return command.goto, command.update


def outcome_of(state: dict[str, Any], *guards: Any, **facts: Any) -> Outcome:
    goto, update = left(state, *guards, **facts)
    assert goto == "__end__"
    return update["outcome"]


@pytest.mark.parametrize(
    ("on_trip", "status"), [(Finish(), "failed"), (Escalate(), "escalated"), (Refuse(), "refused")]
)
def test_a_draft_that_a_guard_refuses_is_no_value(on_trip: OnTrip, status: str) -> None:
    outcome = outcome_of({"draft": DRAFT}, judges(on_trip))

    assert (outcome.status, outcome.value, outcome.stopped_by) == (status, None, "strict")


def test_a_draft_that_the_guards_let_pass_is_the_value_and_is_judged_once() -> None:
    judge = judges(Finish(), passes="draft")
    _, update = left({"draft": DRAFT}, judge)

    assert (update["outcome"].value, update["passed"]) == ("draft", ["d"])
    assert outcome_of({"draft": DRAFT, "passed": ["d"]}, judges(Finish())).value == "draft"


def test_a_draft_that_a_guard_gives_back_is_written_again_with_the_reason() -> None:
    goto, update = left({"draft": DRAFT}, judges(Retry(1)))

    (send,) = goto
    assert isinstance(send, Send)
    assert (send.node, send.arg["request"].feedback, update["draft"]) == ("author", "too short", None)
    assert "outcome" not in update


@pytest.mark.parametrize(
    ("state", "guards", "facts", "stopped_by"),
    [
        ({"remaining_steps": 2}, [], {}, "recursion_limit"),
        ({"visits": {"guard_exit": 100}}, [], {}, "Limits"),
        ({"ending": EarlyStop(status="cancelled")}, [], {}, "strict"),
        ({}, [], {"drafters": frozenset[str]()}, "strict"),
        ({"requests": {}}, [], {}, "strict"),
        ({}, [judges(Escalate(), at="dispatch")], {"workers": ["author"]}, "strict"),
    ],
    ids=["steps", "visits", "cancelled", "no drafter", "no request", "dispatch"],
)
def test_a_draft_is_not_written_again(
    state: dict[str, Any], guards: list[Any], facts: dict[str, Any], stopped_by: str
) -> None:
    outcome = outcome_of({"draft": DRAFT, **state}, judges(Retry(1)), *guards, **facts)

    assert outcome.value is None
    assert stopped_by in (outcome.stopped_by, *(gap.guard for gap in outcome.gaps))


@pytest.mark.parametrize("draft", [None, DRAFT])
def test_where_no_draft_is_left_the_accepted_results_are_judged(draft: Result | None) -> None:
    state = {"draft": draft, "results": [FOUND], "accepted": ["1"]}

    assert outcome_of(state, judges(Refuse())).status == "refused"
    assert outcome_of(state).value == ("draft" if draft else [{"subtask": None, "agent": "w", "value": "found"}])


def test_a_result_that_no_gate_has_reviewed_is_a_gap() -> None:
    outcome = outcome_of({"draft": DRAFT, "results": [FOUND]})

    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("w", "no gate has reviewed it")]


@pytest.mark.parametrize(("ending", "gaps"), [(EarlyStop(status="degraded", reason="late"), ["second"]), (None, [])])
def test_an_expected_agent_that_has_not_worked_is_a_gap_of_a_run_that_was_stopped(
    ending: EarlyStop | None, gaps: list[str]
) -> None:
    first = Agent("first", run=str, fallback=Agent("w", run=str))
    state = {"results": [FOUND], "accepted": ["1"], "ending": ending}

    outcome = outcome_of(state, required=(first, Agent("second", run=str)))

    assert [gap.subtask for gap in outcome.gaps] == gaps


def test_who_cancels_a_run_has_the_last_word() -> None:
    state = {"draft": DRAFT, "ending": EarlyStop(status="cancelled", reason="enough")}

    assert outcome_of(state, judges(Refuse())).status == "cancelled"


def test_the_end_of_a_run_is_an_event_and_a_message() -> None:
    events: list[RunEvent] = []

    _, update = left({"draft": DRAFT, "context": ["old"]}, on_event=events.append)

    assert [(event.kind, event.data) for event in events] == [("run_finished", {"status": "completed", "gaps": 0})]
    assert ([message.text for message in update["messages"]], update["context"]) == (["draft"], [])


def test_an_input_that_was_not_admitted_is_raised() -> None:
    with pytest.raises(BadInput, match="no task"):
        left({"unfit": "no task"})
