"""What is written at the same moment is committed together, in its order, and each job fails alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, event, select

from guardgraph.state import StorageError
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.group_commit import GroupCommit, group_commit_of
from tests.storage.sql.own_tables import engine_with

metadata = MetaData()
notes = Table(
    "group_commit_note", metadata, Column("number", Integer, primary_key=True), Column("text", String(20), unique=True)
)


class Commits:
    """Counts the commits of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.count = 0
        event.listen(engine, "commit", self._add)

    def _add(self, _connection: Connection) -> None:
        self.count += 1


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with engine_with(metadata, database_url) as made:
        yield made


@pytest.fixture
def writer(engine: Engine) -> GroupCommit:
    made = group_commit_of(engine)
    made.write(lambda connection: None)  # the tables are made
    return made


def note(number: int, text: str) -> Any:
    def work(connection: Connection) -> int:
        connection.execute(notes.insert(), {"number": number, "text": text})
        return number

    return work


def slow(connection: Connection) -> None:
    time.sleep(0.2)


def stored(engine: Engine) -> list[int]:
    with read_transaction(engine) as connection:
        return [*connection.execute(select(notes.c.number).order_by(notes.c.number)).scalars()]


def test_a_job_is_committed_when_it_returns(writer: GroupCommit, engine: Engine) -> None:
    assert writer.write(note(1, "a")) == 1
    assert stored(engine) == [1]
    assert writer.submit(note(2, "b")).result(5) == 2
    assert stored(engine) == [1, 2]


def test_jobs_of_many_threads_share_commits(writer: GroupCommit, engine: Engine) -> None:
    commits, start = Commits(engine), Barrier(17)

    def one(number: int) -> int:
        start.wait()
        return writer.write(note(number, f"n{number}"))

    with ThreadPoolExecutor(17) as pool:
        first = pool.submit(lambda: (start.wait(), writer.write(slow)))
        answers = [*pool.map(one, range(16))]
        first.result()

    assert answers == [*range(16)]
    assert stored(engine) == [*range(16)]
    assert commits.count <= 4, "all that came while the first was at work are one commit or two"


def test_a_job_that_fails_fails_alone_and_its_thread_is_named(writer: GroupCommit, engine: Engine) -> None:
    undone: list[int] = []
    busy = writer.submit(slow)
    time.sleep(0.05)
    jobs = [
        writer.submit(note(n, "same" if n in (2, 4) else f"n{n}"), after=lambda ok, n=n: ok or undone.append(n))
        for n in range(5)
    ]
    odd = writer.submit(lambda connection: 1 // 0)
    named = writer.submit(note(9, "same"), thread_id="my thread")

    assert [job.exception(5) is None for job in (busy, *jobs)] == [True, True, True, True, True, False]
    assert isinstance(odd.exception(5), ZeroDivisionError)
    error = named.exception(5)
    assert isinstance(error, StorageError)
    assert error.thread_id == "my thread"
    assert stored(engine) == [0, 1, 2, 3]
    assert undone == [0, 1, 2, 3, 4, 4], "the transaction of all was undone, and then that of the one that has failed"


def test_what_may_wait_is_committed_with_what_may_not(writer: GroupCommit, engine: Engine) -> None:
    commits = Commits(engine)
    waiting = [writer.submit(note(number, f"n{number}"), patience=5) for number in range(3)]
    time.sleep(0.1)
    assert not any(job.done() for job in waiting)

    writer.write(note(3, "now"))

    assert [job.result(1) for job in waiting] == [0, 1, 2]
    assert commits.count == 1
    began = time.monotonic()
    assert writer.submit(note(4, "alone"), patience=0.1).result(5) == 4
    assert 0.05 < time.monotonic() - began < 2


def test_an_interrupt_of_the_thread_that_commits_is_raised_there(writer: GroupCommit, engine: Engine) -> None:
    def interrupted(connection: Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write(interrupted)
    assert writer.write(note(1, "after")) == 1


def test_an_interrupt_of_the_thread_that_commits_leaves_the_jobs_of_others_to_them(
    writer: GroupCommit, engine: Engine
) -> None:
    interrupts = [KeyboardInterrupt()]

    def interrupted(connection: Connection) -> int:
        if interrupts:
            raise interrupts.pop()
        return note(2, "other")(connection)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(writer.accept, interrupted).result()
        mine = writer.accept(note(1, "mine"))
        later = pool.submit(writer.accept, note(3, "later")).result()
        with pytest.raises(KeyboardInterrupt):
            writer.work_until(mine)
        with pytest.raises(KeyboardInterrupt):
            mine.result(0)
        pool.submit(writer.work_until, later).result(10)

    assert (other.result(0), later.result(0)) == (2, 3)
    with read_transaction(engine) as connection:
        assert connection.execute(select(notes.c.number).order_by(notes.c.number)).scalars().all() == [2, 3]


def test_there_is_one_writer_for_an_engine(engine: Engine, writer: GroupCommit) -> None:
    assert group_commit_of(engine) is writer
