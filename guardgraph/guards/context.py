"""The context in which a guard judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from guardgraph.guards.calls import ModelCall, ToolCall
from guardgraph.guards.circuit import Circuit
from guardgraph.guards.read_only import ReadOnlyMapping
from guardgraph.state import (
    AgentInfo,
    Allowance,
    Amount,
    Balance,
    Delegation,
    Gate,
    Plan,
    Request,
    Result,
    Subtask,
    Task,
    Usage,
    Verdict,
)

__all__ = ("GuardContext", "Subject", "name_of")

Subject = Task | Subtask | Result | Plan | ModelCall | ToolCall


def name_of(guard: object) -> str:
    """Return the name of `guard` in verdicts and gaps."""
    return str(getattr(guard, "name", None) or type(guard).__name__)


@dataclass(frozen=True, slots=True)
class GuardContext:
    """One subject at one gate, with all that a guard may use; guards change nothing."""

    gate: Gate
    """The gate at which it is judged."""
    subject: Any
    """The task (`admission`), the plan (`round`), a subtask, or the whole task where that is sent (`dispatch`), a
    result (`handoff`), the draft (`exit`), a `ModelCall` (`model`), a `ToolCall` (`tool`)."""
    now: datetime
    """The time, in UTC."""
    state: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The team's state; see `RunState`. It can be read only, as deep as lists, dicts and sets lie in it."""
    allowance: Allowance = Allowance()
    """All that the team may spend."""
    remaining: Allowance = Allowance()
    """What it has not spent, less what this pass already let through; at `dispatch` less the reserve for concluding.

    Calls in flight count only once they have ended.
    """
    spent: Usage = Usage()
    """What the team has spent."""
    expected_cost: Amount | None = None
    """At `dispatch`: what the subtask is expected to cost; `None` if that is unknown."""
    depth: int = 0
    """The level of the subject: the team's own at `admission`, the worker's at `dispatch`; the first team is 0."""
    account: str = ""
    """The account of the team in the ledger."""
    balances: tuple[Balance, ...] = ()
    """The balances of the accounts from which the subject would be paid: side accounts, then those of the tree."""
    path: tuple[str, ...] = ()
    """The teams above, outermost first."""
    request: Request | None = None
    """At `dispatch`: all that the agent would be given."""
    chain: tuple[Delegation, ...] = ()
    """The chain of delegation above the subject: teams and agents with what they are to do, outermost first."""
    delegation: Delegation | None = None
    """At `admission` and `dispatch`: the link that the subject adds to the chain."""
    label: bool | None = None
    """The integrity label of the subject where it has none itself; see `trusted`."""
    agent: AgentInfo | None = None
    """The agent that is to work (`dispatch`), or has answered (`handoff`, `round`, `exit`), if there is one."""
    circuit: Circuit | None = None
    """At `dispatch`, `tool` and `model`, where a `Breaker` with a rate judges: what is known of the agent, the tool or
    the model."""
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Texts of the sources that the subject names, as the gate has read them."""
    calls: tuple[ModelCall | ToolCall, ...] = ()
    """At `model` and `tool`: the last 1,000 calls of the attempt before this one, in the order in which they began.

    There `allowance`, `remaining` and `spent` are those of the attempt, `agent` is the one that makes the attempt, and
    `state` is empty: the code of an agent does not see the state of its team.
    """
    run_calls: tuple[ModelCall | ToolCall, ...] = ()
    """At `model` and `tool`: the last 2,000 such calls of the run in this process, of all attempts that are judged."""

    def __post_init__(self) -> None:
        if type(self.state) is not ReadOnlyMapping:
            object.__setattr__(self, "state", ReadOnlyMapping(self.state))
        if type(self.sources) is not MappingProxyType:
            object.__setattr__(self, "sources", MappingProxyType(self.sources))

    @property
    def subject_id(self) -> str:
        """The id of the subject; `round-N` for a plan, the name of the gate for what has no id."""
        if isinstance(self.subject, Plan):
            return f"round-{self.round}"
        return str(getattr(self.subject, "id", self.gate))

    @property
    def trusted(self) -> bool:
        """The integrity label of the subject; at `dispatch` that of all that the agent would be given; at `model` and
        `tool` that of all that the attempt was given and has received, but for what its own models answer."""
        if self.label is not None:
            return self.label
        if self.request is not None or isinstance(self.subject, Result):
            return (self.request or self.subject).trusted
        if isinstance(self.subject, Plan):
            return all(one.id in self._trusted_subtasks for one in self.subject.subtasks)
        if isinstance(self.subject, Subtask):
            return self.subject.id in self._trusted_subtasks
        return bool(getattr(self.state.get("position"), "trusted", False))

    @property
    def _trusted_subtasks(self) -> Any:
        return self.state.get("trusted_subtasks") or ()

    @property
    def round(self) -> int:
        """The number of the round, from 1."""
        return int(self.state.get("round") or 1)

    def verdict(
        self, guard: object, *, trips: bool, reason: str = "", measured: JsonValue = None, limit: JsonValue = None
    ) -> Verdict:
        """Return `guard`'s verdict on the subject: a trip if `trips`, else a pass, which has no reason."""
        default = "no reason given" if measured is None else f"{measured} is over the limit of {limit}"
        return Verdict(
            guard=name_of(guard),
            gate=self.gate,
            subject=self.subject_id,
            action="trip" if trips else "pass",
            reason=(reason or default) if trips else "",
            measured=measured,
            limit=limit,
        )
