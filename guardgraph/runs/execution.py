"""One attempt at a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import StateSnapshot, StreamMode

from guardgraph.runs.clock import RunClock
from guardgraph.runs.missing_outcome import missing_outcome
from guardgraph.runs.records import PAUSED
from guardgraph.runtime.execution_context import KEY, ExecutionContext, Services
from guardgraph.state import Outcome, RunEvent
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.runs import RunRow

__all__ = ("RunExecution", "services_of")

_LOG = logging.getLogger(__name__)
_RECURSION = 1_000_000_000
_CONCURRENCY = 64


@dataclass(frozen=True, slots=True, eq=False)
class RunExecution:
    """One attempt at a run: it lasts until the run ends, waits or is stopped, or until storage or its process fails."""

    row: RunRow
    graph: CompiledStateGraph[Any, Any, Any, Any]
    given: Any
    """The input of the graph, answers, or `None` to go on."""
    time: RunClock
    services: Services
    given_config: RunnableConfig = field(default_factory=RunnableConfig)
    """The caller's config."""
    context: Any = None
    """The caller's runtime context."""
    control: RunControl = field(default_factory=RunControl)

    @property
    def config(self) -> RunnableConfig:
        """LangGraph's config: the caller's, with our own entries, which win. Its metadata is in every checkpoint."""
        row, given = self.row, self.given_config
        position = {"thread_id": row.thread_id, KEY: ExecutionContext(services=self.services, run_id=row.run_id)}
        metadata = {"run_id": row.run_id, "graph": row.graph, PAUSED: self.time.paused.total_seconds()}
        merged: dict[str, Any] = {"recursion_limit": _RECURSION, "max_concurrency": _CONCURRENCY}
        merged |= {name: value for name, value in given.items() if value is not None}
        for name, own in (("configurable", position), ("metadata", metadata)):
            theirs = cast("Mapping[str, Any]", given.get(name) or {})
            lost = ", ".join(sorted(key for key, value in own.items() if key in theirs and theirs[key] != value))
            if lost:
                _LOG.warning("config[%r]: the runner sets %s itself; what was given is not used", name, lost)
            merged[name] = {**theirs, **own}
        return cast("RunnableConfig", merged)

    def call(self, modes: Sequence[StreamMode]) -> dict[str, Any]:
        """Return the arguments of the graph's `stream` or `astream`; without `modes` it yields nothing."""
        return {
            "input": self.given,
            "config": self.config,
            "context": self.context,
            "stream_mode": list(modes),
            "subgraphs": bool(modes),
            "durability": "sync",
            "control": self.control,
            "version": "v2",
        }

    def outcome(self, last: StateSnapshot, now: datetime) -> Outcome | None:
        """Return the outcome of the run by its `last` state, or `None` where it waits or was stopped."""
        if last.next or last.interrupts:
            return None
        outcome: Outcome | None = last.values.get("outcome")
        if outcome is None:
            usage = self.services.ledger.usage(self.row.run_id)
            outcome = Outcome(status="failed", gaps=(missing_outcome(self.graph, last),), usage=usage)
        return self.time.timed(outcome, last.values.get("position"), now)


def services_of(
    ledger: RunLedger,
    time: RunClock,
    clock: Callable[[], datetime],
    on_event: Callable[[RunEvent], None] | None,
    check_storable: Callable[[Any], object],
) -> Services:
    """Return the services of an attempt: its clock gives the run's own time, its events have that of the wall clock."""

    def emit(event: RunEvent) -> None:
        if on_event is not None:
            on_event(event.model_copy(update={"at": time.wall(event.at)}))

    return Services(
        ledger=ledger,
        clock=lambda: time.own(clock()),
        on_event=on_event if time == RunClock() else emit,
        check_storable=check_storable,
    )
