"""The stores of shared values keep one contract: in memory, in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import time

import pytest
from pydantic import JsonValue
from sqlalchemy import update

from guardgraph.state import StorageCorrupt
from guardgraph.storage.memory_values import MemoryValues
from guardgraph.storage.shared_values import SharedValues
from guardgraph.storage.sql.engine import close_engine, engine_of, write_transaction
from guardgraph.storage.sql.value_table import shared_values
from guardgraph.storage.sql.values import SQLValues
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")


@pytest.fixture(params=["memory", "sqlite", "postgres", "mariadb"])
def store(request: pytest.FixtureRequest) -> Iterator[SharedValues]:
    if request.param == "memory":
        yield MemoryValues()
        return
    engine = engine_of(request.getfixturevalue(f"{request.param}_url"))
    yield SQLValues(engine, tenant="")
    close_engine(engine)


def plus_one(there: Mapping[str, JsonValue], now: float) -> dict[str, JsonValue]:
    assert set(there) <= {"a", "b"}
    return {name: int(str(there.get(name, 0))) + 1 for name in ("a", "b")}


def put(store: SharedValues, name: str, value: JsonValue) -> None:
    store.update("rate", [name], lambda _there, _now: {name: value})


def test_values_are_changed_at_once_with_the_time_of_the_store(store: SharedValues) -> None:
    seen = list[float]()

    def change(there: Mapping[str, JsonValue], now: float) -> dict[str, JsonValue]:
        seen.append(now)
        return {"a": {"calls": [1, 2.5], "who": "m\u0000\ud800"}, "b": []}

    store.update("rate", ["a", "b"], change)

    assert store.read("rate", ["a", "b", "c"]) == {"a": {"calls": [1, 2.5], "who": "m\u0000\ud800"}, "b": []}
    assert seen == [pytest.approx(time(), abs=60)]
    assert store.now() >= seen[0]


def test_what_changes_nothing_stores_nothing(store: SharedValues) -> None:
    store.update("rate", [], plus_one)
    store.update("rate", ["a"], lambda _there, _now: {})

    assert store.read("rate") == {}


def test_kinds_are_apart_and_the_latest_come_first(store: SharedValues) -> None:
    for name in ("a", "b", "c", "a"):
        put(store, name, name)
    store.update("cost", ["a"], lambda there, _: {"a": len(there)})

    assert list(store.read("rate").items()) == [("a", "a"), ("c", "c"), ("b", "b")]
    assert list(store.read("rate", limit=1)) == ["a"]
    assert store.read("cost") == {"a": 0}
    assert store.read("breaker", ["a"]) == {}


def test_a_value_that_is_forgotten_begins_anew(store: SharedValues) -> None:
    put(store, "a", 7)

    assert store.forget("rate", "a")
    assert not store.forget("rate", "a")
    store.update("rate", ["a", "b"], plus_one)
    assert store.read("rate") == {"a": 1, "b": 1}


def test_no_change_is_lost_and_none_deadlocks(store: SharedValues) -> None:
    def change(number: int) -> None:
        store.update("rate", ["a", "b"] if number % 2 else ["b", "a"], plus_one)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(40)))

    assert store.read("rate") == {"a": 40, "b": 40}


def test_an_error_in_a_change_changes_nothing(store: SharedValues) -> None:
    put(store, "a", 1)

    with pytest.raises(ZeroDivisionError):
        store.update("rate", ["a"], lambda _there, _now: {"a": 1 // 0})

    assert store.read("rate") == {"a": 1}


def test_a_damaged_value_is_named(sqlite_url: str) -> None:
    engine = engine_of(sqlite_url)
    store = SQLValues(engine, tenant="")
    put(store, "a", 1)
    with write_transaction(engine) as connection:
        connection.execute(update(shared_values).where(shared_values.c.tenant == "").values(data=b"{"))

    with pytest.raises(StorageCorrupt, match="the shared value 'a' is damaged"):
        store.read("rate")
    close_engine(engine)
