"""Databases for the tests of the runner."""

from __future__ import annotations

from tests.storage.sql.conftest import database_url, mariadb_url, postgres_url, sqlite_url

__all__ = ("database_url", "mariadb_url", "postgres_url", "sqlite_url")
