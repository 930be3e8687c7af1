"""Running teams on threads that are stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, Unpack

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import StreamMode

from guardgraph.guards import Circuit
from guardgraph.runs.arguments import (
    IfBusy,
    check_constructor,
    check_leases,
    check_seconds,
    checked_graphs,
    checked_modes,
    checked_rate_limits,
)
from guardgraph.runs.attempts import Attempts
from guardgraph.runs.compiled_graphs import CompiledGraphs
from guardgraph.runs.copied_runs import charge_copied_run
from guardgraph.runs.default_database import DEFAULT_URL, with_folder
from guardgraph.runs.execution import RunExecution
from guardgraph.runs.leases import Leases
from guardgraph.runs.options import ResumeOptions, RunOptions
from guardgraph.runs.publishing import Publishing, awork_on, work_on
from guardgraph.runs.records import Records
from guardgraph.runs.run import Run, RunStatus, RunSummary
from guardgraph.runs.versions import GraphVersion
from guardgraph.runs.waiting import apatiently, patiently
from guardgraph.runtime.boards.view import BoardView
from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.budget.learned_costs import LearnedCost, LearnedCosts
from guardgraph.runtime.rates.rate_limit import RateLimit
from guardgraph.state import Allowance, Event, RunEvent, StoredEvent, Task
from guardgraph.storage.reputation import Reputation
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.codec.options import CodecOptions
from guardgraph.storage.sql.ledger.shared_budgets import AccountBudget
from guardgraph.storage.sql.published import Publication
from guardgraph.storage.sql.threads import Threads

__all__ = ("Runner",)

_Graph = StateGraph[Any, Any, Any, Any]
_Task = str | Task | Mapping[str, Any]
_MODES: tuple[StreamMode, ...] = ("updates",)


class Runner(AbstractContextManager["Runner"], AbstractAsyncContextManager["Runner"]):
    """Runs teams and stores their threads, ledgers and outcomes in one SQL database.

    `graphs` names the graphs that may be resumed here: uncompiled, or functions that return one; a `GraphVersion` adds
    a version and migrations. `on_event` is called with every event, from any thread. `clock` returns the time, in UTC.
    `url` is by default that of the command.
    `threads` prunes, deletes, copies, forks and compares stored threads, see `Threads`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        graphs: Mapping[str, Callable[..., Any] | _Graph | GraphVersion] | None = None,
        on_event: Callable[[RunEvent], None] | None = None,
        types: Sequence[type[Any]] = (),
        store: BaseStore | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        if_busy: IfBusy = "refuse",
        wait_seconds: float = 60.0,
        lease_seconds: float = 30.0,
        tenant: str | None = None,
        write_behind: float | None = None,
        rate_limits: Mapping[str, RateLimit] | None = None,
        **stored: Unpack[CodecOptions],
    ) -> None:
        """Open the database; its tables are made at the first use.

        `types` are stored besides those of the graphs. `store` is what agents and tools find with LangGraph's
        `get_store()`; the caller closes it. On a thread that is worked on, a call raises `ThreadBusy`, with
        `if_busy="wait"` after `wait_seconds`. Where its process has died, it is free after `lease_seconds`.
        `tenant` is whose threads these are: those of others are not seen, not even where their ids are the same. An
        empty one is refused; without one (`None`) they are those without a tenant.
        `write_behind` holds checkpoints in memory for up to so many seconds, see `SQLSaver`: a process that dies then
        loses finished work, which is done again. A part of `stream` is still yielded when it is stored.
        `rate_limits` are those of providers (`openai`) and models (`openai:gpt-5`), for all runs of the tenant in this
        database; give every process the same. `CodecOptions` encrypt and compress.
        """
        registered = checked_graphs(graphs)
        check_constructor(on_event=on_event, store=store)
        check_leases(if_busy, wait_seconds=wait_seconds, lease_seconds=lease_seconds)
        self.saver = SQLSaver.from_url(
            with_folder(url), types=tuple(types), tenant=tenant, write_behind=write_behind, **stored
        )
        leases = Leases(self.saver.engine, lease_seconds, tenant=self.saver.tenant)
        self._records = Records(self.saver, leases.state_of, clock)
        compiled = CompiledGraphs(self.saver, store)
        self._attempts = Attempts(self._records, leases, registered, on_event, clock, compiled)
        self._attempts.rate_limits = checked_rate_limits(rate_limits)
        self._publishing = Publishing(self._attempts)
        self._patience = wait_seconds if if_busy == "wait" else 0.0
        self.threads = Threads(self.saver, on_copied=partial(charge_copied_run, self.saver))
        self.url = self._records.url

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stop what is active here, and close the database; later calls open it again."""
        self._attempts.leases.close()
        self.saver.close()

    def run(self, graph: str | _Graph, task: _Task, **options: Unpack[RunOptions]) -> Run:
        """Run a task until it ends or waits, and return the run.

        `graph` is a registered name, built with `arguments`, or a graph; a graph that is not registered cannot be
        resumed by name elsewhere. `task` may also be `{"messages": […]}`: the last message of a human is the goal, all
        others of the thread are background.

        Raises:
            UnknownGraph: no graph is registered under this name.
            MigrationNeeded, MigrationFailed: the thread has a state that does not fit the graph, see `resume`.
            RunUnfinished: the thread has a run that has not ended; resume it, or `cancel` it.
            ThreadBusy: it is worked on, here or in another process.
            BadInput: the task, the arguments or the config do not fit.
        """
        return self._finish(lambda: self._attempts.begin(graph, task, **options))

    async def arun(self, graph: str | _Graph, task: _Task, **options: Unpack[RunOptions]) -> Run:
        """Do as `run` without blocking the event loop."""
        return await self._afinish(lambda: self._attempts.begin(graph, task, **options))

    def stream(
        self,
        graph: str | _Graph,
        task: _Task,
        *,
        stream_mode: StreamMode | Sequence[StreamMode] = _MODES,
        provisional: bool = True,
        **options: Unpack[RunOptions],
    ) -> Iterator[Any]:
        """Run a task and yield LangGraph's stream parts (`type`, `ns`, `data`), and at last the `Run`.

        `stream_mode` is one of LangGraph's modes, as `"messages"`, or several; another one is a `BadInput`.
        Nothing is checked, stored or begun before the first part is requested. A part is yielded when what it reports
        is committed, so it does not happen again after a crash. Parts of `messages` and `custom` report unfinished
        work: they are yielded at once and have `provisional: True`, as has what an interrupted or failed agent did in
        a graph without a checkpointer. With `provisional=False` they wait until that work is committed, and are dropped
        if it never is. An iteration that is left early leaves the run where it was: it can be resumed.
        """
        modes = checked_modes(stream_mode)
        begin = partial(self._attempts.begin, graph, task, **options)
        prepared = patiently(begin, self._patience)
        yield from work_on(self._publishing, self._attempts, prepared, modes, provisional=provisional)

    async def astream(
        self,
        graph: str | _Graph,
        task: _Task,
        *,
        stream_mode: StreamMode | Sequence[StreamMode] = _MODES,
        provisional: bool = True,
        **options: Unpack[RunOptions],
    ) -> AsyncIterator[Any]:
        """Do as `stream` without blocking the event loop: nothing begins before the first part is awaited."""
        modes = checked_modes(stream_mode)
        attempt = await self._prepared(partial(self._attempts.begin, graph, task, **options), self._patience)
        work = awork_on(self._publishing, self._attempts, attempt, modes, provisional=provisional)
        async with aclosing(work) as parts:
            async for part in parts:
                yield part

    def resume(self, thread_id: str, **options: Unpack[ResumeOptions]) -> Run:
        """Go on with the thread's last run: after a crash, with `answers` by id, or with `add`ed allowance.

        A run that has ended is returned as it is; one that waits and gets no answers goes on waiting.

        Raises:
            UnknownThread: no run was ever started on the thread.
            UnknownGraph: the run's graph is not registered here.
            MigrationNeeded: another version of the graph has stored what this one cannot go on with.
            MigrationFailed: a migration of the graph raises, or returns what does not fit.
            RunEnded: there are `answers`, or there is something to `add`, and the run has ended.
            ThreadBusy: it is worked on, here or in another process.
            BadInput: nothing waits for an answer; `add` holds a depth; or the run never reached its first node.
        """
        return self._finish(lambda: self._attempts.resume(thread_id, **options))

    async def aresume(self, thread_id: str, **options: Unpack[ResumeOptions]) -> Run:
        """Do as `resume` without blocking the event loop."""
        return await self._afinish(lambda: self._attempts.resume(thread_id, **options))

    def retry(self, thread_id: str, *, context: Any = None, config: RunnableConfig | None = None) -> Run:
        """Begin a new run on a thread whose last run has failed, from the state before it failed, and return it.

        What was accepted is not done again; the agents that failed last work on their requests again, with all their
        attempts. The new run has the allowance and the time that the last one began with, and its usage is its own.
        `context` and `config` are as in `run`.

        Raises:
            UnknownThread, UnknownGraph, MigrationNeeded, MigrationFailed, ThreadBusy: as in `resume`.
            RunUnfinished: the last run has not ended; resume it.
            BadInput: it has not failed, or no agent has.
        """
        return self._finish(lambda: self._attempts.retry(thread_id, context=context, config=config))

    async def aretry(self, thread_id: str, *, context: Any = None, config: RunnableConfig | None = None) -> Run:
        """Do as `retry` without blocking the event loop."""
        return await self._afinish(lambda: self._attempts.retry(thread_id, context=context, config=config))

    def update(self, thread_id: str, /, **values: Any) -> Run:
        """Merge values into the state of the thread's last run, and let it go on: waiting agents work again.

        Each value goes through the reducer of its channel. What can be updated are the channels that the graph adds to
        guardgraph's own, and `context`. Finished work stays, at every level; an interrupt without an answer is raised
        again, under the same id. An agent that was sent before works on the request that it was sent with.

        Raises:
            UnknownThread, UnknownGraph, MigrationNeeded, MigrationFailed, ThreadBusy: as in `resume`.
            RunEnded: the run has ended.
            BadInput: a channel does not exist or is guardgraph's own, or the run never reached its first node.
        """
        return self._finish(lambda: self._attempts.update(thread_id, values))

    async def aupdate(self, thread_id: str, /, **values: Any) -> Run:
        """Do as `update` without blocking the event loop."""
        return await self._afinish(lambda: self._attempts.update(thread_id, values))

    def status(self, thread_id: str) -> Run:
        """Return the thread's last run as it is stored, without running anything."""
        row, lease = self._records.now(thread_id)
        return self._records.stored(row, self._records.head(row), lease)

    async def astatus(self, thread_id: str) -> Run:
        """Do as `status` without blocking the event loop."""
        return await asyncio.to_thread(self.status, thread_id)

    def list_runs(self, limit: int = 50, *, status: RunStatus | None = None) -> list[RunSummary]:
        """Return the latest runs with their status, newest first; only those with `status` if one is given."""
        return self._records.listed(limit, status)

    def history(self, thread_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Return the latest `limit` checkpoints of the outermost team of a thread, newest first.

        Each has its `id`, when it was made (`at`, ISO 8601), its `step` (-1 is the input of the thread's first run),
        its `source` (`input`, `loop`, `update` or `fork`), and the `channels` that were written, sorted: those of the
        state, and LangGraph's own, such as `branch:to:guard_exit` where `conclude` comes next. `version` is that of the
        graph that has made it, `migrated_to` the version to which the thread was migrated there; else both are `None`.
        """
        return self._records.history(thread_id, limit)

    def events(
        self, thread_id: str, *, run_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[StoredEvent]:
        """Return what has happened in a run, by default the thread's last, oldest first; nothing is run.

        Every event is stored with the next checkpoint of its run, so a run that is active has some that are not there
        yet. `after` is the number of the last event that is known already; at most `limit` are returned.

        Raises:
            UnknownThread: no run was ever started on the thread.
            BadInput: it has no run of this id.
            StorageCorrupt: what is stored is damaged.
        """
        return self._records.events(thread_id, run_id, after, limit)

    async def aevents(
        self, thread_id: str, *, run_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[StoredEvent]:
        """Do as `events` without blocking the event loop."""
        return await asyncio.to_thread(self.events, thread_id, run_id=run_id, after=after, limit=limit)

    def board(self, name: str, *, thread_id: str | None = None, author: str = "") -> BoardView:
        """Return a board for use outside of agents, where every key may be read and written.

        It is that of a thread, which need not have a run yet, or without `thread_id` the one that all threads share by
        its name. `author` is whose writes they are; without one it can only be read. See `guardgraph.runs.boards`.
        """
        return self._records.board(name, thread_id, author)

    def reputation(self, agent: str) -> Reputation:
        """Return what the latest awards of an agent in auctions show of it: how reliable it is, and how exact its bids.

        That of an agent without awards is neutral.
        """
        return self._records.reputation.read([agent])[agent]

    async def areputation(self, agent: str) -> Reputation:
        """Do as `reputation` without blocking the event loop."""
        return await asyncio.to_thread(self.reputation, agent)

    def list_reputations(self, limit: int = 50) -> list[Reputation]:
        """Return the reputations of at most `limit` agents, those first that were awarded something last."""
        return self._records.reputation.listed(limit)

    def forget_reputation(self, agent: str, *, dry_run: bool = False) -> int:
        """Delete all settled awards of an agent, and return how many there were; with `dry_run` only count them.

        It begins anew, as after a change to what it does. A run that is in progress records what it settles later.
        """
        return self._records.reputation.forget(agent, dry_run=dry_run)

    def costs(self, limit: int = 1_000) -> list[LearnedCost]:
        """Return what attempts have cost in all runs, by agent and model; of more than `limit` those used last.

        It is learned when a run ends, waits or is stopped; of a process that dies, the costs of its run are not.
        """
        return LearnedCosts(self._records.values).listed(limit)

    def breakers(self, limit: int = 1_000) -> list[Circuit]:
        """Return the circuits of agents, tools and models that a `Breaker` has judged, the latest first."""
        return Circuits(self._records.values).listed(limit)

    def reset_breaker(self, agent: str) -> bool:
        """Close the circuit of an agent, a tool or a model, named as it is listed; return whether one was known.

        What is known of its attempts is forgotten.
        """
        return Circuits(self._records.values).reset(agent)

    def budgets(self, thread_id: str | None = None, limit: int = 100) -> list[AccountBudget]:
        """Return at most `limit` of the accounts that runs share, in their present periods, or those of a thread.

        First come those of the tenant. Each has what is spent and reserved, the cap that a team has declared last, that
        of an operator, and when it begins anew.
        """
        return self._records.budgets.listed(thread_id, limit)

    async def abudgets(self, thread_id: str | None = None, limit: int = 100) -> list[AccountBudget]:
        """Do as `budgets` without blocking the event loop."""
        return await asyncio.to_thread(self.budgets, thread_id, limit)

    def set_budget(
        self,
        cap: Allowance | None,
        *,
        thread_id: str | None = None,
        window: Literal["minute", "hour", "day", "month"] | timedelta | None = None,
    ) -> AccountBudget | None:
        """Set what the runs of the tenant, or of a thread, may spend in all, or in each period of `window`.

        The limits that `cap` names (of `usd`, `tokens` and `calls`) replace those that teams declare, from the next
        model call on and until `None` takes them back. They also hold for runs begun later whose teams declare none.
        Calls that wait for what others have reserved go on once there is room. Returns the account, if there is one.

        Raises:
            BadInput: `cap` caps none of the three, or anything else; the window does not exist.
        """
        span = int(window.total_seconds()) if isinstance(window, timedelta) else window
        return self._records.budgets.set(cap, thread_id, span)

    async def aset_budget(
        self,
        cap: Allowance | None,
        *,
        thread_id: str | None = None,
        window: Literal["minute", "hour", "day", "month"] | timedelta | None = None,
    ) -> AccountBudget | None:
        """Do as `set_budget` without blocking the event loop."""
        return await asyncio.to_thread(partial(self.set_budget, cap, thread_id=thread_id, window=window))

    def publish(self, thread_id: str, event: Event | Mapping[str, Any], *, wake: bool = True) -> Publication:
        """Publish an event to a thread from any process, in a transaction of its own, and return where it is stored.

        Who works on the thread delivers it. Where its run waits for events, and its graph is registered here, the run
        goes on here until it waits again or ends, unless `wake` is false; elsewhere `wake` does that. To a thread whose
        run has ended the next run, or `wake`, delivers it. An event whose source and id were published before is not
        stored again, so a call that has failed can be repeated; an `id` that is not given is a new one. Where the graph
        is no reactive team it is for such teams within, also those that code calls; without one it is not read.

        Raises:
            UnknownThread: no run was ever started on the thread.
            BadInput: it is no event; one that the graph does not accept, where that is registered here; or its source
                and id are those of an event with another type, subject or other data.
        """
        found = self._publishing.publish(thread_id, event)
        if wake:
            self._wake(thread_id, begins=False)
        return found

    async def apublish(self, thread_id: str, event: Event | Mapping[str, Any], *, wake: bool = True) -> Publication:
        """Do as `publish` without blocking the event loop."""
        found = await asyncio.to_thread(self._publishing.publish, thread_id, event)
        if wake:
            await self._awake(thread_id, begins=False)
        return found

    def replay(self, thread_id: str, event: str, *, wake: bool = True) -> Publication:
        """Deliver a parked event again, named by its `ref` or its id, to each subscriber where it is parked.

        It is published as a request to do so: a run that has ended is followed by another one of the same task, which
        begins with it. With `wake=False` it is only stored: after several of them one `wake` delivers all.

        Raises:
            UnknownThread: no run was ever started on the thread.
            BadInput: no such event is parked.
        """
        found = self._publishing.replay(thread_id, event)
        if wake:
            self._wake(thread_id, begins=True)
        return found

    async def areplay(self, thread_id: str, event: str, *, wake: bool = True) -> Publication:
        """Do as `replay` without blocking the event loop."""
        found = await asyncio.to_thread(self._publishing.replay, thread_id, event)
        if wake:
            await self._awake(thread_id, begins=True)
        return found

    def wake(self, thread_id: str | None = None) -> list[Run]:
        """Deliver what was published and not delivered, to one thread or to all, and return the runs that did so.

        Runs that wait go on; a thread whose run has ended gets another one of the same task, which begins with these
        events. Threads that somebody works on, and those whose graph is not registered here, are left as they are.
        """
        threads = self._publishing.threads() if thread_id is None else [thread_id]
        return [run for one in threads if (run := self._wake(one, begins=True)) is not None]

    async def awake(self, thread_id: str | None = None) -> list[Run]:
        """Do as `wake` without blocking the event loop."""
        threads = await asyncio.to_thread(self._publishing.threads) if thread_id is None else [thread_id]
        return [run for one in threads if (run := await self._awake(one, begins=True)) is not None]

    def drain(self, *, thread_id: str | None = None, at_once: bool = False) -> bool:
        """Stop all active runs of this runner, or the one of a thread, and return whether there are any.

        Agents at work finish, and their results are stored; no other begins. The runs can be resumed. Where another
        process works on the thread, that stops it, within about a second. With `at_once` the innermost agents here are
        cancelled and their work is lost; it returns whether any were, so that it can be called again.
        """
        active = [one for one in list(self._attempts.active) if thread_id in (None, one.row.thread_id)]
        if thread_id is not None and not active:
            return self._attempts.leases.request_stop(thread_id, "drain", "drain")
        for attempt in active:
            attempt.control.request_drain("stop")
        if at_once:
            return sum(attempt.services.cancel_innermost() for attempt in active) > 0
        return bool(active)

    def cancel(self, thread_id: str, *, reason: str = "cancelled by the caller", timeout: float = 60.0) -> Run:
        """End the thread's last run, and return it. Where it is active, here or in another process, it stops first.

        Its outcome is `cancelled`: the accepted results are its value, as far as the guards of `exit` let them pass;
        all else is a gap with the `reason`. Agents at work finish, no other works. Where the graph is not registered
        here, or cannot be built, its guards cannot be evaluated, and there is no value.

        Raises:
            UnknownThread: no run was ever started on the thread.
            RunEnded: the run has ended.
            ThreadBusy: after `timeout` seconds its agents are still at work; it stops once they are done.
            BadInput: `timeout` is no number of seconds from 0 to 366 days.
        """
        check_seconds("timeout", timeout, may_be_zero=True)
        return self._finish(lambda: self._attempts.cancel(thread_id, reason), timeout)

    async def acancel(self, thread_id: str, *, reason: str = "cancelled by the caller", timeout: float = 60.0) -> Run:
        """Do as `cancel` without blocking the event loop."""
        check_seconds("timeout", timeout, may_be_zero=True)
        return await self._afinish(lambda: self._attempts.cancel(thread_id, reason), timeout)

    def _wake(self, thread_id: str, *, begins: bool) -> Run | None:
        prepared = self._publishing.woken(thread_id, begins=begins)
        return None if prepared is None else [*work_on(self._publishing, self._attempts, prepared)][-1]

    async def _awake(self, thread_id: str, *, begins: bool) -> Run | None:
        prepared = await asyncio.to_thread(self._publishing.woken, thread_id, begins=begins)
        if prepared is None:
            return None
        return [run async for run in awork_on(self._publishing, self._attempts, prepared)][-1]

    def _finish(self, prepare: Callable[[], RunExecution | Run], patience: float | None = None) -> Run:
        prepared = patiently(prepare, self._patience if patience is None else patience)
        return [*work_on(self._publishing, self._attempts, prepared)][-1]

    async def _afinish(self, prepare: Callable[[], RunExecution | Run], patience: float | None = None) -> Run:
        attempt = await self._prepared(prepare, self._patience if patience is None else patience)
        return [run async for run in awork_on(self._publishing, self._attempts, attempt)][-1]

    async def _prepared(self, prepare: Callable[[], RunExecution | Run], patience: float) -> RunExecution | Run:
        """Prepare an attempt in a thread; where the caller is cancelled meanwhile, its lease is given back."""
        left, ready = threading.Event(), list[RunExecution | Run]()

        def prepared() -> RunExecution | Run:
            ready.append(prepare())
            if left.is_set():
                self._attempts.release(ready[0])
            return ready[0]

        try:
            return await apatiently(prepared, patience)
        except asyncio.CancelledError:
            left.set()
            if ready:
                await asyncio.to_thread(self._attempts.release, ready[0])
            raise
