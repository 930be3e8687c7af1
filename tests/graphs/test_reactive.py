"""Agents that subscribe to events: what is delivered to whom, in which order, and what ends a run."""

from __future__ import annotations

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from guardgraph.agents import Agent
from guardgraph.graphs import Subscription, pipeline, reactive, supervisor
from guardgraph.guards import Limits
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Event, Plan, Reply, Request, Subtask, deliveries_of, events_of


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
    poisoned = next(event.ref for event in events_of(state) if event.data == 1)
    assert [(gap.agent, gap.reason) for gap in outcome.gaps] == [("worker", f"event {poisoned}: ValueError: poison")]
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


@pytest.mark.parametrize("where", ["pipeline", "synthesizer", "nested"])
def test_events_that_no_team_delivers_are_refused(where: str) -> None:
    """They would be dropped without a word: only who handles an event may emit others."""
    calls: list[str | None] = []

    def shouts(request: Request) -> Reply:
        calls.append(request.feedback)
        return Reply(value="ok", events=(Event(type="noise"),) if request.feedback is None else ())

    agent, quiet = Agent("a", run=shouts, attempts=2), Agent("q", run=lambda request: "q")
    team = {
        "pipeline": lambda: pipeline([agent]),
        "synthesizer": lambda: reactive([Subscription(quiet, ["task"])], synthesizer=agent),
        "nested": lambda: reactive([Subscription(Agent("inner", run=pipeline([agent]).compile()), ["task"])]),
    }[where]()

    assert state_of(team)["outcome"].status == "completed"
    assert calls == [None, "it emits events, but handles none; only subscribers of a `reactive` team emit"]


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


def number_of(request: Request) -> Any:
    assert request.event is not None
    return request.event.data


def test_the_value_of_a_long_run_is_of_all_its_deliveries() -> None:
    worker = Agent("worker", run=lambda request: Reply(value=number_of(request), confidence=0.9))
    first = Agent("first", run=lambda request: Reply(value="unsure", confidence=0.2))
    team = [Subscription(planner(300), ["task"]), Subscription(worker, ["item"]), Subscription(first, ["task"])]
    state = state_of(reactive(team, emits={"planner": ["item"]}))

    outcome = state["outcome"]
    assert [one["value"] for one in outcome.value] == ["planned", "unsure", *range(300)]
    assert outcome.value[2] == {"subtask": "1:item:worker", "agent": "worker", "value": 0}
    assert (outcome.status, outcome.confidence) == ("completed", 0.2)
    assert len(state["results"]) < 100


def test_an_author_that_does_not_get_all_results_leaves_a_gap() -> None:
    writer = Agent("writer", run=lambda request: len(request.context))
    team = [Subscription(planner(300), ["task"]), Subscription(Agent("worker", run=number_of), ["item"])]
    outcome = state_of(reactive(team, emits={"planner": ["item"]}, synthesizer=writer))["outcome"]

    assert outcome.status == "degraded"
    assert 100 <= outcome.value <= 202
    assert [gap.subtask for gap in outcome.gaps] == ["results"]
    assert "writer" in outcome.gaps[0].reason


def test_what_was_parked_and_then_handled_is_no_gap_however_much_comes_after() -> None:
    poison = {1}

    def work(request: Request) -> Any:
        if number_of(request) in poison:
            raise ValueError("poison")
        return number_of(request)

    team = reactive(
        [Subscription(Agent("worker", run=work), ["item"])], accepts=["item", "stop"], until=["stop"], events=1_000
    )
    with TemporaryDirectory() as folder, Runner(f"sqlite:///{folder}/runs.db", graphs={"g": team}) as runner:
        runner.run("g", "go", thread_id="t")
        for number in range(3):
            runner.publish("t", {"type": "item", "data": number, "source": "shop", "id": str(number)})
        poison.clear()
        runner.replay("t", "shop/1")
        for number in range(300):
            runner.publish("t", {"type": "item", "data": number, "source": "late", "id": str(number)}, wake=False)
        runner.publish("t", {"type": "stop"})
        outcome = runner.status("t").outcome

    assert outcome is not None
    assert (outcome.status, outcome.gaps) == ("completed", ())


def test_only_what_is_open_is_in_the_state_of_a_long_run() -> None:
    def work(request: Request) -> Any:
        if number_of(request) % 2:
            raise ValueError("poison")
        return number_of(request)

    team = [Subscription(planner(700), ["task"]), Subscription(Agent("worker", run=work), ["item"], ordered=False)]
    graph = reactive(team, emits={"planner": ["item"]}).compile()
    states = [*graph.stream({"task": "go"}, {"recursion_limit": 10_000}, stream_mode="values")]

    assert max(len(state["event_log"]) for state in states) < 1_000
    assert max(len(state["gaps"]) for state in states[:-2]) < 70
    assert (len(events_of(states[-1])), len(deliveries_of(states[-1]))) == (701, 701)
    assert len(states[-1]["outcome"].gaps) == 350


def test_an_event_whose_data_is_no_json_fails_its_attempt_alone() -> None:
    """Also where it became so after it was made."""
    odd = Event(type="item", data={"a": [1]})
    assert isinstance(odd.data, dict)
    odd.data["a"] = object()  # type: ignore[assignment]
    team = [
        Subscription(Agent("odd", run=lambda request: Reply(value=1, events=(odd,))), ["task"]),
        Subscription(planner(2), ["task"]),
        Subscription(Agent("worker", run=number_of), ["item"]),
    ]
    state = state_of(reactive(team, emits={"planner": ["item"], "odd": ["item"]}))

    assert state["outcome"].status == "degraded"
    assert [(gap.agent, "JSON" in gap.reason) for gap in state["outcome"].gaps] == [("odd", True)]
    assert [one.status for one in deliveries_of(state)].count("handled") == 3


def test_a_predicate_gets_a_copy_of_the_event() -> None:
    def changes(event: Event) -> bool:
        assert isinstance(event.data, dict)
        event.data.clear()
        return True

    def goal(request: Request) -> Any:
        assert request.event is not None
        assert isinstance(request.event.data, dict)
        return request.event.data["goal"]

    state = state_of(reactive([Subscription(Agent("a", run=goal), ["task"], where=changes)]))
    assert state["outcome"].value[0]["value"] == "go"


def test_an_answer_whose_id_is_taken_by_another_event_is_a_gap() -> None:
    team = reactive([Subscription(Agent("worker", run=str), ["item"])], accepts=["item", "stop"], until=["stop"])
    graph, config = team.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    graph.invoke({"task": "go"}, config)  # type: ignore[arg-type]
    item = {"type": "item", "data": 1, "source": "shop", "id": "1"}
    outcome = graph.invoke(Command(resume=[item, {**item, "data": 2}, item, {"type": "stop"}]), config)["outcome"]  # type: ignore[arg-type]

    assert outcome.status == "degraded"
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == [("shop/1", "id")]


def test_an_input_of_a_planner_that_is_named_event_is_no_delivery() -> None:
    """Only the gate of a reactive team delivers events, whatever the inputs of a subtask are."""
    seen: list[Any] = []

    def work(request: Request) -> Reply:
        seen.append(request.event)
        return Reply(value="done", events=(Event(type="odd"),) if request.goal == "emit" else ())

    def plan(request: Request) -> Plan:
        inputs: list[Any] = ["the summer party", {"type": "order", "source": "shop", "id": "1"}]
        goals = zip(("look", "emit"), inputs, strict=True) if request.round == 1 else ()
        return Plan(subtasks=tuple(Subtask(id=goal, goal=goal, inputs={"event": one}) for goal, one in goals))

    outcome = state_of(supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=work)]))["outcome"]

    assert {*seen} == {None}
    assert [gap.subtask for gap in outcome.gaps] == ["emit"]
    assert "emits events, but handles none" in outcome.gaps[0].reason


def test_a_team_that_subscribes_does_not_make_its_own_workers_subscribers() -> None:
    seen: list[Any] = []

    def listen(request: Request) -> str:
        seen.append(request.event)
        return "heard"

    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="a", goal="a", inputs=request.task.inputs),) if request.round == 1 else ())

    within = supervisor(planner=Agent("planner", run=plan), workers=[Agent("w", run=listen)])
    team = reactive([Subscription(Agent("team", run=within.compile()), ["task"])])

    assert (state_of(team)["outcome"].status, seen) == ("completed", [None])


def test_an_event_that_is_not_accepted_is_a_gap_and_stops_nothing() -> None:
    """Nor does it above the team: `stopped_by` names what has kept work from being done."""
    team = reactive([Subscription(Agent("worker", run=str), ["item"])], accepts=["item", "stop"], until=["stop"])
    for graph in (team, pipeline([Agent("within", run=team.compile())])):
        compiled: Any = graph.compile(checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t"}}
        compiled.invoke({"task": "go"}, config)
        odd = {"type": "odd", "source": "shop", "id": "1"}
        ended = compiled.invoke(Command(resume=[odd, {"type": "item"}, {"type": "stop"}]), config)

        outcome = ended["outcome"]
        assert (outcome.status, outcome.stopped_by, outcome.reason) == ("degraded", None, "")
        assert [(gap.guard, gap.is_external) for gap in outcome.gaps] == [("accepts", True)]


def test_the_gap_of_a_parked_delivery_names_the_event_that_can_be_replayed() -> None:
    """Also where a guard has stopped it, its predicate has failed, or a team that subscribes has left gaps."""

    def fail(request: Request) -> str:
        raise ValueError("poison")

    unfit: Any = lambda event: 1 / 0  # noqa: E731
    within = pipeline([Agent("stage", run=fail)]).compile()
    team = [
        Subscription(Agent("plain", run=fail), ["item"]),
        Subscription(Agent("team", run=within), ["item"]),
        Subscription(Agent("picky", run=str), ["item"], where=unfit),
    ]
    graph = reactive(team, accepts=["item", "stop"], until=["stop"]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"task": "go"}, config)
    events = [{"type": "item", "source": "shop", "id": "17"}, {"type": "stop"}]
    outcome = graph.invoke(Command(resume=events), config)["outcome"]

    named = {gap.owner: gap.reason.partition(": ")[0] for gap in outcome.gaps}
    assert named == dict.fromkeys(("1:item:plain", "1:item:team", "1:item:picky"), "event shop/17")
    state = graph.get_state(config).values
    assert not any("shop/17" in one.error for one in deliveries_of(state))
