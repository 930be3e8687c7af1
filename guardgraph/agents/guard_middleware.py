"""Guards inside the loop of an agent of LangChain's `create_agent`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.types import Command
from typing_extensions import TypedDict

from guardgraph.agents.agent_loop import AgentLoop, LoopRules, idle_guard, unmet_promise
from guardgraph.agents.call_settings import output_limit, output_option
from guardgraph.agents.foreign_graph import text_of_run
from guardgraph.guards import Guard, checked_guards, name_of
from guardgraph.runtime.budget.attempt_budget import BudgetExceeded
from guardgraph.runtime.budget.call_guards import GuardTripped
from guardgraph.runtime.budget.callback_handler import CallReservation
from guardgraph.runtime.budget.prompt_tokens import prompt_tokens
from guardgraph.runtime.child_config import metered
from guardgraph.runtime.execution_context import execution_context
from guardgraph.state import BadGraph, MissingExtra, Outcome, RunEvent, to_json
from guardgraph.state.argument_checks import must_be

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

__all__ = ("GuardMiddleware",)

_STOPS = (BudgetExceeded, GuardTripped)
_IDLE_LOOPS = 1_000
"""How many runs that wait for a human keep their exact counts in this process; others go on from the state."""
_KEY = "guard_run"


def GuardMiddleware(
    guards: Sequence[Guard],
    *,
    max_tokens: int | None = None,
    name: str = "",
    on_event: Callable[[RunEvent], None] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AgentMiddleware[Any, Any, Any]:
    """Return middleware for `create_agent(middleware=[…])` that stops the agent before a call that goes too far.

    `guards` are `Budget`, `Deadline`, `Limits(calls=…)`, `Repetition`, `Velocity`, `AllowedTools`, `Trust(reserved=…)`,
    `Breaker(rate=…, of="tool")` or `of="model"`, and any of yours at the gates `model` and `tool`. What `Trust`
    reserves is refused once any tool has returned, in this run or earlier in its thread. Guards count one run of the
    agent: from its input to its answer, over interrupts and resumes; the next input of a thread begins anew. What a
    tool calls counts too, other agents and teams included.

    A stop raises nothing: the loop ends with an `AIMessage` that has the text that was there, and the state has
    `outcome`, an `Outcome` with status, value, `stopped_by`, reason and usage, and `verdicts`, the alerts and trips as
    JSON data. Every tool call has its answer, so the thread can go on. `structured_response` is only there where the
    agent has given one. Where money or tokens are limited, a model call writes at most `max_tokens`: by default what
    its model allows, or else 4,096. A call that runs is not cut: one may overshoot as `Budget` describes, and a
    `Deadline` counts the time in which models and tools work. Models that other middleware calls outside of the
    agent's own calls do not count.

    Inside of a team its meter and its guards hold as well. `name` names the agent for guards and events; `on_event`
    is called with each event. Raises `BadGraph` for a guard that could stop nothing here, and `MissingExtra` without
    `langchain`.
    """
    must_be("GuardMiddleware", "guards", guards, Sequence[Any])
    must_be("GuardMiddleware", "max_tokens", max_tokens, int | None)
    must_be("GuardMiddleware", "name", name, str)
    if not guards:
        raise BadGraph("GuardMiddleware: `guards` is empty, so nothing would be stopped; give at least one guard")
    if max_tokens is not None and max_tokens < 1:
        raise BadGraph(f"GuardMiddleware: `max_tokens` must be at least 1, got {max_tokens!r}")
    found = checked_guards(guards)
    unmet = unmet_promise(found, name)
    if unmet is not None:
        raise BadGraph(f"GuardMiddleware: {unmet}")
    idle = idle_guard(found, clock())
    if idle is not None:
        raise BadGraph(f"GuardMiddleware: {_why_idle(idle)}")
    return _middleware_class()(LoopRules(found, name, clock, on_event), max_tokens)


def _why_idle(guard: Guard) -> str:
    """Return why a guard stops nothing in an agent's loop, and what to do."""
    return (
        f"guard {name_of(guard)!r} stops nothing inside one agent's loop: it judges at "
        f"{', '.join(sorted(guard.gates))}, and there are the gates `model` and `tool`; give guards of these, "
        "`Budget`, `Deadline` or `Limits(calls=…)`; others go into a team"
    )


class _Loops:
    """The runs of one agent in this process, by their ids."""

    def __init__(self, rules: LoopRules) -> None:
        self._rules, self._lock = rules, Lock()
        self._known: OrderedDict[str, AgentLoop] = OrderedDict()

    def begin(self, messages: Sequence[Any]) -> AgentLoop:
        """Return a new run of an agent that begins with these messages."""
        with self._lock:
            return self._keep(AgentLoop.begun(self._rules, messages=messages))

    def of(self, state: Mapping[str, Any]) -> AgentLoop:
        """Return the run that the state belongs to, from this process or from what was stored."""
        record: Mapping[str, Any] = state.get(_KEY) or {}
        with self._lock:
            loop = self._known.get(record.get("id", ""))
            if loop is None or not loop.knows(record):
                loop = self._keep(AgentLoop.begun(self._rules, record))
        return loop

    def calling(self, state: Mapping[str, Any]) -> AgentLoop:
        """Return the run that is about to call its model, with what its tools have spent in other processes."""
        loop = self.of(state)
        if state.get(_KEY):
            loop.add_elsewhere(state[_KEY], state.get("messages") or ())
        return loop

    def forget(self, loop: AgentLoop) -> None:
        """Drop a run that has ended."""
        with self._lock:
            self._known.pop(loop.id, None)

    def _keep(self, loop: AgentLoop) -> AgentLoop:
        self._known[loop.id] = loop
        if len(self._known) > _IDLE_LOOPS:
            self._known.popitem(last=False)
        return loop


@contextmanager
def _inside(loop: AgentLoop) -> Generator[None]:
    """Count and judge all that is called within, and emit the alerts of what it has spent."""
    try:
        with loop.working(), metered(loop.budget):
            yield
    finally:
        loop.alert()


def _reservations(loop: AgentLoop, request: Any, most: int | None) -> tuple[CallReservation, Callable[..., Any]]:
    """Return the reservation of a model call with the team around the agent, and what makes the one of the agent."""
    from guardgraph.models.identity import origin_of

    messages = [*([request.system_message] if request.system_message else []), *request.messages]
    counted = prompt_tokens(messages) + sum(len(str(_described(tool))) // 4 for tool in request.tools)
    wanted = output_limit(request.model, request.model_settings)
    if most is not None:
        wanted = most if wanted is None else min(wanted, most)
    origin = origin_of(request.model)
    return (
        CallReservation(execution_context(None), counted, wanted, origin),
        lambda bound: CallReservation(loop.execution, counted, bound, origin),
    )


def _described(tool: Any) -> Any:
    return tool if isinstance(tool, Mapping) else (tool.name, tool.description, tool.args)


def _bounded(request: Any, bound: int | None) -> Any:
    settings = {} if bound is None else {output_option(request.model): bound}
    return request.override(model_settings={**request.model_settings, **settings}) if settings else request


def _not_called(loop: AgentLoop, request: Any) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(f"not called: {loop.why}", name=call["name"], tool_call_id=call["id"], status="error")


def _last_message(loop: AgentLoop, state: Mapping[str, Any]) -> AIMessage:
    """Return the message with which a run ends that was stopped."""
    stop = loop.stop
    name = "" if stop is None else loop.rules.guard_of(stop)[0]
    there = text_of_run(state.get("messages") or ())
    note = f"[stopped by {name}: {loop.why}]"
    return AIMessage(
        f"{there}\n\n{note}" if there else note,
        response_metadata={"stopped_by": name, "reason": loop.why, "partial": there},
    )


def _value(state: Mapping[str, Any]) -> Any:
    """Return the answer of a run as JSON data: the structured one, else the last text, without the note of a stop."""
    structured = state.get("structured_response")
    if structured is not None:
        return to_json(structured)
    messages: Sequence[BaseMessage] = state.get("messages") or ()
    last = messages[-1] if messages else None
    if isinstance(last, AIMessage) and "stopped_by" in last.response_metadata:
        return last.response_metadata.get("partial") or None
    return (last.text if isinstance(last, AIMessage) else "") or None


class _Hooks:
    """What the middleware does in an agent; LangChain's base class is joined once it is needed."""

    def __init__(self, rules: LoopRules, max_tokens: int | None) -> None:
        self._loops, self._max_tokens = _Loops(rules), max_tokens

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Begin a run."""
        return {_KEY: self._loops.begin(state.get("messages") or ()).record(), "outcome": None, "verdicts": []}

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """End the run with its outcome."""
        loop = self._loops.of(state)
        outcome = loop.outcome(_value(state))
        self._loops.forget(loop)
        return {"outcome": outcome, "verdicts": loop.verdicts, _KEY: loop.record()}

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Call the model within the guards, or end the loop."""
        loop = self._loops.calling(request.state)
        if loop.stop is not None:
            return _ended(loop, request)
        try:
            team, own = _reservations(loop, request, self._max_tokens)
            with team as bound, own(bound) as bounded, _inside(loop):
                response = handler(_bounded(request, bounded))
        except _STOPS:
            if loop.stop is None:  # it is the stop of a team around the agent
                raise
            return _ended(loop, request)
        return _with_record(response, loop)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        """Do the same without blocking the event loop."""
        loop = self._loops.calling(request.state)
        if loop.stop is not None:
            return _ended(loop, request)
        try:
            team, own = _reservations(loop, request, self._max_tokens)
            async with team as bound, own(bound) as bounded:
                with _inside(loop):
                    response = await handler(_bounded(request, bounded))
        except _STOPS:
            if loop.stop is None:
                raise
            return _ended(loop, request)
        return _with_record(response, loop)

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Call the tool within the guards, or answer why it is not called."""
        loop = self._loops.of(request.state)
        if loop.stop is not None:
            return _not_called(loop, request)
        try:
            calls = loop.usage.calls
            with _inside(loop):
                answer = handler(request)
            return loop.noting(answer, calls)
        except _STOPS:
            if loop.stop is None:
                raise
            return _not_called(loop, request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Do the same without blocking the event loop."""
        loop = self._loops.of(request.state)
        if loop.stop is not None:
            return _not_called(loop, request)
        try:
            calls = loop.usage.calls
            with _inside(loop):
                answer = await handler(request)
            return loop.noting(answer, calls)
        except _STOPS:
            if loop.stop is None:
                raise
            return _not_called(loop, request)


def _ended(loop: AgentLoop, request: Any) -> Any:
    """Return the response that ends the loop."""
    from langchain.agents.middleware import ModelResponse

    return _with_record(ModelResponse(result=[_last_message(loop, request.state)]), loop)


def _with_record(response: Any, loop: AgentLoop) -> Any:
    """Return the response of a model call with the state from which another process goes on."""
    from langchain.agents.middleware import ExtendedModelResponse

    return ExtendedModelResponse(response, Command(update={_KEY: loop.record()}))


@cache
def _middleware_class() -> Any:
    """Return the class of the middleware."""
    try:
        from langchain.agents.middleware import AgentMiddleware
        from langchain.agents.middleware.types import OmitFromInput, PrivateStateAttr
    except ImportError as error:
        raise MissingExtra("langchain", extra="agents", needed_for="`GuardMiddleware`") from error

    fields: dict[str, Any] = {
        _KEY: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]],
        "outcome": NotRequired[Annotated[Outcome, OmitFromInput]],
        "verdicts": NotRequired[Annotated[list[dict[str, Any]], OmitFromInput]],
    }
    body = {"state_schema": TypedDict("GuardState", fields), "__doc__": _Hooks.__doc__}  # type: ignore[misc]
    return type("GuardMiddleware", (_Hooks, AgentMiddleware), body)
