"""Guards inside the loop of an agent that one already has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelRetryMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from guardgraph.agents import Agent, GuardMiddleware
from guardgraph.graphs import pipeline
from guardgraph.guards import (
    AllowedTools,
    Budget,
    Convergence,
    Deadline,
    Depth,
    Downgrade,
    Escalate,
    Finish,
    GuardContext,
    Limits,
    Refuse,
    Repetition,
    Retry,
    Reviewed,
    Schema,
    Trust,
    Velocity,
    guard,
)
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Outcome, Price, RunEvent
from tests.graphs.loops import Loop, calls
from tests.loopback import OpenAIServer, tool_call

Invoke = Callable[..., dict[str, Any]]
ASKED: Any = {"messages": [HumanMessage("look")]}


def invoked(agent: Any, given: Any = ASKED, config: Any = None) -> dict[str, Any]:
    return agent.invoke(given, config)


def ainvoked(agent: Any, given: Any = ASKED, config: Any = None) -> dict[str, Any]:
    return asyncio.run(agent.ainvoke(given, config))


def streamed(agent: Any, given: Any = ASKED, config: Any = None) -> dict[str, Any]:
    parts = [part for mode, part in agent.stream(given, config, stream_mode=["messages", "values"]) if mode == "values"]
    return parts[-1]


@pytest.fixture(params=[invoked, ainvoked, streamed])
def invoke(request: pytest.FixtureRequest) -> Invoke:
    return request.param


def loop_of(*guards: Any, reply: Any = None, more: Any = (), **facts: Any) -> Loop:
    settings = {name: facts.pop(name) for name in ("on_event", "name", "max_tokens", "clock") if name in facts}
    return Loop(reply, middleware=[GuardMiddleware([*guards], **settings), *more], **facts)


def counted(text: str = "done", *, after: int) -> Any:
    """Return a model that searches for something new `after` times, and then answers `text`."""
    return lambda messages: (
        text
        if sum(isinstance(one, ToolMessage) for one in messages) >= after
        else calls("search", q=f"q{sum(isinstance(one, ToolMessage) for one in messages)}")
    )


@pytest.mark.parametrize(
    ("stop", "counts", "by"),
    [
        (Repetition(3), (5, 3), "Repetition"),
        (Repetition(3, on_trip=Finish()), (4, 3), "Repetition"),
        (Budget(calls=4), (4, 4), "Budget"),
        (Limits(calls=2), (2, 2), "Limits"),
        (AllowedTools({"other"}), (4, 0), "AllowedTools"),
    ],
)
def test_the_loop_ends_before_the_call_that_goes_too_far(
    invoke: Invoke, stop: Any, counts: tuple[int, int], by: str
) -> None:
    loop = loop_of(stop)

    output = invoke(loop.agent)

    outcome: Outcome = output["outcome"]
    assert loop.counts == counts
    assert (outcome.status, outcome.value, outcome.stopped_by) == ("degraded", "let me see", by)
    assert outcome.usage.calls == counts[0]
    assert output["messages"][-1].text == f"let me see\n\n[stopped by {by}: {outcome.reason}]"


def test_an_agent_that_ends_by_itself_has_an_outcome_too(invoke: Invoke) -> None:
    loop = loop_of(Budget(calls=9), Repetition(), reply=counted("the answer", after=2))

    output = invoke(loop.agent)

    outcome: Outcome = output["outcome"]
    assert (outcome.status, outcome.value, outcome.stopped_by, outcome.gaps) == ("completed", "the answer", None, ())
    assert (outcome.usage.calls, outcome.usage.tokens) == (3, 300)
    assert output["messages"][-1].text == "the answer"
    assert set(output) - {"guard_run"} == {"messages", "outcome", "verdicts"}  # a stream of values has private keys too


@pytest.mark.parametrize("limit", [250, 1_000])
def test_a_limit_of_tokens_bounds_what_a_call_may_write(invoke: Invoke, limit: int) -> None:
    loop = loop_of(Budget(tokens=limit), reply=counted(after=99))

    outcome = invoke(loop.agent)["outcome"]

    assert outcome.usage.tokens <= limit
    assert outcome.stopped_by == "Budget"


def test_a_limit_of_money_needs_a_known_price(invoke: Invoke) -> None:
    class Unknown(ScriptedModel):
        def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
            return {"ls_provider": "nowhere", "ls_model_name": "unheard-of"}

    model = Unknown(replies=lambda _: "said")
    agent = create_agent(model, [], middleware=[GuardMiddleware([Budget(usd="0.50")])])

    output = invoke(agent)

    assert model.calls == 0
    assert (output["outcome"].status, output["outcome"].value) == ("failed", None)
    assert output["outcome"].reason == (
        "the price of the model 'nowhere:unheard-of' is unknown, so money cannot be limited; give it by "
        "`Budget(prices={'nowhere:unheard-of': Price(…)})`, or limit tokens instead"
    )


class Named(ScriptedModel):
    """A model whose provider and name are known to prices."""

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "nowhere", "ls_model_name": self.model_name}


@pytest.mark.parametrize("calls_it", ["in place of the agent's", "before the agent's"])
def test_a_model_that_middleware_within_calls_has_its_own_price(invoke: Invoke, calls_it: str) -> None:
    other = Named(replies=lambda _: "said", model_name="unheard-of")

    class Within(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            if calls_it == "before the agent's":
                other.invoke("Which tools?")
                return handler(request)
            return handler(request.override(model=other))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            if calls_it == "before the agent's":
                await other.ainvoke("Which tools?")
                return await handler(request)
            return await handler(request.override(model=other))

    budget = Budget(usd="0.50", prices={"nowhere:known": Price("1", "2")})
    known = Named(replies=lambda _: "said", model_name="known")
    agent = create_agent(known, [], middleware=[GuardMiddleware([budget]), Within()])

    outcome = invoke(agent)["outcome"]

    assert (known.calls, other.calls, outcome.status) == (0, 0, "failed")
    assert "the price of the model 'nowhere:unheard-of' is unknown" in outcome.reason


@pytest.mark.parametrize("name", ["dear", "known"])
def test_a_model_chosen_by_middleware_within_is_reserved_at_its_own_price(invoke: Invoke, name: str) -> None:
    chosen = Named(replies=lambda _: "said", model_name=name, input_tokens=60, output_tokens=40)

    class Within(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(model=chosen))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(request.override(model=chosen))

    budget = Budget(usd="0.10", prices={"nowhere:known": Price("1", "2"), "nowhere:dear": Price("1000", "2000")})
    known = Named(replies=lambda _: "said", model_name="known")
    agent = create_agent(known, [], middleware=[GuardMiddleware([budget], max_tokens=100), Within()])

    assert (invoke(agent)["outcome"].usage.calls, chosen.calls) == ((0, 0) if name == "dear" else (1, 1))


def test_money_is_limited_before_the_call_of_a_real_client() -> None:
    from langchain_openai import ChatOpenAI

    numbers = iter(range(10_000))
    with OpenAIServer(lambda body: tool_call("search", {"q": f"q{next(numbers)}"})) as server:
        model = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="none", max_retries=0)  # type: ignore[arg-type]

        @tool
        def search(q: str) -> str:
            """Search."""
            return "nothing"

        output = create_agent(model, [search], middleware=[GuardMiddleware([Budget(usd="0.00005")])]).invoke(ASKED)
        asked = [one.body for one in server.requests]

    outcome: Outcome = output["outcome"]
    assert outcome.stopped_by == "Budget"
    assert outcome.usage.usd is not None
    assert 0 < outcome.usage.usd < 0.0001
    assert 1 <= len(asked) < 30
    assert all(0 < (one.get("max_tokens") or one.get("max_completion_tokens") or 0) <= 4096 for one in asked)


@pytest.mark.parametrize(
    ("on_trip", "status", "value"),
    [(Finish(), "degraded", "let me see"), (Escalate(), "escalated", "let me see"), (Refuse(), "refused", None)],
)
def test_the_status_is_what_the_guard_declares(invoke: Invoke, on_trip: Any, status: str, value: Any) -> None:
    outcome = invoke(loop_of(Budget(calls=2, on_trip=on_trip)).agent)["outcome"]

    assert (outcome.status, outcome.value) == (status, value)


def test_what_the_last_tool_has_found_is_there_where_the_agent_has_written_nothing(invoke: Invoke) -> None:
    loop = loop_of(Budget(calls=2), reply=lambda _: calls("search", q="x", text=""))

    assert invoke(loop.agent)["outcome"].value == "found nothing on x"


def test_every_tool_call_has_its_answer(invoke: Invoke) -> None:
    loop = loop_of(Repetition(2, on_trip=Finish()), reply=lambda _: calls(*["search"] * 5, q="x"))

    messages = invoke(loop.agent)["messages"]

    answers = [one for one in messages if isinstance(one, ToolMessage)]
    assert len(loop.searched) == 2
    assert {one.tool_call_id for one in answers} == {f"call_{n}" for n in range(5)}
    assert sum("not called" in one.text for one in answers) == 3
    assert isinstance(messages[-1], AIMessage)


def test_a_guard_of_ones_own_judges_and_one_that_raises_trips(invoke: Invoke) -> None:
    @guard(at="tool")
    def broken(context: GuardContext) -> str | None:
        raise LookupError("no rule")

    loop = loop_of(broken)
    outcome = invoke(loop.agent)["outcome"]

    assert loop.counts == (1, 0)
    assert outcome.reason.startswith("guard 'broken' raised LookupError: no rule")


def test_middleware_that_retries_repeats_no_stop(invoke: Invoke) -> None:
    loop = loop_of(
        Repetition(1, on_trip=Finish()), Budget(calls=9), more=[ModelRetryMiddleware(), ToolRetryMiddleware()]
    )

    assert invoke(loop.agent)["outcome"].stopped_by == "Repetition"
    assert loop.counts == (2, 1)


class Report(BaseModel):
    title: str


def test_a_structured_answer_is_the_value_and_stays_what_it_is(invoke: Invoke) -> None:
    model = ScriptedModel(replies=[calls("Report", title="done")])
    agent = create_agent(
        model, [], response_format=ToolStrategy(Report), middleware=[GuardMiddleware([Budget(calls=3)])]
    )

    output = invoke(agent)

    assert output["structured_response"] == Report(title="done")
    assert (output["outcome"].status, output["outcome"].value) == ("completed", {"title": "done"})


def test_a_stopped_agent_has_no_structured_answer(invoke: Invoke) -> None:
    loop = loop_of(Budget(calls=2), response_format=ToolStrategy(Report))

    output = invoke(loop.agent)

    assert output.get("structured_response") is None
    assert output["outcome"].status == "degraded"


def test_each_input_of_a_thread_counts_anew(invoke: Invoke) -> None:
    loop = loop_of(Budget(calls=3), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    outcomes = [invoke(loop.agent, ASKED, config)["outcome"] for _ in range(3)]

    assert [outcome.usage.calls for outcome in outcomes] == [3, 3, 3]
    assert loop.model.calls == 9


def test_what_a_human_answers_does_not_begin_the_count_anew() -> None:
    loop = loop_of(
        Budget(calls=3),
        reply=counted(after=99),
        more=[HumanInTheLoopMiddleware({"search": True})],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    output = loop.agent.invoke(ASKED, config)
    for _ in range(9):
        if "__interrupt__" not in output:
            break
        output = loop.agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)

    assert loop.model.calls == 3
    assert output["outcome"].usage.calls == 3


def test_another_process_goes_on_from_the_state() -> None:
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}

    def loop() -> Loop:
        return loop_of(
            Budget(calls=4), Repetition(2), more=[HumanInTheLoopMiddleware({"search": True})], checkpointer=saver
        )

    made = [loop() for _ in range(6)]
    output = made[0].agent.invoke(ASKED, config)
    for one in made[1:]:
        output = one.agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
        if "__interrupt__" not in output:
            break

    assert sum(one.model.calls for one in made) == 4
    assert sum(len(one.searched) for one in made) == 2  # the third one is a repetition
    assert output["outcome"].usage.calls == 4
    assert output["outcome"].usage.tokens == 400


def test_processes_that_take_turns_know_what_the_others_have_spent() -> None:
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    made = [
        loop_of(
            Budget(calls=5),
            reply=counted(after=20),
            more=[HumanInTheLoopMiddleware({"search": True})],
            checkpointer=saver,
        )
        for _ in range(2)
    ]

    output = made[0].agent.invoke(ASKED, config)
    for number in range(1, 20):
        if "__interrupt__" not in output:
            break
        output = made[number % 2].agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)

    assert sum(one.model.calls for one in made) == 5
    assert output["outcome"].usage.tokens == 500


@pytest.mark.parametrize("turns", [2, 9])
def test_what_tools_have_spent_beside_one_that_asks_a_human_is_known_to_other_processes(turns: int) -> None:
    deep, saver = ScriptedModel(replies=lambda _: "said", input_tokens=60, output_tokens=40), InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}

    @tool
    def look(q: str) -> str:
        """Look."""
        return " ".join(one.text for one in deep.batch([q] * 3))

    @tool
    def ask(q: str) -> str:
        """Ask a human."""
        return str(interrupt(q))

    models = [ScriptedModel(replies=lambda _: calls("look", "ask", q="x"), output_tokens=40) for _ in range(turns)]
    budget = [Budget(calls=9)]
    made = [create_agent(one, [look, ask], middleware=[GuardMiddleware(budget)], checkpointer=saver) for one in models]
    output = made[0].invoke(ASKED, config)
    for number in range(1, 20):
        if "__interrupt__" not in output:
            break
        output = made[number % turns].invoke(Command(resume="yes"), config)

    assert (output["outcome"].stopped_by, output["outcome"].usage.calls) == ("Budget", 9)
    assert sum(one.calls for one in models) + deep.calls == 9


def test_a_tool_that_asks_a_human_goes_on_after_the_answer(invoke: Invoke) -> None:
    @tool
    def confirm(what: str) -> str:
        """Ask a human twice."""
        return f"{interrupt(what)}, {interrupt(what)}"  # it runs three times, and is called once

    model = ScriptedModel(replies=[calls("confirm", what="it"), "confirmed"])
    agent = create_agent(model, [confirm], middleware=[GuardMiddleware([Repetition(1)])], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    first = invoke(agent, ASKED, config)
    invoke(agent, Command(resume="yes"), config)
    output = invoke(agent, Command(resume="sure"), config)

    assert "outcome" not in first or first["outcome"] is None
    assert output["messages"][-2].text == "yes, sure"
    assert (output["outcome"].status, output["outcome"].value) == ("completed", "confirmed")


def test_what_a_tool_calls_counts_too(invoke: Invoke) -> None:
    inner = ScriptedModel(replies=lambda _: "inner", input_tokens=1, output_tokens=1)

    @tool
    def think(n: int) -> str:
        """Think."""
        return str(inner.invoke("think").text)

    numbers = iter(range(99))
    outer = ScriptedModel(replies=lambda _: calls("think", n=next(numbers)), input_tokens=1, output_tokens=1)
    agent = create_agent(outer, [think], middleware=[GuardMiddleware([Budget(calls=5)])])

    outcome = invoke(agent)["outcome"]

    assert (outer.calls, inner.calls, outcome.usage.calls) == (3, 2, 5)


def test_a_nested_agent_counts_for_itself_and_for_the_outer_one(invoke: Invoke) -> None:
    inner = loop_of(Budget(calls=3), reply=counted(after=99))

    @tool
    def delegate(n: int) -> str:
        """Delegate."""
        return str(inner.agent.invoke(ASKED)["outcome"].usage.calls)

    numbers = iter(range(99))
    outer = ScriptedModel(replies=lambda _: calls("delegate", n=next(numbers)))
    agent = create_agent(outer, [delegate], middleware=[GuardMiddleware([Budget(calls=6)])])

    outcome = invoke(agent)["outcome"]

    assert outcome.usage.calls == 6 == outer.calls + inner.model.calls
    assert outcome.stopped_by == "Budget"


def test_agents_within_each_other_count_all_calls_whatever_callbacks_these_are_given(invoke: Invoke) -> None:
    deep = ScriptedModel(replies=lambda _: "said")

    @tool
    def look(q: str) -> str:
        """Look."""
        return deep.invoke(q, config={"callbacks": []}).text

    budget = GuardMiddleware([Budget(calls=9)])
    looking = [calls("look", q="x"), "looked"]
    inner = create_agent(ScriptedModel(replies=looking), [look], middleware=[budget])

    @tool
    def ask(q: str) -> str:
        """Ask."""
        return inner.invoke(ASKED)["messages"][-1].text

    outer = create_agent(ScriptedModel(replies=[calls("ask", q="x"), "done"]), [ask], middleware=[budget])

    assert (invoke(outer)["outcome"].usage.calls, deep.calls) == (5, 1)


def test_a_deadline_counts_the_time_of_work(invoke: Invoke) -> None:
    slow = ScriptedModel(replies=lambda _: calls("search", q="x"), delay=0.05)
    loop = Loop()
    agent = create_agent(slow, [loop.tool], middleware=[GuardMiddleware([Deadline(0.12)])])

    outcome = invoke(agent)["outcome"]

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Deadline")
    assert 2 <= slow.calls <= 3
    assert outcome.reason.endswith("0.12 s are allowed")


@pytest.mark.parametrize("way", [lambda g: g.invoke({"task": "x"}), lambda g: asyncio.run(g.ainvoke({"task": "x"}))])
def test_inside_a_team_both_count(way: Any) -> None:
    loop = loop_of(Budget(calls=3), reply=counted(after=99))
    graph = pipeline([Agent("w", run=loop.agent)], guards=[Budget(calls=50)]).compile()

    outcome: Outcome = way(graph)["outcome"]

    assert loop.model.calls == 3
    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", "Budget", "let me see")
    assert outcome.usage.calls == 3


@pytest.mark.parametrize("way", [lambda g: g.invoke({"task": "x"}), lambda g: asyncio.run(g.ainvoke({"task": "x"}))])
def test_inside_a_team_the_limit_of_the_team_holds(way: Any) -> None:
    loop = loop_of(Budget(calls=50), Repetition(), reply=counted(after=99))
    graph = pipeline([Agent("w", run=loop.agent)], guards=[Budget(calls=4, reserve=0)]).compile()

    outcome: Outcome = way(graph)["outcome"]

    assert loop.model.calls == 4
    assert (outcome.stopped_by, outcome.usage.calls) == ("Budget", 4)


def test_runs_at_the_same_time_count_apart() -> None:
    loop = loop_of(Budget(calls=3), reply=counted(after=99))

    async def all_of() -> list[dict[str, Any]]:
        return await asyncio.gather(*(loop.agent.ainvoke(ASKED) for _ in range(8)))

    assert [output["outcome"].usage.calls for output in asyncio.run(all_of())] == [3] * 8


def test_events_reach_the_caller() -> None:
    events: list[RunEvent] = []
    loop = loop_of(Repetition(1), on_event=events.append, name="scout")

    loop.agent.invoke(ASKED)

    assert {event.kind for event in events} == {"model_called", "verdict"}
    assert {event.path for event in events} == {("scout",)}


def test_a_given_clock_dates_the_calls() -> None:
    seen: list[GuardContext] = []

    @guard(at="model")
    def watch(context: GuardContext) -> None:
        seen.append(context)

    loop = loop_of(watch, reply=["done"], clock=lambda: datetime(2030, 1, 1, tzinfo=UTC))
    loop.agent.invoke(ASKED)

    assert [context.now.year for context in seen] == [2030]


@pytest.mark.parametrize("wanted", [10, 30])
def test_a_call_writes_at_most_max_tokens(wanted: int) -> None:
    model = ScriptedModel(replies=["word " * 200], output_tokens=200)
    agent = create_agent(model, [], middleware=[GuardMiddleware([Budget(tokens=10_000)], max_tokens=wanted)])

    assert agent.invoke(ASKED)["outcome"].usage.output_tokens == wanted


@pytest.mark.parametrize(
    ("guards", "message"),
    [
        ([], "`guards` is empty"),
        ([Schema()], "guard 'Schema' stops nothing inside one agent's loop"),
        ([Budget(calls=1), Convergence()], "guard 'Convergence' stops nothing"),
        ([Depth(2)], "guard 'Depth' stops nothing"),
        ([Limits()], "guard 'Limits' stops nothing"),
        ([Trust()], "guard 'Trust' stops nothing"),
        ([Repetition().only(agents={"writer"})], r"`only\(agents=…\)` of guard 'Repetition' names 'writer'"),
        ([Repetition().only(categories={"financial"})], "the input of an agent has no categories"),
        ([Repetition() | AllowedTools({"a"}).only(agents={"b"})], "guard 'AllowedTools' names 'b'"),
        ([Budget(calls=9, at={0.5: Downgrade("cheap")})], r"`Budget\(at=…\)` changes the model of agents of a team"),
        ([Budget(calls=1, per="tenant", window="day")], r"per='tenant' and window='day' is not .*`guarded\(agent, "),
        ([Budget(calls=1, window="day")], "per='run' and window='day' is not counted inside one agent's loop"),
        ([Budget], "`guards` holds the class Budget"),
        (Budget(calls=1), "`guards` must be"),
        ([3], "`guards` holds 3, which is no guard"),
        ([Reviewed("auditor", "Is it?")], r"names the reviewer 'auditor', which nothing asks .*`guarded\(agent, "),
        ([Trust(reserved={"send"}, review="auditor")], "'Trust' names the reviewer 'auditor', which nothing asks"),
        ([Budget(calls=1) & Reviewed("auditor", "Is it?")], "'Reviewed' names the reviewer 'auditor'"),
        ([AllowedTools({"a"}) | Trust(reserved={"b"}, review="auditor")], "'Trust' names the reviewer 'auditor'"),
        ([Budget(calls=1) & Budget(calls=1, per="tenant")], "per='tenant' and window=None is not counted inside"),
    ],
)
def test_refuses_guards_that_could_stop_nothing(guards: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        GuardMiddleware(guards)


@pytest.mark.parametrize("value", [0, -1, 1.5, "3"])
def test_refuses_a_bound_that_is_none(value: Any) -> None:
    with pytest.raises(BadGraph, match="`max_tokens` must be"):
        GuardMiddleware([Budget(calls=1)], max_tokens=value)


def test_velocity_is_a_guard_of_the_loop(invoke: Invoke) -> None:
    assert invoke(loop_of(Velocity(), reply=counted(after=3)).agent)["outcome"].status == "completed"


@tool
def pay(to: str) -> str:
    """Pay someone."""
    return f"paid {to}"


def test_a_reserved_tool_is_refused_once_a_tool_has_returned(invoke: Invoke) -> None:
    replies = iter([calls("pay", to="me"), calls("search", q="x"), calls("pay", to="me"), "done"])
    agent = create_agent(
        ScriptedModel(replies=lambda _: next(replies)),
        [Loop().tool, pay],
        middleware=[GuardMiddleware([Trust({"pay"}, on_trip=Retry(2))])],
    )

    found = [one.text for one in invoke(agent)["messages"] if isinstance(one, ToolMessage)]

    assert (found[0], found[1][:13]) == ("paid me", "found nothing")
    assert found[2].startswith("refused: the tool 'pay' is reserved for trusted requests")


def test_what_a_tool_has_returned_in_an_earlier_turn_counts_for_what_is_reserved(invoke: Invoke) -> None:
    replies = iter([calls("pay", to="me"), "done", calls("pay", to="you"), "done"])
    agent = create_agent(
        ScriptedModel(replies=lambda _: next(replies)),
        [pay],
        middleware=[GuardMiddleware([Trust({"pay"})])],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "1"}}

    assert invoke(agent, ASKED, config)["outcome"].status == "completed"
    assert invoke(agent, ASKED, config)["outcome"].stopped_by == "Trust"


def test_a_condition_on_the_agent_holds_for_its_name(invoke: Invoke) -> None:
    loop = Loop(middleware=[GuardMiddleware([Repetition(2).only(agents={"loop", "other"})], name="loop")])

    assert invoke(loop.agent)["outcome"].stopped_by == "Repetition"


def test_of_two_guards_with_one_name_the_reaction_of_the_one_that_trips_counts(invoke: Invoke) -> None:
    loop = loop_of(Repetition(3, on_trip=Finish()), Repetition(2, on_trip=Escalate()))

    assert invoke(loop.agent)["outcome"].status == "escalated"


# Alerts


@pytest.mark.parametrize(
    ("most", "turns", "parts"),
    [
        (10, 4, []),
        (10, 5, [0.5]),
        (10, 7, [0.5]),
        (10, 8, [0.5, 0.8]),
        (10, 10, [0.5, 0.8, 1.0]),
        (1, 1, [1.0]),
    ],
)
def test_an_alert_comes_once_for_each_part_of_the_budget(
    most: int, turns: int, parts: list[float], invoke: Invoke
) -> None:
    events: list[RunEvent] = []
    guards = Budget(calls=most), Budget(tokens=99_000)
    loop = loop_of(*guards, reply=counted(after=turns - 1), on_event=events.append)

    state = invoke(loop.agent)

    assert state["outcome"].status == "completed"
    emitted = [event.data for event in events if event.kind == "verdict"]
    assert [one["limit"] for one in emitted] == parts
    assert state["verdicts"] == emitted
    assert all(one["action"] == "alert" and "of the budget is spent" in str(one["reason"]) for one in emitted)


def test_alerts_are_not_repeated_after_an_interrupt_in_another_process() -> None:
    @tool
    def confirm(what: str) -> str:
        """Ask a human."""
        return str(interrupt(what))

    events, saver, config = list[RunEvent](), InMemorySaver(), {"configurable": {"thread_id": "t"}}

    def agent() -> Any:
        model = ScriptedModel(
            replies=lambda messages: "done" if isinstance(messages[-1], ToolMessage) else calls("confirm", what="it"),
            input_tokens=200,
            output_tokens=100,
        )
        middleware = [GuardMiddleware([Budget(tokens=1_000)], on_event=events.append)]
        return create_agent(model, [confirm], middleware=middleware, checkpointer=saver)

    states: list[dict[str, Any]] = []
    for _ in range(2):  # the next input of the thread begins anew
        agent().invoke(ASKED, config)
        states.append(agent().invoke(Command(resume="yes"), config))

    assert [one["limit"] for one in states[0]["verdicts"]] == [0.5]
    assert states[1]["verdicts"] == states[0]["verdicts"]
    assert [event.data["limit"] for event in events if event.kind == "verdict"] == [0.5, 0.5]


def test_trips_are_among_the_verdicts_of_the_state(invoke: Invoke) -> None:
    state = invoke(loop_of(Repetition(2), Budget(tokens=10_000)).agent)

    assert [(one["guard"], one["action"]) for one in state["verdicts"]] == [("Repetition", "trip")] * 2
