"""Agents that subscribe to events: what is delivered to whom, in which order, and what ends a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from guardgraph.agents import Agent
from guardgraph.graphs import Subscription, pipeline, reactive
from guardgraph.guards import Limits
from guardgraph.state import BadGraph, Event, Reply, Request, deliveries_of, events_of


def emitting(*types: str) -> Callable[[Request], Reply]:
    return lambda request: Reply(value="done", events=tuple(Event(type=name) for name in types))


def planner(count: int) -> Agent:
    items = tuple(Event(type="item", data=number) for number in range(count))
    return Agent("planner", run=lambda request: Reply(value="planned", events=items))


def state_of(graph: Any) -> dict[str, Any]:
    return [*graph.compile().stream({"task": "go"}, {"recursion_limit": 10_000}, stream_mode="values")][-1]


def test_events_of_one_source_are_handled_in_order_and_a_poisoned_one_is_parked() -> None:
    handled: list[Any] = []

    def work(request: Request) -> Reply:
        assert request.event is not None
        if request.event.data == 1:
            raise ValueError("poison")
        handled.append(request.event.data)
        return Reply(value=request.event.data, events=(Event(type="done", data=request.event.data),))

    team = [Subscription(planner(20), ["task"]), Subscription(Agent("worker", run=work, attempts=2), ["item"])]
    state = state_of(reactive(team, emits={"planner": ["item"], "worker": ["done"]}, value=["done"]))

    outcome = state["outcome"]
    assert handled == [0, *range(2, 20)]
    assert (outcome.status, outcome.value) == ("degraded", handled)
    assert [(gap.agent, gap.reason) for gap in outcome.gaps] == [("worker", "ValueError: poison")]
    parked = [one for one in deliveries_of(state) if one.status == "parked"]
    assert [one.error for one in parked] == ["ValueError: poison"]
    assert {result.attempt for result in state["results"] if result.status == "failed"} == {1, 2}


def test_a_chain_of_causes_is_recorded_and_ends_at_its_depth() -> None:
    team = [
        Subscription(Agent("ping", run=emitting("ping")), ["task", "pong"]),
        Subscription(Agent("pong", run=emitting("pong")), ["ping"]),
    ]
    state = state_of(reactive(team, emits={"ping": ["ping"], "pong": ["pong"]}, depth=5))

    events = events_of(state)
    assert [event.depth for event in events] == [0, 1, 2, 3, 4, 5]
    assert [event.caused_by for event in events] == [None, *(event.ref for event in events[:-1])]
    assert [gap.guard for gap in state["outcome"].gaps] == ["depth"]
    assert "event 6 of a chain of causes, 5 are allowed" in state["outcome"].gaps[0].reason


def test_an_agent_does_not_get_its_own_events_and_a_filter_excludes_others() -> None:
    seen: list[Any] = []

    def listen(request: Request) -> str:
        assert request.event is not None
        seen.append(request.event.data)
        return "heard"

    both = Agent("both", run=emitting("item"))
    team = [
        Subscription(both, ["task", "item"]),
        Subscription(Agent("odd", run=listen), ["item", "task"], where=lambda event: event.type == "item"),
        Subscription(planner(0), ["task"]),
    ]
    state = state_of(reactive(team, emits={"both": ["item"], "planner": ["item"]}))

    assert (seen, state["outcome"].status) == ([None], "completed")
    assert [one.subscriber for one in deliveries_of(state) if one.status == "filtered"] == ["odd"]


@pytest.mark.parametrize(
    ("where", "reason"), [(lambda event: 1 / 0, "ZeroDivisionError"), (lambda event: "yes", "must return a bool")]
)
def test_a_predicate_that_fails_parks_the_event(where: Any, reason: str) -> None:
    team = [Subscription(Agent("a", run=str), ["task"]), Subscription(Agent("b", run=str), ["task"], where=where)]
    outcome = state_of(reactive(team))["outcome"]

    assert outcome.status == "degraded"
    assert [gap.agent for gap in outcome.gaps] == ["b"]
    assert reason in outcome.gaps[0].reason


def test_an_event_that_is_not_declared_is_refused_with_the_reason() -> None:
    def work(request: Request) -> Reply:
        return Reply(value="x", events=(Event(type="item" if request.feedback else "odd"),))

    team = [Subscription(Agent("a", run=work, attempts=2), ["task"]), Subscription(Agent("b", run=str), ["item"])]
    assert state_of(reactive(team, emits={"a": ["item"]}))["outcome"].status == "completed"

    team[0] = Subscription(Agent("a", run=work), ["task"])
    outcome = state_of(reactive(team, emits={"a": ["item"]}))["outcome"]
    assert outcome.status == "failed"
    assert "emits 'odd', which is not declared" in outcome.gaps[0].reason


def test_the_number_of_events_and_the_limits_of_guards_end_a_run_with_gaps() -> None:
    worker = Subscription(Agent("worker", run=str), ["item"])
    emits = {"planner": ["item"]}
    outcome = state_of(reactive([Subscription(planner(9), ["task"]), worker], emits=emits, events=4))["outcome"]
    assert (outcome.status, outcome.stopped_by) == ("degraded", "events")
    assert len(outcome.gaps) >= 4

    limited = reactive([Subscription(planner(9), ["task"]), worker], emits=emits, guards=[Limits(subtasks=3)])
    outcome = state_of(limited)["outcome"]
    assert (outcome.status, len(outcome.gaps)) == ("degraded", 7)


def test_a_long_chain_keeps_the_state_small() -> None:
    def work(request: Request) -> Reply:
        assert request.event is not None
        number = request.event.depth
        other = "pong" if request.event.type in ("task", "ping") else "ping"
        return Reply(value=number, events=(Event(type=other),) if number < 450 else ())

    team = [
        Subscription(Agent("a", run=work), ["task", "ping"]),
        Subscription(Agent("b", run=work), ["pong"]),
    ]
    state = state_of(reactive(team, emits={"a": ["pong"], "b": ["ping"]}, depth=1000))

    assert len(events_of(state)) == 451
    assert [one.status for one in deliveries_of(state)] == ["handled"] * 451
    assert len(state["results"]) <= 202
    assert state["outcome"].status == "completed"


def test_a_run_waits_for_until_and_goes_on_with_answers() -> None:
    worker = Agent("worker", run=lambda request: "ok")
    team = reactive(
        [Subscription(worker, ["task", "item"])], accepts=["item", "stop"], until=["stop"], value=["item"]
    ).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    waiting = team.invoke({"task": "go"}, config)["__interrupt__"]
    assert waiting[0].value == {"waits_for": ["stop"], "accepts": ["item", "stop"], "published": 0}
    item = {"type": "item", "data": 1, "source": "shop", "id": "1"}
    team.invoke(Command(resume=item), config)
    again = team.invoke(Command(resume=7), config)["__interrupt__"]
    assert "an answer is an event" in again[0].value["problem"]
    outcome = team.invoke(Command(resume=[item, {"type": "stop"}]), config)["outcome"]
    assert (outcome.status, outcome.value) == ("completed", [1])  # the same event again is not delivered again


def test_a_reactive_team_is_an_agent_of_another_pattern() -> None:
    inner = reactive([Subscription(Agent("a", run=lambda request: "x"), ["task"])]).compile()
    outcome = pipeline([Agent("team", run=inner)]).compile().invoke({"task": "go"})["outcome"]

    assert (outcome.status, outcome.value[0]["value"]) == ("completed", "x")


def agent(name: str = "a") -> Agent:
    return Agent(name, run=str)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: reactive([]), "at least one subscription"),
        (lambda: reactive([Subscription(agent(), ["item"])]), "which no other agent emits"),
        (lambda: reactive([Subscription(agent(), ["item"])], emits={"a": ["item"]}), "which no other agent emits"),
        (lambda: reactive([Subscription(agent(), ["task"])], emits={"b": ["item"]}), "which no subscription names"),
        (lambda: reactive([Subscription(agent(), ["task"])], accepts=["item"]), "to which no agent subscribes"),
        (lambda: reactive([Subscription(agent(), ["task"])], accepts=["task"]), "the event with which a run begins"),
        (lambda: reactive([Subscription(agent(), ["task"])], until=["end"]), "which no agent emits"),
        (lambda: reactive([Subscription(agent(), ["task"])], value="end"), "which no agent emits"),
        (lambda: reactive([Subscription(agent(), ["task"])], depth=-1), "`depth` must be at least 0"),
        (lambda: reactive([Subscription(agent(), ["task"])], events=0), "`events` must be at least 1"),
        (lambda: Subscription(agent(), []), "names no types"),
        (lambda: Subscription(agent(), [""]), "a text of 1 to 200 characters"),
        (lambda: Subscription(agent(), ["task"], where=7), "must be a plain function"),  # type: ignore[arg-type]
        (
            lambda: reactive([Subscription(agent(), ["task"]), Subscription(agent(), ["task"])]),
            "is used for two agents",
        ),
        (
            lambda: reactive(
                [Subscription(agent(), ["task"])], emits={"a": ["x"]}, value="x", synthesizer=agent("writer")
            ),
            "give one of `value` and `synthesizer`",
        ),
    ],
)
def test_what_can_never_work_is_refused(build: Callable[[], Any], words: str) -> None:
    with pytest.raises(BadGraph, match=words):
        build()
