"""One attempt at a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import StateSnapshot, StreamMode

from guardgraph.runs.clock import RunClock
from guardgraph.runs.compiled_graphs import saver_of
from guardgraph.runs.head import route_of
from guardgraph.runs.leases import Lease
from guardgraph.runs.records import PAUSED
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import DelegationScope, Gap, Outcome, RunEvent
from guardgraph.storage.ledger import Ledger
from guardgraph.storage.sql.checkpoints.commits import COMMITS, CommitLog
from guardgraph.storage.sql.codec.graph_types import has_unstored_graph
from guardgraph.storage.sql.events import EventLog
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.runs import RunRow

__all__ = ("RunExecution", "in_run", "outermost_scope", "services_of")

_LOG = logging.getLogger(__name__)
_RECURSION = 1_000_000_000
_CONCURRENCY = 64


@dataclass(frozen=True, slots=True, eq=False)
class RunExecution:
    """One attempt at a run: it lasts until the run ends, waits or is stopped, or until storage or its process fails."""

    row: RunRow
    lease: Lease
    graph: CompiledStateGraph[Any, Any, Any, Any]
    given: Any
    """The input of the graph, answers, or `None` to go on."""
    time: RunClock
    services: Services
    ledger: RunLedger
    events: EventLog
    given_config: RunnableConfig = field(default_factory=RunnableConfig)
    """The caller's config."""
    context: Any = None
    """The caller's runtime context."""
    commits: CommitLog = field(default_factory=CommitLog)
    """What the saver has committed of this attempt."""

    @property
    def control(self) -> RunControl:
        """What stops it."""
        return self.lease.control

    @property
    def config(self) -> RunnableConfig:
        """LangGraph's config: the caller's, with our own entries, which win. Its metadata is in every checkpoint."""
        row, given = self.row, self.given_config
        position = {"thread_id": row.thread_id, KEY: ExecutionContext(services=self.services, run_id=row.run_id)}
        facts = (self.graph.config or {}).get("metadata", {})  # of its version, see `graph_facts`
        metadata = {**facts, "run_id": row.run_id, "graph": row.graph, PAUSED: self.time.paused.total_seconds()}
        merged: dict[str, Any] = {"recursion_limit": _RECURSION, "max_concurrency": _CONCURRENCY}
        merged |= {name: value for name, value in given.items() if value is not None}
        for name, own in (("configurable", position), ("metadata", metadata)):
            theirs = cast("Mapping[str, Any]", given.get(name) or {})
            lost = ", ".join(sorted(key for key, value in own.items() if key in theirs and theirs[key] != value))
            if lost:
                _LOG.warning("config[%r]: the runner sets %s itself; what was given is not used", name, lost)
            merged[name] = {**theirs, **own}
        return cast("RunnableConfig", merged)

    def call(self, modes: Collection[StreamMode]) -> dict[str, Any]:
        """Return the arguments of the graph's `stream` or `astream`; without `modes` it yields nothing.

        With some it also yields the parts that report what is stored; see `HeldParts`. LangGraph waits for each
        checkpoint before the next superstep, but raises for a graph within that has none: then only `HeldParts` waits.
        """
        return {
            "input": self.given,
            "config": self._noting_config() if modes else self.config,
            "context": self.context,
            "stream_mode": [*{*modes, "tasks", "checkpoints"}] if modes else [],
            "subgraphs": bool(modes),
            "durability": "async" if has_unstored_graph(self.graph.builder) else "sync",
            "control": self.control,
            "version": "v2",
        }

    def store_pending(self) -> None:
        """Store what the saver holds, and what was booked and has happened since the last checkpoint."""
        saver_of(self.graph).flush_last(self.row.thread_id)
        self.ledger.store()
        self.events.store()
        if self.services.learned is not None:
            self.services.learned.store()

    def log_end(self, last: StateSnapshot, outcome: Outcome | None, now: datetime) -> RunEvent | None:
        """Log that the run waits, or that its graph has ended without an outcome: no node has done so."""
        found: DelegationScope | None = last.values.get("position")
        if found is None or found.run_id != self.row.run_id:
            found = outermost_scope(self.row, now)
        if outcome is None:
            questions = [one.id for one in last.interrupts]
            return self.services.log("run_waiting", found, questions=questions) if questions else None
        if last.values.get("outcome") is not None:
            return None
        return self.services.log("run_finished", found, status=outcome.status, gaps=len(outcome.gaps))

    def _noting_config(self) -> RunnableConfig:
        """Return the config with the log in which the saver notes what it commits."""
        config = self.config
        return {**config, "configurable": {**config.get("configurable", {}), COMMITS: self.commits}}

    def outcome(self, last: StateSnapshot, now: datetime) -> Outcome | None:
        """Return the outcome of the run by its `last` state, or `None` where it waits or was stopped."""
        if last.next or last.interrupts:
            return None
        outcome: Outcome | None = last.values.get("outcome")
        if outcome is None:
            usage = self.services.ledger.usage(self.row.run_id)
            outcome = Outcome(status="failed", gaps=(_missing_outcome(self.graph, last),), usage=usage)
        return self.time.timed(outcome, last.values.get("position"), now)


def _missing_outcome(graph: CompiledStateGraph[Any, Any, Any, Any], last: StateSnapshot) -> Gap:
    """Return the gap of a run whose `last` state has no outcome, no interrupt and no next node.

    LangGraph stores a route to a node that does not exist, and then only logs it. So the node and its route are found
    in the writes of the run, the latest first.
    """
    node, route = next(_lost_routes(graph, last), (None, None))
    if route is not None:
        nodes = _listed(name for name in graph.nodes if not name.startswith("__"))
        reason = f"node {node!r} went to {route!r}, which does not exist; the nodes are: {nodes}"
        return Gap(subtask="run", agent=node, reason=reason)
    ended = _listed(_tasks_at(graph, last.parent_config).values())
    reason = f"the graph ended without an outcome after {ended}; every way must lead to 'guard_exit'"
    return Gap(subtask="run", reason=reason)


def _lost_routes(
    graph: CompiledStateGraph[Any, Any, Any, Any], last: StateSnapshot
) -> Iterator[tuple[str | None, str]]:
    """Yield each node and its route to a missing node, superstep by superstep back to the beginning of the run."""
    saver, at = graph.checkpointer, last.parent_config
    run_id = (last.metadata or {}).get("run_id")
    while at is not None and isinstance(saver, BaseCheckpointSaver):
        stored = saver.get_tuple(at)
        if stored is None or stored.metadata.get("run_id") != run_id:
            return
        for task, channel, value in stored.pending_writes or ():
            route = route_of(channel, value)
            if route is not None and route not in graph.nodes:
                yield _tasks_at(graph, at).get(task), route
        at = stored.parent_config


def _tasks_at(graph: CompiledStateGraph[Any, Any, Any, Any], config: RunnableConfig | None) -> dict[str, str]:
    """Return the names of the nodes that ran on a checkpoint, by the ids of their tasks."""
    return {} if config is None else {task.id: task.name for task in graph.get_state(config).tasks}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(set(names))))


def in_run(config: RunnableConfig, row: RunRow) -> RunnableConfig:
    """Return a config for changing the state of a run: the checkpoint that it makes names the run, as all others do."""
    return {**config, "metadata": {"run_id": row.run_id, "graph": row.graph}}


def outermost_scope(row: RunRow, now: datetime) -> DelegationScope:
    """Return the scope of the outermost team of a run, as far as it is known without the state of that."""
    return DelegationScope(run_id=row.run_id, account=row.run_id, spending_account=row.run_id, started=now)


def services_of(
    ledger: Ledger,
    time: RunClock,
    clock: Callable[[], datetime],
    on_event: Callable[[RunEvent], None] | None,
    log_event: Callable[[RunEvent], None],
    check_storable: Callable[[Any], object],
) -> Services:
    """Return the services of an attempt: its clock gives the run's own time, its events have that of the wall clock."""
    if time != RunClock():
        on_event = None if on_event is None else _with_wall_time(on_event, time)
        log_event = _with_wall_time(log_event, time)
    return Services(
        ledger=ledger,
        clock=lambda: time.own(clock()),
        on_event=on_event,
        log_event=log_event,
        check_storable=check_storable,
    )


def _with_wall_time(receive: Callable[[RunEvent], None], time: RunClock) -> Callable[[RunEvent], None]:
    return lambda event: receive(event.model_copy(update={"at": time.wall(event.at)}))
