"""An encrypted database: nothing in it is plain, and nothing is written with a wrong key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, LargeBinary, select, update

from guardgraph.state import Outcome, Task, WrongKey
from guardgraph.storage import RunStore, SQLSaver
from guardgraph.storage.boards import BoardChange, BoardPlace
from guardgraph.storage.sql.board_table import boards as board_table
from guardgraph.storage.sql.boards import SQLBoards
from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.tables import checkpoints, metadata, runs
from tests.storage.sql.leased import no_lease
from tests.storage.sql.stored import config_of, ids_in, store

KEY, OTHER = b"k" * 32, b"o" * 32
SECRET = "a-text-that-nobody-else-may-read"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    opened = engine_of(request.getfixturevalue(f"{request.param}_url"))
    yield opened
    opened.dispose()


def fill(engine: Engine, **options: Any) -> SQLSaver:
    """Write one of everything."""
    saver = SQLSaver(engine, **options)
    config = store(saver, "t", {"c": [SECRET]}, metadata={"note": SECRET})
    saver.put_writes(config, [("c", SECRET)], "task")
    rows = RunStore(engine, codec=saver.codec, tenant="")
    rows.create("r", "t", "graph", {"argument": SECRET}, Task(goal=SECRET), NOW, claim=no_lease)
    rows.finish("r", Outcome(status="completed", value=SECRET), NOW)
    boards = SQLBoards(engine, tenant="", codec=saver.codec)
    boards.write(BoardPlace("t", SECRET), BoardChange(SECRET, f'"{SECRET}"', SECRET, name=SECRET))
    return saver


def everything_in(engine: Engine) -> bytes:
    """Return all binary data of a database."""
    found: list[bytes] = []
    with engine.connect() as connection:
        for table in metadata.tables.values():
            columns = [column for column in table.c if isinstance(column.type, LargeBinary)]
            rows = connection.execute(select(*columns)).all() if columns else ()
            found += [bytes(item) for row in rows for item in row if item is not None]
    return b"\n".join(found)


def test_nothing_in_an_encrypted_database_is_plain_and_all_of_it_is_read(engine: Engine) -> None:
    saver = fill(engine, key=KEY)

    assert SECRET.encode() not in everything_in(engine)
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"c": [SECRET]}
    assert dict(found.metadata)["note"] == SECRET
    assert [write[2] for write in found.pending_writes or ()] == [SECRET]
    row = RunStore(engine, codec=saver.codec, tenant="").get("r")
    assert row is not None
    assert (row.arguments, row.task.goal, row.outcome and row.outcome.value) == ({"argument": SECRET}, SECRET, SECRET)


def test_without_a_key_it_is_plain(engine: Engine) -> None:
    fill(engine)

    assert everything_in(engine).count(SECRET.encode()) == 11


@pytest.mark.parametrize(("written", "used"), [(KEY, OTHER), (KEY, None), (None, KEY)])
def test_a_wrong_key_reads_nothing_and_writes_nothing(engine: Engine, written: Any, used: Any) -> None:
    fill(engine, key=written)
    wrong = SQLSaver(engine, key=used)
    rows = RunStore(engine, codec=wrong.codec, tenant="")
    before = everything_in(engine)

    for call in (
        lambda: wrong.get_tuple(config_of("t")),
        lambda: store(wrong, "new", {"c": 1}),
        lambda: wrong.with_types().delete_thread("t"),
        lambda: rows.create("new", "new", "graph", {}, Task(goal="g"), NOW, claim=no_lease),
        lambda: rows.get("r"),
    ):
        with pytest.raises(WrongKey, match=r"stored data (is|cannot)"):
            call()

    assert everything_in(engine) == before
    assert ids_in(SQLSaver(engine, key=written), config_of("t"))


def test_plain_data_of_before_is_read_only_if_that_is_asked_for(engine: Engine) -> None:
    fill(engine)
    saver = SQLSaver(engine, key=KEY, allow_plain=True)

    store(saver, "new", {"c": "hidden-now"})

    assert len(ids_in(saver, None)) == 2
    assert b"hidden-now" not in everything_in(engine)


def test_a_damaged_row_does_not_look_like_a_wrong_key_for_all_threads(engine: Engine) -> None:
    """A key fits if any row that is tried can be read; a board that is damaged is refused to its readers alone."""
    saver = fill(engine, key=KEY)
    store(saver, "u", {"c": [SECRET]})
    boards = SQLBoards(engine, tenant="", codec=saver.codec)
    for table, column in ((board_table, board_table.c.data), (runs, runs.c.task)):
        with write_transaction(engine) as connection:
            connection.execute(update(table).values({column: b"x" * 40}))
    with write_transaction(engine) as connection:
        first = select(checkpoints.c.namespace_id).order_by(checkpoints.c.namespace_id).limit(1).scalar_subquery()
        of_one = checkpoints.c.namespace_id == connection.execute(select(first)).scalar()
        connection.execute(update(checkpoints).where(of_one).values(metadata=b"x" * 40))

    other = SQLSaver(engine, key=KEY)
    store(other, "v", {"c": [SECRET]})
    boards.write(BoardPlace("v", "plan"), BoardChange("route", "1", "ann"))
    assert [fault.column for fault in other.verify("v")] == []
    assert {fault.column for fault in other.verify("t")} > {"boards"}
    with pytest.raises(WrongKey):
        store(SQLSaver(engine, key=OTHER), "w", {"c": [1]})
