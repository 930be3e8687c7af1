"""The lease of a thread: one process works on it, and its writes are refused once another has taken over.

Every statement uses the clock of the database, and belongs to the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, bindparam, or_, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.compiler import compiles

from guardgraph.state import StaleWriter, ThreadBusy
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.statements import batches
from guardgraph.storage.sql.tables import leases

__all__ = ("Claim", "Fence", "LeaseRow", "LeaseState", "acquire", "leases_of", "renew", "request_stop")

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
_INSERTS = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class _Now(ColumnElement[int]):
    """Microseconds since 1970, by the clock of the database."""

    inherit_cache = True
    type = BigInteger()


@compiles(_Now, "sqlite")
def _now_in_sqlite(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"


@compiles(_Now, "postgresql")
def _now_in_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"


@compiles(_Now, "mysql")
@compiles(_Now, "mariadb")
def _now_in_mysql(*_: Any, **__: Any) -> str:
    return "TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6))"


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


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write to a thread; it ends when the lease is taken over or given back."""

    thread_id: str
    epoch: int
    tenant: str

    def check(self, connection: Connection) -> None:
        """Raise `StaleWriter` unless the lease is still ours; it cannot change before the end of the transaction."""
        mine = {"of_tenant": self.tenant, "of_thread": self.thread_id}
        found = _epoch_of.first(connection, mine)
        if found is None or found.epoch != self.epoch:
            raise StaleWriter(self.thread_id, epoch=self.epoch)

    def release(self, connection: Connection) -> None:
        """Give the lease back, so that nothing is written under it any more; raise `StaleWriter` if it is not ours."""
        mine = and_(_at(self.thread_id, self.tenant), leases.c.epoch == self.epoch)
        given_back = {"epoch": self.epoch + 1, "expires": 0, "wanted": None, "reason": None}
        if not connection.execute(update(leases).where(mine).values(given_back)).rowcount:
            raise StaleWriter(self.thread_id, epoch=self.epoch)


def acquire(connection: Connection, claim: Claim) -> Fence:
    """Take the lease of a thread that is free, and return what its writes are checked by.

    Raises:
        ThreadBusy: another owner works on it.
    """
    kind = connection.dialect.name
    epoch = _upserted(connection, claim) if kind in _INSERTS else _locked_and_updated(connection, claim)
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
    found: dict[str, LeaseRow] = {}
    for some in batches(thread_ids):
        rows = select(leases, _Now().label("now")).where(leases.c.tenant == tenant, leases.c.thread_id.in_(some))
        found |= {row.thread_id: _lease_of(row) for row in connection.execute(rows)}
    return found


def _lease_of(row: Any) -> LeaseRow:
    state: LeaseState = "live" if row.expires > row.now else "expired" if row.expires else "released"
    expires = _EPOCH + timedelta(microseconds=row.expires)
    return LeaseRow(row.thread_id, row.run_id, row.owner, row.epoch, expires, state, row.wanted)


def _upserted(connection: Connection, claim: Claim) -> int | None:
    """Take a lease in one statement, and return its epoch; `None` where it is not free."""
    new = _INSERTS[connection.dialect.name](leases)
    row = new.values(**_taken(claim), tenant=claim.tenant, thread_id=claim.thread_id, epoch=_Now())
    keys = [leases.c.tenant, leases.c.thread_id]
    later = {**_taken(claim), "epoch": leases.c.epoch + 1}
    taken = row.on_conflict_do_update(index_elements=keys, set_=later, where=_is_free(claim))
    return connection.execute(taken.returning(leases.c.epoch)).scalar()


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
