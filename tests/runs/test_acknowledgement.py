"""Which rows a part of a stream waits for, by sequences of parts as LangGraph yields them."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.types import Interrupt

from guardgraph.runs.acknowledgement import HeldParts

_ALL = ("values", "updates", "tasks", "checkpoints", "debug", "messages", "custom")


def part(kind: str, data: Any, namespace: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {"type": kind, "ns": namespace, "data": data, **more}


def checkpoint(name: str, namespace: tuple[str, ...] = ()) -> dict[str, Any]:
    return part("checkpoints", {"config": {"configurable": {"checkpoint_id": name}}}, namespace)


def begins(task: str, namespace: tuple[str, ...] = (), node: str = "node") -> dict[str, Any]:
    return part("tasks", {"id": task, "name": node}, namespace)


def ends(
    task: str, namespace: tuple[str, ...] = (), *, node: str = "node", error: Any = None, asked: str = ""
) -> dict[str, Any]:
    interrupts = [{"id": asked, "value": ""}] if asked else []
    data = {"id": task, "name": node, "result": {}, "error": error, "interrupts": interrupts}
    return part("tasks", data, namespace)


def update(value: str, namespace: tuple[str, ...] = (), *, cached: bool = False) -> dict[str, Any]:
    return part("updates", {"node": value, **({"__metadata__": {"cached": True}} if cached else {})}, namespace)


def held(*parts: dict[str, Any], modes: tuple[str, ...] = _ALL, provisional: bool = True) -> HeldParts:
    waiting = HeldParts(modes, provisional)
    for one in parts:
        waiting.add(one)
    return waiting


def taken(waiting: HeldParts, *committed: str) -> list[dict[str, Any]]:
    return list(waiting.take({*committed}))


def test_a_result_and_its_update_wait_for_the_writes_of_the_task_and_for_the_checkpoint_below_them() -> None:
    result = [update("u"), ends("t1")]
    waiting = held(checkpoint("c1"), begins("t1"), *result)

    assert waiting.newly_announced({"c1"}) == {"t1"}
    assert waiting.newly_announced({"c1"}) == frozenset()
    assert taken(waiting, "t1") == []
    assert taken(waiting, "c1") == [checkpoint("c1"), begins("t1")]
    assert taken(waiting, "c1", "t1") == result
    assert waiting.missing({"c1", "t1"}) == frozenset()


def test_updates_of_one_node_go_when_as_many_of_its_tasks_are_committed() -> None:
    """Two threads may tell their updates first, and then their results in another order."""
    start = [checkpoint("c1"), begins("t1"), begins("t2")]
    told = [update("of t1"), update("of t2"), ends("t2"), ends("t1")]
    waiting = held(*start, *told[:3])

    assert taken(waiting, "c1", "t2") == start
    waiting.add(told[3])
    assert taken(waiting, "c1", "t2") == []
    assert taken(waiting, "c1", "t1", "t2") == told


def test_the_result_of_a_failed_task_is_not_counted_as_one_of_an_update() -> None:
    waiting = held(checkpoint("c1"), begins("t1"), begins("t2"), update("of t1"), ends("t2", error=ValueError()))

    assert len(taken(waiting, "c1", "t1", "t2")) == 3
    waiting.add(ends("t1"))
    assert len(taken(waiting, "c1", "t2", "t1")) == 3


def test_a_state_waits_for_the_next_checkpoint_of_its_graph() -> None:
    state = part("values", {"x": 1}, interrupts=())
    waiting = held(checkpoint("c1"), state)

    assert taken(waiting, "c1") == [checkpoint("c1")]
    waiting.add(checkpoint("c2"))
    assert taken(waiting, "c1") == []
    assert taken(waiting, "c1", "c2") == [state, checkpoint("c2")]


def test_interrupts_wait_for_the_task_that_asks() -> None:
    asked = (Interrupt("how", id="i"),)
    told = [part("updates", {"__interrupt__": asked}), part("values", {}, interrupts=asked), ends("t1", asked="i")]
    waiting = held(checkpoint("c1"), begins("t1"), *told)
    taken(waiting, "c1")

    assert taken(waiting, "c1") == []
    assert taken(waiting, "c1", "t1") == told
    waiting.add(part("updates", {"__interrupt__": ()}))  # of `interrupt_before`: nothing is stored
    assert len(taken(waiting, "c1", "t1")) == 1


def test_updates_from_a_cache_wait_for_their_tasks_or_for_the_next_checkpoint_if_these_are_not_known() -> None:
    one = held(checkpoint("c1"), begins("t1"), update("kept", cached=True))
    assert one.newly_announced({"c1"}) == {"t1"}
    assert len(taken(one, "c1")) == 2
    assert taken(one, "c1", "t1") == [update("kept", cached=True)]

    some = held(checkpoint("c1"), begins("t1"), begins("t2"), update("kept", cached=True))
    assert len(taken(some, "c1", "t1", "t2")) == 3
    some.add(checkpoint("c2"))
    assert len(taken(some, "c1", "c2")) == 2


def test_a_graph_within_waits_for_its_own_rows_and_for_the_checkpoints_above() -> None:
    inner = ("node:t1",)
    told = [checkpoint("d1", inner), begins("u1", inner), update("u", inner), ends("u1", inner)]
    waiting = held(checkpoint("c1"), begins("t1"), *told)

    assert taken(waiting, "d1", "u1") == []
    assert taken(waiting, "c1", "d1", "u1") == [checkpoint("c1"), begins("t1"), *told]


@pytest.mark.parametrize("inner", [("node:t1",), ("node:t1", "1"), ("node:t1", "low:u0")])
def test_a_graph_that_runs_again_as_a_whole_waits_for_its_task(inner: tuple[str, ...]) -> None:
    """It has no checkpointer, is not the first that the task runs, or is below such a graph."""
    told = [begins("u1", inner), update("u", inner), ends("u1", inner), part("values", {}, inner, interrupts=())]
    waiting = held(checkpoint("c1"), begins("t1"))
    if len(inner) == 2 and ":" in inner[1]:
        waiting.add(begins("u0", inner[:1]))
        told[0:0] = [checkpoint("d1", inner)]
    for one in told:
        waiting.add(one)

    assert waiting.missing({"c1"}) == frozenset()  # waiting for the task now would last as long as its work
    assert len(taken(waiting, "c1", "d1", "u1", "u0")) == 2
    waiting.add(ends("t1"))
    assert [one["data"] for one in taken(waiting, "c1", "t1")][-len(told) - 1 : -1] == [one["data"] for one in told]


@pytest.mark.parametrize("end", [ends("t1", asked="i"), ends("t1", error=ValueError())])
def test_what_such_a_graph_did_in_a_task_that_runs_again_is_provisional(end: dict[str, Any]) -> None:
    inner = begins("u1", ("node:t1",))
    told = taken(held(checkpoint("c1"), begins("t1"), inner, end), "c1", "t1")
    assert told == [checkpoint("c1"), begins("t1"), {**inner, "provisional": True}, end]

    told = taken(held(checkpoint("c1"), begins("t1"), inner, end, provisional=False), "c1", "t1")
    assert told == [checkpoint("c1"), begins("t1"), end]


def test_parts_of_one_graph_keep_their_order_and_do_not_wait_for_another_graph() -> None:
    left, right = ("node:t1",), ("node:t2",)
    waiting = held(checkpoint("c1"), begins("t1"), begins("t2"), begins("u1", left), checkpoint("d2", right))

    assert len(taken(waiting, "c1", "d2")) == 4
    waiting.add(begins("v1", right))
    assert taken(waiting, "c1", "d2") == [begins("v1", right)]


def test_messages_and_events_are_provisional_and_overtake_what_waits() -> None:
    token = part("messages", ("token", {"langgraph_checkpoint_ns": "node:t1"}))
    event = part("custom", {"event": 1})

    waiting = held(checkpoint("c1"), begins("t1"), token, event)
    assert taken(waiting) == [{**token, "provisional": True}, {**event, "provisional": True}]


def test_or_they_wait_for_their_work_and_are_dropped_where_it_is_never_stored() -> None:
    tokens = [part("messages", (task, {"langgraph_checkpoint_ns": f"node:{task}"})) for task in ("t1", "t2")]
    event = part("custom", {"event": 1})
    waiting = held(checkpoint("c1"), begins("t1"), begins("t2"), *tokens, event, ends("t1"), provisional=False)

    assert taken(waiting, "c1") == [checkpoint("c1"), begins("t1"), begins("t2")]
    assert taken(waiting, "c1", "t1") == [tokens[0], ends("t1")]
    waiting.add(ends("t2", asked="i"))
    assert [*taken(waiting, "c1", "t1", "t2"), *waiting.rest({"c1", "t1", "t2"})] == [ends("t2", asked="i")]


def test_parts_of_other_modes_than_those_asked_for_are_not_handed_over() -> None:
    waiting = held(checkpoint("c1"), begins("t1"), update("u"), ends("t1"), modes=("updates",))

    assert taken(waiting, "t1") == []
    assert taken(waiting, "c1", "t1") == [update("u")]


def test_debug_repeats_what_other_modes_tell() -> None:
    result = part("debug", {"type": "task_result", "payload": ends("t1")["data"]})
    told = [update("one"), ends("t1"), result, update("two"), ends("t2")]
    waiting = held(checkpoint("c1"), begins("t1"), begins("t2"), *told)

    assert taken(waiting, "c1", "t1")[-3:] == told[:3]
    assert taken(waiting, "c1", "t1", "t2") == told[3:]


def test_what_is_left_at_the_end_is_handed_over() -> None:
    state = part("values", {"x": 1}, interrupts=())
    waiting = held(checkpoint("c1"), state)

    assert taken(waiting, "c1") == [checkpoint("c1")]
    assert list(waiting.rest({"c1"})) == [state]
