"""Which subtasks of a plan are sent to whom, and how many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langgraph.types import Send

from guardgraph.agents import Agent
from guardgraph.guards import Limits
from guardgraph.nodes.decisions.dispatch import decide_dispatch, pending_subtasks, read_plan_and_dispatch
from guardgraph.state import Gap, Plan, Result, Subtask, Task
from tests.nodes.gates import gate_of, spec_of


def _agent(name: str, *skills: str) -> Agent:
    return Agent(name, run=lambda request: request.goal, skills=set(skills))


READER, WRITER, PLANNER = _agent("reader", "read"), _agent("writer", "write", "read"), _agent("planner")


def _subtasks(*facts: dict[str, Any]) -> Plan:
    return Plan(subtasks=tuple(Subtask(goal=given["id"], **given) for given in facts))


def _ids(subtasks: Sequence[Subtask]) -> list[str]:
    return [subtask.id for subtask in subtasks]


def _dispatched(plan: Plan, *, concurrency: int | None = 4, **state: Any) -> list[str]:
    spec = spec_of(READER, WRITER, concurrency=concurrency, guards=state.pop("guards", ()))
    gate = gate_of(spec, admitted=Task(goal="x"), plan=plan, subtasks=list(plan.subtasks), **state)
    sends: Any = read_plan_and_dispatch(gate, [PLANNER, READER, WRITER])
    return [send.arg["request"].subtask.id for send in sends] if isinstance(sends, list) else []


def test_workers_that_can_do_it_get_subtasks_in_turn_by_priority() -> None:
    plan = _subtasks({"id": "a", "skill": "read"}, {"id": "b", "skill": "read", "priority": 2}, {"id": "c"})

    decision = decide_dispatch({}, [READER, WRITER], plan)

    assert [(agent.name, subtask.id) for agent, subtask in decision.picked] == [
        ("reader", "b"),
        ("writer", "a"),
        ("reader", "c"),
    ]


def test_a_subtask_waits_for_what_it_depends_on_and_is_a_gap_where_that_is_missing() -> None:
    plan = _subtasks({"id": "a"}, {"id": "b", "depends_on": ("a",)}, {"id": "c", "depends_on": ("b",)})
    failed = {"results": [Result(id="1", agent="reader", subtask="a")], "gaps": [Gap(subtask="a", reason="late")]}
    done = {"results": [Result(id="1", agent="reader", subtask="a")], "accepted": ["1"]}

    assert _ids(decide_dispatch({}, [READER], plan).waiting) == ["b", "c"]
    assert [subtask.id for _, subtask in decide_dispatch(done, [READER], plan).picked] == ["b"]
    assert [gap.subtask for gap in decide_dispatch(failed, [READER], plan).gaps] == ["b", "c"]


def test_what_no_worker_can_do_is_a_gap_that_names_the_skills() -> None:
    decision = decide_dispatch({}, [READER, WRITER], _subtasks({"id": "a", "skill": "fly"}))

    assert [(gap.subtask, gap.reason) for gap in decision.gaps] == [
        ("a", "no worker has the skill 'fly'; there are: read, reader, write, writer")
    ]


def test_a_subtask_is_pending_until_it_was_tried_or_given_up() -> None:
    plan = _subtasks({"id": "a"}, {"id": "b"}, {"id": "c"})
    state = {"plan": plan, "results": [Result(id="1", agent="x", subtask="a")], "gaps": [Gap(subtask="b", reason="")]}

    assert _ids(pending_subtasks(state)) == ["c"]
    assert _ids(pending_subtasks({**state, "gaps": [Gap(subtask="b", reason="", path=("team",))]})) == ["b", "c"]


@pytest.mark.parametrize(("concurrency", "sent"), [(4, 512), (40, 640), (None, 700)])
def test_a_large_plan_is_sent_in_waves(concurrency: int | None, sent: int) -> None:
    plan = _subtasks(*({"id": f"s{number}"} for number in range(700)))

    first = _dispatched(plan, concurrency=concurrency)

    assert first == [f"s{number}" for number in range(sent)]
    done = [Result(id=subtask, agent="reader", subtask=subtask) for subtask in first]
    assert _dispatched(plan, concurrency=concurrency, results=done) == [f"s{number}" for number in range(sent, 700)]


def test_a_wave_that_a_guard_stops_as_a_whole_does_not_keep_the_next_one_from_being_sent() -> None:
    class NoOdds(Limits):
        gates = frozenset({"dispatch"})

        def __call__(self, context: Any) -> Any:
            return context.verdict(self, trips=int(context.subject.id[1:]) < 600, reason="too small")

    plan = _subtasks(*({"id": f"s{number}"} for number in range(700)))

    assert _dispatched(plan, guards=[NoOdds()]) == [f"s{number}" for number in range(600, 700)]


def test_sends_name_their_agent() -> None:
    gate = gate_of(spec_of(READER), admitted=Task(goal="x"), plan=(plan := _subtasks({"id": "a"})))
    sends: Any = read_plan_and_dispatch(gate, [PLANNER, READER])

    assert all(isinstance(send, Send) for send in sends)
    assert [(send.node, send.arg["request"].subtask) for send in sends] == [("reader", plan.subtasks[0])]


@pytest.mark.parametrize("concurrency", [4, None])
def test_where_nothing_can_be_sent_the_route_of_the_gate_decides(concurrency: int | None) -> None:
    gate = gate_of(
        spec_of(READER, concurrency=concurrency), admitted=Task(goal="x"), plan=_subtasks({"id": "a", "skill": "fly"})
    )

    assert read_plan_and_dispatch(gate, [PLANNER, READER]) is None
    assert [gap.subtask for gap in gate.gaps] == ["a"]
