"""A foreign graph that works under guards: it gets its own input, and its last state is kept where it is stopped."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig

from guardgraph.runtime.budget.attempt_budget import BudgetExceeded
from guardgraph.runtime.budget.call_guards import GuardTripped
from guardgraph.runtime.execution_context import execution_context
from guardgraph.state import BadInput, Outcome, Request, check_json, to_json

__all__ = (
    "GivenGraph",
    "answered",
    "astream_graph",
    "closed",
    "given_graph",
    "has_outcome",
    "stream_graph",
    "text_of_run",
    "value_of",
    "with_input",
)


@dataclass(slots=True)
class GivenGraph:
    """The input of a foreign graph in one execution, and the state that it has reached."""

    input: Mapping[str, Any]
    state: dict[str, Any] | None = None


_GIVEN: ContextVar[GivenGraph | None] = ContextVar("guardgraph_given", default=None)


@contextmanager
def with_input(given: GivenGraph) -> Generator[GivenGraph]:
    """Let the graph that works within have the input of `given`, and keep its state there."""
    token = _GIVEN.set(given)
    try:
        yield given
    finally:
        _GIVEN.reset(token)


def given_graph() -> GivenGraph:
    """Return what the graph that works now was given."""
    return _GIVEN.get() or GivenGraph({})


def stream_graph(run: Any, request: Request, config: RunnableConfig) -> Any:
    """Run the graph, keep each of its states, and return the value of the last one, also where a guard stops it.

    Of a graph with an outcome it is the outcome.
    """
    given = given_graph()
    try:
        for state in run.stream(_input(given, request), config, stream_mode="values"):
            _keep(given, state)
    except (BudgetExceeded, GuardTripped):
        if given.state is None:
            raise
    return _answer(run, given.state)


async def astream_graph(run: Any, request: Request, config: RunnableConfig) -> Any:
    """Do the same without blocking the event loop."""
    given = given_graph()
    try:
        async for state in run.astream(_input(given, request), config, stream_mode="values"):
            _keep(given, state)
    except (BudgetExceeded, GuardTripped):
        if given.state is None:
            raise
    return _answer(run, given.state)


def has_outcome(graph: Any) -> bool:
    """Return whether a compiled graph has an `Outcome` in its output: it is guarded, or has a `GuardMiddleware`."""
    kind = getattr(graph.channels.get("outcome"), "ValueType", None)
    return getattr(kind, "__origin__", kind) is Outcome and "outcome" in graph.output_channels


def value_of(state: Mapping[str, Any] | None) -> Any:
    """Return the value of a state as JSON data: the structured response, the last text, or the state itself."""
    if state is None:
        return None
    structured = state.get("structured_response")
    if structured is not None:
        return _as_json(structured)
    messages = state.get("messages")
    if not isinstance(messages, list):
        return {name: _as_json(value) for name, value in state.items()}
    return text_of_run(cast("list[Any]", messages)) or None


def answered(messages: Sequence[Any], reason: str) -> list[Any]:
    """Return messages in which every tool call has its answer, as models want them: `reason` where there is none.

    Whether such a call was made is not known: it may have been cut off.
    """
    found = list[Any]()
    for place, message in enumerate(messages):
        found.append(message)
        later = takewhile(lambda one: isinstance(one, ToolMessage), messages[place + 1 :])
        known = {one.tool_call_id for one in later}  # some providers give the same id to calls of later messages
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            if call["id"] not in known:
                text = f"no result: {reason}"
                found.append(ToolMessage(text, name=call["name"], tool_call_id=call["id"] or "", status="error"))
    return found


def closed(state: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return the state of a graph that was cut off as a later turn can use it: every tool call has its answer."""
    messages = state.get("messages")
    answers = {"messages": answered(cast("list[Any]", messages), reason)} if isinstance(messages, list) else {}
    return {**state, **answers}


def text_of_run(messages: Sequence[Any]) -> str:
    """Return the last text of an agent since it was asked; where it has written none, the last answer of a tool."""
    run = list[Any]()
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            break
        run.append(message)
    texts = (one.text.strip() for one in run if isinstance(one, AIMessage))
    found = (one.text.strip() for one in run if isinstance(one, ToolMessage) and one.status != "error")
    return next(filter(None, texts), None) or next(filter(None, found), "")


def _input(given: GivenGraph, request: Request) -> Mapping[str, Any]:
    """Return the input of an attempt: one after a refusal goes on from the conversation, with the reason."""
    messages: Any = (given.state or {}).get("messages")
    _note_history(given.input)
    if request.feedback is None or not isinstance(messages, list):
        return given.input
    why = HumanMessage(f"Your answer was refused: {request.feedback}")
    return {**given.input, "messages": [*answered(cast("list[BaseMessage]", messages), "refused"), why]}


def _note_history(given: Mapping[str, Any]) -> None:
    """Note in the label of the attempt what tools have returned in earlier turns of a conversation."""
    current, messages = execution_context(None), given.get("messages")
    if current is not None and current.integrity is not None and isinstance(messages, list):
        current.integrity.recall(cast("list[Any]", messages))


def _answer(run: Any, state: Mapping[str, Any] | None) -> Any:
    """Return the outcome or the value of a state, of which only the output counts: what is within is the graph's."""
    output = {name: value for name, value in (state or {}).items() if name in run.output_channels}
    outcome = output.get("outcome") if has_outcome(run) else None
    return outcome if isinstance(outcome, Outcome) else value_of(output or None)


def _keep(given: GivenGraph, state: Any) -> None:
    if isinstance(state, Mapping):
        given.state = {str(name): value for name, value in cast("Mapping[Any, Any]", state).items()}


def _as_json(value: Any) -> Any:
    """Return a value as JSON data; a text of it where it has no such form."""
    try:
        data = to_json(value)
        check_json(data)
    except (BadInput, ValueError, TypeError):
        return str(value)
    return data
