"""The attempts of one `Runner`: how they begin and end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from guardgraph.runs.arguments import (
    checked_allowance,
    checked_answers,
    checked_arguments,
    checked_config,
    checked_input,
    require,
    thread_of,
)
from guardgraph.runs.cancelling import conclude_command
from guardgraph.runs.compiled_graphs import CompiledGraphs
from guardgraph.runs.execution import RunExecution, services_of
from guardgraph.runs.head import Head, outermost
from guardgraph.runs.left_nodes import check_nodes
from guardgraph.runs.named_graph import named_graph
from guardgraph.runs.records import Records
from guardgraph.runs.retrying import failure_of, retry_command
from guardgraph.runs.run import Run
from guardgraph.runs.updating import checked_values, merge_update
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Allowance,
    BadInput,
    DelegationScope,
    Gap,
    Outcome,
    RunActive,
    RunEnded,
    RunEvent,
    RunStranded,
    RunUnfinished,
    Task,
    new_id,
)
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.runs import RunRow

__all__ = ("Attempts",)


@dataclass(slots=True, eq=False)
class Attempts:
    """Prepares the attempts of a runner, and stores their ends. Every method blocks."""

    records: Records
    graphs: Mapping[str, Callable[..., Any] | StateGraph[Any, Any, Any, Any]]
    on_event: Callable[[RunEvent], None] | None
    clock: Callable[[], datetime]
    compiled: CompiledGraphs
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
        thread = thread_of(configured, thread_id) or new_id()
        name, compiled = self._compiled(graph, built_with)
        row = self.records.accept(thread, name, built_with, goal, self.clock())
        return self._attempt(row, compiled, given, None, context, configured)

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
        head = self.records.head(row)
        stored = self.records.stored(row, head)
        _check_not_stranded(row, head)
        _check_resumption(stored, given, added)
        if row.status is not None:
            return stored
        _, compiled = self._compiled(row.graph, row.arguments)
        check_nodes(head, compiled, thread_id)
        if added is not None:
            self.records.add(row, added, self.clock())
        if stored.waiting and not given and not _has_open_task(compiled, thread_id):
            return stored
        input: Any = Command(resume=given) if given else None
        position = stored.state.get("position")
        return self._attempt(row, compiled, input if head else {"task": row.task}, position, context, configured)

    def update(self, thread_id: str, values: Mapping[str, Any]) -> RunExecution:
        """Prepare another attempt at a thread's last run, with other values in its state."""
        row, head, stored = self._unended(thread_id, "update")
        _check_not_stranded(row, head)
        _, compiled = self._compiled(row.graph, row.arguments)
        check_nodes(head, compiled, thread_id)
        checked, position = checked_values(values, compiled), stored.state.get("position")
        if position is None:
            raise BadInput(f"run {row.run_id!r} never reached its first node: there is nothing to update; resume it")
        new = merge_update(compiled, thread_id, checked)
        return self._attempt(row, compiled, Command(update=new) if new else None, position)

    def retry(self, thread_id: str, *, context: Any = None, config: RunnableConfig | None = None) -> RunExecution:
        """Prepare a new run on a thread whose last run has failed, which begins with the attempts that have failed."""
        configured = checked_config(config)
        thread_of(configured, thread_id)
        row, run = self._ended(thread_id)
        if run.status != "failed":
            raise BadInput(f"run {row.run_id!r} is {run.status}; only one that has failed can be tried again")
        name, compiled = self._compiled(row.graph, row.arguments)
        nothing = BadInput(f"run {row.run_id!r} has failed, but not for want of an agent's answer: begin another run")
        if failure_of(compiled, thread_id, row.run_id) is None:
            raise nothing
        now = self.clock()
        new = self.records.accept(thread_id, name, row.arguments, row.task, now)
        failure = failure_of(compiled, thread_id, row.run_id)  # again: now no other run can begin
        if failure is None:
            gap = Gap(subtask="run", reason="another run was begun on the thread meanwhile")
            self.records.finish(new, Outcome(status="cancelled", gaps=(gap,)), now)
            raise nothing
        command = retry_command(failure, new.run_id, now)
        compiled.update_state(failure.before.config, command, as_node="guard_admission")
        return self._attempt(new, compiled, None, None, context, configured)

    def cancel(self, thread_id: str, reason: str) -> RunExecution | Run:
        """Prepare the attempt that concludes a thread's last run; return the ended run where its graph cannot."""
        is_text = isinstance(reason, str) and reason.strip()  # pyright: ignore[reportUnnecessaryIsInstance]
        require(is_text, "`reason` describes in a few words why the run is cancelled", reason)
        row, head, stored = self._unended(thread_id, "cancel")
        attempt = self._concluding(row, stored, reason)
        if attempt is not None:
            return attempt
        now = self.clock()
        outcome = self.records.cancelled(row, stored.state, reason, now)
        run = self.records.stored(self.records.finish(row, outcome, now), head)
        own = DelegationScope(run_id=row.run_id, account=row.run_id, spending_account=row.run_id, started=now)
        services = Services(clock=self.clock, on_event=self.on_event)
        position = stored.state.get("position") or own
        services.emit("run_finished", position, status=outcome.status, gaps=len(outcome.gaps))
        return run

    def end(self, attempt: RunExecution) -> Run:
        """Store the outcome of an attempt, if there is one, and return the run; emit `run_waiting` where it waits."""
        attempt.store_books()
        last, row, now = attempt.graph.get_state(attempt.config), attempt.row, self.clock()
        outcome = attempt.outcome(last, now)
        if outcome is not None:
            row = self.records.finish(row, outcome, now)
        run = self.records.run(row, last.values, last.interrupts)
        position = run.state.get("position")
        if run.waiting and position is not None:
            attempt.services.emit("run_waiting", position, questions=[wait.id for wait in run.waiting])
        return run

    def _ended(self, thread_id: str) -> tuple[RunRow, Run]:
        """Return a thread's last run. Raises `RunUnfinished` where it has not ended."""
        row = self.records.last(thread_id)
        head = self.records.head(row)
        row = self.records.with_end(row, head, self.clock())
        if row.status is None:
            raise RunUnfinished(row.run_id, thread_id=thread_id)
        return row, self.records.stored(row, head)

    def _unended(self, thread_id: str, action: Literal["update", "cancel"]) -> tuple[RunRow, Head | None, Run]:
        """Return a thread's last run. Raises `RunActive` or `RunEnded` where it is active here, or has ended."""
        row = self.records.last(thread_id)
        if any(attempt.row.thread_id == thread_id for attempt in list(self.active)):
            raise RunActive(row.run_id, thread_id=thread_id)
        head = self.records.head(row)
        row = self.records.with_end(row, head, self.clock())
        run = self.records.stored(row, head)
        if row.status is not None:
            by = run.outcome.stopped_by if run.outcome else None
            raise RunEnded(row.run_id, thread_id=thread_id, status=run.status, stopped_by=by, action=action)
        return row, head, run

    def _concluding(self, row: RunRow, stored: Run, reason: str) -> RunExecution | None:
        """Prepare the graph of a run to conclude it at once; return `None` where it cannot."""
        position = stored.state.get("position")
        if position is None:
            return None
        try:  # not registered, or a builder that does not work any more: the run has to end all the same
            _, compiled = self._compiled(row.graph, row.arguments)
        except Exception:
            return None
        command = conclude_command(compiled, row.thread_id, reason)
        if command is None:
            return None
        compiled.update_state(outermost(row.thread_id), command, as_node="guard_admission")
        return self._attempt(row, compiled, None, position)

    def _compiled(self, graph: Any, arguments: Mapping[str, Any]) -> tuple[str, CompiledStateGraph[Any, Any, Any, Any]]:
        name, built = named_graph(graph, arguments, self.graphs)
        is_kept = built is graph or self.graphs.get(name) is built
        return name, self.compiled.get(name, built, is_kept=is_kept)

    def _attempt(
        self,
        row: RunRow,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        given: Any,
        position: DelegationScope | None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> RunExecution:
        ledger, time = self.records.begin_attempt(row, position, self.clock())
        compiled_with: Any = graph.checkpointer
        saver = cast("SQLSaver", compiled_with).with_books(ledger)
        graph.checkpointer = saver
        services = services_of(ledger, time, self.clock, self.on_event, saver.codec.dumps)
        services.effects = self.records.effects
        return RunExecution(row, graph, given, time, services, config or {}, context)


def _has_open_task(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str) -> bool:
    """Return whether a task is neither finished nor waiting: it was stopped beside an interrupt."""
    tasks = graph.get_state(outermost(thread_id)).tasks
    return any(task.result is None and not task.interrupts for task in tasks)


def _check_not_stranded(row: RunRow, head: Head | None) -> None:
    """Raise `RunStranded` where a run that has not ended has nothing that comes next."""
    if row.status is None and head is not None and head.is_stranded():
        raise RunStranded(row.run_id, thread_id=row.thread_id)


def _check_resumption(run: Run, answers: Mapping[str, Any], add: Allowance | None) -> None:
    """Raise where a stored run cannot take these `answers`, or what is to be added to its allowance.

    A run has ended as soon as its outcome is in its state, also where its process died before storing that.

    Raises:
        RunEnded: it has ended; it takes neither.
        BadInput: nothing waits for an answer; `add` holds a depth; or the run never reached its first node.
    """
    outcome: Outcome | None = run.outcome or run.state.get("outcome")
    if outcome is not None and (answers or add is not None):
        raise RunEnded(run.run_id, thread_id=run.thread_id, status=outcome.status, stopped_by=outcome.stopped_by)
    unknown = sorted(set(answers) - {wait.id for wait in run.waiting})
    if unknown:
        open_ = ", ".join(wait.id for wait in run.waiting) or "none"
        raise BadInput(f"nothing waits for {', '.join(unknown)}; open questions: {open_}")
    if add is None:
        return
    if add.depth is not None:
        raise BadInput("`add` holds a depth; how deep a run may delegate is a limit of its graph: raise it there")
    if run.state.get("position") is None:
        raise BadInput(f"run {run.run_id!r} never reached its first node: there is nothing to add to; resume it")
