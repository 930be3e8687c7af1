"""Rows that are larger than half of a packet of MariaDB, or than a whole one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner
from guardgraph.runs.effects import once
from guardgraph.state import TooLarge, Unserializable
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.checkpoints.inserts import add_blob
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.tables import blobs, checkpoints, namespaces
from tests.storage.sql.stored import config_of, ids_in, store

MB = 2**20


@pytest.fixture
def saver(mariadb_url: str) -> Iterator[SQLSaver]:
    with SQLSaver.from_url(mariadb_url) as opened:
        yield opened


def note_of(saver: SQLSaver, thread_id: str) -> Any:
    found = saver.get_tuple(config_of(thread_id))
    assert found is not None
    return dict(found.metadata)["note"]


def test_metadata_of_ten_megabytes_is_sent_in_parts(saver: SQLSaver) -> None:
    statements: list[str] = []
    event.listen(saver.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    notes = ["'\\\0%s%(body)s" * MB, "y" * 15 * MB, "small", "z" * 7 * MB]
    for number, note in enumerate(notes):
        store(saver, f"t-{number}", metadata={"note": note})

    assert [note_of(saver, f"t-{number}") for number in range(4)] == notes
    assert sum(one.startswith("SET @guardgraph_0 = %s") for one in statements) == 2
    assert sum("NULL" in one and one.startswith("SET @") for one in statements) == 2
    with read_transaction(saver.engine) as connection:
        assert connection.execute(text("SELECT @guardgraph_0")).scalar_one() is None


def test_two_large_values_of_one_row_are_sent(saver: SQLSaver) -> None:
    store(saver, "t")
    row = {"namespace_id": 1, "checkpoint_id": "c", "body": b"b" * 9 * MB, "metadata": b"m" * 12 * MB}
    with write_transaction(saver.engine) as connection:
        connection.execute(checkpoints.insert(), row)
    with read_transaction(saver.engine) as connection:
        found = connection.execute(select(checkpoints).where(checkpoints.c.checkpoint_id == "c")).one()
    assert (found.body, found.metadata) == (row["body"], row["metadata"])


def test_what_is_above_a_packet_is_refused_before_anything_is_written(saver: SQLSaver) -> None:
    limit = 16 * MB
    store(saver, "another")
    with pytest.raises(
        TooLarge,
        match=r"cannot store 17,826,\d\d\d bytes in one row of guardgraph_checkpoint: the server takes values of "
        r"16,757,216 \(its max_allowed_packet is 16,777,216\); raise max_allowed_packet, or keep large data in",
    ) as caught:
        store(saver, "t", {"a": "b" * 1000}, metadata={"note": "x" * 17 * MB})

    assert (caught.value.thread_id, caught.value.limit) == ("t", limit)
    assert 17 * MB < caught.value.size < 17 * MB + 1000
    with read_transaction(saver.engine) as connection:
        for table in (namespaces, checkpoints, blobs):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == (table is not blobs)
    store(saver, "t", metadata={"note": "small"})
    assert len(ids_in(saver, config_of("t"))) == 1


def test_one_of_many_rows_that_is_too_large_is_refused(saver: SQLSaver) -> None:
    store(saver, "t")
    rows = [{"namespace_id": 1, "hash": bytes([at]) * 16, "data": b"x" * size} for at, size in enumerate([1, 9 * MB])]
    with pytest.raises(TooLarge, match="takes values of 8,378,608"), write_transaction(saver.engine) as connection:
        add_blob.each(connection, rows)
    with write_transaction(saver.engine) as connection:
        add_blob.each(connection, [{**row, "data": b"x" * 2 * MB} for row in rows] * 20)


def test_a_run_whose_outcome_has_ten_megabytes_ends(kept_url: str) -> None:
    def build() -> Any:
        return pipeline([Agent("writer", run=lambda request: "y" * 10 * MB)])

    with Runner(kept_url, graphs={"writing": build}, tenant="packets") as runner:
        run = runner.run("writing", "go", thread_id="large")
        assert run.status == "completed"
        found = runner.status("large").outcome
        assert found is not None
        assert found.value == "y" * 10 * MB
        runner.threads.delete("large")


def test_a_run_whose_outcome_is_too_large_ends_no_other_run(mariadb_url: str) -> None:
    def build() -> Any:
        return pipeline([Agent("writer", run=lambda request: "y" * 17 * MB)])

    def small() -> Any:
        return pipeline([Agent("writer", run=lambda request: "y")])

    with Runner(mariadb_url, graphs={"writing": build, "small": small}) as runner:
        with pytest.raises(TooLarge, match="one row of guardgraph_run"):
            runner.run("writing", "go", thread_id="large")
        assert runner.run("small", "go", thread_id="another").status == "completed"
        assert runner.status("large").status == "stopped"
        with pytest.raises(TooLarge):
            runner.resume("large")


def test_the_end_of_an_effect_is_recorded_also_where_its_result_is_too_large(saver: SQLSaver) -> None:
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        return "x" * 17 * MB

    with pytest.raises(TooLarge, match="one row of guardgraph_effect"):
        once("e", call, saver=saver)
    with pytest.raises(Unserializable, match="effect 'e' has happened, but its result had no JSON form, or was too"):
        once("e", call, saver=saver)
    assert calls == [1]
