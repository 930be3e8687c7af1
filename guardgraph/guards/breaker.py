"""No endless retries: neither of one task, nor by an agent, a tool or a model that fails all the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from guardgraph.guards.circuit import LONGEST_LOG, Circuit
from guardgraph.guards.composition import Composable, leaves
from guardgraph.guards.context import GuardContext
from guardgraph.guards.guard import Guard
from guardgraph.guards.on_trip import Escalate, Finish, OnTrip, Retry
from guardgraph.state import BadGraph, Gate, Result, Subtask, Verdict
from guardgraph.state.argument_checks import check_fields, shown

__all__ = ("Breaker", "breaker_of")

_LONGEST = 366 * 86_400.0
_OF = ("agent", "tool", "model")
_BY_LIMIT = cast("OnTrip", None)
"""In place of a reaction: the default depends on the limit."""
_NO_FAILURE = frozenset({"skipped", "stopped", "deadline", "handoff"})
"""Errors that show nothing about the agent: it was not to begin, or to end."""


@dataclass(frozen=True, slots=True)
class Breaker(Composable):
    """Stop what fails again and again. It has one of two limits; a list of guards may have one of each.

    `failures`: so many attempts at one task, by whatever agents, have failed or were refused. By default the run then
    ends for a human (`Escalate`) and nothing is tried again. Subtasks with the same work are one task.

    `rate`: that part (above 0, up to 1) of an agent's attempts has failed in the last `window` seconds, of at least
    `least` attempts. Its circuit opens: it is sent nothing, and its fallback takes over where it has one. After `pause`
    seconds one attempt is let through; the circuit closes if that succeeds, and else stays open for another `pause`.
    What is known of an agent is shared by all runs of a `Runner`'s database, or of the process without one. This is the
    circuit breaker of M. Nygard, Release It! (2nd edition, 2018, chapter 5).

    `of` is what has a circuit. `"tool"`: each tool by its name; while that is open its calls are not made, and the
    model gets the reason as the answer, by default three times (`Retry(3)`) before the attempt is stopped. `"model"`:
    each model by provider and name; while that is open no call of it is made, the attempt is stopped, and the fallback
    of its agent takes over. Failures of a tool are its exceptions and answers with the status `error`, of a model the
    HTTP statuses 408, 429 and from 500 on, and that no connection or answer came.
    """

    failures: int | None = None
    rate: float | None = None
    window: float = 600.0
    least: int = 5
    pause: float = 60.0
    on_trip: OnTrip = _BY_LIMIT
    of: Literal["agent", "tool", "model"] = "agent"

    def __post_init__(self) -> None:
        if self.of not in _OF:
            raise BadGraph(f"`of` must be one of {', '.join(_OF)}; got {self.of!r}")
        if cast("object", self.on_trip) is None:
            default = Retry(3) if self.of == "tool" else Finish()
            object.__setattr__(self, "on_trip", Escalate() if self.rate is None else default)
        check_fields(
            self, "failures", "rate", "window", "least", "pause", "on_trip", at_least={"failures": 1, "least": 1}
        )
        if (self.failures is None) == (self.rate is None):
            raise BadGraph("a Breaker has one limit: give `failures` or `rate`; for both give two of them")
        if self.rate is None and self.of != "agent":
            raise BadGraph(f"`failures` of a Breaker are those of attempts at a task; give `rate` with of={self.of!r}")
        if self.least > LONGEST_LOG:
            most = f"`least` must be at most {LONGEST_LOG}, since no more attempts are known"
            raise BadGraph(f"{most}, got {shown(self.least)}")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise BadGraph(f"`rate` must be above 0 and at most 1, got {self.rate!r}")
        for name, seconds in (("window", self.window), ("pause", self.pause)):
            if not 0 < seconds <= _LONGEST:
                raise BadGraph(f"`{name}` must be above 0 and at most {_LONGEST:.0f} seconds, got {seconds!r}")

    @property
    def gates(self) -> frozenset[Gate]:
        """Where it judges: what is sent, and for `failures` also what has failed."""
        if self.of != "agent":
            return frozenset({self.of})
        return frozenset({"dispatch"} if self.rate is not None else {"handoff", "dispatch"})

    @property
    def judges_failures(self) -> bool:
        """Whether it sees results without a value."""
        return self.failures is not None

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where a task, or the agent that is to work, has failed too often."""
        if self.failures is None:
            return self._judge_circuit(context)
        subject = context.subject
        if isinstance(subject, Result) and not _has_failed(subject):
            return context.verdict(self, trips=False)
        failed = Counter(result.agent for result in _failed_at(context))
        count = sum(failed.values())
        names = ", ".join(f"{agent} {times}" for agent, times in failed.items())
        return context.verdict(
            self,
            trips=count >= self.failures,
            measured=count,
            limit=self.failures,
            reason=f"{count} attempts at one task have failed or were refused ({names}), {self.failures} are the limit",
        )

    def _judge_circuit(self, context: GuardContext) -> Verdict:
        circuit = context.circuit
        if circuit is None or circuit.state == "closed" or circuit.is_probe:
            return context.verdict(self, trips=False, measured=circuit and round(circuit.rate, 4), limit=self.rate)
        reason = _reason(circuit, self.window)
        return context.verdict(self, trips=True, measured=round(circuit.rate, 4), limit=self.rate, reason=reason)


def breaker_of(guards: Iterable[Guard], of: Literal["agent", "tool", "model"] = "agent") -> Breaker | None:
    """Return the guard that judges by the circuit of an agent, a tool or a model, if there is one."""
    found = (one for one in leaves(guards) if isinstance(one, Breaker))
    return next((one for one in found if one.rate is not None and one.of == of), None)


def _reason(circuit: Circuit, window: float) -> str:
    kind, _, name = circuit.agent.partition(":")
    is_call = kind in ("tool", "model") and bool(name)
    what, noun = (f"{kind} {name!r}", "call") if is_call else (repr(circuit.agent), "attempt")
    if circuit.state == "half_open":
        return f"the circuit of {what} is half open: another {noun} shows whether it works again"
    seen = f"{circuit.failures} of its last {circuit.attempts} {noun}s within {window:g} s have failed"
    return f"the circuit of {what} is open for {circuit.seconds:.0f} s: {seen}"


def _has_failed(result: Result) -> bool:
    return result.error is not None and result.error.kind not in _NO_FAILURE and not result.has_value


def _failed_at(context: GuardContext) -> Iterable[Result]:
    """Yield the failed and refused attempts at the task of the subject, which is one of them if it has failed."""
    state, subject = context.state, context.subject
    works = {one.id: one.work for one in cast("Iterable[Subtask]", state.get("subtasks") or ())}
    wanted = _task_of(subject, works, context.agent.name if context.agent else "")
    refused, found = set(state.get("refused") or ()), dict[str, Result]()
    for result in (*(state.get("results") or ()), *([subject] if isinstance(subject, Result) else ())):
        is_failure = _has_failed(result) or (result.id in refused and result.has_value)
        if is_failure and _task_of(result, works, "") == wanted:
            found[result.id] = result
    return found.values()


def _task_of(subject: Any, works: Mapping[str, Hashable], agent: str) -> Hashable:
    """Return what identifies the task: the work of the subtask, or the agent that serves the task as a whole."""
    if isinstance(subject, Subtask):
        return subject.work
    if isinstance(subject, Result):
        return works.get(subject.subtask, subject.subtask) if subject.subtask else (subject.role,)
    return (agent,)
