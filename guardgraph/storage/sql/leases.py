"""The lease of a thread: one process works on it, and its writes are refused once another has taken over.

Every statement uses the clock of the database, and belongs to the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    and_,
    bindparam,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.expression import Executable

from guardgraph.state import StaleWriter, ThreadBusy
from guardgraph.storage.sql.database_clock import DatabaseNow as _Now
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.prepared import Prepared, PreparedIn, batches
from guardgraph.storage.sql.tables import leases

__all__ = (
    "Claim",
    "Fence",
    "LeaseRow",
    "LeaseState",
    "acquire",
    "check_together",
    "leases_of",
    "renew",
    "request_stop",
)

LeaseState = Literal["live", "released", "expired"]
"""`live`: somebody works on the thread. `expired`: who worked on it has died. `released`: no process does."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_epoch_of = Prepared(
    lambda _: (
        select(leases.c.epoch)
        .where(leases.c.tenant == bindparam("of_tenant"), leases.c.thread_id == bindparam("of_thread"))
        .with_for_update(read=True)
    )
)
_epochs_of = PreparedIn(
    lambda thread_ids: (
        select(leases.c.thread_id, leases.c.epoch)
        .where(leases.c.tenant == bindparam("of_tenant"), leases.c.thread_id.in_(thread_ids))
        .order_by(leases.c.thread_id)
        .with_for_update(read=True)
    )
)
_INSERTS = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Claim(NamedTuple):
    """Who wants to work on a thread, and for how long."""

    thread_id: str
    run_id: str
    owner: str
    """Unique to the caller; it may take its own lease again."""
    seconds: float
    tenant: str


class LeaseRow(NamedTuple):
    """A lease as it is stored."""

    thread_id: str
    run_id: str
    owner: str
    epoch: int
    expires: datetime
    state: LeaseState
    wanted: str | None
    """What another process asks of the owner: `drain` or `cancel`."""

    @classmethod
    def taken_by(cls, thread_id: str, owner: str, seconds: float) -> LeaseRow:
        """Return the lease of a thread that `owner` takes at this moment."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        return cls(thread_id, "", owner, 0, until, "live", None)

    def busy(self) -> ThreadBusy:
        """Return the error of who comes too late."""
        return ThreadBusy(self.thread_id, run_id=self.run_id, owner=self.owner, until=self.expires)


_checked: WeakKeyDictionary[Connection, set[Fence]] = WeakKeyDictionary()
"""The fences that were checked in the transaction of a connection; each transaction has a `Connection` of its own."""


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write to a thread; it ends when the lease is taken over or given back."""

    thread_id: str
    epoch: int
    tenant: str

    def check(self, connection: Connection) -> None:
        """Raise `StaleWriter` unless the lease is still ours; it cannot change before the end of the transaction."""
        checked = _checked.setdefault(connection, set())
        if self not in checked:
            found = _epoch_of.first(connection, {"of_tenant": self.tenant, "of_thread": self.thread_id})
            if found is None or found.epoch != self.epoch:
                raise StaleWriter(self.thread_id, epoch=self.epoch)
            checked.add(self)

    def release(self, connection: Connection) -> None:
        """Give the lease back, so that nothing is written under it any more; raise `StaleWriter` if it is not ours."""
        mine = {"of_tenant": self.tenant, "of_thread": self.thread_id, "of_epoch": self.epoch}
        _checked.pop(connection, None)  # what is written after it in this transaction is too late
        if not _give_back(connection, {**mine, "later": self.epoch + 1}):
            raise StaleWriter(self.thread_id, epoch=self.epoch)


def check_together(connection: Connection, fences: Collection[Fence]) -> None:
    """Check fences in few statements; those of leases that were lost raise at their own `check`."""
    checked = _checked.setdefault(connection, set())
    for tenant in {fence.tenant for fence in fences}:
        of_tenant = [fence for fence in fences if fence.tenant == tenant]
        rows = _epochs_of.rows(connection, {fence.thread_id for fence in of_tenant}, {"of_tenant": tenant})
        epochs = {row.thread_id: row.epoch for row in rows}
        checked.update(fence for fence in of_tenant if epochs.get(fence.thread_id) == fence.epoch)


def acquire(connection: Connection, claim: Claim) -> Fence:
    """Take the lease of a thread that is free, and return what its writes are checked by.

    Raises:
        ThreadBusy: another owner works on it.
    """
    _checked.pop(connection, None)  # what its former owner writes after it in this transaction is too late
    if connection.dialect.name in _INSERTS:
        values = {**claim._asdict(), "microseconds": _microseconds(claim.seconds)}
        taken = _upserted.first(connection, {**values, "run_id": checked_id("run_id", claim.run_id)})
        epoch = None if taken is None else taken.epoch
    else:
        epoch = _locked_and_updated(connection, claim)
    if epoch is None:
        raise leases_of(connection, [claim.thread_id], claim.tenant)[claim.thread_id].busy()
    return Fence(claim.thread_id, epoch, claim.tenant)


def renew(connection: Connection, owner: str, thread_ids: Collection[str], seconds: float, tenant: str) -> None:
    """Let the leases of `owner` run for so many seconds from now; those that it has lost are left alone."""
    for some in batches(thread_ids):
        mine = and_(leases.c.tenant == tenant, leases.c.thread_id.in_(some), leases.c.owner == owner)
        renewed = update(leases).where(mine, leases.c.expires > 0).values(expires=_Now() + _microseconds(seconds))
        connection.execute(renewed)


def request_stop(
    connection: Connection, thread_id: str, wanted: Literal["drain", "cancel"], reason: str, tenant: str
) -> bool:
    """Ask who works on a thread to stop, and return whether anybody does."""
    live = and_(_at(thread_id, tenant), leases.c.expires > _Now())
    request = {"wanted": wanted, "reason": reason.encode("utf-8", "surrogatepass")}
    return connection.execute(update(leases).where(live).values(request)).rowcount > 0


def leases_of(connection: Connection, thread_ids: Collection[str], tenant: str) -> Mapping[str, LeaseRow]:
    """Return the leases of a tenant's threads, as far as they ever had one."""
    rows = _leases_of.rows(connection, thread_ids, {"of_tenant": tenant})
    return {row.thread_id: _lease_of(row) for row in rows}


def _lease_of(row: Any) -> LeaseRow:
    state: LeaseState = "live" if row.expires > row.now else "expired" if row.expires else "released"
    expires = _EPOCH + timedelta(microseconds=row.expires)
    return LeaseRow(row.thread_id, row.run_id, row.owner, row.epoch, expires, state, row.wanted)


def _upsert(dialect: Dialect) -> Executable:
    """Take a lease that is free in one statement, and return its epoch."""
    ids = {name: bindparam(name) for name in ("tenant", "thread_id", "run_id", "owner")}
    expires = _Now() + bindparam("microseconds", type_=BigInteger)
    row = _INSERTS[dialect.name](leases).values(**ids, epoch=_Now(), expires=expires)
    taken = {name: row.excluded[name] for name in ("run_id", "owner", "expires", "wanted", "reason")}
    later = {**taken, "epoch": leases.c.epoch + 1}
    is_free = or_(leases.c.expires <= _Now(), leases.c.owner == row.excluded.owner)
    keys = [leases.c.tenant, leases.c.thread_id]
    return row.on_conflict_do_update(index_elements=keys, set_=later, where=is_free).returning(leases.c.epoch)


def _release(_dialect: Dialect) -> Executable:
    mine = (leases.c.tenant == bindparam("of_tenant"), leases.c.thread_id == bindparam("of_thread"))
    given_back = {"epoch": bindparam("later"), "expires": 0, "wanted": None, "reason": None}
    return update(leases).where(*mine, leases.c.epoch == bindparam("of_epoch")).values(given_back)


def _select_leases(thread_ids: Sequence[BindParameter[Any]]) -> Executable:
    mine = (leases.c.tenant == bindparam("of_tenant"), leases.c.thread_id.in_(thread_ids))
    return select(leases, _Now().label("now")).where(*mine)


_upserted = Prepared(_upsert)
_give_back = Prepared(_release)
_leases_of = PreparedIn(_select_leases)


def _locked_and_updated(connection: Connection, claim: Claim) -> int | None:
    """Do as `_upserted` where a database has no such statement."""
    mine, empty = _at(claim.thread_id, claim.tenant), {"epoch": _Now(), "expires": 0}
    row = {"tenant": claim.tenant, "thread_id": claim.thread_id, "run_id": "", "owner": "", **empty}
    made = mysql.insert(leases).values(row)
    connection.execute(made.on_duplicate_key_update(epoch=leases.c.epoch))  # locks the row; IGNORE would only share it
    before = connection.execute(select(leases.c.epoch).where(mine).with_for_update()).scalar_one()
    later = {**_taken(claim), "epoch": before + 1}
    taken = connection.execute(update(leases).where(mine, _is_free(claim)).values(later)).rowcount
    return before + 1 if taken else None


def _taken(claim: Claim) -> dict[str, Any]:
    """Return the columns of a lease that was just taken."""
    expires = _Now() + _microseconds(claim.seconds)
    request = {"wanted": None, "reason": None}
    return {"run_id": checked_id("run_id", claim.run_id), "owner": claim.owner, "expires": expires, **request}


def _is_free(claim: Claim) -> ColumnElement[bool]:
    return or_(leases.c.expires <= _Now(), leases.c.owner == claim.owner)


def _at(thread_id: str, tenant: str) -> ColumnElement[bool]:
    return and_(leases.c.tenant == tenant, leases.c.thread_id == checked_id("thread_id", thread_id))


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
