"""How each kind of agent is called with a request."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig

from guardgraph.agents.agent import Agent, input_keys
from guardgraph.agents.prompt import messages_input
from guardgraph.agents.results import InvalidAnswer, messages_output, with_events
from guardgraph.state import ContextItem, Outcome, Request, Task

__all__ = ("AgentAdapter", "ModelCalls", "OwnCalls", "adapt", "model_calls", "runnable_calls")

_Call = Callable[[Request, RunnableConfig], Any]
_ACall = Callable[[Request, RunnableConfig], Coroutine[Any, Any, Any]]


class AgentAdapter(NamedTuple):
    """How an agent is called, sync and async; one of both may be missing."""

    call: _Call | None
    acall: _ACall | None
    origins: tuple[tuple[str | None, str | None], ...] = ()
    """Provider and name of each model of a model agent, as its calls report them."""


class ModelCalls(NamedTuple):
    """How a model agent is called, sync and async."""

    call: _Call
    acall: _ACall
    origins: tuple[tuple[str | None, str | None], ...]
    """Provider and name of each of its models, as its calls report them."""


class OwnCalls(ABC):
    """Calls a graph in its own way; given as `to_input` of an agent."""

    @abstractmethod
    def call(self, run: Any, request: Request, config: RunnableConfig) -> Any:
        """Return the answer of the graph `run`."""

    @abstractmethod
    async def acall(self, run: Any, request: Request, config: RunnableConfig) -> Any:
        """Do the same without blocking the event loop."""

    def __call__(self, request: Request) -> Any:
        """Return the input for callers that need nothing else."""
        return request


def adapt(agent: Agent, *, evidence: bool) -> AgentAdapter:
    """Return how to call `agent`; with `evidence` a model agent answers its value with quotes."""
    match agent.kind:
        case "model":
            return AgentAdapter(*model_calls(agent, evidence=evidence))
        case "function":
            return _function(agent.run)
        case "team":
            to_input = _team_input if "task" in input_keys(agent.run) else messages_input
            from_output = agent.from_output or _team_output
        case "messages":
            to_input, from_output = messages_input, agent.from_output or _messages_output
        case "graph" if isinstance(agent.to_input, OwnCalls):
            return AgentAdapter(partial(agent.to_input.call, agent.run), partial(agent.to_input.acall, agent.run))
        case "graph" | "runnable":
            to_input, from_output = agent.to_input or _unchanged, agent.from_output or _unchanged
    return AgentAdapter(*runnable_calls(agent.run, to_input, from_output))


def model_calls(agent: Agent, *, evidence: bool) -> ModelCalls:
    """Return how to call the agent's model. The model is made once, when the graph is built."""
    from guardgraph.agents.model_agent import calls_of

    return calls_of(agent, evidence=evidence)


def runnable_calls(
    run: Any, to_input: Callable[[Request], Any], from_output: Callable[[Any], Any]
) -> tuple[_Call, _ACall]:
    """Return how to call a Runnable, sync and async, by what makes its input and reads its output."""

    def call(request: Request, config: RunnableConfig) -> Any:
        return from_output(run.invoke(to_input(request), config))

    async def acall(request: Request, config: RunnableConfig) -> Any:
        return from_output(await run.ainvoke(to_input(request), config))

    return call, acall


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
    """Return whether a call of `run` must be awaited: an async function, or an object with an async `__call__`."""
    while isinstance(run, partial):
        run = run.func
    return inspect.iscoroutinefunction(run) or inspect.iscoroutinefunction(type(run).__call__)


def _messages_output(output: Mapping[str, Any]) -> Any:
    outcome = output.get("outcome")
    if isinstance(outcome, Outcome) and outcome.status != "completed":  # `GuardMiddleware` has stopped the agent
        return outcome
    return with_events(messages_output(output), output["messages"])


def _unchanged(value: Any) -> Any:
    return value


def _team_input(request: Request) -> dict[str, Any]:
    context = list(request.context)
    if request.feedback is not None:
        title = "why the previous attempt was refused"
        context.append(
            ContextItem(kind="background", title=title, value=request.feedback, sender="gate", origin="agent")
        )
    context += [
        ContextItem(
            kind="background",
            title=f"a message to you ({one.performative})",
            sender=one.sender,
            value=one.content,
            origin="agent",
            trusted=one.trusted,
        )
        for one in request.messages
    ]
    if request.memory is not None:
        context.append(ContextItem(kind="background", title="what you have kept", value=request.memory, origin="agent"))
    if request.subtask is None:
        return {"task": request.task, "background": context}
    task = Task(
        id=request.subtask.id,
        goal=request.subtask.goal,
        inputs={**request.task.inputs, **request.subtask.inputs},
        attachments=request.task.attachments,
        stakes=request.task.stakes,
        categories=request.task.categories,
        origin=request.task.origin or request.task.goal,
    )
    return {"task": task, "background": [item for item in context if item.kind != "worker"]}


def _team_output(output: dict[str, Any]) -> Outcome:
    outcome: Any = output.get("outcome")
    if outcome is None:
        raise InvalidAnswer(
            "the team ended before its `guard_exit`: a node leads nowhere, or to one that does not exist"
        )
    return outcome if isinstance(outcome, Outcome) else Outcome.model_validate(outcome)
