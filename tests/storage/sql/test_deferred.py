"""Statements of jobs that are committed together run together; where that goes wrong, each job is done alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, event, select

from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.group_commit import GroupCommit, group_commit_of
from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.statements import insert_new
from tests.storage.sql.own_tables import engine_with

metadata = MetaData()
notes = Table("deferred_note", metadata, Column("number", Integer, primary_key=True), Column("text", String(20)))
add = Prepared(lambda dialect: insert_new(dialect, notes))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with engine_with(metadata, database_url) as made:
        yield made


@pytest.fixture
def writer(engine: Engine) -> GroupCommit:
    made = group_commit_of(engine)
    made.write(lambda connection: None)  # the tables are made
    return made


@pytest.fixture
def inserts(engine: Engine, writer: GroupCommit) -> list[int]:
    """How many rows each statement had that inserts notes."""
    found: list[int] = []

    def listener(_connection: Any, _cursor: Any, text: str, given: Any, _context: Any, many: bool) -> None:
        if "deferred_note" in text and text.startswith("INSERT"):
            found.append(len(given) if many else 1)

    event.listen(engine, "before_cursor_execute", listener)
    return found


def note(number: int, text: str = "") -> Callable[[Connection], int]:
    return lambda connection: add.one(connection, {"number": number, "text": text})


def numbers(connection: Connection) -> list[int]:
    return [*connection.execute(select(notes.c.number).order_by(notes.c.number)).scalars()]


def stored(engine: Engine) -> list[int]:
    with read_transaction(engine) as connection:
        return numbers(connection)


def committed(writer: GroupCommit, *jobs: tuple[Callable[[Connection], Any], bool]) -> list[Any]:
    """Do jobs in one transaction, if that is possible, and return their results."""
    futures = [writer.accept(work, joins=joins) for work, joins in jobs]
    for future in futures:
        writer.work_until(future)
    wait(futures, 5)
    return [future.result() for future in futures]


def test_jobs_that_join_share_a_statement(writer: GroupCommit, engine: Engine, inserts: list[int]) -> None:
    assert committed(writer, *((note(number), True) for number in range(5))) == [1] * 5
    assert inserts == [5]
    assert stored(engine) == [*range(5)]


def test_a_job_that_does_not_join_sees_what_those_before_it_have_written(
    writer: GroupCommit, engine: Engine, inserts: list[int]
) -> None:
    found = committed(writer, (note(1), True), (note(2), True), (numbers, False), (note(3), True))

    assert found == [1, 1, [1, 2], 1]
    assert inserts == [2, 1]
    assert stored(engine) == [1, 2, 3]


def test_a_job_that_does_not_join_writes_at_once(writer: GroupCommit, inserts: list[int]) -> None:
    def write_and_read(connection: Connection) -> list[int]:
        note(2)(connection)
        return numbers(connection)

    assert committed(writer, (note(1), True), (write_and_read, False)) == [1, [1, 2]]
    assert inserts == [1, 1]


def test_where_a_row_is_there_already_each_job_is_done_alone_and_knows_it(
    writer: GroupCommit, engine: Engine, inserts: list[int]
) -> None:
    with write_transaction(engine) as connection:
        note(2, "before")(connection)
    inserts.clear()

    assert committed(writer, (note(1), True), (note(2, "after"), True), (note(3), True)) == [1, 0, 1]
    assert inserts == [3, 1, 1, 1]
    assert stored(engine) == [1, 2, 3]


def test_a_single_job_that_finds_a_row_is_done_again(writer: GroupCommit, inserts: list[int]) -> None:
    assert committed(writer, (note(1), True)) == [1]
    assert committed(writer, (note(1), True)) == [0]
    assert inserts == [1, 1, 1]


def test_what_fails_at_the_end_of_the_transaction_fails_alone(writer: GroupCommit, engine: Engine) -> None:
    wrong: Any = {"a": "list"}
    futures = [writer.accept(work, joins=True) for work in (note(1), note(2, wrong), note(3))]
    for future in futures:
        writer.work_until(future)

    assert [type(future.exception()).__name__ for future in futures] == ["NoneType", "StorageError", "NoneType"]
    assert stored(engine) == [1, 3]


def test_a_read_transaction_that_begins_with_a_prepared_statement_sees_one_state(engine: Engine) -> None:
    found = Prepared(lambda _: select(notes.c.number))
    with read_transaction(engine) as connection:
        assert found.rows(connection, {}) == []
        with write_transaction(engine) as other:
            note(1)(other)
        assert found.rows(connection, {}) == []
    assert stored(engine) == [1]
