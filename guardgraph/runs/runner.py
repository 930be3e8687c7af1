"""Running teams on threads that last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any

from langgraph.errors import GraphDrained
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, StreamMode

from guardgraph.nodes import Event
from guardgraph.runs.asked import (
    asked_allowance,
    asked_answers,
    asked_arguments,
    asked_listener,
    asked_task,
    registered,
)
from guardgraph.runs.attempt import Attempt, services_of
from guardgraph.runs.default_database import DEFAULT_URL, with_folder
from guardgraph.runs.named_graph import named_graph
from guardgraph.runs.records import Records
from guardgraph.runs.resumption import check_resumption
from guardgraph.runs.run import Listed, Run, RunStatus
from guardgraph.state import Allowance, Position, Task, new_id
from guardgraph.state.sql import RunRow, SQLSaver, types_of_graph

__all__ = ("Runner",)

_Build = Callable[..., Any]
_MODES: tuple[StreamMode, ...] = ("updates",)


class Runner:
    """Runs teams and keeps their threads, books and outcomes in one SQL database.

    `graphs` names the graphs that may be resumed here: uncompiled, or functions that return one. `listen` is told every
    event as it happens, from any thread. `clock` tells the time, in UTC. Without a `url` runs are kept where the
    command `guardgraph` keeps and finds them.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        graphs: Mapping[str, _Build | StateGraph[Any, Any, Any, Any]] | None = None,
        listen: Callable[[Event], None] | None = None,
        types: Sequence[type[Any]] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open the database; its tables are made at the first use. `types` are stored besides those of the graphs."""
        self.graphs = registered(graphs or {})
        self.listen = asked_listener(listen)
        self.clock = clock
        self.saver = SQLSaver.from_url(with_folder(url), types=tuple(types))
        self._records = Records(self.saver)
        self.url = self._records.url
        self._controls: set[RunControl] = set()

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
    ) -> Run:
        """Run a task to its end, or until it waits, and return what came of it.

        `graph` is a registered name, built with `arguments`, or a graph; a graph that is not registered cannot be
        resumed by name elsewhere. A thread may serve one task after the other; each is a run of its own.
        """
        [run] = self._work(self._begin(graph, task, thread_id, arguments), context)
        return run

    async def arun(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
    ) -> Run:
        """Do as `run` without blocking the event loop."""
        attempt = await asyncio.to_thread(self._begin, graph, task, thread_id, arguments)
        [run] = [run async for run in self._awork(attempt, context)]
        return run

    def stream(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
        stream_mode: Sequence[StreamMode] = _MODES,
    ) -> Iterator[Any]:
        """Run a task and yield LangGraph's stream parts (`type`, `ns`, `data`), and at last the `Run`.

        Nothing is checked, stored or begun before the first part is asked for. A part is told while what it tells is
        being stored; the `Run` is told when all is stored. An iteration that is left early leaves the run where it was:
        it can be resumed.
        """
        yield from self._work(self._begin(graph, task, thread_id, arguments), context, stream_mode)

    async def astream(
        self,
        graph: str | StateGraph[Any, Any, Any, Any],
        task: str | Task | Mapping[str, Any],
        *,
        thread_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        context: Any = None,
        stream_mode: Sequence[StreamMode] = _MODES,
    ) -> AsyncIterator[Any]:
        """Do as `stream` without blocking the event loop: nothing begins before the first part is awaited."""
        attempt = await asyncio.to_thread(self._begin, graph, task, thread_id, arguments)
        async with aclosing(self._awork(attempt, context, stream_mode)) as parts:
            async for part in parts:
                yield part

    def resume(
        self,
        thread_id: str,
        *,
        answers: Mapping[str, Any] | None = None,
        add: Allowance | Mapping[str, Any] | None = None,
        context: Any = None,
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
        [run] = self._work(self._again(thread_id, answers, add), context)
        return run

    async def aresume(
        self,
        thread_id: str,
        *,
        answers: Mapping[str, Any] | None = None,
        add: Allowance | Mapping[str, Any] | None = None,
        context: Any = None,
    ) -> Run:
        """Do as `resume` without blocking the event loop."""
        attempt = await asyncio.to_thread(self._again, thread_id, answers, add)
        [run] = [run async for run in self._awork(attempt, context)]
        return run

    def status(self, thread_id: str) -> Run:
        """Return what is stored of the thread's last run, without running anything."""
        row = self._records.last(thread_id)
        return self._records.stored(row, self._records.head(row))

    async def astatus(self, thread_id: str) -> Run:
        """Do as `status` without blocking the event loop."""
        return await asyncio.to_thread(self.status, thread_id)

    def threads(self, limit: int = 50, *, status: RunStatus | None = None) -> list[Listed]:
        """Return the latest runs, newest first, with how they stand; only those with `status` if one is named."""
        return self._records.listed(limit, status)

    def history(self, thread_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Return the latest `limit` checkpoints of the outermost team of a thread, newest first.

        Each has its `id`, when it was made (`at`, ISO 8601), its `step` (-1 is the input of the thread's first run),
        its `source` (`input`, `loop`, `update` or `fork`), and the `channels` that were written, sorted: those of the
        state, and LangGraph's own, such as `branch:to:conclude` where `conclude` comes next.
        """
        return self._records.history(thread_id, limit)

    def stop(self) -> bool:
        """Ask all runs under way in this runner to stop; tell whether there are any. They can be resumed.

        Agents at work finish, and what they did is stored; no other begins.
        """
        controls = list(self._controls)
        for control in controls:
            control.request_drain("stop")
        return bool(controls)

    def _begin(self, graph: Any, task: Any, thread_id: str | None, arguments: Mapping[str, Any] | None) -> Attempt:
        """Accept a new run, and make it ready to work."""
        asked, given = asked_task(task), asked_arguments(arguments)
        name, compiled = self._compiled(graph, given)
        row = self._records.accept(thread_id or new_id(), name, given, asked, self.clock())
        return self._attempt(row, compiled, {"task": asked}, None)

    def _again(
        self, thread_id: str, answered: Mapping[str, Any] | None, added: Allowance | Mapping[str, Any] | None
    ) -> Attempt | Run:
        """Make a thread's last run ready to go on; return it as it is stored where there is nothing to do."""
        answers, add = asked_answers(answered), asked_allowance(added)
        row = self._records.last(thread_id)
        head = self._records.head(row)
        stored = self._records.stored(row, head)
        check_resumption(stored, answers, add)
        if row.status is not None:
            return stored
        _, compiled = self._compiled(row.graph, row.arguments)
        if add is not None:
            self._records.add(row, add, self.clock())
        if stored.waiting and not answers and not _may_go_on(compiled, row.thread_id):
            return stored
        given: Command[Any] | None = Command(resume=answers) if answers else None
        return self._attempt(row, compiled, given if head else {"task": row.task}, stored.state.get("position"))

    def _compiled(self, graph: Any, arguments: Mapping[str, Any]) -> tuple[str, CompiledStateGraph[Any, Any, Any, Any]]:
        name, built = named_graph(graph, arguments, self.graphs)
        return name, built.compile(checkpointer=self.saver.with_types(*types_of_graph(built)), name=name)

    def _attempt(
        self, row: RunRow, graph: CompiledStateGraph[Any, Any, Any, Any], given: Any, position: Position | None
    ) -> Attempt:
        ledger, time = self._records.begin_attempt(row, position, self.clock())
        services = services_of(ledger, time, lambda: self.clock(), self.listen)
        return Attempt(row, graph, given, time, services)

    def _work(self, attempt: Attempt | Run, context: Any, modes: Sequence[StreamMode] = ()) -> Iterator[Any]:
        """Yield the stream parts of these modes, and at last the run; one that has nothing to do is yielded at once."""
        if isinstance(attempt, Run):
            yield attempt
            return
        parts = attempt.graph.stream(**attempt.call(context, modes))  # held: it is closed after `_leave`
        self._controls.add(attempt.control)
        try:
            with suppress(GraphDrained):
                for part in parts:  # noqa: UP028 - `yield from` would close it first, and wait for all its agents
                    yield part
            yield self._end(attempt)
        finally:
            self._leave(attempt)

    async def _awork(
        self, attempt: Attempt | Run, context: Any, modes: Sequence[StreamMode] = ()
    ) -> AsyncGenerator[Any]:
        """Do as `_work` without blocking the event loop."""
        if isinstance(attempt, Run):
            yield attempt
            return
        parts: Any = attempt.graph.astream(**attempt.call(context, modes))
        self._controls.add(attempt.control)
        try:
            async with aclosing(parts):
                with suppress(GraphDrained):
                    async for part in parts:
                        yield part
            yield await asyncio.to_thread(self._end, attempt)
        finally:
            self._leave(attempt)

    def _leave(self, attempt: Attempt) -> None:
        """Forget an attempt; where its caller left it, agents that have not begun never do."""
        attempt.control.request_drain("left")
        self._controls.discard(attempt.control)

    def _end(self, attempt: Attempt) -> Run:
        """Store the outcome, if there is one, and return the run."""
        last, row, now = attempt.graph.get_state(attempt.config), attempt.row, self.clock()
        outcome = attempt.outcome(last, now)
        if outcome is not None:
            row = self._records.finish(row, outcome, now)
        return self._records.run(row, last.values, last.interrupts)


def _may_go_on(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str) -> bool:
    """Whether something waits for nobody: it was stopped beside what asked a human."""
    tasks = graph.get_state({"configurable": {"thread_id": thread_id}}).tasks
    return any(task.result is None and not task.interrupts for task in tasks)
