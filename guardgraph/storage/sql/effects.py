"""Side effects in a SQL database, known to every process that uses it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, select, update

from guardgraph.state.argument_checks import check_count
from guardgraph.storage.effects import EffectRecord
from guardgraph.storage.sql.effect_locks import KeyLocks
from guardgraph.storage.sql.effect_table import effects
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id, digest_of
from guardgraph.storage.sql.statements import inserted
from guardgraph.storage.sql.thread_rows import run_ids_of

__all__ = ("SQLEffects",)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class SQLEffects:
    """Implements `EffectStore` in SQLite, PostgreSQL, MariaDB or MySQL. Every method blocks for one transaction.

    The keys of one tenant are apart from those of another.
    """

    blocks = True

    def __init__(self, engine: Engine, *, tenant: str) -> None:
        """Use an engine, as `engine_of` makes one, which the caller disposes of; tables are made at the first use."""
        self.engine = engine_of(engine)
        self._tenant = checked_id("tenant", tenant)
        self._locks = KeyLocks(self.engine)

    def lock(self, key: str) -> bool:
        """See `EffectStore.lock`."""
        return self._locks.lock(self._digest(key))

    def unlock(self, key: str) -> None:
        """See `EffectStore.unlock`."""
        self._locks.unlock(self._digest(key))

    def begin(self, key: str, run_id: str | None) -> EffectRecord | None:
        """See `EffectStore.begin`."""
        row = {
            "effect": self._digest(key),
            "tenant": self._tenant,
            "name": _packed(key),
            "run_id": run_id,
            "started": _now(),
        }
        with write_transaction(migrate(self.engine)) as connection:
            found = connection.execute(select(effects).where(effects.c.effect == row["effect"])).one_or_none()
            if found is not None:
                return _record_of(found)
            if inserted(connection, effects, row):
                return None
            return _record_of(connection.execute(select(effects).where(effects.c.effect == row["effect"])).one())

    def end(self, key: str, result: str | None) -> None:
        """See `EffectStore.end`. The first end counts."""
        mine = (effects.c.effect == self._digest(key), effects.c.ended.is_(None))
        packed = None if result is None else _packed(result)
        with write_transaction(migrate(self.engine)) as connection:
            connection.execute(update(effects).where(*mine).values(ended=_now(), result=packed))

    def forget(self, key: str) -> None:
        """See `EffectStore.forget`. One that has ended is kept."""
        mine = (effects.c.effect == self._digest(key), effects.c.ended.is_(None))
        with write_transaction(migrate(self.engine)) as connection:
            connection.execute(delete(effects).where(*mine))

    def unknown(self, limit: int) -> list[EffectRecord]:
        """See `EffectStore.unknown`."""
        return self.stored(limit, only_unknown=True)

    def stored(
        self,
        limit: int,
        *,
        only_unknown: bool = False,
        key: str | None = None,
        run_id: str | None = None,
        thread_id: str | None = None,
    ) -> list[EffectRecord]:
        """Return effects, oldest first: all, or those that fit all that is given."""
        check_count("limit", limit)
        found = select(effects).where(effects.c.tenant == self._tenant)
        if only_unknown:
            found = found.where(effects.c.ended.is_(None))
        if key is not None:
            found = found.where(effects.c.effect == self._digest(key))
        if run_id is not None:
            found = found.where(effects.c.run_id == checked_id("run_id", run_id))
        if thread_id is not None:
            mine = run_ids_of(self._tenant, checked_id("thread_id", thread_id))
            found = found.where(effects.c.run_id.in_(mine))
        with read_transaction(migrate(self.engine)) as connection:
            rows = connection.execute(found.order_by(effects.c.started, effects.c.effect).limit(limit)).all()
        return [_record_of(row) for row in rows]

    def _digest(self, key: str) -> bytes:
        return digest_of(self._tenant, key)


def _record_of(row: Any) -> EffectRecord:
    return EffectRecord(
        key=bytes(row.name).decode("utf-8", "surrogatepass"),
        run_id=row.run_id,
        started=_EPOCH + row.started * _MICROSECOND,
        is_done=row.ended is not None,
        result=None if row.result is None else bytes(row.result).decode("utf-8", "surrogatepass"),
    )


def _packed(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _now() -> int:
    return (datetime.now(UTC) - _EPOCH) // _MICROSECOND
