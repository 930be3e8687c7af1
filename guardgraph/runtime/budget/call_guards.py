"""The gates `model` and `tool`: guards that judge every call of an attempt before it happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from threading import RLock
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.errors import GraphBubbleUp

from guardgraph.guards import Breaker, Circuit, Guard, GuardContext, GuardDecision, Retry, evaluate_guards
from guardgraph.guards.calls import ModelCall, ToolCall, normalized
from guardgraph.runtime.budget.call_circuits import CallCircuits
from guardgraph.runtime.budget.call_reservation import names_of
from guardgraph.runtime.call_log import Call, CallLog
from guardgraph.runtime.integrity import IntegrityRecord
from guardgraph.runtime.services import Services
from guardgraph.state import AgentInfo, Allowance, DelegationScope, Gate, Verdict, remaining_allowance

__all__ = ("CALL_GATES", "CallGuards", "GuardTripped", "model_call", "task_of", "tool_call")

CALL_GATES = frozenset[Gate]({"model", "tool"})
"""The gates inside an attempt."""
_MOST_CALLS = 1_000
_MOST_VERDICTS = 100
_STORED_CALLS = 200
"""How many calls an attempt goes on from after an interrupt or a crash."""


class GuardTripped(GraphBubbleUp):
    """A call was stopped before it happened, because a guard of the attempt, or of one above, has tripped."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(f"{verdict.guard}: {verdict.reason}")


@dataclass(slots=True)
class CallGuards:
    """The guards of one attempt that judge its calls, and the calls that they know.

    Those of the attempts above judge first. A trip stops the attempt for good: each later call is refused too, also
    where the code of the agent swallows the exception.
    """

    guards: Sequence[Guard]
    services: Services
    position: DelegationScope
    agent: AgentInfo
    above: CallGuards | None = None
    """Those of the attempt around this one."""
    integrity: IntegrityRecord = field(default_factory=IntegrityRecord)
    """The integrity label of this attempt."""
    log: CallLog = field(default_factory=lambda: CallLog(_MOST_CALLS))
    tripped: Verdict | None = None
    """What has stopped this attempt."""
    tripped_by: int | None = None
    """The number of the guard that has stopped it."""
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    """Alerts and trips of its own guards, the first 100."""
    refusals: dict[int, int] = field(default_factory=dict[int, int])
    """How often each guard has had the model try again."""
    _lock: RLock = field(default_factory=RLock)
    _circuits: CallCircuits = field(init=False)

    def __post_init__(self) -> None:
        self._circuits = CallCircuits(self.services, self.guards)

    @property
    def blocks(self) -> bool:
        """Whether judging a call, or what it has shown, waits for a database beside the ledger."""
        return any(level._circuits.blocks for level in self._levels())

    @property
    def is_stopped_by_breaker(self) -> bool:
        """Whether this attempt was stopped since a model, or a tool, fails all the time."""
        return self.tripped_by is not None and isinstance(self.guards[self.tripped_by], Breaker)

    @property
    def stopped(self) -> Verdict | None:
        """What has stopped this attempt, or one above."""
        return next((level.tripped for level in self._levels() if level.tripped is not None), None)

    def admit(self, call: Call, task: str = "") -> None:
        """Judge a call that is about to begin in a task of LangGraph, and add it to what is known.

        Raises `GuardTripped`; for a tool that the model may call otherwise, an error that LangGraph's `ToolNode` turns
        into the answer of the tool.
        """
        judged: list[CallGuards] = []
        trusted = all(level.integrity.may_act for level in self._levels())
        try:
            for level in [*self._levels()][::-1]:
                level._judge(call, task, trusted=trusted)
                judged.append(level)
        except BaseException:
            for level in judged:
                level.log.remove(call.id)
            self._shown(call.id, is_ok=None)
            raise
        else:
            self.services.calls.add(_without_prompt(call), task)
        finally:
            self._keep_notes()

    def withdraw(self, run_id: UUID) -> None:
        """Forget a call that was not made in the end."""
        for log in self._logs():
            log.remove(_key(run_id))
        self.shown(run_id, is_ok=None)

    def shown(self, run_id: UUID, *, is_ok: bool | None) -> None:
        """Record what a call has shown of its tool or model: that it works, or not; `None` where that is nothing."""
        self._shown(_key(run_id), is_ok=is_ok)

    def interrupted(self, run_id: UUID) -> None:
        """Forget a call that waits for a human, and the others of its task: they are made again with the answer."""
        for log in self._logs():
            log.remove_task_of(_key(run_id))

    def begin_anew(self, task: str) -> None:
        """Forget what this attempt, in a task of LangGraph, has called before: all of it is done again."""
        for log in self._logs():
            log.remove_earlier(task)

    def go_on(self, notes: Mapping[str, Any]) -> None:
        """Go on from what `notes` has returned, before an interrupt or a crash.

        What a task of LangGraph has called whose end is not stored counts once: that runs again.
        """
        for log in (self.log, self.services.calls):
            log.add_earlier(notes["calls"])
        self.refusals.update({int(number): int(count) for number, count in notes["refusals"].items()})
        self.verdicts.extend(map(Verdict.model_validate, notes.get("verdicts") or ()))
        self.tripped_by = notes.get("stopped_by")
        self.tripped = None if notes["stop"] is None else Verdict.model_validate(notes["stop"])

    def notes(self) -> dict[str, Any]:
        """Return all that this attempt goes on from after an interrupt or a crash, as JSON data."""
        return {
            "calls": self.log.stored(_STORED_CALLS),
            "refusals": {str(number): count for number, count in {**self.refusals}.items()},
            "verdicts": [one.model_dump(mode="json", exclude_defaults=True) for one in [*self.verdicts]],
            "stopped_by": self.tripped_by,
            "stop": None if self.tripped is None else self.tripped.model_dump(mode="json"),
        }

    def ended(self, run_id: UUID, *, tokens: int, messages: Sequence[BaseMessage]) -> None:
        """Record that the call of a model has ended."""
        now, answer = self.services.clock(), _digest(messages)
        calls_tools = any(isinstance(one, AIMessage) and one.tool_calls for one in messages)

        def end(call: Call) -> Call:
            return (
                replace(call, ended=now, tokens=tokens, answer=answer, calls_tools=calls_tools)
                if isinstance(call, ModelCall)
                else call
            )

        for log in self._logs():
            log.change(_key(run_id), end)
        self._keep_notes()
        self.shown(run_id, is_ok=True)

    def _shown(self, id: str, *, is_ok: bool | None) -> None:
        for level in self._levels():
            level._circuits.ended(id, is_ok=is_ok)

    def _levels(self) -> Iterator[CallGuards]:
        level: CallGuards | None = self
        while level is not None:
            yield level
            level = level.above

    def _logs(self) -> Iterator[CallLog]:
        """Yield all that know the calls of this attempt."""
        yield from (level.log for level in self._levels())
        yield self.services.calls

    def _keep_notes(self) -> None:
        """Have the ledger store what is known now."""
        for level in self._levels():
            if level.guards:
                level.services.ledger.keep_notes(level.position.account, level.notes)

    def _judge(self, call: Call, task: str, *, trusted: bool) -> None:
        with self._lock:  # of calls at the same time each sees the others
            if self.tripped is not None:
                raise GuardTripped(self.tripped)
            gate: Gate = "model" if isinstance(call, ModelCall) else "tool"
            if not any(gate in guard.gates for guard in self.guards):
                return self.log.add(_without_prompt(call), task)
            context = self._context(gate, call, circuit=self._circuits.before(call), trusted=trusted)
            for number, guard in enumerate(self.guards):
                decision = evaluate_guards([guard], context)
                self._note(decision)
                if decision.trip is not None:
                    self._refuse(number, guard, call, decision.trip)
            self.log.add(_without_prompt(call), task)

    def _context(self, gate: Gate, call: Call, *, circuit: Circuit | None, trusted: bool) -> GuardContext:
        ledger, position = self.services.ledger, self.position
        balances = ledger.balances(position.account)
        rest = position.allowance.model_copy(
            update=dict.fromkeys(Allowance.model_fields.keys() - {"depth", "deadline"})
        )
        return GuardContext(
            gate=gate,
            subject=call,
            now=call.at,
            allowance=position.allowance,
            remaining=remaining_allowance(balances).narrow(rest),
            spent=ledger.usage(position.account),
            depth=position.depth,
            path=position.path,
            agent=self.agent,
            label=trusted,
            circuit=circuit,
            calls=self.log.calls,
            run_calls=self.services.calls.calls,
        )

    def _note(self, decision: GuardDecision) -> None:
        """Keep and emit what is new; an alert counts once, whatever the call is that it is about."""
        known = {(one.guard, one.action, one.reason) for one in self.verdicts}
        for verdict in decision.verdicts:
            if verdict.action == "trip" or (verdict.guard, verdict.action, verdict.reason) not in known:
                self.note(verdict)

    def note(self, verdict: Verdict) -> None:
        """Keep and emit a verdict."""
        if len(self.verdicts) < _MOST_VERDICTS:
            self.verdicts.append(verdict)
            data = verdict.model_dump(mode="json", exclude_defaults=True)
            self.services.emit("verdict", self.position, **data)

    def _refuse(self, number: int, guard: Guard, call: Call, trip: Verdict) -> None:
        """Raise what refuses this call alone, or stop the attempt."""
        done, on_trip = self.refusals.get(number, 0), guard.on_trip
        if isinstance(call, ToolCall) and isinstance(on_trip, Retry) and done < on_trip.times:
            self.refusals[number] = done + 1
            raise _tool_refused()(call.name, trip.reason)
        self.tripped, self.tripped_by = trip, number
        raise GuardTripped(trip)


def model_call(services: Services, run_id: UUID, prompts: Sequence[Any], kwargs: Mapping[str, Any]) -> ModelCall:
    """Return the call of a model of which a callback handler is notified."""
    metadata: Mapping[str, Any] = kwargs.get("metadata") or {}
    messages = tuple(one for prompt in prompts for one in ([prompt] if isinstance(prompt, str) else prompt))
    provider, model = names_of({**(kwargs.get("invocation_params") or {}), **metadata})
    facts: dict[str, Any] = {"agent": _maker(metadata), "provider": provider, "model": model, "messages": messages}
    return ModelCall(_key(run_id), services.clock(), **facts)


def tool_call(
    services: Services, run_id: UUID, serialized: Mapping[str, Any] | None, text: str, kwargs: Mapping[str, Any]
) -> ToolCall:
    """Return the call of a tool of which a callback handler is notified."""
    name = str((serialized or {}).get("name") or kwargs.get("name") or "tool")
    given: Any = kwargs.get("inputs")
    arguments: Mapping[str, Any] = given if isinstance(given, Mapping) else {"input": text}
    return ToolCall(_key(run_id), services.clock(), name, arguments, agent=_maker(kwargs.get("metadata") or {}))


def task_of(kwargs: Mapping[str, Any]) -> str:
    """Return the task of LangGraph that makes a call: the path of nodes, with the ids of their tasks."""
    metadata: Mapping[str, Any] = kwargs.get("metadata") or {}
    return str(metadata.get("langgraph_checkpoint_ns") or "")


def _key(run_id: UUID) -> str:
    return run_id.hex


def _without_prompt(call: Call) -> Call:
    return replace(call, messages=()) if isinstance(call, ModelCall) else call


def _maker(metadata: Mapping[str, Any]) -> str:
    """Return the name of what makes a call: the agent of `create_agent`, or the innermost graph or node around it."""
    named = metadata.get("lc_agent_name")
    if isinstance(named, str) and named:
        return named
    space: Any = metadata.get("langgraph_checkpoint_ns") or metadata.get("checkpoint_ns") or ""
    nodes = [part.partition(":")[0] for part in str(space).split("|") if part]
    return nodes[-2] if len(nodes) > 1 else nodes[0] if nodes else ""


def _digest(messages: Sequence[BaseMessage]) -> str:
    """Return a digest of an answer: its text and the tools that it calls, without ids."""
    answer = [(one.text, [(call["name"], call["args"]) for call in getattr(one, "tool_calls", ())]) for one in messages]
    return blake2b(normalized(answer).encode(), digest_size=12).hexdigest()


@cache
def _tool_refused() -> Any:
    """Return the error that `ToolNode` turns into the answer of a tool by default.

    Where a tool is called without a `ToolNode`, its caller gets the error.
    """
    from langgraph.prebuilt.tool_node import ToolInvocationError

    class ToolRefused(ToolInvocationError):
        """A guard has refused the call of a tool; the model may go on otherwise."""

        def __init__(self, name: str, reason: str) -> None:
            self.message = f"refused: {reason}"
            self.tool_name, self.reason = name, reason
            Exception.__init__(self, self.message)

    return ToolRefused
