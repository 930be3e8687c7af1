"""Running teams on threads that last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Command, StreamMode

from guardgraph.runs.call_config import asked_config, asked_store, thread_in
from guardgraph.runs.cancelled import asked_reason, concluding, ended_error, finished_event, tell
from guardgraph.runs.default_database import DEFAULT_URL, with_folder
from guardgraph.runs.execution import RunExecution, services_of
from guardgraph.runs.former_nodes import with_former_nodes
from guardgraph.runs.inputs import (
    asked_allowance,
    asked_answers,
    asked_arguments,
    asked_input,
    asked_listener,
    asked_modes,
    registered,
)
from guardgraph.runs.merging import merge_update
from guardgraph.runs.named_graph import named_graph
from guardgraph.runs.records import Records
from guardgraph.runs.resumption import check_going_on, check_nodes, check_resumption, next_nodes
from guardgraph.runs.run import Run, RunStatus, RunSummary
from guardgraph.runs.updating import asked_values
from guardgraph.runs.working import awork, work
from guardgraph.state import Allowance, BadInput, DelegationScope, RunActive, RunEvent, Task, new_id
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.codec.schemas import types_of_graph
from guardgraph.storage.sql.runs import RunRow

__all__ = ("Runner",)

_Build = Callable[..., Any]
_MODES: tuple[StreamMode, ...] = ("updates",)


class Runner:
    """Runs teams and keeps their threads, books and outcomes in one SQL database.

    `graphs` names the graphs that may be resumed here: uncompiled, or functions that return one. `on_event` is given
    every event as it happens, from any thread. `clock` tells the time, in UTC. Without a `url` runs are kept where the
    command `guardgraph` keeps and finds them.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        graphs: Mapping[str, _Build | StateGraph[Any, Any, Any, Any]] | None = None,
        on_event: Callable[[RunEvent], None] | None = None,
        types: Sequence[type[Any]] = (),
        store: BaseStore | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open the database; its tables are made at the first use.

        `types` are stored besides those of the graphs. `store` is what agents and tools find with LangGraph's
        `get_store()`; the caller closes it.
        """
        self.graphs = registered(graphs or {})
        self.on_event = asked_listener(on_event)
        self.store = asked_store(store)
        self.clock = clock
        self.saver = SQLSaver.from_url(with_folder(url), types=tuple(types))
        self._records = Records(self.saver)
        self.url = self._records.url
        self._attempts: set[RunExecution] = set()

    def __enter__(self) -> Runner:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database."""
        self.close()

    async def __aenter__(self) -> Runner:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the database."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Close the database; what is called later opens it again."""
        self.saver.close()

    def run(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """Run a task to its end, or until it waits, and return what came of it.

        `graph` is a registered name, built with `arguments`, or a graph; a graph that is not registered cannot be
        resumed by name elsewhere. A thread may serve one task after the other; each is a run of its own. `task` may
        also be `{"messages": […]}`: the last message of a human is the goal, all others of the thread are background.

        `config` is LangChain's: `callbacks`, `tags`, `metadata`, `run_name`, `max_concurrency` (64 by default),
        `recursion_limit` (none by default) and `configurable` entries of yours. What the runner sets itself wins, and a
        warning is logged. It is not stored: give it to `resume`, too.

        Raises:
            UnknownGraph: no graph is registered under this name.
            RunUnfinished: the thread has a run that has not ended; resume it, or `cancel` it.
            BadInput: the task, the arguments or the config do not fit.
        """
        [run] = self._work(self._begin(graph, task, thread_id, arguments, context, config))
        return run

    async def arun(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """Do as `run` without blocking the event loop."""
        attempt = await asyncio.to_thread(self._begin, graph, task, thread_id, arguments, context, config)
        [run] = [run async for run in self._awork(attempt)]
        return run

    def stream(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
        stream_mode: StreamMode | Sequence[StreamMode] = _MODES,
    ) -> Iterator[Any]:
        """Run a task and yield LangGraph's stream parts (`type`, `ns`, `data`), and at last the `Run`.

        `stream_mode` is one of LangGraph's modes, as `"messages"`, or several; another one is a `BadInput`.
        Nothing is checked, stored or begun before the first part is asked for. A part is told while what it tells is
        being stored; the `Run` is told when all is stored. An iteration that is left early leaves the run where it was:
        it can be resumed.
        """
        modes = asked_modes(stream_mode)
        yield from self._work(self._begin(graph, task, thread_id, arguments, context, config), modes)

    async def astream(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
        stream_mode: StreamMode | Sequence[StreamMode] = _MODES,
    ) -> AsyncIterator[Any]:
        """Do as `stream` without blocking the event loop: nothing begins before the first part is awaited."""
        modes = asked_modes(stream_mode)
        attempt = await asyncio.to_thread(self._begin, graph, task, thread_id, arguments, context, config)
        async with aclosing(self._awork(attempt, modes)) as parts:
            async for part in parts:
                yield part

    def resume(
        self,
        thread_id: str,
        *,
        answers: Mapping[str, Any] | None = None,
        add: Allowance | Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """Go on with the thread's last run: after a crash, with `answers` by id, or with `add`ed allowance.

        Counts of `add` are added to what the run may spend; its `deadline` says until when the run may work from now
        on, if that is later, and moves every deadline below by as much. What is unlimited stays so. A run that has
        ended is returned as it is; one that waits and gets no answers goes on waiting.

        Raises:
            UnknownThread: no run was ever started on the thread.
            UnknownGraph: the run's graph is not registered here.
            RunEnded: there are `answers`, or there is something to `add`, and the run has ended.
            BadInput: nothing waits for an answer; `add` holds a depth; or the run never reached its first node.
        """
        [run] = self._work(self._again(thread_id, answers, add, context, config))
        return run

    async def aresume(
        self,
        thread_id: str,
        *,
        answers: Mapping[str, Any] | None = None,
        add: Allowance | Mapping[str, Any] | None = None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> Run:
        """Do as `resume` without blocking the event loop."""
        attempt = await asyncio.to_thread(self._again, thread_id, answers, add, context, config)
        [run] = [run async for run in self._awork(attempt)]
        return run

    def update(self, thread_id: str, /, **values: Any) -> Run:
        """Merge values into the state of the thread's last run, and let it go on: the agents that wait work again.

        Each value goes through the reducer of its channel. What can be updated are the channels that the graph adds to
        guardgraph's own, and `context`. What is finished stays, at every level; a question that has no answer is
        asked again, under the same id. An agent that was sent before works on the request that it was sent with.

        Raises:
            UnknownThread, UnknownGraph: as in `resume`.
            RunEnded: the run has ended.
            RunActive: this very runner works on it.
            BadInput: a channel does not exist or is guardgraph's own, or the run never reached its first node.
        """
        [run] = self._work(self._updated(thread_id, values))
        return run

    async def aupdate(self, thread_id: str, /, **values: Any) -> Run:
        """Do as `update` without blocking the event loop."""
        attempt = await asyncio.to_thread(self._updated, thread_id, values)
        [run] = [run async for run in self._awork(attempt)]
        return run

    def status(self, thread_id: str) -> Run:
        """Return what is stored of the thread's last run, without running anything."""
        row = self._records.last(thread_id)
        return self._records.stored(row, self._records.head(row))

    async def astatus(self, thread_id: str) -> Run:
        """Do as `status` without blocking the event loop."""
        return await asyncio.to_thread(self.status, thread_id)

    def list_runs(self, limit: int = 50, *, status: RunStatus | None = None) -> list[RunSummary]:
        """Return the latest runs, newest first, with how they stand; only those with `status` if one is named."""
        return self._records.listed(limit, status)

    def history(self, thread_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Return the latest `limit` checkpoints of the outermost team of a thread, newest first.

        Each has its `id`, when it was made (`at`, ISO 8601), its `step` (-1 is the input of the thread's first run),
        its `source` (`input`, `loop`, `update` or `fork`), and the `channels` that were written, sorted: those of the
        state, and LangGraph's own, such as `branch:to:guard_exit` where `conclude` comes next.
        """
        return self._records.history(thread_id, limit)

    def drain(self, *, at_once: bool = False) -> bool:
        """Ask all runs under way in this runner to stop; tell whether there are any. They can be resumed.

        Agents at work finish, and what they did is stored; no other begins. With `at_once` the innermost agents at work
        are cancelled: what they did is lost; it tells whether any were at work, so that it can be called again.
        """
        attempts = list(self._attempts)
        for attempt in attempts:
            attempt.control.request_drain("stop")
        if at_once:
            return sum(attempt.services.cancel_innermost() for attempt in attempts) > 0
        return bool(attempts)

    def cancel(self, thread_id: str, *, reason: str = "cancelled by the caller") -> Run:
        """End the thread's last run, on which nobody works, with what there is, and return it.

        Its outcome is `cancelled`: what was accepted, and what the guards of `exit` let pass of that, is its value; all
        else is a gap that tells the `reason`. No agent works. Where the graph is not registered here, or cannot be
        built, nobody can ask its guards, and there is no value. The thread can be given another run.

        Raises:
            UnknownThread: no run was ever started on the thread.
            RunEnded: the run has ended.
            RunActive: this very runner works on it; drain it first. One that another process works on is not noticed.
        """
        why = asked_reason(reason)
        row = self._records.last(thread_id)
        self._check_idle(row)
        now, head = self.clock(), self._records.head(row)
        row = self._records.noted(row, head, now)
        stored = self._records.stored(row, head)
        if row.status is not None:
            raise ended_error(stored, "cancel")
        attempt = self._concluding(row, stored, why)
        if attempt is not None:
            [run] = self._work(attempt)
            return run
        outcome = self._records.cancelled(row, stored.state, why, now)
        event = finished_event(stored, outcome, self.clock())
        run = self._records.stored(self._records.finish(row, outcome, now), head)
        tell(self.on_event, event)
        return run

    async def acancel(self, thread_id: str, *, reason: str = "cancelled by the caller") -> Run:
        """Do as `cancel` without blocking the event loop."""
        return await asyncio.to_thread(lambda: self.cancel(thread_id, reason=reason))

    def _begin(
        self,
        graph: Any,
        task: Any,
        thread_id: str | None,
        arguments: Mapping[str, Any] | None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> RunExecution:
        """Accept a new run, and make it ready to work."""
        (asked, input), given = asked_input(task), asked_arguments(arguments)
        configured = asked_config(config)
        thread = thread_in(configured, thread_id) or new_id()
        name, compiled = self._compiled(graph, given)
        row = self._records.accept(thread, name, given, asked, self.clock())
        return self._attempt(row, compiled, input, None, context, configured)

    def _again(
        self,
        thread_id: str,
        answered: Mapping[str, Any] | None,
        added: Allowance | Mapping[str, Any] | None,
        context: Any = None,
        config: RunnableConfig | None = None,
    ) -> RunExecution | Run:
        """Make a thread's last run ready to go on; return it as it is stored where there is nothing to do."""
        answers, add, configured = asked_answers(answered), asked_allowance(added), asked_config(config)
        thread_in(configured, thread_id)
        row = self._records.last(thread_id)
        head = self._records.head(row)
        stored = self._records.stored(row, head)
        check_going_on(row, head)
        check_resumption(stored, answers, add)
        if row.status is not None:
            return stored
        _, compiled = self._compiled(row.graph, row.arguments, next_nodes(head))
        check_nodes(head, compiled, thread_id)
        if add is not None:
            self._records.add(row, add, self.clock())
        if stored.waiting and not answers and not _may_go_on(compiled, row.thread_id):
            return stored
        given: Command[Any] | None = Command(resume=answers) if answers else None
        position = stored.state.get("position")
        return self._attempt(row, compiled, given if head else {"task": row.task}, position, context, configured)

    def _updated(self, thread_id: str, values: Mapping[str, Any]) -> RunExecution:
        """Make a thread's last run ready to go on with other values in its state."""
        row = self._records.last(thread_id)
        self._check_idle(row)
        head = self._records.head(row)
        row = self._records.noted(row, head, self.clock())
        check_going_on(row, head)
        stored = self._records.stored(row, head)
        if row.status is not None:
            raise ended_error(stored, "update")
        _, compiled = self._compiled(row.graph, row.arguments, next_nodes(head))
        check_nodes(head, compiled, thread_id)
        asked, position = asked_values(values, compiled), stored.state.get("position")
        if position is None:
            raise BadInput(f"run {row.run_id!r} never reached its first node: there is nothing to update; resume it")
        beside = merge_update(compiled, row.thread_id, asked)
        return self._attempt(row, compiled, Command(update=beside) if beside else None, position, None, {})

    def _concluding(self, row: RunRow, stored: Run, reason: str) -> RunExecution | None:
        """Make the graph of a run ready to conclude it at once; `None` where it cannot."""
        position = stored.state.get("position")
        if position is None:
            return None
        try:  # not registered, or a builder that does not work any more: the run has to end all the same
            _, compiled = self._compiled(row.graph, row.arguments)
        except Exception:
            return None
        command = concluding(compiled, row.thread_id, reason)
        if command is None:
            return None
        compiled.update_state({"configurable": {"thread_id": row.thread_id}}, command, as_node="guard_admission")
        return self._attempt(row, compiled, None, position, None, {})

    def _compiled(
        self, graph: Any, arguments: Mapping[str, Any], left_at: Iterable[str] = ()
    ) -> tuple[str, CompiledStateGraph[Any, Any, Any, Any]]:
        name, built = named_graph(graph, arguments, self.graphs)
        built = with_former_nodes(built, left_at)
        saver = self.saver.with_types(*types_of_graph(built))
        return name, built.compile(checkpointer=saver, store=self.store, name=name)

    def _attempt(
        self,
        row: RunRow,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        given: Any,
        position: DelegationScope | None,
        context: Any,
        config: RunnableConfig,
    ) -> RunExecution:
        ledger, time = self._records.begin_attempt(row, position, self.clock())
        saver: Any = graph.checkpointer
        services = services_of(ledger, time, lambda: self.clock(), self.on_event, saver.codec.dumps)
        return RunExecution(row, graph, given, time, services, config, context)

    def _work(self, attempt: RunExecution | Run, modes: Sequence[StreamMode] = ()) -> Iterator[Any]:
        """Yield the stream parts of these modes, and at last the run; one that has nothing to do is yielded at once."""
        if isinstance(attempt, Run):
            yield attempt
            return
        self._attempts.add(attempt)
        try:
            yield from work(attempt, modes, lambda attempt: self._end(attempt))
        finally:
            self._attempts.discard(attempt)

    async def _awork(self, attempt: RunExecution | Run, modes: Sequence[StreamMode] = ()) -> AsyncGenerator[Any]:
        """Do as `_work` without blocking the event loop."""
        if isinstance(attempt, Run):
            yield attempt
            return
        self._attempts.add(attempt)
        try:
            async with aclosing(awork(attempt, modes, lambda attempt: self._end(attempt))) as parts:
                async for part in parts:
                    yield part
        finally:
            self._attempts.discard(attempt)

    def _end(self, attempt: RunExecution) -> Run:
        """Store the outcome, if there is one, and return the run; tell the listener where it waits."""
        last, row, now = attempt.graph.get_state(attempt.config), attempt.row, self.clock()
        outcome = attempt.outcome(last, now)
        if outcome is not None:
            row = self._records.finish(row, outcome, now)
        run = self._records.run(row, last.values, last.interrupts)
        attempt.tell_waiting(run)
        return run

    def _check_idle(self, row: RunRow) -> None:
        if any(attempt.row.thread_id == row.thread_id for attempt in list(self._attempts)):
            raise RunActive(row.run_id, thread_id=row.thread_id)


def _may_go_on(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str) -> bool:
    """Whether something waits for nobody: it was stopped beside what asked a human."""
    tasks = graph.get_state({"configurable": {"thread_id": thread_id}}).tasks
    return any(task.result is None and not task.interrupts for task in tasks)
