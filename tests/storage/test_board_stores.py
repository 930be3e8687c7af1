"""The stores of boards keep one contract: in memory, in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from guardgraph.state import BoardConflict, BoardEntry, StorageCorrupt, WrongKey, new_id
from guardgraph.storage.boards import BoardChange, BoardPlace, BoardStore
from guardgraph.storage.memory_boards import KEPT_THREADS, MemoryBoards
from guardgraph.storage.sql.board_table import boards as table
from guardgraph.storage.sql.boards import SQLBoards
from guardgraph.storage.sql.codec.cipher import AESGCMCipher
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import close_engine, engine_of, read_transaction, write_transaction
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")

KINDS = ("memory", "sqlite", "postgres", "mariadb")
PLAN = BoardPlace("t", "plan")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest) -> Iterator[BoardStore]:
    if request.param == "memory":
        yield MemoryBoards()
        return
    engine = engine_of(request.getfixturevalue(f"{request.param}_url"))
    yield SQLBoards(engine, tenant="")
    close_engine(engine)


@pytest.fixture
def sql(sqlite_url: str) -> Iterator[SQLBoards]:
    engine = engine_of(sqlite_url)
    yield SQLBoards(engine, tenant="")
    close_engine(engine)


def put(store: BoardStore, key: str, value: str = "1", place: BoardPlace = PLAN, **given: Any) -> BoardEntry:
    entry = store.write(place, BoardChange(key, value, given.pop("author", "a"), **given))
    assert entry is not None
    return entry


def test_versions_follow_each_other_and_stay(store: BoardStore) -> None:
    first = put(store, "k", '{"a":[1]}', expect=0, kind="decision", run_id="r")
    second = put(store, "k", "2", expect=1, author="b")
    gone = put(store, "k", "null", is_deleted=True)
    other = put(store, "j", "3")

    assert [first.version, second.version, gone.version, other.version] == [1, 2, 3, 1]
    assert [first.number, second.number, gone.number, other.number] == [1, 2, 3, 4]
    assert (first.value, first.author, first.run_id, first.board) == ({"a": [1]}, "a", "r", "plan")
    assert (second.kind, second.author, gone.is_deleted) == ("decision", "b", True)
    assert datetime.now(UTC) - first.at < timedelta(minutes=1)
    assert store.history(PLAN, "k") == [first, second, gone]
    assert store.changes(PLAN, 0) == [first, second, gone, other]
    assert store.changes(PLAN, 1, 2) == [second, gone]
    assert store.last(PLAN, "k") == gone
    assert store.last(PLAN, "nothing") is None
    assert store.entries(PLAN) == [other]


def test_only_entries_of_some_kinds_can_be_read(store: BoardStore) -> None:
    for key, kind in (("d", "decision"), ("c", "constraint"), ("n", "note"), ("d2", "decision")):
        put(store, key, kind=kind)
    put(store, "d2", kind="note")

    assert [one.key for one in store.entries(PLAN)] == ["c", "d", "d2", "n"]
    assert [one.key for one in store.entries(PLAN, ["decision", "constraint"])] == ["c", "d"]


def test_a_conflict_carries_what_is_there(store: BoardStore) -> None:
    first = put(store, "k")

    with pytest.raises(BoardConflict, match=r"expected at none, but it is at version 1 by 'a'.*expect=1") as found:
        put(store, "k", "2", expect=0)
    assert found.value.current == first
    with pytest.raises(BoardConflict, match=r"expected at version 7.*does not exist.*expect=0") as missing:
        put(store, "other", "2", expect=7)
    assert missing.value.current is None
    gone = put(store, "k", "null", is_deleted=True)
    with pytest.raises(BoardConflict, match=r"which deletes it.*expect=0"):
        put(store, "k", "2", expect=1)

    assert [put(store, "k", "3", expect=0).version, gone.version] == [3, 2]
    assert [entry.value for entry in store.history(PLAN, "k")] == [1, None, 3]


def test_a_write_with_a_name_is_made_once_whatever_happened_since(store: BoardStore) -> None:
    mine = put(store, "k", expect=0, name="attempt 1")
    put(store, "k", "2", author="b")

    assert put(store, "k", expect=0, name="attempt 1") == mine
    assert put(store, "k", "9", name="attempt 1") == mine
    assert len(store.history(PLAN, "k")) == 2
    assert put(store, "k", name="attempt 1", place=BoardPlace("t", "other")).version == 1


def test_boards_of_threads_and_shared_ones_are_apart(store: BoardStore) -> None:
    places = [BoardPlace(thread, name) for thread in ("t", "u", None) for name in ("plan", "notes")]
    for place in places:
        put(store, "k", f'"{place}"', place)

    assert [entry.value for place in places for entry in store.entries(place)] == [*map(str, places)]
    assert [store.names(thread) for thread in ("t", "u", None, "v")] == [["notes", "plan"]] * 3 + [[]]


def test_any_text_is_a_key(store: BoardStore) -> None:
    keys = ["a", "a ", "A", "a\0", "ä", "\ud800", "x" * 200, "'; DROP TABLE guardgraph_board; --"]
    for key in keys:
        put(store, key, expect=0)

    assert [entry.key for entry in store.entries(PLAN)] == sorted(keys)


def test_what_a_caller_changes_in_a_value_is_not_stored(store: BoardStore) -> None:
    value: Any = put(store, "k", "[1]").value
    value.append(2)

    assert [entry.value for entry in (*store.entries(PLAN), *store.history(PLAN, "k"))] == [[1], [1]]


def test_of_many_writers_one_wins_each_version(store: BoardStore) -> None:
    def write(number: int) -> int:
        lost = 0
        for _ in range(10):
            while True:
                last = store.last(PLAN, f"k{number % 2}")
                count: Any = last.value if last else 0
                try:
                    put(store, f"k{number % 2}", str(count + 1), expect=last.version if last else 0)
                    break
                except BoardConflict:
                    lost += 1
        return lost

    with ThreadPoolExecutor(8) as pool:
        lost = sum(pool.map(write, range(8)))

    assert [entry.value for entry in store.entries(PLAN)] == [40, 40]
    assert [entry.number for entry in store.changes(PLAN, 0)] == [*range(1, 81)]
    assert lost >= 0


STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.none() | st.integers(0, 3), st.booleans()), max_size=20
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_it_does_what_a_dict_of_versions_does(
    store: BoardStore, steps: list[tuple[str, int, int | None, bool]]
) -> None:
    place, model, changes = BoardPlace(new_id(), "plan"), dict[str, list[int | None]](), list[tuple[str, int | None]]()
    for key, value, expect, is_deleted in steps:
        versions = model.setdefault(key, [])
        is_there = bool(versions) and versions[-1] is not None
        fits = expect is None or expect == len(versions) or (expect == 0 and not is_there)
        change = BoardChange(key, "null" if is_deleted else str(value), "a", expect=expect, is_deleted=is_deleted)
        if fits and is_deleted and not is_there:
            assert store.write(place, change) is None
        elif fits:
            versions.append(None if is_deleted else value)
            changes.append((key, versions[-1]))
            entry = store.write(place, change)
            assert entry is not None
            assert entry.version == len(versions)
        else:
            with pytest.raises(BoardConflict) as found:
                store.write(place, change)
            assert (found.value.current.version if found.value.current else 0) == len(versions)

    assert [(entry.key, entry.value) for entry in store.changes(place, 0)] == changes
    there = {key: versions[-1] for key, versions in sorted(model.items()) if versions and versions[-1] is not None}
    assert {entry.key: entry.value for entry in store.entries(place)} == there
    assert {key: [entry.value for entry in store.history(place, key)] for key in model} == model


def test_what_is_written_with_a_key_is_encrypted_and_read_with_it_alone(sqlite_url: str) -> None:
    engine = engine_of(sqlite_url)
    codec = Codec(cipher=AESGCMCipher(b"k" * 32))
    secret = SQLBoards(engine, tenant="", codec=codec)
    put(secret, "the key", '"the value"', author="the author", name="the name")

    assert secret.entries(PLAN)[0].value == "the value"
    with read_transaction(engine) as connection:
        (row,) = connection.execute(select(table)).all()
    assert not any(f"the {word}".encode() in bytes(row.data) for word in ("key", "value", "author", "name"))
    for other in (Codec(), Codec(cipher=AESGCMCipher(b"x" * 32))):
        store = SQLBoards(engine, tenant="", codec=other)
        with pytest.raises(WrongKey):
            store.entries(PLAN)
        for place in (PLAN, BoardPlace("t", "another board")):
            with pytest.raises(WrongKey):
                put(store, "another key", place=place)
    close_engine(engine)


@pytest.mark.parametrize(
    "change",
    [{"data": b"x" * 40}, {"data": b""}, {"version": 7}, {"number": 7}, {"kind": "decision"}, {"thread_id": "u"}],
)
def test_a_row_that_was_changed_is_damage(sql: SQLBoards, change: dict[str, Any]) -> None:
    put(sql, "k")
    with write_transaction(sql.engine) as connection:
        connection.execute(update(table).values(change))

    with pytest.raises(StorageCorrupt, match="is damaged"):
        sql.history(PLAN, "k")


def test_memory_keeps_the_boards_of_the_threads_that_were_written_last() -> None:
    store = MemoryBoards()
    put(store, "k", place=BoardPlace(None, "plan"))
    for number in range(KEPT_THREADS + 5):
        put(store, "k", place=BoardPlace(str(number), "plan"))

    assert [store.names(name) for name in (None, "0", "4", "5", "9")] == [["plan"], [], [], ["plan"], ["plan"]]


def test_a_write_that_stores_nothing_makes_no_board_in_memory() -> None:
    store = MemoryBoards()

    assert store.write(BoardPlace("t", "plan"), BoardChange("k", "null", "ann", is_deleted=True)) is None
    assert store.names("t") == []
