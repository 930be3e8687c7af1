"""Faults of drivers become the typed family."""

from __future__ import annotations

import errno
import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from guardgraph.state import (
    NotADatabase,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnavailable,
    TooLarge,
)
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.errors import place_of, storage_fault_of, translate_errors


class ServerError(Exception):
    """What a driver raises for a statement that the server refused."""

    def __init__(self, sqlstate: str | None, text: str = "refused") -> None:
        self.sqlstate = sqlstate
        super().__init__(text)


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("sqlite says no")
    error.sqlite_errorcode = code
    return error


def wrapped(error: BaseException, *, kind: type[DBAPIError] = OperationalError, dropped: bool = False) -> DBAPIError:
    return kind("SELECT 1", {}, error, connection_invalidated=dropped)


@pytest.mark.parametrize(
    ("code", "family"),
    [
        (sqlite3.SQLITE_BUSY, StorageBusy),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StorageBusy),
        (sqlite3.SQLITE_READONLY, StorageReadOnly),
        (sqlite3.SQLITE_READONLY_DBMOVED, StorageReadOnly),
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_IOERR_WRITE, StorageUnavailable),
        (sqlite3.SQLITE_CANTOPEN, StorageUnavailable),
        (sqlite3.SQLITE_CORRUPT, StorageCorrupt),
        (sqlite3.SQLITE_NOTADB, NotADatabase),
        (sqlite3.SQLITE_ERROR, StorageError),
    ],
)
def test_sqlites_codes_are_told_apart(code: int, family: type[StorageError]) -> None:
    for error in (of_sqlite(code), wrapped(of_sqlite(code))):
        assert type(storage_fault_of(error)) is family


@pytest.mark.parametrize(
    ("state", "family"),
    [
        ("55P03", StorageBusy),
        ("40P01", StorageBusy),
        ("25006", StorageReadOnly),
        ("42501", StorageReadOnly),
        ("53100", StorageFull),
        ("53300", StorageUnavailable),
        ("57P01", StorageUnavailable),
        ("08006", StorageUnavailable),
        ("28P01", StorageUnavailable),
        ("25P03", StorageUnavailable),
        ("XX001", StorageCorrupt),
        ("42601", StorageError),
    ],
)
def test_the_servers_codes_are_told_apart(state: str, family: type[StorageError]) -> None:
    assert type(storage_fault_of(wrapped(ServerError(state), kind=ProgrammingError))) is family


@pytest.mark.parametrize(
    ("number", "family"),
    [
        (1205, StorageBusy),
        (1213, StorageBusy),
        (1969, StorageBusy),
        (3024, StorageBusy),
        (1142, StorageReadOnly),
        (1290, StorageReadOnly),
        (1792, StorageReadOnly),
        (1021, StorageFull),
        (1114, StorageFull),
        (1153, TooLarge),
        (2003, StorageUnavailable),
        (2006, StorageUnavailable),
        (2013, StorageUnavailable),
        (1194, StorageCorrupt),
        (1064, StorageError),
    ],
)
def test_the_numbers_of_mariadb_and_mysql_are_told_apart(number: int, family: type[StorageError]) -> None:
    error = ServerError("HY000")
    error.args = (number, "refused")

    assert type(storage_fault_of(wrapped(error))) is family


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (PoolTimeout(), StorageBusy),
        (wrapped(OSError(errno.ENOSPC, "no space")), StorageFull),
        (wrapped(ServerError(None)), StorageUnavailable),
        (wrapped(ServerError(None), kind=ProgrammingError, dropped=True), StorageUnavailable),
        (wrapped(ServerError(None), kind=ProgrammingError), StorageError),
    ],
)
def test_faults_without_a_code_are_told_apart(error: Exception, family: type[StorageError]) -> None:
    assert type(storage_fault_of(error)) is family


def test_the_message_names_the_database_the_reason_and_never_the_password() -> None:
    engine = engine_of("postgresql://me:hunter2@127.0.0.1:1/x")

    with pytest.raises(StorageBusy, match=r"me:\*\*\*@127\.0\.0\.1:1/x is locked .*ServerError: refused") as caught:  # noqa: SIM117
        with translate_errors("t", engine=engine):
            raise wrapped(ServerError("55P03", "refused\nand many details"))

    assert caught.value.thread_id == "t"
    assert "details" not in str(caught.value)
    assert "hunter2" not in place_of(engine)


def test_a_typed_error_from_within_only_learns_its_thread() -> None:
    inner = StorageCorrupt("damaged")

    with pytest.raises(StorageCorrupt, match="damaged") as caught, translate_errors("t"):
        raise inner

    assert caught.value is inner
    assert inner.thread_id == "t"


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("mine")])
def test_other_exceptions_pass_unchanged(error: Any) -> None:
    with pytest.raises(type(error), match="mine"), translate_errors():
        raise error
