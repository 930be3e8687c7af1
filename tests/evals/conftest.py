"""The databases of the SQL tests."""

from __future__ import annotations

from tests.storage.sql.conftest import database_url, postgres_url, sqlite_url

__all__ = ("database_url", "postgres_url", "sqlite_url")
