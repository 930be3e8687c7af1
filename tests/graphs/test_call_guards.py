"""Guards of the gates `model` and `tool` judge every call inside an attempt, whoever makes it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import lint, pipeline, supervisor
from guardgraph.guards import (
    AllowedTools,
    Escalate,
    Finish,
    GuardContext,
    Limits,
    ModelCall,
    OnTrip,
    Refuse,
    Repetition,
    Retry,
    ToolCall,
    guard,
)
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Outcome, Reply, Request, RunEvent, Verdict
from tests.graphs.loops import Loop, calls
from tests.graphs.teams import WAYS, Ask, plan_of, planner


@pytest.fixture(params=[*WAYS])
def ask(request: pytest.FixtureRequest) -> Ask:
    return WAYS[request.param]


def team(*agents: Agent, guards: Any) -> Any:
    return pipeline([*agents], guards=guards).compile()


def at_model(count: int, on_trip: OnTrip | None = None) -> Any:
    """Return a guard that stops the model call after `count` of them."""

    @guard(at="model", on_trip=on_trip)
    def few(context: GuardContext) -> str | None:
        return "enough" if sum(isinstance(one, ModelCall) for one in context.calls) >= count else None

    return few


def test_the_model_gets_the_reason_and_then_the_attempt_is_stopped(ask: Ask) -> None:
    loop = Loop()

    outcome = ask(team(Agent("w", run=loop.agent), guards=[Repetition(3)]), "look")

    assert loop.counts == (5, 3)  # the fourth search is refused with the reason, the fifth stops the attempt
    assert (outcome.status, outcome.stopped_by) == ("degraded", "Repetition")
    assert outcome.value == "let me see"
    assert outcome.gaps[0].reason == "the tool 'search' was called 3 times with the same arguments; do something else"


def test_a_model_that_heeds_the_reason_goes_on(ask: Ask) -> None:
    def reply(messages: list[Any]) -> Any:
        last = messages[-1]
        return (
            "I give up" if isinstance(last, ToolMessage) and "refused" in str(last.content) else calls("search", q="x")
        )

    loop = Loop(reply)
    outcome = ask(team(Agent("w", run=loop.agent), guards=[Repetition(2)]), "look")

    assert (outcome.status, outcome.value, loop.counts) == ("completed", "I give up", (4, 2))


@pytest.mark.parametrize(
    ("on_trip", "status", "has_value"),
    [(Finish(), "degraded", True), (Escalate(), "escalated", True), (Refuse(), "failed", False)],
)
def test_the_run_ends_as_the_guard_declares(ask: Ask, on_trip: OnTrip, status: str, has_value: bool) -> None:
    outcome = ask(team(Agent("w", run=Loop().agent), guards=[at_model(2, on_trip)]), "look")

    assert (outcome.status, outcome.stopped_by, outcome.value is not None) == (status, "few", has_value)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_stop_comes_before_the_call(ask: Ask, count: int) -> None:
    loop = Loop()
    ask(team(Agent("w", run=loop.agent), guards=[at_model(count)]), "look")

    assert loop.counts == (count, count)


@pytest.mark.parametrize(
    ("agents", "categories", "is_judged"),
    [(None, {"financial"}, True), (None, {"safety"}, False), ({"w"}, None, True), ({"other"}, {"financial"}, False)],
)
def test_conditions_hold_for_calls_too(ask: Ask, agents: Any, categories: Any, is_judged: bool) -> None:
    loop, other = Loop(), Agent("other", run=lambda request: "done")
    guards = [at_model(0).only(agents=agents, categories=categories), at_model(3)]

    ask(team(Agent("w", run=loop.agent), other, guards=guards), {"goal": "pay", "categories": ["financial"]})

    assert loop.model.calls == (0 if is_judged else 3)


def test_a_guard_that_raises_trips(ask: Ask) -> None:
    @guard(at=("model", "tool"))
    def broken(context: GuardContext) -> str | None:
        if isinstance(context.subject, ToolCall):
            raise KeyError("oops")
        return None

    loop = Loop()
    outcome = ask(team(Agent("w", run=loop.agent), guards=[broken]), "look")

    assert loop.counts == (1, 0)
    assert outcome.reason.startswith("guard 'broken' raised KeyError: 'oops'")


def test_guards_of_a_model_agent_with_tools_judge_it(ask: Ask) -> None:
    loop = Loop()
    agent = Agent("w", model=loop.model, tools=[loop.tool], guards=[AllowedTools({"other"}, on_trip=Finish())])

    outcome = ask(team(agent, guards=[]), "look")

    assert loop.counts == (1, 0)
    assert outcome.reason == "'w' may not call the tool 'search'; allowed: 'other'"


@pytest.mark.parametrize("swallow", [Exception, BaseException])
def test_code_that_swallows_the_stop_gets_no_further_call(ask: Ask, swallow: type[BaseException]) -> None:
    model = ScriptedModel(replies=lambda _: "said")

    def stubborn(request: Request) -> str:
        for _ in range(9):
            with suppress(swallow):
                model.invoke("go on")
        return "what there is"

    outcome = ask(team(Agent("w", run=stubborn), guards=[at_model(2)]), "look")

    assert model.calls == 2
    assert (outcome.status, outcome.value, outcome.stopped_by) == ("degraded", "what there is", "few")


def test_a_stop_holds_though_the_guard_would_let_the_next_call_pass(ask: Ask) -> None:
    asked: list[str] = []

    @guard(at="model")
    def once(context: GuardContext) -> str | None:
        asked.append(context.subject_id)
        return "not now" if len(asked) == 1 else None

    model = ScriptedModel(replies=lambda _: "said")

    def stubborn(request: Request) -> str:
        for _ in range(3):
            with suppress(BaseException):
                model.invoke("go on")
        return "what there is"

    outcome = ask(team(Agent("w", run=stubborn), guards=[once]), "look")

    assert (model.calls, len(asked), outcome.stopped_by) == (0, 1, "once")


def test_a_graph_with_plain_nodes_is_judged(ask: Ask) -> None:
    model = ScriptedModel(replies=lambda _: "again")

    def talk(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("talk", talk)
    graph.add_edge(START, "talk")
    graph.add_conditional_edges("talk", lambda _: "talk", ["talk", END])

    outcome = ask(team(Agent("w", run=graph.compile()), guards=[Repetition(3)]), "look")

    assert model.calls == 4  # the same answer is known to be one too many once it is there
    assert (outcome.value, outcome.reason) == ("again", "the model has given the same answer 4 times")


def test_the_guards_of_an_outer_team_judge_the_calls_of_an_inner_one(ask: Ask) -> None:
    loop = Loop()
    inner = team(Agent("inner", run=loop.agent), guards=[])
    outer = team(Agent("outer", run=inner), guards=[Repetition(2, on_trip=Escalate())])

    outcome = ask(outer, "look")

    assert loop.counts == (3, 2)
    assert (outcome.status, outcome.stopped_by) == ("escalated", "Repetition")


def test_a_guard_for_another_agent_does_not_say_how_a_stop_ends_the_run(ask: Ask) -> None:
    strict = at_model(0, Escalate()).only(agents={"other"})
    staff = [Agent("w", run=Loop().agent), Agent("other", run=lambda request: "done")]

    outcome = ask(team(*staff, guards=[strict, at_model(1, Finish())]), "look")

    assert (outcome.status, outcome.stopped_by) == ("degraded", "few")


def test_a_guard_of_calls_is_shown_what_remains(ask: Ask) -> None:
    remaining: list[int | None] = []

    @guard(at="model")
    def notes(context: GuardContext) -> None:
        remaining.append(context.remaining.calls)

    ask(team(Agent("w", run=Loop().agent), guards=[notes, Limits(calls=3)]), "look")

    assert remaining == [3, 2, 1, 0]


def test_of_two_that_stop_a_call_the_guard_of_the_outer_team_counts(ask: Ask) -> None:
    inner = team(Agent("inner", run=Loop().agent), guards=[at_model(0, Refuse())])
    outer = team(Agent("outer", run=inner), guards=[AllowedTools({"search"}), at_model(0, Escalate())])

    outcome = ask(outer, "look")

    assert (outcome.status, outcome.stopped_by) == ("escalated", "few")


def test_a_fallback_takes_over_after_a_guard_has_stopped_the_agent(ask: Ask) -> None:
    spare = Agent("spare", model=ScriptedModel(replies=["the spare has it"]))
    first = Agent("first", run=Loop(lambda _: calls("search", q="x", text="")).agent, fallback=spare)

    outcome = ask(team(first, guards=[Repetition(1, on_trip=Finish())]), "look")

    assert (outcome.status, outcome.value) == ("completed", "the spare has it")


def test_verdicts_are_in_the_state_and_are_events() -> None:
    graph = team(Agent("w", run=Loop().agent), guards=[Repetition(1)])
    events: list[RunEvent] = []
    verdicts: list[Verdict] = []
    for space, mode, part in graph.stream(
        {"task": "look"}, stream_mode=["custom", "values"], output_keys=["verdicts"], subgraphs=True
    ):
        if mode == "custom":
            events.append(RunEvent.model_validate(part))
        elif not space:
            verdicts = part.get("verdicts") or verdicts

    assert [(one.guard, one.gate, one.action) for one in verdicts] == [("Repetition", "tool", "trip")] * 2
    assert [one.data["gate"] for one in events if one.kind == "verdict"] == ["tool", "tool"]


def test_a_guard_sees_what_was_called_and_what_it_took(ask: Ask) -> None:
    seen: list[GuardContext] = []

    @guard(at=("model", "tool"))
    def watch(context: GuardContext) -> None:
        seen.append(context)

    def reply(messages: list[Any]) -> Any:
        return "found" if isinstance(messages[-1], ToolMessage) else calls("search", q="x")

    loop = Loop(reply)
    ask(team(Agent("w", run=loop.agent), guards=[watch]), "look")

    first, called, last = seen
    assert [one.gate for one in seen] == ["model", "tool", "model"]
    assert first.subject.messages[0].type == "human"
    assert (called.subject.name, dict(called.subject.arguments), called.subject.agent) == ("search", {"q": "x"}, "loop")
    model, tool = last.calls
    assert isinstance(model, ModelCall)
    assert (model.tokens, model.calls_tools, model.messages, tool.agent) == (100, True, (), "loop")
    assert model.ended is not None
    assert first.agent is not None
    assert (first.agent.chain, last.spent.tokens, last.run_calls) == (("pipeline", "w"), 100, last.calls)


def test_each_attempt_has_calls_of_its_own_and_the_run_has_all(ask: Ask) -> None:
    seen: list[tuple[int, int]] = []

    @guard(at="model")
    def watch(context: GuardContext) -> None:
        seen.append((len(context.calls), len(context.run_calls)))

    model = ScriptedModel(replies=lambda _: "said")
    ask(team(Agent("one", model=model), Agent("two", model=model), guards=[watch]), "look")

    assert seen == [(0, 0), (0, 1)]


def test_calls_at_the_same_time_are_counted_together(ask: Ask) -> None:
    loop = Loop(lambda messages: calls(*["search"] * 9, q="x") if len(messages) < 3 else "done")

    outcome = ask(team(Agent("w", run=loop.agent), guards=[Repetition(4, on_trip=Retry(9))]), "look")

    assert len(loop.searched) == 4
    assert outcome.value == "done"


def test_a_tool_that_code_calls_itself_raises_the_reason(ask: Ask) -> None:
    loop = Loop()

    def work(request: Request) -> Any:
        try:
            loop.tool.invoke({"q": "x"})
        except Exception as error:
            return Reply(value=str(error))

    outcome = ask(team(Agent("w", run=work), guards=[AllowedTools({"other"})]), "look")

    assert outcome.value == "refused: 'w' may not call the tool 'search'; allowed: 'other'"


def test_the_planner_and_the_author_are_judged_too(ask: Ask) -> None:
    model = ScriptedModel(replies=lambda _: "said")
    worker = Agent("worker", run=lambda request: "done")
    author = Agent("author", model=model)
    graph = supervisor(
        planner=planner(plan_of("a")), workers=[worker], synthesizer=author, guards=[at_model(0, Escalate())]
    ).compile()

    outcome = ask(graph, "look")

    assert (model.calls, outcome.status, outcome.stopped_by) == (0, "escalated", "few")


def test_guards_that_judge_inside_attempts_alone_are_no_fault_of_design() -> None:
    graph = pipeline([Agent("w", run=Loop().agent)], guards=[Repetition(), AllowedTools({"search"})])

    assert "idle-guard" not in {finding.code for finding in lint(graph)}


def test_a_model_gate_gives_nothing_back(ask: Ask) -> None:
    with pytest.raises(BadGraph, match="judges only at model, where there is no answer yet"):
        pipeline([Agent("w", run=Loop().agent)], guards=[at_model(1, Retry(2))])


@pytest.mark.parametrize("stream", [True, False])
def test_streams_are_judged(stream: bool) -> None:
    model = ScriptedModel(replies=lambda _: "said")

    async def work(request: Request) -> str:
        for _ in range(9):
            if stream:
                async for _ in model.astream("go on"):
                    pass
            else:
                await model.abatch(["one", "two"])
        return "never"

    outcome: Outcome = asyncio.run(team(Agent("w", run=work), guards=[at_model(3)]).ainvoke({"task": "x"}))["outcome"]

    assert model.calls <= 3
    assert outcome.stopped_by == "few"
