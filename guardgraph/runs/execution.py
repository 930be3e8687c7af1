"""One attempt at a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import StateSnapshot, StreamMode

from guardgraph.runs.call_config import merged_config
from guardgraph.runs.clock import RunClock
from guardgraph.runs.missing_outcome import missing_outcome
from guardgraph.runs.records import PAUSED
from guardgraph.runs.run import Run
from guardgraph.runtime.execution_context import KEY, ExecutionContext, Services
from guardgraph.state import Outcome, RunEvent
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.runs import RunRow

__all__ = ("RunExecution", "services_of")

_RECURSION = 1_000_000_000
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class RunExecution:
    """One attempt at a run: it lasts until the run ends, waits or is stopped, or until storage or its process fails."""

    row: RunRow
    graph: CompiledStateGraph[Any, Any, Any, Any]
    given: Any
    """The task, answers, or `None` to go on."""
    time: RunClock
    services: Services
    given_config: RunnableConfig = field(default_factory=RunnableConfig)
    """What the caller has configured."""
    context: Any = None
    """The caller's runtime context."""
    control: RunControl = field(default_factory=RunControl)

    @property
    def config(self) -> RunnableConfig:
        """LangGraph's config: the caller's, with our own entries. Its metadata stand in every checkpoint."""
        row = self.row
        own: RunnableConfig = {
            "configurable": {
                "thread_id": row.thread_id,
                KEY: ExecutionContext(services=self.services, run_id=row.run_id),
            },
            "metadata": {"run_id": row.run_id, "graph": row.graph, PAUSED: self.time.paused.total_seconds()},
            "recursion_limit": _RECURSION,
            "max_concurrency": _AT_ONCE,
        }
        return merged_config(self.given_config, own)

    def call(self, modes: Sequence[StreamMode]) -> dict[str, Any]:
        """Return what the graph's `stream` or `astream` is called with; without `modes` it yields nothing."""
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

    def tell_waiting(self, run: Run) -> None:
        """Tell the listener which questions the run waits for an answer to, if it does."""
        position = run.state.get("position")
        if run.waiting and position is not None:
            self.services.emit("run_waiting", position, questions=[wait.id for wait in run.waiting])

    def outcome(self, last: StateSnapshot, now: datetime) -> Outcome | None:
        """Return how the run has ended by its `last` state, or `None` where it waits or was stopped."""
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
    listen: Callable[[RunEvent], None] | None,
    check_storable: Callable[[Any], object] | None = None,
) -> Services:
    """Return the services of an attempt: its clock tells the run's own time, `listen` is told that of the wall."""
    if listen is not None and time != RunClock():
        listen = _on_the_wall(listen, time)
    return Services(ledger=ledger, clock=lambda: time.own(clock()), on_event=listen, check_storable=check_storable)


def _on_the_wall(listen: Callable[[RunEvent], None], time: RunClock) -> Callable[[RunEvent], None]:
    return lambda event: listen(event.model_copy(update={"at": time.wall(event.at)}))
