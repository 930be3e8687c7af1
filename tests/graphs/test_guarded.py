"""Guards around a graph that is unchanged inside."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from guardgraph.agents import Agent, GuardMiddleware
from guardgraph.graphs import guarded, lint, pipeline
from guardgraph.guards import (
    AllowedTools,
    Budget,
    Convergence,
    Deadline,
    Depth,
    Escalate,
    Finish,
    GuardContext,
    Limits,
    Refuse,
    Repetition,
    Schema,
    Trust,
    guard,
)
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import Allowance, BadGraph, Outcome
from guardgraph.testing import check_graph
from tests.graphs.loops import Loop, calls

Invoke = Callable[..., dict[str, Any]]
ASKED = {"messages": [HumanMessage("look")]}


def invoked(graph: Any, given: Any = ASKED, config: Any = None, **facts: Any) -> dict[str, Any]:
    return graph.invoke(given, config, **facts)


def ainvoked(graph: Any, given: Any = ASKED, config: Any = None, **facts: Any) -> dict[str, Any]:
    return asyncio.run(graph.ainvoke(given, config, **facts))


@pytest.fixture(params=[invoked, ainvoked])
def invoke(request: pytest.FixtureRequest) -> Invoke:
    return request.param


class Counts(TypedDict, total=False):
    start: int
    steps: Annotated[list[int], operator.add]
    total: int


def counting(to: int = 5, act: Callable[[int], Any] = lambda _: None) -> Any:
    """Return a graph whose channels are no messages: it counts, and acts at each step."""

    def step(state: Counts) -> dict[str, Any]:
        number = len(state.get("steps") or ()) + 1
        act(number)
        return {"steps": [number], "total": state.get("start", 0) + number}

    graph = StateGraph(Counts)
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: END if len(state["steps"]) >= to else "step", ["step", END])
    return graph.compile()


@pytest.mark.parametrize(
    ("stop", "counts", "by"),
    [
        (Repetition(3), (5, 3), "Repetition"),
        (Budget(calls=4, reserve=0), (4, 4), "Budget"),
        (AllowedTools({"other"}), (4, 0), "AllowedTools"),
    ],
)
def test_a_loop_ends_before_the_call_that_goes_too_far(
    invoke: Invoke, stop: Any, counts: tuple[int, int], by: str
) -> None:
    loop = Loop()

    output = invoke(guarded(loop.agent, [stop]).compile())

    outcome: Outcome = output["outcome"]
    assert loop.counts == counts
    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", by, "let me see")
    assert outcome.usage.calls == counts[0]
    asked = [call["id"] for one in output["messages"] if isinstance(one, AIMessage) for call in one.tool_calls]
    assert asked == [one.tool_call_id for one in output["messages"] if isinstance(one, ToolMessage)]


def test_the_schemas_are_those_of_the_graph_and_the_outcome() -> None:
    loop = Loop()
    graph = guarded(loop.agent, [Budget(calls=1)]).compile()

    assert graph.get_input_jsonschema() == loop.agent.get_input_jsonschema()
    ours, theirs = (one.get_output_jsonschema()["properties"] for one in (graph, loop.agent))
    assert ours.keys() == {*theirs, "outcome"}


def test_a_graph_that_ends_by_itself_is_what_it_was(invoke: Invoke) -> None:
    plain, within = counting(), guarded(counting(), [Budget(calls=1)]).compile()

    output = invoke(within, {"start": 10})

    outcome = output.pop("outcome")
    assert output == plain.invoke({"start": 10}) == {"start": 10, "steps": [1, 2, 3, 4, 5], "total": 15}
    assert (outcome.status, outcome.value) == ("completed", output)


def test_the_last_state_is_kept_where_a_guard_stops_the_graph(invoke: Invoke) -> None:
    model = ScriptedModel(replies=lambda _: "said")
    graph = guarded(counting(act=lambda _: model.invoke("go")), [Budget(calls=3, reserve=0)]).compile()

    output = invoke(graph, {"start": 0})

    assert (output["steps"], output["total"], model.calls) == ([1, 2, 3], 3, 3)
    assert (output["outcome"].status, output["outcome"].stopped_by) == ("degraded", "Budget")
    assert output["outcome"].value == {"start": 0, "steps": [1, 2, 3], "total": 3}


def test_what_the_graph_raises_is_an_outcome_with_the_state_before(invoke: Invoke) -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise ConnectionError("no line")

    output = invoke(guarded(counting(act=fail), [Budget(calls=3)]).compile(), {"start": 0})

    assert (output["outcome"].status, output["steps"]) == ("failed", [1, 2])
    assert "no line" in output["outcome"].gaps[0].reason


@pytest.mark.parametrize(("on_trip", "status"), [(Escalate(), "escalated"), (Refuse(), "failed")])
def test_the_run_ends_as_the_guard_declares(invoke: Invoke, on_trip: Any, status: str) -> None:
    outcome = invoke(guarded(Loop().agent, [Repetition(1, on_trip=on_trip)]).compile())["outcome"]

    assert (outcome.status, outcome.stopped_by) == (status, "Repetition")


def test_a_thread_goes_on_with_every_input(invoke: Invoke) -> None:
    model = ScriptedModel(replies=lambda messages: f"answer {len(messages)}")
    graph = guarded(create_agent(model, []), [Budget(calls=1, reserve=0)]).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}

    outputs = [invoke(graph, {"messages": [HumanMessage(text)]}, config) for text in ("one", "two", "three")]

    assert [message.text for message in outputs[-1]["messages"]] == [
        "one",
        "answer 1",
        "two",
        "answer 3",
        "three",
        "answer 5",
    ]
    assert [output["outcome"].usage.calls for output in outputs] == [1, 1, 1]


def asking() -> Any:
    def ask(number: int) -> None:
        if number == 2:
            assert interrupt({"may": number}) == "yes"

    return counting(to=3, act=ask)


def test_an_interrupt_waits_and_goes_on_within_the_same_run(invoke: Invoke) -> None:
    graph = guarded(asking(), [Budget(calls=1), Deadline(60)]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    first = invoke(graph, {"start": 0}, config)
    state: Any = graph.get_state(config, subgraphs=True)
    output = invoke(graph, Command(resume="yes"), config)

    assert [one.value for one in first["__interrupt__"]] == [{"may": 2}]
    inner = state.tasks[0].state.tasks[0].state
    assert inner.values["steps"] == [1]
    assert (output["steps"], output["outcome"].status) == ([1, 2, 3], "completed")


def test_what_was_spent_before_an_interrupt_counts_after_it(invoke: Invoke) -> None:
    model = ScriptedModel(replies=lambda _: "said")

    def act(number: int) -> None:
        model.invoke("go")
        if number == 2:
            interrupt("go on?")

    graph = guarded(counting(act=act), [Budget(calls=4, reserve=0)]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    invoke(graph, {"start": 0}, config)

    output = invoke(graph, Command(resume="yes"), config)

    assert (model.calls, output["outcome"].stopped_by) == (4, "Budget")
    assert output["steps"] == [1, 2, 3][: len(output["steps"])]


def test_streams_show_what_is_inside() -> None:
    graph = guarded(counting(to=2), [Budget(calls=1)]).compile()

    parts = [*graph.stream({"start": 0}, stream_mode="updates", subgraphs=True)]

    inside = [update for space, update in parts if len(space) == 2]
    assert inside == [{"step": {"steps": [1], "total": 1}}, {"step": {"steps": [2], "total": 2}}]

    async def events() -> set[str]:
        return {event["name"] async for event in graph.astream_events({"start": 0}, version="v2")}

    assert {"step", "guard_admission", "guarded"} <= asyncio.run(events())


def test_a_drawing_shows_the_graph_inside() -> None:
    drawn = guarded(counting(), [Budget(calls=1)]).compile().get_graph(xray=True)

    assert {"guarded:guard_admission", "guarded:graph:step", "guarded:guard_exit"} <= drawn.nodes.keys()


def test_context_reaches_the_graph(invoke: Invoke) -> None:
    class Given(BaseModel):
        user: str

    def greet(state: MessagesState, runtime: Runtime[Given]) -> dict[str, Any]:
        return {"messages": [AIMessage(f"hello {runtime.context.user}")]}

    graph = StateGraph(MessagesState, context_schema=Given)
    graph.add_node("greet", greet)
    graph.add_edge(START, "greet")

    output = invoke(guarded(graph.compile(), [Budget(calls=1)]).compile(), context=Given(user="Ada"))

    assert output["outcome"].value == "hello Ada"


def test_an_input_that_is_a_model_stays_one(invoke: Invoke) -> None:
    class Input(BaseModel):
        number: int

    class Output(BaseModel):
        double: int

    class Whole(BaseModel):
        number: int = 0
        double: int = 0

    graph: Any = StateGraph(Whole, input_schema=Input, output_schema=Output)
    graph.add_node("double", lambda state: {"double": 2 * state.number})
    graph.add_edge(START, "double")

    output = invoke(guarded(graph.compile(), [Budget(calls=1)]).compile(), {"number": 4})

    assert (output["double"], output["outcome"].status) == (8, "completed")


def test_an_answer_that_is_refused_is_given_back_with_the_reason(invoke: Invoke) -> None:
    def reply(messages: list[Any]) -> str:
        return "42" if "refused" in messages[-1].text else "about forty"

    graph = guarded(create_agent(ScriptedModel(replies=reply), []), [Schema(int)]).compile()

    output = invoke(graph)

    assert (output["outcome"].status, output["outcome"].value) == ("completed", "42")
    assert [one.type for one in output["messages"]] == ["human", "ai", "human", "ai"]


def test_a_graph_that_calls_itself_is_stopped_at_its_depth(invoke: Invoke) -> None:
    depths: list[int] = []
    graphs: list[Any] = []

    def recurse(state: Counts) -> dict[str, Any]:
        depths.append(len(depths))
        inner = graphs[0].invoke({"start": state.get("start", 0) + 1})
        return {"total": inner.get("total", 0) + 1}

    graph = StateGraph(Counts)
    graph.add_node("recurse", recurse)
    graph.add_edge(START, "recurse")
    graphs.append(guarded(graph.compile(), [Depth(3)]).compile())

    output = invoke(graphs[0], {"start": 0})

    assert len(depths) == 3  # the fourth would be on level 4
    assert output["outcome"].status == "completed"


def test_a_deadline_ends_a_graph_that_hangs(invoke: Invoke) -> None:
    from threading import Event

    gone = Event()
    graph = guarded(counting(act=lambda number: number > 1 and gone.wait(20)), [Deadline(0.5)]).compile()

    output = invoke(graph, {"start": 0})
    gone.set()

    assert (output["outcome"].stopped_by, output["steps"]) == ("Deadline", [1])


@pytest.mark.parametrize(("fault", "stop"), [(ValueError("no route"), Budget(calls=9)), (None, Deadline(0.5))])
def test_every_tool_call_has_its_answer_where_the_graph_is_cut_off(fault: ValueError | None, stop: Any) -> None:
    @tool
    async def look(q: str) -> str:
        """Look."""
        if fault is not None:
            raise fault
        await asyncio.sleep(9)
        return "nothing"

    agent = create_agent(ScriptedModel(replies=[calls("look", q="x"), "looked"]), [look])

    output = ainvoked(guarded(agent, [stop]).compile())

    [gap] = output["outcome"].gaps
    assert (output["outcome"].status, output["messages"][-1].text) == ("failed", f"no result: {gap.reason}")


def test_it_is_an_agent_of_a_team(invoke: Invoke) -> None:
    loop = Loop()
    inner = guarded(loop.agent, [Repetition(2)]).compile()
    outer = pipeline([Agent("w", run=inner)], guards=[Budget(calls=50)]).compile()

    outcome: Outcome = invoke(outer, {"task": "look"})["outcome"]

    assert (outcome.status, outcome.value, outcome.stopped_by) == ("degraded", "let me see", "Repetition")
    assert outcome.usage.calls == loop.model.calls


@pytest.mark.parametrize("given", [{"messages": [HumanMessage("look")]}, "look"])
def test_a_runner_runs_it(tmp_path: Any, given: Any) -> None:
    loop = Loop()
    graph = guarded(loop.agent, [Repetition(2)])
    with Runner(f"sqlite:///{tmp_path}/runs.db", graphs={"loop": lambda: graph}) as runner:
        run = runner.run("loop", given)

        assert (run.status, run.outcome and run.outcome.value) == ("degraded", "let me see")


def test_guards_see_the_result_at_the_handoff_and_the_exit(invoke: Invoke) -> None:
    seen: list[tuple[str, Any]] = []

    @guard(at=("admission", "dispatch", "handoff", "exit"))
    def watch(context: GuardContext) -> None:
        seen.append((context.gate, getattr(context.subject, "value", context.subject_id and "subject")))

    invoke(guarded(counting(to=1), [watch]).compile(), {"start": 1})

    assert [gate for gate, _ in seen] == ["admission", "dispatch", "handoff", "exit"]
    assert seen[-1][1] == {"start": 1, "steps": [1], "total": 2}


def test_it_has_no_fault_of_design() -> None:
    assert not [one for one in lint(guarded(counting(), [Budget(calls=1), Repetition()])) if one.severity == "error"]


@entrypoint()
def functional(given: int) -> int:
    return given


class Taken(TypedDict):
    outcome: str


def taken() -> Any:
    graph = StateGraph(Taken)
    graph.add_node("work", lambda state: state)
    graph.add_edge(START, "work")
    return graph.compile()


@pytest.mark.parametrize(
    ("graph", "guards", "message"),
    [
        (lambda: StateGraph(Counts), [Budget(calls=1)], "not compiled; pass `graph.compile"),
        (lambda: functional, [Budget(calls=1)], "must be a compiled `StateGraph`"),
        (lambda: len, [Budget(calls=1)], "must be a compiled `StateGraph`, got builtin_function_or_method"),
        (lambda: pipeline([Agent("a", run=len)]).compile(), [Budget(calls=1)], "is a team of guardgraph"),
        (taken, [Budget(calls=1)], "has a channel `outcome` of its own"),
        (counting, [], "`guards` is empty"),
        (counting, [Convergence()], "guard 'Convergence' judges at round"),
        (counting, [Convergence() | Convergence(3)], "judges at round"),
        (counting, [Budget(calls=1).only(categories={"financial"})], "the input of a graph has no categories"),
        (counting, Budget(calls=1), "`guards` must be"),
    ],
)
def test_refuses_what_it_cannot_guard(graph: Any, guards: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        guarded(graph(), guards)


WITHIN_AND_AROUND = [
    ([Repetition(2)], [Budget(calls=50)], "Repetition", (4, 2)),
    ([Budget(calls=50)], [Repetition(2)], "Repetition", (4, 2)),
    ([Budget(calls=3, reserve=0)], [Budget(calls=50)], "Budget", (3, 3)),
    ([Budget(calls=50)], [Budget(calls=3, reserve=0)], "Budget", (3, 3)),
    ([Limits(calls=4)], [Deadline(60), AllowedTools({"other"})], "AllowedTools", (4, 0)),
]


@pytest.mark.parametrize(("within", "around", "by", "counts"), WITHIN_AND_AROUND)
def test_guards_around_a_guarded_graph_and_its_own_both_hold(
    invoke: Invoke, within: Any, around: Any, by: str, counts: tuple[int, int]
) -> None:
    loop = Loop()
    graph = guarded(guarded(loop.agent, within).compile(), around, name="around").compile()

    output = invoke(graph)

    outcome: Outcome = output["outcome"]
    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", by, "let me see")
    assert (loop.counts, outcome.usage.calls) == (counts, counts[0])
    assert [one.type for one in output["messages"][:2]] == ["human", "ai"]


@pytest.mark.parametrize(
    ("within", "around"), [([Repetition(2)], [Budget(calls=50)]), ([Budget(calls=50)], [Repetition(2)])]
)
def test_guards_around_an_agent_with_a_middleware_both_hold(invoke: Invoke, within: Any, around: Any) -> None:
    loop = Loop(middleware=[GuardMiddleware(within)])

    outcome = invoke(guarded(loop.agent, around).compile())["outcome"]

    assert (outcome.status, outcome.stopped_by, loop.counts[1]) == ("degraded", "Repetition", 2)


def test_a_guarded_graph_that_ends_by_itself_is_completed_around_too(invoke: Invoke) -> None:
    graph = guarded(guarded(counting(), [Budget(calls=1)]).compile(), [Depth(3)]).compile()

    output = invoke(graph, {"start": 10})

    outcome = output.pop("outcome")
    assert output == {"start": 10, "steps": [1, 2, 3, 4, 5], "total": 15}
    assert (outcome.status, outcome.gaps, outcome.value) == ("completed", (), output)


@pytest.mark.parametrize(
    ("on_trip", "status", "value"), [(Escalate(), "escalated", "let me see"), (Refuse(), "failed", None)]
)
def test_the_run_ends_as_a_guard_within_declares(invoke: Invoke, on_trip: Any, status: str, value: Any) -> None:
    within = guarded(Loop().agent, [Repetition(2, on_trip=on_trip)]).compile()

    outcome = invoke(guarded(within, [Budget(calls=50)]).compile())["outcome"]

    assert (outcome.status, outcome.stopped_by, outcome.value) == (status, "Repetition", value)


def test_what_is_refused_at_the_admission_within_is_refused(invoke: Invoke) -> None:
    @guard(at="admission", on_trip=Refuse())
    def closed(context: GuardContext) -> str:
        return "closed on Sundays"

    outcome = invoke(guarded(guarded(Loop().agent, [closed]).compile(), [Budget(calls=5)]).compile())["outcome"]

    assert (outcome.status, outcome.stopped_by, outcome.reason) == ("refused", "closed", "closed on Sundays")


def test_levels_within_are_counted_from_the_guards_around(invoke: Invoke) -> None:
    graph = guarded(guarded(counting(), [Depth(5)]).compile(), [Depth(1)]).compile()

    outcome = invoke(graph, {"start": 0})["outcome"]

    assert (outcome.status, outcome.stopped_by) == ("failed", "Depth")


@pytest.mark.parametrize("way", ["node", "function"])
def test_a_guarded_graph_inside_a_node_is_stopped_by_guards_around_too(invoke: Invoke, way: str) -> None:
    loop = Loop()
    within: Any = guarded(loop.agent, [Budget(calls=50)]).compile()
    graph = StateGraph(MessagesState)
    graph.add_node("within", within if way == "node" else lambda state: {"messages": within.invoke(state)["messages"]})
    graph.add_edge(START, "within")

    outcome = invoke(guarded(graph.compile(), [Repetition(2)]).compile())["outcome"]

    assert (outcome.status, outcome.stopped_by, loop.counts) == ("degraded", "Repetition", (4, 2))


def test_the_value_is_the_output_of_the_graph_and_not_what_is_within(invoke: Invoke) -> None:
    outcome = invoke(guarded(asked_for(), [Budget(calls=1)]).compile(), {"task": "one"})["outcome"]

    assert outcome.value == {"steps": ["one"]}


def test_the_task_of_a_later_input_is_that_input_alone(invoke: Invoke) -> None:
    goals: list[str] = []

    @guard(at="admission")
    def watch(context: GuardContext) -> None:
        goals.append(context.subject.goal)

    graph = guarded(asked_for(), [watch]).compile(checkpointer=InMemorySaver())
    for text in ("one", "two"):
        invoke(graph, {"task": text}, {"configurable": {"thread_id": "t"}})

    assert goals == ['{"task": "one"}', '{"task": "two"}']


def test_calls_are_counted_with_no_checkpointer_and_in_parallel() -> None:
    loop = Loop(lambda messages: calls("search", q=str(len(messages))))
    graph = guarded(loop.agent, [Budget(calls=3, reserve=0)]).compile()

    async def all_of() -> list[dict[str, Any]]:
        return await asyncio.gather(*(graph.ainvoke(ASKED) for _ in range(5)))

    assert [output["outcome"].usage.calls for output in asyncio.run(all_of())] == [3] * 5


class Goal(TypedDict):
    task: str


class Steps(TypedDict, total=False):
    task: str
    steps: Annotated[list[str], operator.add]


class Said(TypedDict):
    steps: Annotated[list[str], operator.add]


def asked_for() -> Any:
    graph: Any = StateGraph(Steps, input_schema=Goal, output_schema=Said)
    graph.add_node("step", lambda state: {"steps": [state["task"]]})
    graph.add_edge(START, "step")
    return graph.compile()


class Within(Goal, Said):
    outcome: Outcome


def test_what_becomes_of_a_refusal_within_a_node_is_up_to_the_graph(invoke: Invoke) -> None:
    @guard(at="admission", on_trip=Refuse())
    def closed(context: GuardContext) -> str:
        return "closed on Sundays"

    graph: Any = StateGraph(Within, input_schema=Goal, output_schema=Said)
    graph.add_node("team", pipeline([Agent("a", run=str)], guards=[closed]).compile())
    graph.add_node("closing", lambda state: {"steps": [state["outcome"].status]})
    graph.add_edge(START, "team")
    graph.add_edge("team", "closing")

    outcome = invoke(guarded(graph.compile(), [Budget(calls=1)]).compile(), {"task": "open"})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", {"steps": ["refused"]})


def asked_in_between(*, asks: bool) -> Any:
    model = ScriptedModel(replies=lambda _: "said")

    def step(state: Steps) -> dict[str, Any]:
        said = str(model.invoke("go").text)
        return {"steps": [str(interrupt("go on?")) if asks and len(state.get("steps") or ()) == 1 else said]}

    graph = StateGraph(Steps, input_schema=Goal)
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_edge("step", "step")
    return guarded(graph.compile(), [Budget(calls=5), Depth(3)])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("asks", [False, True])
def test_every_way_of_running_gives_the_same_outcome(asks: bool) -> None:
    checked = check_graph(lambda: asked_in_between(asks=asks), answer=(lambda _: "yes") if asks else None)

    assert len(checked.passed) > 150
    assert checked.expected is not None


def test_what_a_tool_has_returned_in_an_earlier_turn_keeps_a_reserved_tool_shut(invoke: Invoke) -> None:
    replies = iter([calls("search", q="x"), "done", calls("search", q="y"), "done"])
    loop = Loop(lambda _: next(replies))
    graph = guarded(loop.agent, [Trust({"search"})]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}

    assert invoke(graph, ASKED, config)["outcome"].status == "completed"
    assert invoke(graph, ASKED, config)["outcome"].stopped_by == "Trust"
    assert loop.searched == ["x"]


def test_the_wider_of_two_budgets_is_spent_to_its_end(invoke: Invoke) -> None:
    loop = Loop(lambda messages: calls("search", q=str(len(messages))))

    outcome = invoke(guarded(loop.agent, [Budget(calls=10) | Budget(calls=5)]).compile())["outcome"]

    assert (outcome.stopped_by, loop.counts) == ("Budget", (10, 10))


def test_the_run_ends_by_the_hardest_reaction_of_guards_with_one_name(invoke: Invoke) -> None:
    loop = Loop()
    given = [Repetition(9, on_trip=Finish()), Repetition(2, on_trip=Escalate())]

    assert invoke(guarded(loop.agent, given).compile())["outcome"].status == "escalated"


def test_in_a_runner_more_budget_is_added_and_the_time_of_a_human_does_not_count(tmp_path: Any) -> None:
    @tool
    def ask(q: str) -> str:
        """Ask a human."""
        return str(interrupt(q))

    later = [timedelta(0)]
    model = ScriptedModel(replies=lambda messages: calls("ask", q=str(len(messages))) if len(messages) < 6 else "done")
    graph = guarded(create_agent(model, [ask]), [Budget(calls=3), Deadline(60)])
    clock: Any = lambda: datetime.now(UTC) + later[0]  # noqa: E731
    with Runner(f"sqlite:///{tmp_path}/runs.db", graphs={"g": lambda: graph}, clock=clock) as runner:
        run = runner.run("g", ASKED)
        run = runner.resume(run.thread_id, add=Allowance(calls=1))
        while run.waiting:
            later[0] += timedelta(hours=1)
            run = runner.resume(run.thread_id, answers={one.id: "yes" for one in run.waiting})

    assert run.outcome is not None
    assert (run.outcome.status, run.outcome.value, model.calls) == ("completed", "done", 4)
