"""Opening databases: which URLs work, and what is said when one does not."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    text,
)

from guardgraph.state import (
    BadInput,
    MissingExtra,
    NotADatabase,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnavailable,
)
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.engine import Synchronous, engine_of, read_transaction, write_transaction
from tests.storage.sql.stored import config_of, ids_in, store

pytestmark = pytest.mark.no_tables

NUMBERS = Table("numbers", MetaData(), Column("number", Integer, primary_key=True))


def path_in(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def pragma(engine: Engine, name: str) -> object:
    with read_transaction(engine) as connection:
        return connection.exec_driver_sql("PRAGMA journal_mode" if name == "wal" else "PRAGMA synchronous").scalar_one()


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
def test_a_sqlite_file_is_opened_for_many_readers_and_durable_commits(
    sqlite_url: str, synchronous: Synchronous, level: int
) -> None:
    engine = engine_of(sqlite_url, synchronous=synchronous)

    assert pragma(engine, "wal") == "wal"
    assert pragma(engine, "synchronous") == level
    engine.dispose()


def test_an_engine_of_the_caller_gets_the_same_transactions(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)

    assert engine_of(engine) is engine
    assert engine_of(engine) is engine
    assert pragma(engine, "wal") == "wal"
    engine.dispose()


@pytest.mark.parametrize("url", ["postgres://u@h/d", "postgresql://u@h/d", "postgresql+psycopg://u@h/d"])
def test_postgresql_is_reached_through_psycopg_3(url: str) -> None:
    assert engine_of(url).url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize(("url", "driver"), [("mysql://h/d", "mysql+pymysql"), ("mariadb://h/d", "mariadb+pymysql")])
def test_mysql_and_mariadb_are_reached_through_pymysql(url: str, driver: str) -> None:
    assert engine_of(url).url.drivername == driver


@pytest.mark.parametrize("url", ["postgresql://h/d", "mysql://h/d"])
def test_a_missing_driver_names_the_extra(url: str) -> None:
    with (
        mock.patch("guardgraph.storage.sql.engine.find_spec", return_value=None),
        pytest.raises(MissingExtra, match=r"pip install 'guardgraph\[(postgres|mysql)\]'"),
    ):
        engine_of(url)


@pytest.mark.parametrize("url", ["runs.db", "", "://", "/tmp/runs.db"])
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BadInput, match=r"is not a URL; write `sqlite:///runs\.db`"):
        engine_of(url)


def test_a_kind_of_database_that_is_not_supported_is_named() -> None:
    with pytest.raises(BadInput, match="no support for 'oracle' databases; use one of sqlite"):
        engine_of("oracle://me:hunter2@h/d")


def test_a_negative_timeout_is_refused() -> None:
    with pytest.raises(BadInput, match="`busy_timeout` must not be negative, got -1"):
        engine_of("sqlite://", busy_timeout=-1)


def test_a_missing_folder_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"the folder '.*no/such' does not exist; create it"):
        engine_of(f"sqlite:///{tmp_path}/no/such/runs.db")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="it is a folder; name a file in it"):
        engine_of(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("option", ["prepare_threshold=0", "prepare_threshold=none"])
def test_an_address_may_suit_a_pooler(postgres_url: str, option: str) -> None:
    with SQLSaver.from_url(f"{postgres_url}&{option}") as saver:
        store(saver, "t")
        assert len(ids_in(saver, config_of("t"))) == 1


@pytest.mark.parametrize("option", ["nonsense=1", "read_timeout=x"])
def test_an_option_that_the_driver_does_not_take_is_refused(mariadb_url: str, option: str) -> None:
    with pytest.raises(BadInput, match="option of the database"), SQLSaver.from_url(f"{mariadb_url}?{option}") as saver:
        saver.get_tuple(config_of("t"))


def test_a_file_that_is_no_database_is_named(sqlite_url: str) -> None:
    path_in(sqlite_url).write_text("This is a letter, not a database. " * 100)

    with (
        SQLSaver.from_url(sqlite_url) as saver,
        pytest.raises(NotADatabase, match=r"guardgraph\.db is no SQLite database; name another file, or one that does"),
    ):
        store(saver, "t")


def test_a_database_that_may_only_be_read_can_be_read_and_says_so_when_written(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url) as saver:
        config = store(saver, "t", {"a": 1})

    url = sqlite_url.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true"
    with SQLSaver.from_url(url) as again:
        assert again.get_tuple(config) is not None
        with pytest.raises(StorageReadOnly, match="cannot be written; fix its permissions") as caught:
            store(again, "t")

    assert caught.value.thread_id == "t"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_file_without_write_permission_is_a_typed_error(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url) as saver:
        store(saver, "t")
    path_in(sqlite_url).chmod(0o444)

    with SQLSaver.from_url(sqlite_url) as again, pytest.raises(StorageError, match=r"guardgraph\.db"):
        store(again, "t")


def test_a_lock_of_another_process_is_a_typed_error_after_the_timeout(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url, busy_timeout=0.1) as saver:
        store(saver, "t")
        other = sqlite3.connect(path_in(sqlite_url), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy, match=r"is locked by another writer, or was too slow; try again .*locked"):
            store(saver, "t")
        other.execute("ROLLBACK")
        other.close()

        assert saver.get_tuple(config_of("t")) is not None


def test_a_full_database_is_a_typed_error_and_goes_on_when_there_is_room() -> None:
    with SQLSaver.from_url("sqlite://") as saver:
        store(saver, "t")
        limit_pages(saver.engine, "PRAGMA max_page_count = 20")
        with pytest.raises(StorageFull, match=r"is full; free some space .*full"):
            store(saver, "t", {"a": "x" * 2**20})

        limit_pages(saver.engine, "PRAGMA max_page_count = 100000")
        store(saver, "t", {"a": "x" * 2**20})

        assert len(ids_in(saver, config_of("t"))) == 2


def limit_pages(engine: Engine, pragma: str) -> None:
    with read_transaction(engine) as connection:
        connection.exec_driver_sql(pragma)


def drop_connection(engine: Engine) -> None:
    with write_transaction(engine, thread_id="t") as connection:
        connection.execute(select(func.pg_terminate_backend(func.pg_backend_pid())))


def test_a_connection_that_the_server_drops_is_a_typed_error_and_the_next_call_works(postgres_url: str) -> None:
    with SQLSaver.from_url(postgres_url) as saver:
        store(saver, "t")
        with pytest.raises(StorageUnavailable, match="cannot be reached or opened") as caught:
            drop_connection(saver.engine)

        assert caught.value.thread_id == "t"
        assert len(ids_in(saver, config_of("t"))) == 1


def test_a_connection_that_was_dropped_while_idle_is_not_noticed(postgres_url: str) -> None:
    others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with SQLSaver.from_url(postgres_url) as saver, SQLSaver.from_url(postgres_url) as other:
        store(saver, "t")
        with read_transaction(other.engine) as connection:
            assert connection.execute(others).scalars().all() == [True]

        assert len(ids_in(saver, config_of("t"))) == 1


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    engine = engine_of("sqlite://")
    NUMBERS.metadata.create_all(engine)

    def add(number: int) -> None:
        with write_transaction(engine) as connection:
            connection.execute(insert(NUMBERS).values(number=number))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with read_transaction(engine) as connection:
        assert sorted(connection.execute(select(NUMBERS.c.number)).scalars()) == list(range(20))
    engine.dispose()


def test_a_transaction_that_fails_leaves_nothing_behind(database_url: str) -> None:
    engine = engine_of(database_url)
    NUMBERS.metadata.create_all(engine)

    def add_and_fail() -> None:
        with write_transaction(engine) as connection:
            connection.execute(insert(NUMBERS).values(number=1))
            raise LookupError("on the way")

    with pytest.raises(LookupError, match="on the way"):
        add_and_fail()

    with read_transaction(engine) as connection:
        assert connection.execute(select(NUMBERS.c.number)).all() == []
    engine.dispose()


def test_a_reader_sees_one_state_of_the_database(database_url: str) -> None:
    engine = engine_of(database_url)
    NUMBERS.metadata.create_all(engine)

    with read_transaction(engine) as connection:
        before = connection.execute(select(NUMBERS.c.number)).all()
        with write_transaction(engine) as other:
            other.execute(insert(NUMBERS).values(number=1))
        after = connection.execute(select(NUMBERS.c.number)).all()

    assert before == after == []
    engine.dispose()


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_a_statement_is_never_committed_by_itself(server: str, request: pytest.FixtureRequest) -> None:
    address = make_url(request.getfixturevalue(server))
    driver = f"{address.drivername}+{'psycopg' if address.drivername == 'postgresql' else 'pymysql'}"
    named = engine_of(address.update_query_dict({"autocommit": "true"}).render_as_string(hide_password=False))
    given = create_engine(address.set(drivername=driver), connect_args={"autocommit": True})
    for engine in (named, engine_of(given)):
        NUMBERS.metadata.create_all(engine)
        with write_transaction(engine) as connection:
            connection.execute(insert(NUMBERS).values(number=1))
            connection.rollback()
        with read_transaction(engine) as connection:
            assert connection.execute(select(NUMBERS.c.number)).all() == []
        engine.dispose()

    refused = create_engine(address.set(drivername=driver), isolation_level="AUTOCOMMIT")
    with SQLSaver(refused) as saver, pytest.raises(BadInput, match="commits each statement by itself"):
        store(saver, "t", {"log": [1]})
    refused.dispose()


@pytest.mark.parametrize("setting", ["default_transaction_isolation=serializable", "client_encoding=LATIN1"])
def test_defaults_of_a_database_change_nothing(postgres_url: str, setting: str) -> None:
    address = make_url(postgres_url)
    options = f"{address.query['options']} -c{setting}"
    url = address.set(query={"options": options}).render_as_string(hide_password=False)

    with SQLSaver.from_url(url) as saver:
        store(saver, "\N{SNOWMAN}", {"log": [1]})
        with write_transaction(saver.engine) as connection:
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
        with read_transaction(saver.engine) as connection:
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
        assert saver.get_tuple(config_of("\N{SNOWMAN}"))


def is_open(connection: Any) -> bool:
    try:
        connection.execute("SELECT 1")
    except Exception:
        return False
    return True


def test_who_still_works_when_a_saver_is_closed_leaves_no_connection_open(database_url: str) -> None:
    made: list[Any] = []
    saver = SQLSaver.from_url(database_url)
    event.listen(saver.engine, "connect", lambda connection, _record: made.append(connection))

    with read_transaction(saver.engine) as working:
        saver.close()
        saver.close()
        assert working.execute(text("SELECT 1")).scalar_one() == 1
    for _ in range(2):
        with read_transaction(saver.engine) as later:
            assert later.execute(text("SELECT 1")).scalar_one() == 1

    assert len(made) >= 2
    assert not [connection for connection in made if is_open(connection)]
