"""The leases that one `Runner` holds: it takes them, keeps them alive in one thread, and gives them back."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any, Literal

from langgraph.runtime import RunControl
from sqlalchemy import Engine

from guardgraph.state import StaleWriter, StorageError
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.leases import Claim, Fence, LeaseRow, LeaseState, acquire, leases_of, renew, request_stop
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.runs import InTransaction

__all__ = ("Lease", "Leases")

_LOG = logging.getLogger(__name__)
_POLL = 1.0
"""Seconds within which a request of another process to stop is seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """The right to work on a thread, and how that is stopped."""

    fence: Fence
    control: RunControl = field(default_factory=RunControl)

    @property
    def thread_id(self) -> str:
        """The thread."""
        return self.fence.thread_id


class Leases:
    """The leases of one runner. Every method but `drain` blocks for a transaction."""

    def __init__(self, engine: Engine, seconds: float, *, tenant: str) -> None:
        """Use the threads of a tenant in a database. A lease that is not renewed runs out after so many `seconds`."""
        self.engine, self.seconds, self.tenant = engine, seconds, tenant
        self.owner = f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._commits = group_commit_of(engine)
        self._guard = Lock()
        self._held: dict[str, Lease | None] = {}
        self._left: list[tuple[Fence, float]] = []
        self._thread: Thread | None = None

    def take(self, thread_id: str, run_id: str, store: Callable[[InTransaction], object] | None = None) -> Lease:
        """Take the lease of a thread; `store` stores more in a transaction in which it calls what it is given first.

        Raises:
            ThreadBusy: it is worked on, here or elsewhere.
        """
        self._reserve(thread_id)
        taken: list[Fence] = []

        def claim(connection: Any) -> None:
            taken[:] = [acquire(connection, Claim(thread_id, run_id, self.owner, self.seconds, self.tenant))]

        try:
            if store is not None:
                store(claim)
            else:
                with write_transaction(migrate(self.engine), thread_id=thread_id) as connection:
                    claim(connection)
        except BaseException:
            self._forget(thread_id)
            raise
        lease = Lease(taken[0])
        with self._guard:
            self._held[thread_id] = lease
            self._start()
        return lease

    def release(self, lease: Lease, store: Callable[[InTransaction], object] | None = None) -> None:
        """Give a lease back; `store` stores more in the same transaction, as in `take`.

        Raises:
            StaleWriter: it was lost; nothing is stored.
        """
        try:
            if store is not None:
                store(lease.fence.release)
            else:
                self._commits.write(lease.fence.release, thread_id=lease.thread_id)
        except StaleWriter:
            self._forget(lease.thread_id, lease)
            raise
        self._forget(lease.thread_id, lease)

    def give_up(self, lease: Lease) -> None:
        """Give a lease back if it is still held; where the database fails that is tried again in the background."""
        with self._guard:
            if self._held.get(lease.thread_id) is not lease:
                return
        try:
            self.release(lease)
        except StaleWriter:
            pass
        except StorageError as error:
            _LOG.warning("the lease of thread %r was not given back: %s", lease.thread_id, error)
            with self._guard:
                self._left.append((lease.fence, time.monotonic() + self.seconds))
                self._held.pop(lease.thread_id, None)
                self._start()

    def close(self) -> None:
        """Stop what works under a lease, and give all leases back."""
        for lease in list(self._held.values()):
            if lease is not None:
                lease.control.request_drain("closed")
                self.give_up(lease)

    def state_of(self, row: LeaseRow | None) -> LeaseState:
        """Return whether a thread is worked on by its lease; what this runner holds and does not use is no lease."""
        return "released" if row is None or (row.state == "live" and self._is_leftover(row)) else row.state

    def request_stop(self, thread_id: str, wanted: Literal["drain", "cancel"], reason: str) -> bool:
        """Ask who works on a thread to stop, here or elsewhere, and return whether anybody does."""
        if self.drain(thread_id, wanted):
            return True
        with write_transaction(migrate(self.engine), thread_id=thread_id) as connection:
            return request_stop(connection, thread_id, wanted, reason, self.tenant)

    def drain(self, thread_id: str, why: str) -> bool:
        """Stop what this runner does on a thread, and return whether it does anything."""
        lease = self._held.get(thread_id)
        if lease is not None:
            lease.control.request_drain(why)
        return lease is not None

    def _reserve(self, thread_id: str) -> None:
        """Make room for a lease, or raise `ThreadBusy`; a reader needs no lock that a paused writer may hold."""
        row = self._row(thread_id)
        if row is not None and row.state == "live" and not self._is_leftover(row):
            raise row.busy()
        with self._guard:
            if thread_id not in self._held:
                self._held[thread_id] = None
                return
        row = self._row(thread_id)  # another thread of this runner takes it at this moment
        raise (row or LeaseRow.taken_by(thread_id, self.owner, self.seconds)).busy()

    def _is_leftover(self, row: LeaseRow) -> bool:
        return row.owner == self.owner and self._held.get(row.thread_id) is None

    def _row(self, thread_id: str) -> LeaseRow | None:
        with read_transaction(migrate(self.engine), thread_id=thread_id) as connection:
            return leases_of(connection, [thread_id], self.tenant).get(thread_id)

    def _forget(self, thread_id: str, lease: Lease | None = None) -> None:
        with self._guard:
            if self._held.get(thread_id) is lease:
                self._held.pop(thread_id, None)

    def _start(self) -> None:
        """Start the thread that renews the leases; it ends by itself. The caller holds the guard."""
        if self._thread is None:
            self._thread = Thread(target=self._beat, name="guardgraph-leases", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        """Renew the leases every third of their time, and look every second whether one was lost or is to end."""
        due = time.monotonic() + self.seconds / 3
        while True:
            time.sleep(min(_POLL, self.seconds / 3))
            with self._guard:
                held = {thread_id: lease for thread_id, lease in self._held.items() if lease is not None}
                left = list(self._left)
                if not self._held and not left:
                    self._thread = None
                    return
            now = time.monotonic()
            try:
                for one in left:
                    self._give_back(*one, now)
                _stop(held, self._renewed(held, renews=now >= due))
            except StorageError as error:  # the run that it concerns meets the same fault
                _LOG.warning("leases were not renewed: %s", error)
                continue
            due = now + self.seconds / 3 if now >= due else due

    def _give_back(self, fence: Fence, until: float, now: float) -> None:
        """Give back a lease that could not be given back before; after `until` it has run out by itself."""
        if now < until:
            with suppress(StaleWriter):
                self._commits.write(fence.release, thread_id=fence.thread_id)
        with self._guard:
            self._left.remove((fence, until))

    def _renewed(self, held: Mapping[str, Lease], *, renews: bool) -> Mapping[str, LeaseRow]:
        """Return the leases as they are stored, after they were renewed if that is due."""
        if not held:
            return {}
        if renews:  # by the only writer: another one could wait for a lease of a commit that waits for a renewed one
            self._commits.write(lambda connection: renew(connection, self.owner, held, self.seconds, self.tenant))
        with read_transaction(self.engine) as connection:
            return leases_of(connection, held, self.tenant)


def _stop(held: Mapping[str, Lease], stored: Mapping[str, LeaseRow]) -> None:
    """Drain the runs whose lease was lost, and those that another process wants to end."""
    for thread_id, lease in held.items():
        row = stored.get(thread_id)
        if row is None or row.epoch != lease.fence.epoch:
            lease.control.request_drain("lease lost")
        elif row.wanted is not None:
            lease.control.request_drain(row.wanted)
