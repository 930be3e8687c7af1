"""What came of a run so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from guardgraph.state import Outcome, Result, Usage
from guardgraph.storage.sql.runs import RunRow

__all__ = ("PendingInterrupt", "Run", "RunStatus", "RunSummary")

RunStatus = Literal["running", "waiting", "completed", "degraded", "escalated", "refused", "cancelled", "failed"]


class RunSummary(NamedTuple):
    """One run in a list of runs."""

    row: RunRow
    """What is stored of it."""
    status: RunStatus
    """How it stands; see `Run.status`."""


@dataclass(frozen=True, slots=True)
class PendingInterrupt:
    """A question that a run waits for a human to answer."""

    id: str
    """Name it in `Runner.resume(answers={id: …})`."""
    value: Any = None
    """What is asked."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run so far, as it is stored."""

    thread_id: str
    run_id: str
    graph: str
    """The name of its graph."""
    status: RunStatus
    """`running` until it has ended or waits; a run whose process has died stays so until it is resumed."""
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

    def __str__(self) -> str:
        """Say it in a few lines: how it stands, what it cost, its value, what is missing and why, what it waits for."""
        return "\n".join([self._head(), self._spent(), *self._said()])

    def _head(self) -> str:
        by = f", stopped by {self.outcome.stopped_by}" if self.outcome and self.outcome.stopped_by else ""
        return f"{self.status}{by} · {self.graph} · thread {self.thread_id}"

    def _spent(self) -> str:
        usage, said = self.usage, "no model calls"
        if usage.calls:
            usd = "price unknown" if usage.usd is None else f"${usage.usd.normalize():f}"
            said = f"{usage.tokens:,} tokens in {_counted(usage.calls, 'model call')}, {usd}"
        if self.outcome is not None:  # before, nobody has added up the time
            said += f", {usage.seconds:.1f} s"
        worked = sum(1 for result in self.results if result.has_value)
        tried = _counted(len(self.results), "attempt")
        return f"{said}; {worked} of {tried} gave a result" if self.results else said

    def _said(self) -> list[str]:
        lines: list[str] = []
        if self.outcome is not None:
            _, *lines = str(self.outcome).splitlines()
        lines.extend(f"waits for an answer to {wait.id}: {_short(wait.value)}" for wait in self.waiting)
        return lines


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _short(value: Any, limit: int = 160) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
