"""How each kind of agent is called with a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig

from guardgraph.agents.agent import Agent, input_keys
from guardgraph.agents.prompt import render
from guardgraph.agents.results import InvalidAnswer
from guardgraph.agents.text import last_text
from guardgraph.state import ContextItem, Outcome, Request, Task

__all__ = ("AgentAdapter", "adapt", "model_body")

_Call = Callable[[Request, RunnableConfig], Any]
_ACall = Callable[[Request, RunnableConfig], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class AgentAdapter:
    """An agent's work, sync and async; one of both may be missing."""

    call: _Call | None
    acall: _ACall | None


def adapt(agent: Agent, *, evidence: bool) -> AgentAdapter:
    """Return how to call `agent`; with `evidence` a model agent answers its value with quotes."""
    if agent.kind == "model":
        return AgentAdapter(*model_body(agent, evidence=evidence))
    if agent.kind == "function":
        return _function(agent.run)
    ask, tell = _translation(agent)
    run: Any = agent.run

    def call(request: Request, config: RunnableConfig) -> Any:
        return tell(run.invoke(ask(request), config))

    async def acall(request: Request, config: RunnableConfig) -> Any:
        return tell(await run.ainvoke(ask(request), config))

    return AgentAdapter(call, acall)


def model_body(agent: Agent, *, evidence: bool) -> tuple[_Call, _ACall]:
    """Return how to ask the agent's model, sync and async. The model is made once, when the graph is built."""
    from guardgraph.agents.model_agent import calls_of

    return calls_of(agent, evidence=evidence)


def _function(run: Callable[..., Any]) -> AgentAdapter:
    if _is_async(run):

        async def acall(request: Request, config: RunnableConfig) -> Any:
            return await run(request)

        return AgentAdapter(None, acall)

    def call(request: Request, config: RunnableConfig) -> Any:
        value = run(request)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("the function returned a coroutine: declare it with `async def`, so that it is awaited")
        return value

    return AgentAdapter(call, None)


def _is_async(run: Any) -> bool:
    """Tell whether a call of `run` is to be awaited: an async function, or an object with an async `__call__`."""
    while isinstance(run, partial):
        run = run.func
    return inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(type(run).__call__)


def _translation(agent: Agent) -> tuple[Callable[[Request], Any], Callable[[Any], Any]]:
    """Return what goes into a graph or Runnable, and what is taken from its output."""
    if agent.kind == "team":
        return _ask_team if "task" in input_keys(agent.run) else _ask_messages, agent.from_output or _tell_team
    if agent.kind == "messages":
        return _ask_messages, agent.from_output or _tell_messages
    return agent.to_input or _as_it_is, agent.from_output or _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _ask_team(request: Request) -> dict[str, Any]:
    context = [*request.context, *_refusal(request)]
    if request.subtask is None:
        return {"task": request.task, "background": context}
    task = Task(
        id=request.subtask.id,
        goal=request.subtask.goal,
        inputs={**request.task.inputs, **request.subtask.inputs},
        stakes=request.task.stakes,
        categories=request.task.categories,
        origin=request.task.origin or request.task.goal,
    )
    return {"task": task, "background": [piece for piece in context if piece.kind != "worker"]}


def _refusal(request: Request) -> list[ContextItem]:
    """Return why the attempt before was refused, as context of a team."""
    if request.feedback is None:
        return []
    return [
        ContextItem(
            kind="background", title="why the attempt before was refused", value=request.feedback, sender="gate"
        )
    ]


def _tell_team(output: dict[str, Any]) -> Outcome:
    outcome: Any = output.get("outcome")
    if outcome is None:
        raise InvalidAnswer(
            "the team ended before its `guard_exit`: a node leads nowhere, or to one that does not exist"
        )
    return outcome if isinstance(outcome, Outcome) else Outcome.model_validate(outcome)


def _ask_messages(request: Request) -> dict[str, Any]:
    return {"messages": [HumanMessage(render(request))]}


def _tell_messages(output: dict[str, Any]) -> Any:
    structured = output.get("structured_response")
    return last_text(output["messages"]) if structured is None else structured
