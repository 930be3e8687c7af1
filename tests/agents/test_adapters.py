from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.agents.adapters import AgentAdapter, adapt
from guardgraph.agents.prompt import render
from guardgraph.agents.results import InvalidAnswer
from guardgraph.state import ContextItem, Outcome, Request, RunState, Subtask, Task, TeamInput, TeamOutput

TASK = Task(
    goal="compare", id="t", inputs={"year": 2030, "unit": "kg"}, stakes="high", categories=frozenset({"safety"})
)
REQUEST = Request(task=TASK)
BACKGROUND = ContextItem(kind="background", title="house rules", value="be brief")
WORKER = ContextItem(kind="worker", title="analyst", value={"skills": []})


class Report(BaseModel):
    title: str


class Chat(MessagesState, total=False):
    structured_response: Any


def call(body: AgentAdapter, request: Request = REQUEST) -> Any:
    """Return what a body answers, in the only way or in both ways that it has."""
    message: list[Any] = []
    if body.call is not None:
        message.append(body.call(request, {}))
    if body.acall is not None:
        acall = body.acall

        async def answer() -> Any:
            return await acall(request, {})

        message.append(asyncio.run(answer()))
    assert all(one == message[0] for one in message)
    return message[0]


def goal(request: Request) -> str:
    return request.goal


async def agoal(request: Request) -> str:
    return request.goal


def prefixed(prefix: str, request: Request) -> str:
    return prefix + request.goal


async def aprefixed(prefix: str, request: Request) -> str:
    return prefix + request.goal


class Sync:
    def __call__(self, request: Request) -> str:
        return request.goal

    def method(self, request: Request) -> str:
        return request.goal

    async def amethod(self, request: Request) -> str:
        return request.goal


class Async:
    async def __call__(self, request: Request) -> str:
        return request.goal


@pytest.mark.parametrize(
    "run", [goal, lambda request: request.goal, Sync(), Sync().method, partial(goal), partial(Sync())]
)
def test_a_sync_callable_is_called_on_a_thread_in_both_ways(run: Callable[..., Any]) -> None:
    body = adapt(Agent("a", run=run), evidence=False)

    assert body.acall is None, "a team that runs asynchronously runs it apart"
    assert call(body) == "compare"


@pytest.mark.parametrize(
    "run", [agoal, Async(), Sync().amethod, partial(agoal), partial(Async()), partial(partial(Async()))]
)
def test_an_async_callable_is_awaited(run: Callable[..., Any]) -> None:
    body = adapt(Agent("a", run=run), evidence=False)

    assert body.call is None
    assert call(body) == "compare"


@pytest.mark.parametrize("run", [partial(prefixed, "to "), partial(aprefixed, "to ")])
def test_a_partial_keeps_its_arguments(run: Callable[..., Any]) -> None:
    assert call(adapt(Agent("a", run=run), evidence=False)) == "to compare"


def test_a_class_is_called_like_a_function() -> None:
    class Answer:
        def __init__(self, request: Request) -> None:
            self.goal = request.goal

        async def __call__(self) -> str:
            return self.goal

    assert call(adapt(Agent("a", run=Answer), evidence=False)).goal == "compare"


def test_a_function_that_returns_a_coroutine_is_refused_with_a_remedy() -> None:
    with pytest.raises(TypeError, match="returned a coroutine: declare it with `async def`"):
        call(adapt(Agent("a", run=lambda request: agoal(request)), evidence=False))


@pytest.mark.parametrize(
    "run", [RunnableLambda(goal), RunnableLambda(goal, agoal), RunnableLambda(goal) | (lambda text: text)]
)
def test_a_runnable_is_given_the_request(run: Any) -> None:
    assert call(adapt(Agent("a", run=run), evidence=False)) == "compare"


def test_a_runnable_may_have_its_own_input_and_output() -> None:
    agent = Agent(
        "a", run=RunnableLambda(str.upper), to_input=lambda request: request.goal, from_output=lambda text: text + "!"
    )

    assert call(adapt(agent, evidence=False)) == "COMPARE!"


def chat(*, structured: Any = None, says: Any = None) -> Any:
    """Return a graph that repeats what it is told, or gives a structured response."""

    def say(state: Chat) -> dict[str, Any]:
        heard = state["messages"][-1]
        assert isinstance(heard, HumanMessage)
        message = AIMessage(heard.text) if says is None else says
        return {"messages": [message], **({} if structured is None else {"structured_response": structured})}

    graph: Any = StateGraph(Chat)
    graph.add_node("say", say)
    return graph.add_edge(START, "say").compile()


@pytest.mark.parametrize(
    "wrap", [lambda graph: graph, lambda graph: graph.with_retry(), lambda graph: graph.with_config(tags=["t"])]
)
def test_a_messages_graph_hears_the_rendered_request_and_its_last_message_is_taken(wrap: Any) -> None:
    assert call(adapt(Agent("a", run=wrap(chat())), evidence=False)) == render(REQUEST)


@pytest.mark.parametrize("structured", [Report(title="t"), {"title": "t"}, [], 0])
def test_a_structured_response_comes_before_the_last_message(structured: Any) -> None:
    assert call(adapt(Agent("a", run=chat(structured=structured)), evidence=False)) == structured


def test_a_last_message_that_is_a_broken_tool_call_is_invalid() -> None:
    broken = AIMessage("", invalid_tool_calls=[{"name": "find", "args": "{", "id": "1", "error": None}])

    with pytest.raises(InvalidAnswer, match=r"the model's tool call cannot be read: find\(\{\)"):
        call(adapt(Agent("a", run=chat(says=broken)), evidence=False))


def test_a_messages_graph_may_be_understood_differently() -> None:
    agent = Agent("a", run=chat(), from_output=lambda output: len(output["messages"]))

    assert call(adapt(agent, evidence=False)) == 2


def team(shown_text: Any) -> tuple[Agent, list[Any]]:
    """Return an agent that is one of our graphs, as far as it can be seen, and what it is asked."""
    from_outside: list[Any] = []

    def conclude(state: Any) -> dict[str, Any]:
        from_outside.append(state)
        return {"outcome": shown_text}

    graph: Any = StateGraph(RunState, input_schema=TeamInput, output_schema=TeamOutput)
    graph.add_node("conclude", conclude, input_schema=TeamInput)
    return Agent("team", run=graph.add_edge(START, "conclude").compile()), from_outside


@pytest.mark.parametrize("shown_text", [Outcome(status="completed", value=1), {"status": "completed", "value": 1}])
def test_the_outcome_of_a_team_may_be_a_dict_from_a_checkpoint(shown_text: Any) -> None:
    agent, _ = team(shown_text)

    assert call(adapt(agent, evidence=False)) == Outcome(status="completed", value=1)


def test_a_team_without_a_subtask_gets_the_task_itself_with_all_context() -> None:
    agent, given = team(Outcome(status="completed"))

    call(adapt(agent, evidence=False), Request(task=TASK, context=(BACKGROUND, WORKER)))

    assert (given[0]["task"], given[0]["background"]) == (TASK, [BACKGROUND, WORKER])


@pytest.mark.parametrize(("above", "origin"), [(None, "compare"), ("the first intent", "the first intent")])
def test_a_team_gets_a_subtask_as_a_task_that_keeps_the_original_intent(above: str | None, origin: str) -> None:
    agent, given = team(Outcome(status="completed"))
    subtask = Subtask(id="s-1", goal="search", inputs={"unit": "lb", "top": 3})
    task = TASK.model_copy(update={"origin": above})

    call(adapt(agent, evidence=False), Request(task=task, subtask=subtask, context=(BACKGROUND, WORKER)))

    assert given[0]["background"] == [BACKGROUND], "its own planner has workers of its own"
    assert given[0]["task"] == Task(
        id="s-1",
        goal="search",
        inputs={"year": 2030, "unit": "lb", "top": 3},
        stakes="high",
        categories=frozenset({"safety"}),
        origin=origin,
    )
