"""Running teams on threads that last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.errors import GraphDrained
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl
from langgraph.types import Command, StreamMode

from guardgraph.nodes import KEY, Event, Here, Services, task_of
from guardgraph.runs.dead_end import dead_end
from guardgraph.runs.run import Run, RunStatus, Waiting
from guardgraph.runs.run_time import RunTime
from guardgraph.state import (
    Allowance,
    BadGraph,
    BadInput,
    Outcome,
    Position,
    Task,
    Told,
    UnknownGraph,
    UnknownThread,
    new_id,
)
from guardgraph.state.sql import RunLedger, RunRow, RunStore, SQLLedger, SQLSaver, types_of_graph

__all__ = ("Runner",)

_Build = Callable[..., Any]
_MODES: tuple[StreamMode, ...] = ("updates",)
_PAUSED = "guardgraph_clock"
_RECURSION = 1_000_000_000
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class _Begun:
    """A run that is about to work."""

    row: RunRow
    graph: CompiledStateGraph[Any, Any, Any, Any]
    config: RunnableConfig
    given: Any
    """The task, answers, or `None` to go on."""
    control: RunControl
    time: RunTime


class Runner:
    """Runs teams and keeps their threads, books and outcomes in one SQL database.

    `graphs` names the builders of the graphs that may be resumed here: functions that return an uncompiled
    `StateGraph`. `listen` is told every event as it happens, from any thread. `clock` tells the time, in UTC.
    """

    def __init__(
        self,
        url: str = "sqlite:///guardgraph.db",
        *,
        graphs: Mapping[str, _Build] | None = None,
        listen: Callable[[Event], None] | None = None,
        types: Sequence[type[Any]] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open the database; its tables are made at the first use. `types` are stored besides those of the graphs."""
        self.graphs = dict(graphs or {})
        self.listen = listen
        self.clock = clock
        self.saver = SQLSaver.from_url(url, types=tuple(types))
        self.url = self.saver.engine.url.render_as_string(hide_password=True)
        self._runs = RunStore(self.saver.engine)
        self._ledger = SQLLedger(self.saver.engine)
        self._controls: dict[str, RunControl] = {}

    def __enter__(self) -> Runner:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database."""
        self.close()

    def close(self) -> None:
        """Close the database."""
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
        return self._go(self._begin(graph, task, thread_id, arguments), context)

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
        return await self._ago(await asyncio.to_thread(self._begin, graph, task, thread_id, arguments), context)

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
        """Run a task and yield LangGraph's stream parts (`type`, `ns`, `data`), and at last the `Run`."""
        begun = self._begin(graph, task, thread_id, arguments)
        try:
            yield from begun.graph.stream(
                begun.given, begun.config, stream_mode=list(stream_mode), subgraphs=True, **_options(begun, context)
            )
        except GraphDrained:
            yield self._told(begun)
        else:
            yield self._finish(begun)
        finally:
            self._controls.pop(begun.row.run_id, None)

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
        """Do as `stream` without blocking the event loop."""
        begun = await asyncio.to_thread(self._begin, graph, task, thread_id, arguments)
        options = _options(begun, context)
        try:
            async for part in begun.graph.astream(
                begun.given, begun.config, **options, stream_mode=list(stream_mode), subgraphs=True
            ):
                yield part
        except GraphDrained:
            yield await asyncio.to_thread(self._told, begun)
        else:
            yield await asyncio.to_thread(self._finish, begun)
        finally:
            self._controls.pop(begun.row.run_id, None)

    def resume(
        self,
        thread_id: str,
        *,
        answers: Mapping[str, Any] | None = None,
        add: Allowance | None = None,
        context: Any = None,
    ) -> Run:
        """Go on with the thread's last run: after a crash, with `answers` by id, or with `add`ed allowance.

        Counts of `add` are added to what the run may spend; its `deadline` says until when the run may work from now
        on, if that is later, and moves every deadline below by as much. What is unlimited stays so. A run that has
        ended is returned as it is; one that waits and gets no answers goes on waiting. Raises `UnknownThread`,
        `UnknownGraph` where its graph is not registered, and `BadInput` for answers that nothing waits for, and for
        an `add` that can do nothing: the run has ended or never reached its first node, or it is a depth.
        """
        begun = self._again(thread_id, answers, add)
        return begun if isinstance(begun, Run) else self._go(begun, context)

    async def aresume(
        self,
        thread_id: str,
        *,
        answers: Mapping[str, Any] | None = None,
        add: Allowance | None = None,
        context: Any = None,
    ) -> Run:
        """Do as `resume` without blocking the event loop."""
        begun = await asyncio.to_thread(self._again, thread_id, answers, add)
        return begun if isinstance(begun, Run) else await self._ago(begun, context)

    def status(self, thread_id: str) -> Run:
        """Return what is stored of the thread's last run, without running anything."""
        row = self._row(thread_id)
        return self._run_of(row, self._values(row))

    async def astatus(self, thread_id: str) -> Run:
        """Do as `status` without blocking the event loop."""
        return await asyncio.to_thread(self.status, thread_id)

    def threads(self, limit: int = 50, *, status: Any = None) -> list[RunRow]:
        """Return the latest runs, newest first; `status` is one of an outcome's."""
        return self._runs.list(limit, status)

    def history(self, thread_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Return the latest `limit` checkpoints of the outermost team of a thread, newest first.

        Each has its `id`, when it was made (`at`, ISO 8601), its `step` (-1 is the input of the thread's first run),
        its `source` (`input`, `loop`, `update` or `fork`), and the `channels` that were written, sorted: those of the
        state, and LangGraph's own, such as `branch:to:conclude` where `conclude` comes next.
        """
        self._row(thread_id)
        found = self.saver.list({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}, limit=limit)
        return [
            {
                "id": item.checkpoint["id"],
                "at": item.checkpoint["ts"],
                "step": item.metadata.get("step"),
                "source": item.metadata.get("source"),
                "channels": sorted(item.checkpoint.get("updated_channels") or ()),
            }
            for item in found
        ]

    def stop(self) -> None:
        """Ask all runs of this runner to stop after the superstep under way; they can be resumed."""
        for control in list(self._controls.values()):
            control.request_drain("stop")

    def _begin(self, graph: Any, task: Any, thread_id: str | None, arguments: Mapping[str, Any] | None) -> _Begun:
        asked = task_of(task)
        name, built = self._built(graph, dict(arguments or {}))
        thread = thread_id or new_id()
        compiled = self._compiled(built, name)
        head = self.saver.get_tuple({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})
        run_id = new_id()
        base = head.checkpoint["id"] if head else None
        self._runs.create(run_id, thread, name, dict(arguments or {}), asked, base, self.clock())
        row = self._runs.get(run_id)
        if row is None:
            raise BadInput(f"run {run_id!r} was taken out of the database while it began")
        return self._ready(row, compiled, {"task": asked}, None)

    def _again(self, thread_id: str, answers: Mapping[str, Any] | None, add: Allowance | None) -> _Begun | Run:
        row = self._row(thread_id)
        stored = self._run_of(row, self._values(row))
        _check_answers(answers or {}, stored.waiting)
        _check_open(stored, add)
        if row.status is not None:
            return stored
        _, built = self._built(row.graph, row.arguments)
        compiled = self._compiled(built, row.graph)
        position: Position | None = stored.state.get("position")
        if add is not None:
            self._add(row, position, add)
        if stored.waiting and not answers:
            return stored
        head = self._head(row)
        if head is None or head.checkpoint["id"] == row.base_checkpoint:  # it died before its first checkpoint
            return self._ready(row, compiled, {"task": row.task}, None)
        return self._ready(row, compiled, Command(resume=dict(answers)) if answers else None, position)

    def _add(self, row: RunRow, position: Position | None, add: Allowance) -> None:
        """Add to the run's books; a deadline is kept there in the run's own time."""
        if add.depth is not None:
            raise BadInput("`add` holds a depth; how deep a run may delegate is a limit of its graph: raise it there")
        if position is None:
            raise BadInput(f"run {row.run_id!r} never reached its first node: there is nothing to add to; resume it")
        until = None if add.deadline is None else add.deadline - self._paused(row)
        self._ledger.top_up(row.run_id, add.model_copy(update={"deadline": until}))

    def _ready(self, row: RunRow, graph: Any, given: Any, position: Position | None) -> _Begun:
        """Return a run that is ready to work, with the books and the time of what it has done so far, if anything."""
        raised = self._raised(row, position)
        admitted = position.allowance if position else raised
        time = RunTime() if position is None else RunTime.of(self._paused(row), admitted.deadline, raised.deadline)
        self._runs.begin_attempt(row.run_id, self.clock())
        services = Services(
            ledger=RunLedger(self._ledger, row.run_id, admitted, raised),
            clock=lambda: time.own(self.clock()),
            listen=self._listener(time),
        )
        control = self._controls[row.run_id] = RunControl()
        config: RunnableConfig = {
            "configurable": {"thread_id": row.thread_id, KEY: Here(services=services, run_id=row.run_id)},
            "metadata": {"run_id": row.run_id, "graph": row.graph, _PAUSED: time.paused.total_seconds()},
            "recursion_limit": _RECURSION,
            "max_concurrency": _AT_ONCE,
        }
        return _Begun(row, graph, config, given, control, time)

    def _raised(self, row: RunRow, position: Position | None) -> Allowance:
        """Return what the run may spend by its books: what it was admitted with, and all that was added."""
        balances = self._ledger.balances(row.run_id) if position else ()
        return balances[0].cap if balances else Allowance()

    def _paused(self, row: RunRow) -> timedelta:
        """Return how long nobody has worked on a run: before its last checkpoint, at any level, and since."""
        config: RunnableConfig = {"configurable": {"thread_id": row.thread_id}}
        last = next(self.saver.list(config, limit=1))
        metadata: Mapping[str, Any] = last.metadata
        since = self.clock() - datetime.fromisoformat(last.checkpoint["ts"])
        return timedelta(seconds=float(metadata.get(_PAUSED) or 0)) + max(since, timedelta(0))

    def _listener(self, time: RunTime) -> Callable[[Event], None] | None:
        """Return the listener, told the wall's time where the run's own is another."""
        listen = self.listen
        if listen is None or time == RunTime():
            return listen
        return lambda event: listen(event.model_copy(update={"at": time.wall(event.at)}))

    def _go(self, begun: _Begun, context: Any) -> Run:
        try:
            begun.graph.invoke(begun.given, begun.config, **_options(begun, context))
        except GraphDrained:
            return self._told(begun)
        finally:
            self._controls.pop(begun.row.run_id, None)
        return self._finish(begun)

    async def _ago(self, begun: _Begun, context: Any) -> Run:
        try:
            await begun.graph.ainvoke(begun.given, begun.config, **_options(begun, context))
        except GraphDrained:
            return await asyncio.to_thread(self._told, begun)
        finally:
            self._controls.pop(begun.row.run_id, None)
        return await asyncio.to_thread(self._finish, begun)

    def _finish(self, begun: _Begun) -> Run:
        """Store the outcome, if there is one, and return the run as it is stored."""
        snapshot = begun.graph.get_state(begun.config)
        outcome: Outcome | None = snapshot.values.get("outcome")
        now, run_id = self.clock(), begun.row.run_id
        if outcome is None and not snapshot.interrupts and not snapshot.next:
            gap = dead_end(begun.graph, snapshot)
            outcome = Outcome(status="failed", gaps=(gap,), usage=self._ledger.usage(run_id))
        if outcome is not None:
            self._runs.finish(run_id, begun.time.timed(outcome, snapshot.values.get("position"), now), now)
        return self._told(begun)

    def _told(self, begun: _Begun) -> Run:
        row = self._runs.get(begun.row.run_id) or begun.row
        snapshot = begun.graph.get_state(begun.config)
        waiting = tuple(Waiting(found.id, found.value) for found in snapshot.interrupts)
        return self._run_of(row, snapshot.values, waiting)

    def _run_of(self, row: RunRow, values: Mapping[str, Any], waiting: tuple[Waiting, ...] | None = None) -> Run:
        if waiting is None:
            waiting = self._waiting(row) if row.status is None else ()
        status: RunStatus = row.status or ("waiting" if waiting else "running")
        mine = getattr(values.get("position"), "run_id", None) == row.run_id
        return Run(
            thread_id=row.thread_id,
            run_id=row.run_id,
            graph=row.graph,
            status=status,
            outcome=row.outcome,
            usage=row.outcome.usage if row.outcome else self._ledger.usage(row.run_id),
            results=tuple(values.get("results") or ()) if mine else (),
            waiting=waiting,
            state=values if mine else {},
        )

    def _head(self, row: RunRow) -> CheckpointTuple | None:
        return self.saver.get_tuple({"configurable": {"thread_id": row.thread_id, "checkpoint_ns": ""}})

    def _values(self, row: RunRow) -> Mapping[str, Any]:
        head = self._head(row)
        values: Mapping[str, Any] = head.checkpoint["channel_values"] if head else {}
        return {key: value for key, value in values.items() if ":" not in key and not key.startswith("__")}

    def _waiting(self, row: RunRow) -> tuple[Waiting, ...]:
        """Return the open questions of a thread, also those of nested teams, from its rows."""
        head = self._head(row)
        if head is None or head.checkpoint["id"] == row.base_checkpoint:
            return ()
        asked = [found for _, channel, value in head.pending_writes or () if channel == INTERRUPT for found in value]
        return tuple(Waiting(found.id, found.value) for found in asked)

    def _row(self, thread_id: str) -> RunRow:
        row = self._runs.latest(thread_id)
        if row is None:
            raise UnknownThread(thread_id, url=self.url)
        return row

    def _built(self, graph: Any, arguments: dict[str, Any]) -> tuple[str, StateGraph[Any, Any, Any, Any]]:
        """Return the name of a graph and the graph itself, built if it was named."""
        if not isinstance(graph, str):
            name = next((name for name, build in self.graphs.items() if build is graph), "unregistered")
            return name, _checked(graph, name)
        build = self.graphs.get(graph)
        if build is None:
            raise UnknownGraph(graph, registered=self.graphs)
        try:
            return graph, _checked(build(**arguments), graph)
        except TypeError as error:
            raise BadInput(f"graph {graph!r} cannot be built with {sorted(arguments)}: {error}") from error

    def _compiled(self, graph: Any, name: str) -> CompiledStateGraph[Any, Any, Any, Any]:
        return graph.compile(checkpointer=self.saver.with_types(*types_of_graph(graph)), name=name)


def _checked(graph: Any, name: str) -> StateGraph[Any, Any, Any, Any]:
    if isinstance(graph, CompiledStateGraph):
        raise BadGraph(f"graph {name!r} is compiled; give the runner the graph itself, it brings its own checkpointer")
    if not isinstance(graph, StateGraph):
        raise BadGraph(f"graph {name!r} is a {type(graph).__name__}; a builder must return a StateGraph")
    if graph.output_schema is not Told:
        raise BadGraph(f"graph {name!r} tells no outcome; make it with a pattern or with `guardgraph.graphs.frame`")
    return graph


def _check_open(run: Run, add: Allowance | None) -> None:
    """Raise `BadInput` where something is to be added to a run that has ended, also if its process died just then."""
    outcome: Outcome | None = run.outcome or run.state.get("outcome")
    if outcome is not None and add is not None:
        by = f", stopped by {outcome.stopped_by}" if outcome.stopped_by else ""
        raise BadInput(
            f"run {run.run_id!r} has ended ({outcome.status}{by}), so nothing can be added to it; "
            f"ask again with larger limits: run(…, thread_id={run.thread_id!r})"
        )


def _check_answers(answers: Mapping[str, Any], waiting: tuple[Waiting, ...]) -> None:
    unknown = sorted(set(answers) - {wait.id for wait in waiting})
    if unknown:
        open_ = ", ".join(wait.id for wait in waiting) or "none"
        raise BadInput(f"nothing waits for {', '.join(unknown)}; open questions: {open_}")


def _options(begun: _Begun, context: Any) -> dict[str, Any]:
    return {"context": context, "durability": "sync", "control": begun.control, "version": "v2"}
