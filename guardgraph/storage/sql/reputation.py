"""Settled awards in a SQL database, known to every process that uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, case, delete, func, select, union_all

from guardgraph.state.argument_checks import check_count
from guardgraph.storage.reputation import LATEST, Reputation, SettledAward
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id, digest_of
from guardgraph.storage.sql.reputation_table import awards as _table
from guardgraph.storage.sql.statements import insert_new

__all__ = ("SQLReputation",)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 50
"""How many agents one statement reads."""


class SQLReputation:
    """Implements `ReputationStore` in SQLite, PostgreSQL, MariaDB or MySQL. Every method blocks for one transaction.

    The agents of one tenant are apart from those of another, also where their names are the same.
    """

    def __init__(self, engine: Engine, *, tenant: str) -> None:
        """Use an engine, as `engine_of` makes one, which the caller disposes of; tables are made at the first use."""
        self.engine = engine_of(engine)
        self._tenant = checked_id("tenant", tenant)

    def record(self, awards: Sequence[SettledAward]) -> None:
        """See `ReputationStore.record`."""
        rows = [self._row(one) for one in awards]
        if rows:
            with write_transaction(migrate(self.engine)) as connection:
                connection.execute(insert_new(connection.dialect, _table), rows)

    def read(self, agents: Collection[str]) -> Mapping[str, Reputation]:
        """See `ReputationStore.read`."""
        names = [*dict.fromkeys(agents)]
        found: dict[str, Reputation] = {name: Reputation(name) for name in names}
        with read_transaction(migrate(self.engine)) as connection:
            for start in range(0, len(names), _AT_ONCE):
                by_key = {self._key(name): name for name in names[start : start + _AT_ONCE]}
                for key, row in _aggregates(connection, self._tenant, [*by_key]).items():
                    found[by_key[key]] = _reputation(by_key[key], row)
        return found

    def listed(self, limit: int) -> list[Reputation]:
        """Return the reputations of at most `limit` agents, those first that were awarded something last."""
        check_count("limit", limit)
        newest = func.max(_table.c.settled)
        chosen = (
            select(_table.c.agent, newest.label("newest"))
            .where(_table.c.tenant == self._tenant)
            .group_by(_table.c.agent)
            .order_by(newest.desc(), _table.c.agent)
            .limit(limit)
        )
        named = select(_table.c.name, _table.c.agent).distinct().where(_table.c.tenant == self._tenant)
        with read_transaction(migrate(self.engine)) as connection:
            keys = [bytes(row.agent) for row in connection.execute(chosen)]
            rows = dict[bytes, Any]()
            for start in range(0, len(keys), _AT_ONCE):
                rows |= _aggregates(connection, self._tenant, keys[start : start + _AT_ONCE])
            names = {bytes(key): bytes(name) for name, key in connection.execute(named.where(_table.c.agent.in_(keys)))}
        return [_reputation(names[key].decode("utf-8", "backslashreplace"), rows[key]) for key in keys]

    def forget(self, agent: str, *, dry_run: bool = False) -> int:
        """Delete all awards of an agent, and return how many there were; with `dry_run` only count them."""
        mine = (_table.c.tenant == self._tenant, _table.c.agent == self._key(agent))
        counted = select(func.count()).select_from(_table).where(*mine)
        if dry_run:
            with read_transaction(migrate(self.engine)) as connection:
                return int(connection.execute(counted).scalar_one())
        with write_transaction(migrate(self.engine)) as connection:
            return connection.execute(delete(_table).where(*mine)).rowcount

    def _row(self, award: SettledAward) -> dict[str, Any]:
        return {
            "award": digest_of(self._tenant, award.key),
            "tenant": self._tenant,
            "agent": self._key(award.agent),
            "name": award.agent.encode("utf-8", "backslashreplace"),
            "settled": (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1),
            "is_done": award.is_done,
            "bid": award.bid,
            "actual": award.actual,
            "overrun": award.overrun,
            "seconds": award.seconds,
        }

    def _key(self, agent: str) -> bytes:
        return digest_of(self._tenant, agent)


def _aggregates(connection: Connection, tenant: str, keys: Sequence[bytes]) -> dict[bytes, Any]:
    """Return counts and means of the latest awards of some agents, by their keys."""
    if not keys:
        return {}
    rows = connection.execute(union_all(*(_aggregate(tenant, key) for key in keys)))
    return {bytes(row.agent): row for row in rows}


def _aggregate(tenant: str, key: bytes) -> Select[Any, Any, Any, Any, Any, Any]:
    """Select counts and means of the latest awards of an agent. It reads so many rows, however many there are."""
    latest = (
        select(_table.c.agent, _table.c.is_done, _table.c.overrun, _table.c.seconds)
        .where(_table.c.tenant == tenant, _table.c.agent == key)
        .order_by(_table.c.settled.desc(), _table.c.award.desc())
        .limit(LATEST)
        .subquery("latest")
    )
    return select(
        latest.c.agent,
        func.count().label("awards"),
        func.sum(case((latest.c.is_done, 1), else_=0)).label("done"),
        func.count(latest.c.overrun).label("known"),
        func.avg(latest.c.overrun).label("overrun"),
        func.avg(latest.c.seconds).label("seconds"),
    ).group_by(latest.c.agent)


def _reputation(agent: str, row: Any) -> Reputation:
    return Reputation(
        agent,
        awards=int(row.awards),
        done=int(row.done),
        known_costs=int(row.known),
        mean_overrun=1.0 if row.overrun is None else float(row.overrun),
        mean_seconds=float(row.seconds),
    )
