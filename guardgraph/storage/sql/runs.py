"""The table of runs: every accepted run has a row, before its first node works."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from pydantic import JsonValue
from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Row,
    Select,
    bindparam,
    select,
    update,
)
from sqlalchemy.sql.expression import Executable

from guardgraph import __version__
from guardgraph.state import (
    BadInput,
    Outcome,
    OutcomeStatus,
    RunUnfinished,
    StorageCorrupt,
    StorageError,
    Task,
    Unserializable,
    to_json,
)
from guardgraph.state.argument_checks import check_count
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.key_check import check_key
from guardgraph.storage.sql.leases import LeaseRow, leases_of
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import Place, checked_id
from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.statements import checkpoint_at, insert_new
from guardgraph.storage.sql.tables import runs

__all__ = ("InTransaction", "RunRow", "RunStore")

InTransaction = Callable[[Connection], object]
"""What is done in the same transaction, before anything else: a lease is taken, checked or given back."""

_LOG = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _nothing(_: Connection) -> None:
    """Do nothing before a transaction."""


class RunRow(NamedTuple):
    """What is stored of one run."""

    run_id: str
    thread_id: str
    graph: str
    """The name under which its graph is registered."""
    arguments: dict[str, JsonValue]
    """What the graph was built with."""
    task: Task
    attempt: int
    """How often it was begun; 0 until the first time."""
    status: OutcomeStatus | None
    """How it ended; `None` while it has not, or works again."""
    outcome: Outcome | None
    created: datetime
    """When it was accepted (UTC)."""
    started: datetime | None
    """When its latest attempt began (UTC)."""
    ended: datetime | None
    """When it finished (UTC)."""
    base_checkpoint: str | None
    """The checkpoint of its thread on which it began; `None` on a new thread."""
    version: str
    """The version of guardgraph that accepted it."""
    command: bytes | None
    """What its latest attempt was given, as the codec of its graph stores it: the input, or answers."""


def _select_newest(_dialect: Dialect) -> Executable:
    of_thread = (runs.c.tenant == bindparam("of_tenant"), runs.c.thread_id == bindparam("of_thread"))
    return select(runs).where(*of_thread).order_by(runs.c.number.desc()).limit(1)


def _insert_run(dialect: Dialect) -> Executable:
    given = (
        *("tenant", "run_id", "thread_id", "graph", "arguments", "task", "attempt", "created", "started"),
        *("base_checkpoint", "version", "command"),
    )
    return insert_new(dialect, runs).values({name: bindparam(name) for name in given})


_newest_of = Prepared(_select_newest)
_add = Prepared(_insert_run)
_RunRows: TypeAlias = list[RunRow]  # the class below has a method named `list`


class RunStore:
    """Keeps the rows of one tenant's runs in a SQL database. Every method blocks for one transaction."""

    def __init__(self, engine: Engine, *, tenant: str, codec: Codec | None = None) -> None:
        """Use an engine, as `engine_of` makes one, which the caller disposes of; tables are made at the first use.

        The cipher of `codec` encrypts arguments, tasks and outcomes.
        """
        self.engine = engine_of(engine)
        self.tenant = checked_id("tenant", tenant)
        self.codec = codec or Codec()
        self._key_fits = False

    def create(
        self,
        run_id: str,
        thread_id: str,
        graph: str,
        arguments: Mapping[str, Any],
        task: Task,
        now: datetime,
        *,
        claim: InTransaction,
        command: bytes | None = None,
    ) -> RunRow:
        """Store a run that is accepted and begins, and return its row.

        `claim` is done before, in the transaction. It takes or checks the lease of the thread, so that the runs of a
        thread are stored one after the other.

        Raises:
            RunUnfinished: the thread has a run that has not ended.
            BadInput: there is a run of this id, or an id cannot be stored.
            Unserializable: an argument has no JSON form.
        """
        row: dict[str, Any] = {
            "tenant": self.tenant,
            "run_id": checked_id("run_id", run_id),
            "thread_id": checked_id("thread_id", thread_id),
            "graph": graph.encode("utf-8", "surrogatepass"),
            "arguments": self.codec.seal(_dumps(dict(arguments), what="the arguments of the graph")),
            "task": self.codec.seal(_dumps(task.model_dump(mode="json"), what="the task")),
            "attempt": 1,
            "created": _microseconds(now),
            "started": _microseconds(now),
            "version": __version__,
            "command": command,
        }
        with write_transaction(migrate(self.engine), thread_id=thread_id) as connection:
            claim(connection)  # first, so that what is read afterwards cannot change
            self._key_fits = self._key_fits or check_key(connection, self.codec, self.tenant)
            self._check_ended(connection, thread_id)
            base = self._head(connection, thread_id)
            if not _add(connection, {**row, "base_checkpoint": base}):
                raise BadInput(f"there is a run {run_id!r} already; give a new run a new id")
        stored = SimpleNamespace(**row, base_checkpoint=base, status=None, outcome=None, ended=None)
        return _run_of(stored, self.codec)

    def begin_attempt(
        self, run_id: str, now: datetime, *, command: bytes | None = None, claim: InTransaction = _nothing
    ) -> int:
        """Record that a run goes on, and return the number of this attempt; a `command` replaces the one before.

        An earlier end is forgotten: a run that works does not look finished.

        Raises:
            BadInput: there is no such run.
        """
        began = {
            "attempt": runs.c.attempt + 1,
            "started": _microseconds(now),
            "status": None,
            "outcome": None,
            "ended": None,
            **({} if command is None else {"command": command}),
        }
        with write_transaction(migrate(self.engine)) as connection:
            claim(connection)
            self._change(connection, run_id, began)
            return int(connection.execute(self._newest(runs.c.run_id == run_id)).one().attempt)

    def finish(self, run_id: str, outcome: Outcome, now: datetime, *, claim: InTransaction = _nothing) -> Outcome:
        """Store how a run ended, and return that as it is read again; a second end replaces the first.

        Raises:
            BadInput: there is no such run.
            Unserializable: the outcome's value has no JSON form.
        """
        body = _dumps(outcome.model_dump(mode="json"), what="the outcome")
        ended = {"status": outcome.status, "outcome": self.codec.seal(body), "ended": _microseconds(now)}

        def store(connection: Connection) -> None:
            claim(connection)
            self._change(connection, run_id, ended)

        group_commit_of(self.engine).write(store)
        return Outcome.model_validate(json.loads(body))

    def get(self, run_id: str) -> RunRow | None:
        """Return a run, or `None` when there is none of this id."""
        found = self._found(self._newest(runs.c.run_id == checked_id("run_id", run_id)))
        return _run_of(found[0], self.codec) if found else None

    def latest(self, thread_id: str) -> RunRow | None:
        """Return the newest run of a thread, or `None` when it has none."""
        with read_transaction(migrate(self.engine), thread_id=thread_id) as connection:
            found = self._of_thread(connection, thread_id)
            return None if found is None else _run_of(found, self.codec)

    def latest_with_lease(self, thread_id: str) -> tuple[RunRow | None, LeaseRow | None]:
        """Return the newest run of a thread and the lease of that thread, as they were at one moment."""
        with read_transaction(migrate(self.engine), thread_id=thread_id) as connection:
            row = self._of_thread(connection, thread_id)
            lease = leases_of(connection, [thread_id], self.tenant).get(thread_id)
            return None if row is None else _run_of(row, self.codec), lease

    def list(self, limit: int, status: OutcomeStatus | None = None) -> _RunRows:
        """Return up to `limit` runs, newest first: of every kind, or those that ended with `status`.

        A run whose row is damaged is left out, and an error is logged.
        """
        check_count("limit", limit)
        which = () if status is None else (runs.c.status == status,)
        return self._readable(self._newest(*which).limit(limit))

    def unfinished(self) -> _RunRows:
        """Return the runs that have not ended, newest first; one whose row is damaged is left out, as in `list`."""
        return self._readable(self._newest(runs.c.status.is_(None)))

    def _readable(self, found: Select[Any]) -> _RunRows:
        readable: _RunRows = []
        for row in self._found(found):
            try:
                readable.append(_run_of(row, self.codec))
            except StorageCorrupt as error:
                _LOG.error("left out of a listing: %s", error)
        return readable

    def _found(self, found: Select[Any]) -> Sequence[Row[Any]]:
        with read_transaction(migrate(self.engine)) as connection:
            return connection.execute(found).all()

    def _newest(self, *which: ColumnElement[bool]) -> Select[Any]:
        """Select runs of the tenant, newest first."""
        return select(runs).where(runs.c.tenant == self.tenant, *which).order_by(runs.c.number.desc())

    def _of_thread(self, connection: Connection, thread_id: str) -> Row[Any] | None:
        """Find the newest run of a thread."""
        return _newest_of.first(connection, {"of_tenant": self.tenant, "of_thread": checked_id("thread_id", thread_id)})

    def _check_ended(self, connection: Connection, thread_id: str) -> None:
        """Raise where the newest run of a thread has not ended; older ones are left alone."""
        last = self._of_thread(connection, thread_id)
        if last is not None and last.status is None:
            raise RunUnfinished(last.run_id, thread_id=thread_id)

    def _head(self, connection: Connection, thread_id: str) -> str | None:
        """Return the id of the latest checkpoint of a thread's outermost graph."""
        found = checkpoint_at(connection, Place(thread_id, "", None, self.tenant))
        return None if found is None else found["checkpoint_id"]

    def _change(self, connection: Connection, run_id: str, columns: dict[str, Any]) -> None:
        mine = (runs.c.tenant == self.tenant, runs.c.run_id == checked_id("run_id", run_id))
        if not connection.execute(update(runs).where(*mine).values(columns)).rowcount:
            raise BadInput(f"there is no run {run_id!r}; create it first")


def _run_of(row: Any, codec: Codec) -> RunRow:
    """Return what the row of a run holds. Raises `StorageCorrupt` where it cannot be read."""
    try:
        return _unpacked(row, codec)
    except StorageError as error:
        error.thread_id = error.thread_id or row.thread_id
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise StorageCorrupt(
            f"the row of run {row.run_id!r} of thread {row.thread_id!r} is damaged; restore the database from a copy, "
            "or delete the thread",
            thread_id=row.thread_id,
        ) from error


def _unpacked(row: Any, codec: Codec) -> RunRow:
    return RunRow(
        run_id=row.run_id,
        thread_id=row.thread_id,
        graph=bytes(row.graph).decode("utf-8", "surrogatepass"),
        arguments=_loads(codec, row.arguments),
        task=Task.model_validate(_loads(codec, row.task)),
        attempt=row.attempt,
        status=row.status,
        outcome=None if row.outcome is None else Outcome.model_validate(_loads(codec, row.outcome)),
        created=_EPOCH + row.created * _MICROSECOND,
        started=None if row.started is None else _EPOCH + row.started * _MICROSECOND,
        ended=None if row.ended is None else _EPOCH + row.ended * _MICROSECOND,
        base_checkpoint=row.base_checkpoint,
        version=row.version,
        command=None if row.command is None else bytes(row.command),
    )


def _dumps(data: object, *, what: str) -> bytes:
    """Return JSON in ASCII: half surrogates are escaped, NaN and infinities are kept by their names."""
    try:
        return json.dumps(to_json(data), separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise Unserializable(f"cannot store {what} as JSON: {error}") from error


def _loads(codec: Codec, data: Any) -> Any:
    return json.loads(codec.unseal(bytes(data)))


def _microseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise BadInput(f"`now` must be an aware datetime, got {moment!r}; use datetime.now(UTC)")
    return (moment - _EPOCH) // _MICROSECOND
