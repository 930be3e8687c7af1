"""The transactions of a saver: what else is checked and stored in each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.group_commit import GroupCommit, group_commit_of
from guardgraph.storage.sql.key_check import check_key
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.migrate import migrate

__all__ = ("Writes",)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Writes:
    """Does jobs in transactions, together with what others write at the same moment."""

    engine: Engine
    codec: Codec
    fence: Fence | None = None
    """The lease without which nothing is written."""
    ledger: RunLedger | None = None
    """Stored with every job."""
    connection: Connection | None = None
    """An open transaction of the caller's, in which all is done."""
    commits: GroupCommit = field(init=False)
    _key_fits: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        object.__setattr__(self, "commits", group_commit_of(self.engine))

    def changed(self, **facts: Any) -> Self:
        """Return the same with another codec, fence or ledger."""
        return replace(self, **facts)

    def do(self, thread_id: str | None, job: Callable[[Connection], _T], *, patience: float = 0.0) -> _T:
        """Do a job in a transaction, and return its result once that is committed.

        It waits up to `patience` seconds for others to be committed with. A job may be done again; see `GroupCommit`.
        """
        if self.connection is not None:
            return job(self.connection)
        after = None if self.ledger is None else self.ledger.written

        def whole(connection: Connection) -> _T:
            self._check(connection)
            if self.ledger is not None:
                self.ledger.write_changes(connection)
            return job(connection)

        if patience:
            return self.commits.submit(whole, thread_id=thread_id, after=after, patience=patience).result()
        return self.commits.write(whole, thread_id=thread_id, after=after)

    def reading(self, thread_id: str) -> AbstractContextManager[Connection]:
        """Return a transaction in which a thread is read."""
        if self.connection is not None:
            return nullcontext(self.connection)
        return read_transaction(migrate(self.engine), thread_id=thread_id)

    def _check(self, connection: Connection) -> None:
        if not self._key_fits.is_set():
            check_key(connection, self.codec)
            self._key_fits.set()
        if self.fence is not None:
            self.fence.check(connection)
