"""A run, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from guardgraph.state import Delivery, Outcome, OutcomeStatus, Result, Usage, one_line, parked_in
from guardgraph.storage.sql.leases import LeaseState
from guardgraph.storage.sql.runs import RunRow

__all__ = ("PendingInterrupt", "Run", "RunStatus", "RunSummary", "status_of")

RunStatus = Literal[
    "running", "waiting", "stopped", "crashed", "completed", "degraded", "escalated", "refused", "cancelled", "failed"
]
_SHOWN = 3
"""How many parked deliveries are shown."""


class RunSummary(NamedTuple):
    """One run in a list of runs."""

    row: RunRow
    """Its row in the database."""
    status: RunStatus
    """See `Run.status`."""


@dataclass(frozen=True, slots=True)
class PendingInterrupt:
    """A question that a run waits for a human to answer."""

    id: str
    """Name it in `Runner.resume(answers={id: …})`."""
    value: Any = None
    """The value of the `interrupt`."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as it is stored."""

    thread_id: str
    run_id: str
    graph: str
    """The name of its graph."""
    status: RunStatus
    """How it ended. Before that: `running` while a process works on it, `waiting` for an answer, `stopped`
    where none does, `crashed` where it has died (known when its lease has run out)."""
    outcome: Outcome | None = None
    """How it ended; `None` while it runs or waits."""
    usage: Usage = Usage()
    """What it has cost so far, over all attempts."""
    results: tuple[Result, ...] = ()
    """Every attempt of every worker of the outermost team."""
    waiting: tuple[PendingInterrupt, ...] = ()
    """What it waits for."""
    state: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    """The state of the outermost team."""
    plain_types: tuple[str, ...] = field(default=(), compare=False)
    """The classes, as `module:name`, that could not be looked up without the graph: their objects in `state` and
    `waiting` are dicts of their fields. `Runner(types=[…])` knows them."""

    @property
    def parked(self) -> tuple[Delivery, ...]:
        """The deliveries of a reactive team that are parked now; `Runner.replay` makes each again, by its `event`."""
        return tuple(parked_in(self.state))

    def __str__(self) -> str:
        """Return a few lines: status, cost, value, what is missing and why, what is parked, what it waits for."""
        by = f", stopped by {self.outcome.stopped_by}" if self.outcome and self.outcome.stopped_by else ""
        lines = [f"{self.status}{by} · {self.graph} · thread {self.thread_id}", self._spent()]
        if self.outcome is not None:
            lines += str(self.outcome).splitlines()[1:]
        lines += _parked_lines(self.parked)
        lines += (f"waits for an answer to {wait.id}: {one_line(wait.value, 160)}" for wait in self.waiting)
        return "\n".join(lines)

    def _spent(self) -> str:
        usage, cost = self.usage, "no model calls"
        if usage.calls:
            usd = "price unknown" if usage.usd is None else f"${usage.usd.normalize():f}"
            cost = f"{usage.tokens:,} tokens in {_counted(usage.calls, 'model call')}, {usd}"
        if self.outcome is not None:  # before, the time is not added up
            cost += f", {usage.seconds:.1f} s"
        worked = sum(1 for result in self.results if result.has_value)
        tried = _counted(len(self.results), "attempt")
        return f"{cost}; {worked} of {tried} gave a result" if self.results else cost


def status_of(outcome: OutcomeStatus | None, lease: LeaseState, *, waits: bool) -> RunStatus:
    """Return the status of a run by its outcome, the lease of its thread, and whether it waits for an answer."""
    if outcome is not None:
        return outcome
    if lease != "released":
        return "running" if lease == "live" else "crashed"
    return "waiting" if waits else "stopped"


def _parked_lines(parked: Sequence[Delivery]) -> list[str]:
    """Return how many deliveries are parked, and one line for each of the first ones: its event is never cut."""
    if not parked:
        return []
    head = "1 delivery" if len(parked) == 1 else f"{len(parked):,} deliveries"
    lines = [
        f"  {one_line(one.event, 2_000)} at {one.subscriber}: {one_line(one.error, 160)}" for one in parked[:_SHOWN]
    ]
    rest = [f"  and {len(parked) - _SHOWN:,} more"] if len(parked) > _SHOWN else []
    return [f"parked: {head}, which `replay` makes again", *lines, *rest]


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
