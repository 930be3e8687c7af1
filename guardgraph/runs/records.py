"""The stored runs of a database: their rows, their ledger and their checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, get_args

from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt

from guardgraph.runs.cancelling import cancelled_outcome
from guardgraph.runs.clock import RunClock, usage_of_work
from guardgraph.runs.event_wait import events_read
from guardgraph.runs.graph_facts import VERSION
from guardgraph.runs.head import Head, outermost
from guardgraph.runs.migrating import migrated_to
from guardgraph.runs.run import PendingInterrupt, Run, RunStatus, RunSummary, status_of
from guardgraph.runtime.boards.user import BoardUser
from guardgraph.runtime.boards.view import BoardView
from guardgraph.state import (
    Allowance,
    BadInput,
    DelegationScope,
    Gap,
    Outcome,
    RunEnded,
    RunStranded,
    RunUnfinished,
    StorageCorrupt,
    StoredEvent,
    UnknownThread,
    checked_author,
    checked_board,
)
from guardgraph.state.argument_checks import check_count
from guardgraph.storage.boards import BoardPlace
from guardgraph.storage.sql.boards import SQLBoards
from guardgraph.storage.sql.checkpoints.loading import namespaces_of
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.effects import SQLEffects
from guardgraph.storage.sql.events import EventLog, EventStore
from guardgraph.storage.sql.leases import Fence, LeaseRow, LeaseState
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.ledger.shared_budgets import SQLBudgets
from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.published import PublishedStore
from guardgraph.storage.sql.reputation import SQLReputation
from guardgraph.storage.sql.runs import InTransaction, RunRow, RunStore
from guardgraph.storage.sql.values import SQLValues

__all__ = ("PAUSED", "Records")

_LOG = logging.getLogger(__name__)

PAUSED = "guardgraph_clock"
"""The key in the metadata of a checkpoint: for how many seconds the run was not worked on."""
_UNFINISHED = ("running", "waiting", "stopped", "crashed")


class Records:
    """The runs of a tenant in a database. Every method blocks. Objects of classes that only a graph knows are dicts."""

    def __init__(
        self,
        saver: SQLSaver,
        lease_state: Callable[[LeaseRow | None], LeaseState],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Use the database of a saver; `lease_state` returns whether a thread is worked on, `clock` the time."""
        self._lease_state = lease_state
        self.saver = saver
        self.url = saver.engine.url.render_as_string(hide_password=True)
        self.rows = RunStore(saver.engine, tenant=saver.tenant, codec=saver.codec)
        self.boards = SQLBoards(saver.engine, tenant=saver.tenant, codec=saver.codec)
        self.effects = SQLEffects(saver.engine, tenant=saver.tenant)
        self.reputation = SQLReputation(saver.engine, tenant=saver.tenant)
        self.values = SQLValues(saver.engine, tenant=saver.tenant)
        self.budgets = SQLBudgets(saver.engine, tenant=saver.tenant, clock=clock)
        self._ledger = SQLLedger(saver.engine, tenant=saver.tenant)
        self.published = PublishedStore(saver.engine, saver.codec, tenant=saver.tenant)
        self._events = EventStore(saver.engine, saver.codec, tenant=saver.tenant)

    def board(self, name: str, thread_id: str | None, author: str) -> BoardView:
        """Return a board of a thread, or one that all threads share, as `author` sees it."""
        thread = None if thread_id is None else checked_id("thread_id", thread_id)
        return BoardView(self.boards, BoardPlace(thread, checked_board(name)), BoardUser(name, checked_author(author)))

    def last(self, thread_id: str) -> RunRow:
        """Return the newest run of a thread; raises `UnknownThread` where it has none."""
        row = self.rows.latest(thread_id)
        if row is None:
            raise self._unknown(thread_id)
        return row

    def now(self, thread_id: str) -> tuple[RunRow, LeaseState]:
        """Return the newest run of a thread, and whether it is worked on, as both were at one moment."""
        row, lease = self.rows.latest_with_lease(thread_id)
        if row is None:
            raise self._unknown(thread_id)
        return row, self._lease_state(lease)

    def _unknown(self, thread_id: str) -> UnknownThread:
        """Return the error for a thread without a run."""
        has_checkpoints = bool(namespaces_of(self.saver.engine, thread_id, tenant=self.saver.tenant))
        return UnknownThread(thread_id, url=self.url, has_checkpoints=has_checkpoints)

    def head(self, row: RunRow) -> Head | None:
        """Return the latest checkpoint of a run's outermost team; `None` where it has died before its first one."""
        found = self._latest(row.thread_id)
        return None if found is None or found.id == row.base_checkpoint else found

    def listed(self, limit: int, status: RunStatus | None) -> list[RunSummary]:
        """Return up to `limit` runs, newest first: all, or those with a `status`."""
        if status not in (None, *get_args(RunStatus)):
            raise BadInput(f"`status` is one of {', '.join(get_args(RunStatus))}; got {status!r}")
        check_count("limit", limit)
        rows = self.rows.unfinished() if status in _UNFINISHED else self.rows.list(limit, status)
        found = (RunSummary(row, self._status(row)) for row in rows)
        return [*islice((one for one in found if status is None or one.status == status), limit)]

    def _status(self, row: RunRow) -> RunStatus:
        """Return the status of a run. One that has not ended is `stopped`, if its thread has a later run.

        It is also `stopped` where its last checkpoint is damaged: an error is logged, and other runs are still listed.
        """
        if row.status is not None:
            return row.status
        try:
            last, lease = self.now(row.thread_id)
            if last.run_id != row.run_id:
                return "stopped"
            head = self.head(last) if lease == "released" else None
        except StorageCorrupt as error:
            if error.thread_id is None:
                raise
            _LOG.error("listed as stopped: %s", error)
            return "stopped"
        if last.status is None and head is not None and head.is_stranded():
            return "failed"
        return status_of(last.status, lease, waits=head is not None and bool(head.interrupts()))

    def stored(self, row: RunRow, head: Head | None, lease: LeaseState = "released") -> Run:
        """Return a run by its row and its latest checkpoint; `lease` is that of its thread."""
        if head is None:
            return self.run(row, {}, (), lease=lease)
        state = {key: value for key, value in head.values().items() if ":" not in key and not key.startswith("__")}
        run = self.run(row, state, head.interrupts(), head.plain_types, lease)
        if row.status is not None or lease != "released" or not head.is_stranded():
            return run
        gap = Gap(subtask="run", reason=str(RunStranded(row.run_id, thread_id=row.thread_id)))
        return replace(run, status="failed", outcome=Outcome(status="failed", gaps=(gap,), usage=run.usage))

    def run(
        self,
        row: RunRow,
        state: Mapping[str, Any],
        interrupts: Iterable[Interrupt],
        plain_types: tuple[str, ...] = (),
        lease: LeaseState = "released",
    ) -> Run:
        """Return a run with its open interrupts, and with the state of its thread, if that is the run's own."""
        waiting = () if row.status else tuple(PendingInterrupt(one.id, one.value) for one in interrupts)
        is_own = getattr(state.get("position"), "run_id", None) == row.run_id
        return Run(
            thread_id=row.thread_id,
            run_id=row.run_id,
            graph=row.graph,
            status=status_of(row.status, lease, waits=bool(waiting)),
            outcome=row.outcome,
            usage=row.outcome.usage if row.outcome else self._ledger.usage(row.run_id),
            results=tuple(state.get("results") or ()) if is_own else (),
            waiting=waiting,
            state=state if is_own else {},
            plain_types=plain_types if is_own else (),
        )

    def add(self, row: RunRow, add: Allowance, now: datetime, fence: Fence) -> None:
        """Add to what a run may spend; a deadline is stored in the run's own time."""
        until = None if add.deadline is None else add.deadline - self._paused(row, now)
        self._ledger.with_fence(fence).top_up(row.run_id, add.model_copy(update={"deadline": until}))

    def ledger_and_clock(
        self, row: RunRow, position: DelegationScope | None, clock: Callable[[], datetime], fence: Fence
    ) -> tuple[RunLedger, RunClock]:
        """Return the ledger and the clock of an attempt that begins, which continue those of earlier ones.

        `position` is that of its outermost team, `None` before its first node.
        """
        time = RunClock()
        engine, tenant = self.saver.engine, self.saver.tenant
        is_new = position is None and row.attempt == 1
        ledger = RunLedger(engine, row.run_id, tenant=tenant, fence=fence, is_new=is_new, clock=clock)
        if position is not None:
            balances, admitted = ledger.balances(row.run_id), position.allowance
            raised = balances[-1].cap if balances else Allowance()
            time = RunClock.of(self._paused(row, clock()), admitted.deadline, raised.deadline)
            ledger.inherit(admitted, raised)
        return ledger, time

    def event_log(self, row: RunRow, fence: Fence, *, is_new: bool) -> EventLog:
        """Return what the events of a run are added to; one that `is_new` has none so far."""
        engine, tenant = self.saver.engine, self.saver.tenant
        return EventLog(engine, self.saver.codec, row.run_id, tenant=tenant, fence=fence, is_new=is_new)

    def events(self, thread_id: str, run_id: str | None, after: int, limit: int | None) -> list[StoredEvent]:
        """See `Runner.events`."""
        check_count("after", after)
        if limit is not None:
            check_count("limit", limit)
        row = self.last(thread_id) if run_id is None else self.rows.get(run_id)
        if row is None or row.thread_id != thread_id:
            raise BadInput(f"thread {thread_id!r} has no run {run_id!r}; `guardgraph threads list` names the last ones")
        try:
            return self._events.read(row.run_id, after=after, limit=limit)
        except StorageCorrupt as error:
            error.thread_id = thread_id
            raise

    def has_undelivered(self, run: Run) -> bool:
        """Return whether a run waits for events, and some were published that it has not read."""
        read = [number for wait in run.waiting if (number := events_read(wait.value)) is not None]
        return bool(read) and min(read) < self.published.last(run.thread_id)

    def finish(self, row: RunRow, outcome: Outcome, now: datetime, claim: InTransaction) -> RunRow:
        """Store the outcome of a run, and return its row as it is stored; `claim` is done before."""
        stored = self.rows.finish(row.run_id, outcome, now, claim=claim)
        return row._replace(status=stored.status, outcome=stored, ended=now)

    def with_end(self, row: RunRow, head: Head | None, now: datetime, fence: Fence) -> RunRow:
        """Return the row of a run; if its process died between its outcome and storing that here, store it now."""
        if row.status is not None:
            return row
        outcome: Outcome | None = self.stored(row, head).state.get("outcome")
        return row if outcome is None else self.finish(row, outcome, now, fence.check)

    def ended(self, row: RunRow, now: datetime, fence: Fence) -> Run:
        """Return a run that has ended. Raises `RunUnfinished` where it has not."""
        head = self.head(row)
        row = self.with_end(row, head, now, fence)
        if row.status is None:
            raise RunUnfinished(row.run_id, thread_id=row.thread_id)
        return self.stored(row, head)

    def unended(
        self, row: RunRow, now: datetime, fence: Fence, action: Literal["update", "cancel"]
    ) -> tuple[RunRow, Head | None, Run]:
        """Return a run that has not ended. Raises `RunEnded` where it has."""
        head = self.head(row)
        row = self.with_end(row, head, now, fence)
        run = self.stored(row, head)
        if row.status is not None:
            by = run.outcome.stopped_by if run.outcome else None
            raise RunEnded(row.run_id, thread_id=row.thread_id, status=run.status, stopped_by=by, action=action)
        return row, head, run

    def cancelled(self, row: RunRow, state: Mapping[str, Any], reason: str, now: datetime) -> Outcome:
        """Return the outcome of a run that is cancelled in this state, with its usage."""
        usage, position = self._ledger.usage(row.run_id), state.get("position")
        if position is not None:
            usage = usage_of_work(usage, position.started, self._paused(row, now), now)
        return cancelled_outcome(state, usage, reason)

    def history(self, thread_id: str, limit: int) -> list[dict[str, Any]]:
        """See `Runner.history`."""
        check_count("limit", limit)
        self.last(thread_id)
        return [
            {
                "id": item.checkpoint["id"],
                "at": item.checkpoint["ts"],
                "step": item.metadata.get("step"),
                "source": item.metadata.get("source"),
                "channels": sorted(item.checkpoint.get("updated_channels") or ()),
                "version": item.metadata.get(VERSION) or None,
                "migrated_to": migrated_to(Head(item)),
            }
            for item in self._reader([]).list(outermost(thread_id), limit=limit)
        ]

    def _latest(self, thread_id: str) -> Head | None:
        unknown: list[str] = []
        found = self._reader(unknown).get_tuple(outermost(thread_id))
        return None if found is None else Head(found, tuple(dict.fromkeys(unknown)))

    def _reader(self, unknown: list[str]) -> SQLSaver:
        """Return a saver that reads objects of unknown classes as dicts, and adds their classes to `unknown`."""
        return self.saver.reading_plain(unknown.append)

    def _paused(self, row: RunRow, now: datetime) -> timedelta:
        """Return how long the run was not worked on: before the last checkpoint of an attempt, at any level, and since.

        What LangGraph's `update_state` stores, also for `cancel`, does not have the time before.
        """
        reader, everywhere = self._reader([]), RunnableConfig(configurable={"thread_id": row.thread_id})
        last = next(reader.list(everywhere, limit=1))
        if PAUSED not in last.metadata:
            own = reader.list(everywhere, filter={"run_id": row.run_id})
            last = next((item for item in own if PAUSED in item.metadata), last)
        metadata: Mapping[str, Any] = last.metadata
        since = now - datetime.fromisoformat(last.checkpoint["ts"])
        return timedelta(seconds=float(metadata.get(PAUSED) or 0)) + max(since, timedelta(0))
