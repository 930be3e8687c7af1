"""The attempts of one `Runner`: how they begin and end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from sqlalchemy import Connection

from guardgraph.runs.arguments import (
    checked_allowance,
    checked_answers,
    checked_arguments,
    checked_config,
    checked_input,
    fitting_input,
    require,
    thread_of,
)
from guardgraph.runs.cancelling import conclude_command
from guardgraph.runs.compiled_graphs import CompiledGraphs, saver_of
from guardgraph.runs.execution import RunExecution, in_run, outermost_scope, services_of
from guardgraph.runs.head import Head, outermost
from guardgraph.runs.leases import Lease, Leases
from guardgraph.runs.left_nodes import gone_nodes
from guardgraph.runs.migrating import fits, make_fit, migrated
from guardgraph.runs.named_graph import named_graph
from guardgraph.runs.records import Records
from guardgraph.runs.resumption import (
    check_not_stranded,
    check_resumption,
    has_open_task,
    next_input,
    packed_answers,
    packed_input,
    position_of,
    unapplied_answers,
)
from guardgraph.runs.retrying import failure_of, retry_command
from guardgraph.runs.run import Run
from guardgraph.runs.updating import checked_values, store_update
from guardgraph.runs.versions import GraphVersion, former_names
from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.budget.learned_costs import LearnedCosts, expected_costs
from guardgraph.runtime.rates.rate_limit import RateLimit
from guardgraph.runtime.rates.turns import Turns
from guardgraph.runtime.services import Services
from guardgraph.state import Allowance, BadInput, DelegationScope, RunEvent, StorageError, Task, ThreadBusy, new_id
from guardgraph.storage.sql.published import ThreadEvents
from guardgraph.storage.sql.runs import InTransaction, RunRow

__all__ = ("Attempts",)

_Compiled = CompiledStateGraph[Any, Any, Any, Any]


@dataclass(slots=True, eq=False)
class Attempts:
    """Prepares the attempts of a runner, and stores their ends. Every method blocks."""

    records: Records
    leases: Leases
    graphs: Mapping[str, GraphVersion]
    on_event: Callable[[RunEvent], None] | None
    clock: Callable[[], datetime]
    compiled: CompiledGraphs
    rate_limits: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    """Those of models and providers, by name."""
    active: set[RunExecution] = field(default_factory=set[RunExecution])
    """Those that run now."""

    @contextmanager
    def activated(self, attempt: RunExecution) -> Generator[None]:
        """Count an attempt among the active ones."""
        self.active.add(attempt)
        try:
            yield
        finally:
            self.active.discard(attempt)

    def begin(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> RunExecution:
        """Accept a new run, and prepare its first attempt."""
        (goal, given), built_with = checked_input(task), checked_arguments(arguments)
        configured = checked_config(config)
        known = thread_of(configured, thread_id)
        thread = known or new_id()
        name, compiled = self._compiled(graph, built_with)
        given = fitting_input(compiled, goal, given)
        if known:
            self._prepare_thread(thread, name, compiled)
        rows, run_id, now = list[RunRow](), new_id(), self.clock()
        command = packed_input(compiled, given)

        def accept(claim: InTransaction) -> None:
            rows.append(
                self.records.rows.create(run_id, thread, name, built_with, goal, now, command=command, claim=claim)
            )

        lease = self.leases.take(thread, run_id, accept)
        return self._attempt(rows[0], lease, compiled, given, None, context, configured)

    def resume(
        self,
        thread_id: str,
        *,
        answers: Mapping[str, Any] | None = None,
        add: Allowance | Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> RunExecution | Run:
        """Prepare another attempt at a thread's last run; return the run itself where there is nothing to do."""
        given, added, configured = checked_answers(answers), checked_allowance(add), checked_config(config)
        thread_of(configured, thread_id)
        row = self.records.last(thread_id)
        if row.status is not None:
            run = self.records.stored(row, self.records.head(row))
            check_resumption(run, run.state.get("position"), given, added)
            return run

        def prepare(row: RunRow, lease: Lease) -> RunExecution | Run:
            head = self.records.head(row)
            stored = self.records.stored(row, head)
            check_not_stranded(row, head)
            position = position_of(self.records.saver, row, stored.state)
            check_resumption(stored, position, given, added)
            if row.status is not None:
                return stored
            compiled = self._fitting(row, head, lease)
            if added is not None:
                self.records.add(row, added, self.clock(), lease.fence)
            answered = {**unapplied_answers(compiled, row, head), **given}
            is_due = bool(answered) or has_open_task(compiled, thread_id) or self.records.has_undelivered(stored)
            if stored.waiting and not is_due:
                return stored
            command = packed_answers(compiled, answered) if given else None
            row = self._begun(row, lease, command)
            input = next_input(compiled, row, head, answered)
            return self._attempt(row, lease, compiled, input, position, context, configured)

        return self._leased(thread_id, prepare)

    def update(self, thread_id: str, values: Mapping[str, Any]) -> RunExecution | Run:
        """Prepare another attempt at a thread's last run, with other values in its state."""

        def prepare(row: RunRow, lease: Lease) -> RunExecution:
            row, head, stored = self.records.unended(row, self.clock(), lease.fence, "update")
            check_not_stranded(row, head)
            compiled = self._fitting(row, head, lease)
            checked, position = checked_values(values, compiled), stored.state.get("position")
            if position is None:
                raise BadInput(
                    f"run {row.run_id!r} never reached its first node: there is nothing to update; resume it"
                )
            store_update(compiled, thread_id, checked)
            row = self._begun(row, lease)
            input = next_input(compiled, row, head, unapplied_answers(compiled, row, head))
            return self._attempt(row, lease, compiled, input, position)

        return self._leased(thread_id, prepare)

    def retry(self, thread_id: str, *, context: Any = None, config: RunnableConfig | None = None) -> RunExecution | Run:
        """Prepare a new run on a thread whose last run has failed, which begins with the attempts that have failed."""
        configured = checked_config(config)
        thread_of(configured, thread_id)

        def prepare(row: RunRow, lease: Lease) -> RunExecution:
            run = self.records.ended(row, self.clock(), lease.fence)
            if run.status != "failed":
                raise BadInput(f"run {row.run_id!r} is {run.status}; only one that has failed can be tried again")
            name, compiled = self._compiled(row.graph, row.arguments, lease)
            version = self.graphs.get(name) or GraphVersion(compiled.builder)
            failure = failure_of(compiled, thread_id, row.run_id, former_names(version.in_order()))
            if failure is None:
                why = "no agent's failure is stored as its cause (or was pruned): begin another run"
                raise BadInput(f"run {row.run_id!r} has failed, but {why}")
            saver, before = cast("Any", compiled.checkpointer), failure.before.config
            change = migrated(compiled, version, thread_id, Head(saver.get_tuple(before)))
            new, now = new_id(), self.clock()
            create = partial(self.records.rows.create, claim=lease.fence.check)
            again = create(new, thread_id, name, row.arguments, row.task, now)
            command = retry_command(failure, new, now, change.values if change else {})
            compiled.update_state(in_run(before, again), command, as_node="guard_admission")
            return self._attempt(again, lease, compiled, None, None, context, configured)

        return self._leased(thread_id, prepare)

    def cancel(self, thread_id: str, reason: str) -> RunExecution | Run:
        """Prepare the attempt that concludes a thread's last run; return the ended run where its graph cannot.

        Where it is worked on, that is asked to stop, and `ThreadBusy` is raised.
        """
        is_text = isinstance(reason, str) and reason.strip()  # pyright: ignore[reportUnnecessaryIsInstance]
        require(is_text, "`reason` describes in a few words why the run is cancelled", reason)

        def prepare(row: RunRow, lease: Lease) -> RunExecution | Run:
            row, head, stored = self.records.unended(row, self.clock(), lease.fence, "cancel")
            return self._concluding(row, lease, stored, reason) or self._concluded(row, lease, head, reason)

        try:
            return self._leased(thread_id, prepare)
        except ThreadBusy:
            self.leases.request_stop(thread_id, "cancel", reason)
            raise

    def end(self, attempt: RunExecution) -> Run:
        """Store the outcome of an attempt and give its lease back; raise `StaleWriter` where that was lost."""
        last, row, now = attempt.graph.get_state(attempt.config), attempt.row, self.clock()
        outcome = attempt.outcome(last, now)
        event = attempt.log_end(last, outcome, now)
        attempt.store_pending()
        if outcome is None:
            self.leases.release(attempt.lease)
        else:
            finish, ended = partial(self.records.finish, row, outcome, now), list[RunRow]()
            self.leases.release(attempt.lease, lambda claim: ended.append(finish(claim)))
            row = ended[0]
        if event is not None:
            attempt.services.publish(event)
        return self.records.run(row, last.values, last.interrupts)

    def release(self, attempt: RunExecution | Run) -> None:
        """Give back the lease of an attempt that has not ended, so that the run can be resumed at once.

        What has happened since its last checkpoint is stored, if the database takes it.
        """
        if isinstance(attempt, RunExecution):
            try:
                with suppress(StorageError):
                    attempt.store_pending()
            finally:
                self.leases.give_up(attempt.lease)

    def _leased(self, thread_id: str, prepare: Callable[[RunRow, Lease], RunExecution | Run]) -> RunExecution | Run:
        """Prepare an attempt at the last run of a thread under its lease; without an attempt that is given back."""
        lease = self.leases.take(thread_id, self.records.last(thread_id).run_id)
        try:
            prepared = prepare(self.records.last(thread_id), lease)
        except BaseException:
            self.leases.give_up(lease)
            raise
        if isinstance(prepared, Run):
            self.leases.give_up(lease)
        return prepared

    def _prepare_thread(self, thread_id: str, name: str, graph: _Compiled) -> None:
        """Make a thread ready for another run on it: store the end of the last one, and make its state fit the graph.

        A process may have died between the outcome of a run and storing that.
        """
        row = self.records.rows.latest(thread_id)
        head = None if row is None else self.records.head(row)
        if row is None or (row.status is not None and (head is None or fits(head, graph))):
            return
        lease = self.leases.take(thread_id, row.run_id)
        try:
            row = self.records.with_end(row, head, self.clock(), lease.fence)
            if row.status is not None:
                make_fit(_fenced(graph, lease), self.graphs.get(name), thread_id)
        finally:
            self.leases.give_up(lease)

    def _fitting(self, row: RunRow, head: Head | None, lease: Lease) -> _Compiled:
        """Return the graph of a run that goes on, once its thread fits that."""
        name, graph = self._compiled(row.graph, row.arguments, lease)
        gone = gone_nodes(head, graph, row.thread_id)
        if head is not None and (gone or not fits(head, graph)):
            make_fit(graph, self.graphs.get(name), row.thread_id, gone)
        return graph

    def _concluded(self, row: RunRow, lease: Lease, head: Head | None, reason: str) -> Run:
        """End a run whose graph cannot conclude it."""
        now, state = self.clock(), self.records.stored(row, head).state
        outcome = self.records.cancelled(row, state, reason, now)
        events = self.records.event_log(row, lease.fence, is_new=False)
        services = Services(clock=self.clock, on_event=self.on_event, log_event=events.add)
        position = state.get("position") or outermost_scope(row, now)
        event = services.log("run_finished", position, status=outcome.status, gaps=len(outcome.gaps))

        def claim(connection: Connection) -> None:
            lease.fence.check(connection)
            events.write_changes(connection)

        run = self.records.stored(self.records.finish(row, outcome, now, claim), head)
        services.publish(event)
        return run

    def _concluding(self, row: RunRow, lease: Lease, stored: Run, reason: str) -> RunExecution | None:
        """Prepare the graph of a run to conclude it at once; return `None` where it cannot."""
        position = stored.state.get("position")
        if position is None:
            return None
        try:  # not registered, or a builder that does not work any more: the run has to end all the same
            _, compiled = self._compiled(row.graph, row.arguments, lease)
        except Exception:
            return None
        command = conclude_command(compiled, row.thread_id, reason)
        if command is None:
            return None
        compiled.update_state(in_run(outermost(row.thread_id), row), command, as_node="guard_admission")
        return self._attempt(self._begun(row, lease), lease, compiled, None, position)

    def _begun(self, row: RunRow, lease: Lease, command: bytes | None = None) -> RunRow:
        """Record that a run goes on, and return its row with the number of this attempt."""
        begin = self.records.rows.begin_attempt
        return row._replace(attempt=begin(row.run_id, self.clock(), command=command, claim=lease.fence.check))

    def _compiled(
        self, graph: Any, arguments: Mapping[str, Any], lease: Lease | None = None
    ) -> tuple[str, CompiledStateGraph[Any, Any, Any, Any]]:
        name, built = named_graph(graph, arguments, self.graphs)
        version = self.graphs.get(name) or GraphVersion(built)
        compiled = self.compiled.get(name, built, version, is_kept=built is graph or built is version.build)
        return name, compiled if lease is None else _fenced(compiled, lease)

    def _attempt(
        self,
        row: RunRow,
        lease: Lease,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        given: Any,
        position: DelegationScope | None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> RunExecution:
        ledger, time = self.records.ledger_and_clock(row, position, self.clock, lease.fence)
        events = self.records.event_log(row, lease.fence, is_new=row.attempt == 1)
        saver = saver_of(graph).with_fence(lease.fence).storing_along(ledger, events)
        graph.checkpointer = saver
        services = services_of(ledger, time, self.clock, self.on_event, events.add, saver.codec.dumps)
        services.boards, services.thread_id = self.records.boards.with_fence(lease.fence), row.thread_id
        services.effects, services.reputation = self.records.effects, self.records.reputation
        services.turns = Turns(self.records.values, self.rate_limits)
        services.learned = learned = LearnedCosts(self.records.values)
        services.costs.known = expected_costs(learned.listed())
        services.circuits = Circuits(self.records.values)
        services.capped = self.records.budgets.limited(row.thread_id) if position is None else ()
        services.published = ThreadEvents(self.records.published, row.thread_id)
        scope = position or outermost_scope(row, self.clock())
        damaged = [name.replace("\n", " ") for name in sorted(learned.damaged)]
        lost = {"damaged_costs": damaged} if damaged else {}
        services.emit("run_started", scope, graph=row.graph, attempt=row.attempt, **lost)
        return RunExecution(row, lease, graph, given, time, services, ledger, events, config or {}, context)


def _fenced(graph: _Compiled, lease: Lease) -> _Compiled:
    """Return a graph that writes under a lease."""
    found = graph.copy()
    found.checkpointer = saver_of(graph).with_fence(lease.fence)
    return found
