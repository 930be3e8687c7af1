"""Schemas of PostgreSQL that are used again: to make the tables takes ten times as long as most tests."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import Connection, Engine

__all__ = ("Schemas",)

_END_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_SHAPE = """
    SELECT string_agg(relation || ' ' || attribute, ',' ORDER BY relation, attribute)
    FROM (
        SELECT c.relname || c.relkind::text AS relation,
            concat_ws(' ', a.attname, a.atttypid, a.attnotnull) AS attribute
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE n.nspname = %(schema)s
    ) AS found
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %(schema)s"
_RESTART = """
    SELECT setval(format('%%I.%%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE schemaname = %(schema)s
"""
_VERSION = "guardgraph_version"


class Schemas:
    """The schemas of one database; `engine` commits each statement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._free: list[str] = []
        self._shape: tuple[object, object] | None = None
        """The tables, and the version, that the first schema had."""

    @contextmanager
    def one(self, *, with_tables: bool) -> Generator[str]:
        """Yield the name of a schema without a row, perhaps with tables that were made before."""
        name = self._free.pop() if with_tables and self._free else f"test_{uuid4().hex}"
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {name}")
        try:
            yield name
        finally:
            with self._engine.connect() as connection:
                connection.exec_driver_sql(_END_OTHERS)
                if self._emptied(connection, name):
                    self._free.append(name)
                else:
                    connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")

    def _emptied(self, connection: Connection, name: str) -> bool:
        """Delete all rows of a schema, unless its tables are not what they should be; return whether they are."""
        given = {"schema": name}
        tables = connection.exec_driver_sql(_TABLES, given).scalars().all()
        if _VERSION not in tables:
            return False
        versions = connection.exec_driver_sql(f"SELECT version_num FROM {name}.{_VERSION}").scalars().all()
        shape = connection.exec_driver_sql(_SHAPE, given).scalar(), versions
        self._shape = self._shape or shape
        if shape != self._shape:
            return False
        for table in tables:
            if table != _VERSION:
                connection.exec_driver_sql(f"DELETE FROM {name}.{table}")
        connection.exec_driver_sql(_RESTART, given)
        return True
