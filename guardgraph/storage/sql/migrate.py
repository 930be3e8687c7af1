"""Bringing a database to the schema of this guardgraph."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, func, inspect, select

from guardgraph.state import MigrationNeeded, StorageBusy, StorageCorrupt
from guardgraph.storage.sql.connections import current_schemas
from guardgraph.storage.sql.engine import is_sqlite, read_transaction, write_transaction
from guardgraph.storage.sql.errors import place_of

__all__ = ("known_revisions", "migrate")

_FOLDER = Path(__file__).parent / "migrations"
_VERSION = Table("guardgraph_version", MetaData(), Column("version_num", String(32), primary_key=True))
_ADVISORY_LOCK = 0x6775617264  # any fixed number that only migrations of guardgraph use
_LOCK_WAIT = 60
"""Seconds that MySQL waits for another migration."""

_one_at_a_time = RLock()  # Alembic keeps the running migration in module globals


def known_revisions() -> tuple[str, ...]:
    """Return the schema revisions of this guardgraph, oldest first.

    Raises:
        MigrationNeeded: one is there twice.
    """
    files = sorted(path.name for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))
    known = tuple(name.partition("_")[0] for name in files)
    twice = [name for name, revision in zip(files, known, strict=True) if known.count(revision) > 1]
    if twice:
        what = f"two migrations have the same schema revision: {', '.join(twice)}"
        raise MigrationNeeded(f"{what}; files of two versions of guardgraph are mixed here: install it anew")
    return known


def migrate(engine: Engine) -> Engine:
    """Create or upgrade guardgraph's tables, and return `engine`; costs nothing once the engine was found current.

    Several threads and processes may call it at once: one migrates, the others wait and then find it done.

    Raises:
        MigrationNeeded: the database was made by a newer guardgraph; nothing was changed.
        StorageError: or one of its subclasses, when the database cannot be opened, read or written.
    """
    if engine in current_schemas:
        return engine
    with _one_at_a_time:
        with read_transaction(engine) as connection:
            current = _is_current(connection, engine)
        if not current:
            with write_transaction(engine) as connection, _alone(connection):
                if not _is_current(connection, engine):
                    _upgrade(connection)
        current_schemas.add(engine)
    return engine


def _is_current(connection: Connection, engine: Engine) -> bool:
    """Compare the database's revision with ours; one that we do not know is refused."""
    known = known_revisions()
    if not inspect(connection).has_table(_VERSION.name):
        return False
    found = connection.execute(select(_VERSION.c.version_num)).scalars().all()
    if len(found) > 1:
        names = ", ".join(map(repr, sorted(found)))
        raise StorageCorrupt(f"{place_of(engine)} has {len(found)} schema revisions at once: {names}; restore it")
    unknown = sorted(set(found) - set(known))
    if unknown:
        url, newest = place_of(engine), known[-1]
        what, hint = f"this guardgraph knows up to {newest!r}", "upgrade guardgraph, or open another database"
        if unknown[-1] < known[0]:
            what, hint = "which was never released and is not read any more", "use another database"
        message = f"{url} has schema revision {unknown[-1]!r}, {what}; {hint}"
        raise MigrationNeeded(message, url=url, found=unknown[-1], known=newest)
    return list(found) == [known[-1]]


@contextmanager
def _alone(connection: Connection) -> Generator[None]:
    """Keep other processes from migrating; SQLite's `BEGIN IMMEDIATE` does so already."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))  # until the end of the transaction
        yield
    elif is_sqlite(connection.engine):
        yield
    else:
        name = func.concat("guardgraph_", func.md5(func.database()))  # a lock of the server, not of the database
        if connection.execute(select(func.get_lock(name, _LOCK_WAIT))).scalar() != 1:
            raise StorageBusy(
                f"another process migrates {place_of(connection.engine)} for over {_LOCK_WAIT} s; try again"
            )
        try:
            yield
        finally:
            connection.execute(select(func.release_lock(name)))


def _upgrade(connection: Connection) -> None:
    # Imported here because few processes ever migrate, and Alembic would double the import time of the saver.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
