"""The stored runs of a database: their rows, their ledger and their checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, get_args

from langgraph.types import Interrupt

from guardgraph.runs.cancelling import cancelled_outcome
from guardgraph.runs.clock import RunClock, usage_of_work
from guardgraph.runs.head import Head, outermost
from guardgraph.runs.run import PendingInterrupt, Run, RunStatus, RunSummary
from guardgraph.state import (
    Allowance,
    BadInput,
    DelegationScope,
    Gap,
    Outcome,
    RunStranded,
    Task,
    UnknownThread,
    new_id,
)
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.effects import SQLEffects
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger
from guardgraph.storage.sql.runs import RunRow, RunStore

__all__ = ("PAUSED", "Records")

PAUSED = "guardgraph_clock"
"""The key in the metadata of a checkpoint: for how many seconds the run was not worked on."""


class Records:
    """The runs of one database. Every method blocks. Objects of classes that only a graph knows are read as dicts."""

    def __init__(self, saver: SQLSaver) -> None:
        """Use the database of a saver."""
        self.saver = saver
        self.url = saver.engine.url.render_as_string(hide_password=True)
        self.rows = RunStore(saver.engine, codec=saver.codec)
        self.effects = SQLEffects(saver.engine)
        self._ledger = SQLLedger(saver.engine)

    def accept(self, thread_id: str, graph: str, arguments: Mapping[str, Any], task: Task, now: datetime) -> RunRow:
        """Store a new run on a thread, and return its row. Raises `RunUnfinished` where one has not ended."""
        before = self.rows.latest(thread_id)
        if before is not None and before.status is None:
            self.with_end(before, self.head(before), now)
        head, run_id = self._latest(thread_id), new_id()
        self.rows.create(run_id, thread_id, graph, arguments, task, head and head.id, now)
        row = self.rows.get(run_id)
        if row is None:
            raise BadInput(f"run {run_id!r} was deleted from the database while it began")
        return row

    def last(self, thread_id: str) -> RunRow:
        """Return the newest run of a thread; raises `UnknownThread` where it has none."""
        row = self.rows.latest(thread_id)
        if row is None:
            raise UnknownThread(thread_id, url=self.url)
        return row

    def head(self, row: RunRow) -> Head | None:
        """Return the latest checkpoint of a run's outermost team; `None` where it has died before its first one."""
        found = self._latest(row.thread_id)
        return None if found is None or found.id == row.base_checkpoint else found

    def listed(self, limit: int, status: RunStatus | None) -> list[RunSummary]:
        """Return up to `limit` runs, newest first: all, or those with a `status`."""
        if status not in (None, *get_args(RunStatus)):
            raise BadInput(f"`status` is one of {', '.join(get_args(RunStatus))}; got {status!r}")
        rows = self.rows.unfinished() if status == "running" or status == "waiting" else self.rows.list(limit, status)
        found = (RunSummary(row, self._status(row)) for row in rows)
        return [*islice((one for one in found if status is None or one.status == status), limit)]

    def _status(self, row: RunRow) -> RunStatus:
        """Return the status of a run. One that has not ended is `running`, if its thread has a later run."""
        if row.status is not None:
            return row.status
        head = self.head(row) if self.last(row.thread_id).run_id == row.run_id else None
        if head is not None and head.is_stranded():
            return "failed"
        return "waiting" if head is not None and head.interrupts() else "running"

    def stored(self, row: RunRow, head: Head | None) -> Run:
        """Return a run by its row and its latest checkpoint."""
        if head is None:
            return self.run(row, {}, ())
        state = {key: value for key, value in head.values().items() if ":" not in key and not key.startswith("__")}
        run = self.run(row, state, head.interrupts(), head.plain_types)
        if row.status is not None or not head.is_stranded():
            return run
        gap = Gap(subtask="run", reason=str(RunStranded(row.run_id, thread_id=row.thread_id)))
        return replace(run, status="failed", outcome=Outcome(status="failed", gaps=(gap,), usage=run.usage))

    def run(
        self, row: RunRow, state: Mapping[str, Any], interrupts: Iterable[Interrupt], plain_types: tuple[str, ...] = ()
    ) -> Run:
        """Return a run with its open interrupts, and with the state of its thread, if that is the run's own."""
        waiting = () if row.status else tuple(PendingInterrupt(one.id, one.value) for one in interrupts)
        is_own = getattr(state.get("position"), "run_id", None) == row.run_id
        return Run(
            thread_id=row.thread_id,
            run_id=row.run_id,
            graph=row.graph,
            status=row.status or ("waiting" if waiting else "running"),
            outcome=row.outcome,
            usage=row.outcome.usage if row.outcome else self._ledger.usage(row.run_id),
            results=tuple(state.get("results") or ()) if is_own else (),
            waiting=waiting,
            state=state if is_own else {},
            plain_types=plain_types if is_own else (),
        )

    def add(self, row: RunRow, add: Allowance, now: datetime) -> None:
        """Add to what a run may spend; a deadline is stored in the run's own time."""
        until = None if add.deadline is None else add.deadline - self._paused(row, now)
        self._ledger.top_up(row.run_id, add.model_copy(update={"deadline": until}))

    def begin_attempt(self, row: RunRow, position: DelegationScope | None, now: datetime) -> tuple[RunLedger, RunClock]:
        """Store that an attempt begins, and return its ledger and its clock, which continue those of earlier ones.

        `position` is that of its outermost team, `None` before its first node.
        """
        time = RunClock()
        ledger = RunLedger(self.saver.engine, row.run_id, is_new=not row.attempt)
        if position is not None:
            balances, admitted = ledger.balances(row.run_id), position.allowance
            raised = balances[0].cap if balances else Allowance()
            time = RunClock.of(self._paused(row, now), admitted.deadline, raised.deadline)
            ledger.inherit(admitted, raised)
        self.rows.begin_attempt(row.run_id, now)
        return ledger, time

    def finish(self, row: RunRow, outcome: Outcome, now: datetime) -> RunRow:
        """Store the outcome of a run, and return its row as it is stored."""
        self.rows.finish(row.run_id, outcome, now)
        return self.rows.get(row.run_id) or row

    def with_end(self, row: RunRow, head: Head | None, now: datetime) -> RunRow:
        """Return the row of a run; if its process died between its outcome and storing that here, store it now."""
        if row.status is not None:
            return row
        outcome: Outcome | None = self.stored(row, head).state.get("outcome")
        return row if outcome is None else self.finish(row, outcome, now)

    def cancelled(self, row: RunRow, state: Mapping[str, Any], reason: str, now: datetime) -> Outcome:
        """Return the outcome of a run that is cancelled in this state, with its usage."""
        usage, position = self._ledger.usage(row.run_id), state.get("position")
        if position is not None:
            usage = usage_of_work(usage, position.started, self._paused(row, now), now)
        return cancelled_outcome(state, usage, reason)

    def history(self, thread_id: str, limit: int) -> list[dict[str, Any]]:
        """See `Runner.history`."""
        self.last(thread_id)
        return [
            {
                "id": item.checkpoint["id"],
                "at": item.checkpoint["ts"],
                "step": item.metadata.get("step"),
                "source": item.metadata.get("source"),
                "channels": sorted(item.checkpoint.get("updated_channels") or ()),
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
        """Return how long the run was not worked on: before its last checkpoint, at any level, and since."""
        last = next(self._reader([]).list({"configurable": {"thread_id": row.thread_id}}, limit=1))
        metadata: Mapping[str, Any] = last.metadata
        since = now - datetime.fromisoformat(last.checkpoint["ts"])
        return timedelta(seconds=float(metadata.get(PAUSED) or 0)) + max(since, timedelta(0))
