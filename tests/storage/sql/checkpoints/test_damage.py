"""Damage to what is stored: it is found, it names where it is, and the rest can still be read."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import LargeBinary, Table, event, select, text

from bench.faults.damage import run_trials
from bench.faults.failing_calls import failing_calls
from guardgraph.state import StorageCorrupt, StorageError
from guardgraph.storage import SQLSaver, Threads
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, threads, writes
from tests.storage.sql.stored import config_of, id_of, ids_in, store

TABLES = (checkpoints, chunks, blobs, writes)


def thread_of(saver: SQLSaver, thread_id: str, steps: int = 4) -> list[Any]:
    """Store a thread with a growing list, a large and a small value, and a write at each step."""
    made: list[Any] = []
    log: list[str] = []
    for step in range(steps):
        log = [*log, f"{thread_id} {step} " + "x" * 300]
        values = {"log": log, "large": f"{thread_id} {step}" * 100, "small": step}
        parent = made[-1] if made else None
        made.append(store(saver, thread_id, values, parent=parent, version=step + 1, metadata={"run_id": f"r{step}"}))
        saver.put_writes(made[-1], [("small", step), ("log", ["y" * 300 + thread_id + str(step)])], f"task {step}")
    return made


def rows_of(saver: SQLSaver, table: Table) -> list[dict[str, Any]]:
    with read_transaction(saver.engine) as connection:
        in_order = select(table).order_by(*table.primary_key.columns)
        return [dict(row) for row in connection.execute(in_order).mappings()]


def change(saver: SQLSaver, table: Table, row: dict[str, Any], **values: Any) -> None:
    keys = [column == row[column.name] for column in table.primary_key.columns]
    with write_transaction(saver.engine) as connection:
        connection.execute(table.update().where(*keys).values(**values))


def remove(saver: SQLSaver, table: Table, row: dict[str, Any]) -> None:
    keys = [column == row[column.name] for column in table.primary_key.columns]
    with write_transaction(saver.engine) as connection:
        connection.execute(table.delete().where(*keys))


def restore(saver: SQLSaver, table: Table, rows: list[dict[str, Any]]) -> None:
    with write_transaction(saver.engine) as connection:
        connection.execute(table.delete())
        connection.execute(table.insert(), rows)


def flipped(value: Any, chance: random.Random) -> Any:
    if isinstance(value, int):
        return value + 1 + chance.randrange(5)
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        return value[:at] + chr(33 + (ord(value[at]) - 33 + 1 + chance.randrange(50)) % 90) + value[at + 1 :]
    if isinstance(value, bytes | memoryview):
        found = bytearray(value)
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
        return bytes(found)
    return "put where nothing was"


def cells(saver: SQLSaver) -> Iterator[tuple[Table, dict[str, Any], str]]:
    for table in TABLES:
        for row in rows_of(saver, table):
            for column in table.columns:
                yield table, row, column.name


def test_no_damaged_cell_is_silent_and_the_thread_goes_on(sqlite_url: str) -> None:
    chance = random.Random(7)
    with SQLSaver.from_url(sqlite_url) as saver:
        made = thread_of(saver, "t")
        good = {id_of(item.config): item for item in saver.list(config_of("t"))}
        for table, row, column in [*cells(saver)]:
            rows = rows_of(saver, table)
            change(saver, table, row, **{column: flipped(row[column], chance)})
            damaged = saver.verify("t")
            assert damaged, (table.name, column)
            assert all(item.thread_id == "t" and item.column for item in damaged)
            listed = {id_of(item.config): item for item in saver.list(config_of("t"))}
            silent = [name for name, item in listed.items() if good.get(name) != item]
            key_of_write = table is writes and column in {"checkpoint_id", "namespace_id"}
            assert key_of_write or not silent, (table.name, column)
            assert len(listed) < len(good) or table is writes
            restore(saver, table, rows)
            assert saver.verify("t") == []
        assert saver.get_tuple(made[-1]) == good[id_of(made[-1])]


@pytest.mark.parametrize("other", ["'hello'", "CAST(x'ff41' AS TEXT)", "-1", "10000000000000", "x'ff41'"])
def test_a_cell_of_another_type_is_damage_like_any_other(sqlite_url: str, other: str) -> None:
    packed = (checkpoints.c.body, checkpoints.c.metadata, chunks.c.data, blobs.c.data, writes.c.data, namespaces.c.seal)
    others = (checkpoints.c.run_id, checkpoints.c.checkpoint_id, chunks.c.hi, writes.c.checkpoint_id)
    with SQLSaver.from_url(sqlite_url) as saver:
        thread_of(saver, "u")
        for column in (*packed, *others):
            thread_of(saver, thread := str(column))
            newest = "(SELECT max(namespace_id) FROM guardgraph_namespace)"
            with write_transaction(saver.engine) as connection:
                first = f"SELECT min({column.name}) FROM {column.table.name} WHERE namespace_id = {newest}"
                which = f"namespace_id = {newest} AND {column.name} = ({first})"
                connection.execute(text(f"UPDATE {column.table.name} SET {column.name} = {other} WHERE {which}"))

            damaged = saver.verify(thread)
            assert {item.thread_id for item in damaged} == {thread}
            assert "hello" not in "".join(map(str, damaged)) or column.name == "checkpoint_id"
            assert saver.repair(thread)
            assert saver.verify("u") == []
            assert len(ids_in(saver, config_of("u"))) == 4


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_that_is_missing_is_found(saver: SQLSaver, table: Table) -> None:
    made = thread_of(saver, "t")
    for row in rows_of(saver, table):
        if table is writes and row["checkpoint_id"] == id_of(made[-1]):
            continue  # no later checkpoint names what is pending
        rows = rows_of(saver, table)
        remove(saver, table, row)
        assert saver.verify("t"), row
        restore(saver, table, rows)
        assert saver.verify("t") == []


def test_the_error_names_the_thread_the_checkpoint_and_the_channel(saver: SQLSaver) -> None:
    made = thread_of(saver, "t")
    newest = saver.get_tuple(config_of("t"))
    assert newest is not None
    large = newest.checkpoint["channel_values"]["large"]
    (row,) = [row for row in rows_of(saver, blobs) if large.encode() in bytes(row["data"])]
    change(saver, blobs, row, data=bytes(row["data"]) + b"!")

    with pytest.raises(
        StorageCorrupt, match=f"checkpoint '{id_of(made[-1])}' of thread 't' is damaged in 'large'"
    ) as caught:
        saver.get_tuple(config_of("t"))

    assert (caught.value.thread_id, caught.value.checkpoint_id, caught.value.column) == ("t", id_of(made[-1]), "large")


@pytest.mark.parametrize("column", ["body", "metadata", "parent_id", "run_id"])
def test_repairing_goes_back_to_the_last_good_checkpoint(
    saver: SQLSaver, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = thread_of(saver, "t")
    for row in rows_of(saver, checkpoints)[-2:]:
        change(saver, checkpoints, row, **{column: flipped(row[column], random.Random(1))})
    with caplog.at_level(logging.ERROR):
        assert ids_in(saver, config_of("t")) == [id_of(made[1]), id_of(made[0])]
    assert f"checkpoint '{id_of(made[3])}' of thread 't' is damaged in 'body'" in caplog.text

    left_out = saver.repair("t")

    assert [item.checkpoint_id for item in left_out] == [id_of(made[3]), id_of(made[2])]
    assert saver.verify("t") == []
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.config == made[1]
    again = store(saver, "t", {"log": [*found.checkpoint["channel_values"]["log"], "new"]}, parent=made[1], version=9)
    assert [item.config for item in saver.list(config_of("t"))] == [again, made[1], made[0]]


def test_repairing_drops_only_the_damaged_writes_of_a_good_checkpoint(saver: SQLSaver) -> None:
    made = thread_of(saver, "t")
    saver.put_writes(made[-1], [("small", 7)], "another")
    row = next(row for row in rows_of(saver, writes) if row["task_id"] == "task 3")
    change(saver, writes, row, data=flipped(row["data"], random.Random(1)))
    with pytest.raises(StorageCorrupt, match="what task 'task 3' wrote is not what was stored"):
        saver.get_tuple(config_of("t"))

    saver.repair("t")

    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert (found.config, found.pending_writes) == (made[-1], [("another", "small", 7)])


@pytest.mark.parametrize("table", [checkpoints, writes], ids=lambda table: table.name)
def test_a_row_of_another_thread_and_an_older_one_are_found(saver: SQLSaver, table: Table) -> None:
    thread_of(saver, "t")
    saver.copy_thread("t", "other")
    mine, theirs = (
        [row for row in rows_of(saver, table) if row["namespace_id"] == number]
        for number in sorted({row["namespace_id"] for row in rows_of(saver, table)})
    )
    packed = [column.name for column in table.columns if isinstance(column.type, LargeBinary)]

    change(saver, table, mine[-1], **{name: theirs[-1][name] for name in packed})
    assert [item.checkpoint_id for item in saver.verify("t")] == [mine[-1]["checkpoint_id"]]
    change(saver, table, mine[-1], **{name: mine[-2][name] for name in packed})
    assert [item.checkpoint_id for item in saver.verify("t")] == [mine[-1]["checkpoint_id"]]
    assert saver.verify("other") == []


@pytest.mark.parametrize("column", ["name", "tenant", "thread_id", "head", "seal"])
def test_a_namespace_that_was_changed_is_found(saver: SQLSaver, column: str) -> None:
    thread_of(saver, "t")
    before = saver.get_tuple(config_of("t"))
    (row,) = rows_of(saver, namespaces)
    change(saver, namespaces, row, **{column: flipped(row[column], random.Random(1))})

    assert saver.verify("t")
    with pytest.raises(StorageCorrupt, match="thread 't' is damaged"):
        saver.get_tuple(config_of("t"))
    saver.repair("t")
    assert saver.verify("t") == []
    assert saver.get_tuple(config_of("t")) == before


async def test_the_async_twins_do_the_same(saver: SQLSaver) -> None:
    made = thread_of(saver, "t")
    change(saver, checkpoints, rows_of(saver, checkpoints)[-1], run_id="another")

    assert [item.column for item in await saver.averify("t")] == ["body"]
    assert [item.checkpoint_id for item in await saver.arepair("t")] == [id_of(made[-1])]
    assert await saver.averify("t") == []


def test_what_a_task_wrote_is_missed_by_the_checkpoint_after_it(saver: SQLSaver) -> None:
    made = thread_of(saver, "t")
    saver.put_writes(made[0], [("small", 7)], "late")  # after the next checkpoint, which does not name it
    rows = {(row["checkpoint_id"], row["task_id"]): row for row in rows_of(saver, writes)}

    remove(saver, writes, rows[id_of(made[0]), "late"])
    assert saver.verify("t") == []
    remove(saver, writes, rows[id_of(made[1]), "task 1"])

    (error,) = saver.verify("t")
    assert (error.thread_id, error.checkpoint_id, error.column) == ("t", id_of(made[1]), "writes")
    assert "what 1 of its tasks wrote is missing" in str(error)
    assert id_of(made[1]) not in ids_in(saver, config_of("t"))
    assert saver.repair("t")
    assert saver.verify("t") == []
    assert len(ids_in(saver, config_of("t"))) == len(made)


def test_another_saver_names_what_was_written_before_it(database_url: str) -> None:
    with SQLSaver.from_url(database_url) as first:
        config = store(first, "t", {"a": 1})
        first.put_writes(config, [("a", 2)], "task")
    with SQLSaver.from_url(database_url) as second:
        assert second.get_tuple(config) is not None
        store(second, "t", {"a": 2}, parent=config, version=2)
        remove(second, writes, rows_of(second, writes)[0])

        assert [item.column for item in second.verify("t")] == ["writes"]


def test_a_write_that_failed_is_not_named(saver: SQLSaver) -> None:
    config = store(saver, "t", {"a": 1})
    saver.put_writes(config, [("a", 1)], "task")  # after which the key of the database is not looked at again
    with failing_calls(saver.engine) as calls:
        for at in range(2):  # the statement, and the commit
            calls.begin(at, "full")
            with pytest.raises(StorageError):
                saver.put_writes(config, [("a", 2)], f"task {at}")
    store(saver, "t", {"a": 2}, parent=config, version=2)

    assert calls.failed == "COMMIT"
    assert saver.verify("t") == []


def waiting_thread_of(saver: SQLSaver) -> Any:
    """Store a thread of which one task has finished and another one waits; return the config where it waits."""
    newest = thread_of(saver, "t")[-1]
    saver.put_writes(newest, [("__interrupt__", ["sure?"])], "asking")
    return newest


@pytest.mark.parametrize("task", ["task 3", "asking"])
def test_what_tasks_wrote_before_a_thread_waits_is_missed(saver: SQLSaver, task: str) -> None:
    newest = waiting_thread_of(saver)
    remove(saver, writes, next(row for row in rows_of(saver, writes) if row["task_id"] == task))

    with pytest.raises(
        StorageCorrupt, match="'writes': 2 tasks have written at it at least, and 1 are there"
    ) as caught:
        saver.get_tuple(config_of("t"))
    assert (caught.value.checkpoint_id, caught.value.column) == (id_of(newest), "writes")
    assert [(item.checkpoint_id, item.column) for item in saver.verify("t")] == [(id_of(newest), "writes")]
    assert id_of(newest) not in ids_in(saver, config_of("t"))
    assert saver.repair("t")

    assert saver.verify("t") == []
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.config == newest
    assert {one for one, *_ in found.pending_writes or ()} == {"task 3", "asking"} - {task}


def test_a_thread_that_waits_goes_on(saver: SQLSaver) -> None:
    newest = waiting_thread_of(saver)
    with SQLSaver(saver.engine) as another:
        another.put_writes(newest, [("__resume__", ["yes"])], "00000000")
        another.put_writes(newest, [("small", 9)], "asking")
        store(another, "t", {"small": 9}, parent=newest, version=9)

        found = another.get_tuple(config_of("t"))
        assert found is not None
        assert found.pending_writes == []
        assert another.verify("t") == []


@pytest.mark.parametrize("changed", ["copied", "pruned", "repaired"])
def test_what_waits_is_missed_also_after_the_thread_was_changed(saver: SQLSaver, changed: str) -> None:
    waiting_thread_of(saver)
    thread = "copy" if changed == "copied" else "t"
    if changed == "copied":
        saver.copy_thread("t", "copy")
        saver.delete_thread("t")
    elif changed == "pruned":
        saver.prune(["t"])
    else:
        change(saver, namespaces, rows_of(saver, namespaces)[0], seal=b"x" * 16)
        saver.repair("t")
    assert saver.verify(thread) == []
    remove(saver, writes, next(row for row in rows_of(saver, writes) if row["task_id"] == "asking"))

    with pytest.raises(StorageCorrupt, match="2 tasks have written at it at least, and 1 are there"):
        saver.get_tuple(config_of(thread))


def test_only_a_task_that_stops_is_counted_as_it_is_stored(saver: SQLSaver) -> None:
    newest = thread_of(saver, "t")[-1]
    statements: list[str] = []
    event.listen(saver.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for channel, count in (("small", 1), ("__interrupt__", 2), ("__error__", 2)):
        statements.clear()
        saver.put_writes(newest, [(channel, "x")], f"another {channel}")
        assert len(statements) == count, statements


def test_a_state_before_the_newest_checkpoint_is_found(saver: SQLSaver) -> None:
    thread_of(saver, "t")
    before = rows_of(saver, namespaces)
    newest = store(saver, "t", {"log": []}, parent=saver.get_tuple(config_of("t")).config, version=9)  # type: ignore[union-attr]
    restore(saver, namespaces, before)

    with pytest.raises(StorageCorrupt, match="the newest checkpoint is missing, or another one"):
        saver.get_tuple(config_of("t"))
    assert [(item.checkpoint_id, item.column) for item in saver.repair("t")] == [(id_of(newest), "head")]
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.config == newest


def test_a_thread_whose_row_is_missing_is_found_by_its_checkpoints(saver: SQLSaver) -> None:
    thread_of(saver, "t")
    thread_of(saver, "other")
    before = saver.get_tuple(config_of("t"))
    (row,) = (row for row in rows_of(saver, namespaces) if row["thread_id"] == "t")
    remove(saver, namespaces, row)

    assert {item.column for item in saver.verify("t")} == {"name", "head"}
    with pytest.raises(StorageCorrupt, match="it has 0 namespaces, and 1 were counted"):
        saver.get_tuple(config_of("t"))
    saver.repair("t")

    assert saver.verify("t") == saver.verify("other") == []
    assert saver.get_tuple(config_of("t")) == before


def nested_thread_of(saver: SQLSaver, thread_id: str) -> dict[str, Any]:
    """Store a thread with two nested graphs, and return what is read of each namespace."""
    thread_of(saver, thread_id)
    for name in ("left", "right"):
        parent = store(saver, thread_id, {"a": f"{thread_id} {name}"}, namespace=name)
        store(saver, thread_id, {"a": name}, namespace=name, parent=parent, version=2)
    return {name: saver.get_tuple(config_of(thread_id, namespace=name)) for name in ("", "left", "right")}


def row_of(saver: SQLSaver, thread_id: str, namespace: str) -> dict[str, Any]:
    wanted = {"thread_id": thread_id, "checkpoint_ns": namespace}
    return next(row for row in rows_of(saver, namespaces) if wanted.items() <= row.items())


@pytest.mark.parametrize("namespace", ["", "left"])
@pytest.mark.parametrize("column", [None, "name", "tenant", "thread_id", "checkpoint_ns", "namespace_id"])
def test_a_namespace_that_is_missing_or_was_changed_is_found_and_put_back(
    saver: SQLSaver, namespace: str, column: str | None
) -> None:
    before = nested_thread_of(saver, "t")
    others = nested_thread_of(saver, "other")
    row = row_of(saver, "t", namespace)
    if column is None:
        remove(saver, namespaces, row)
    else:
        other = 900 if column == "namespace_id" else flipped(row[column], random.Random(2))
        change(saver, namespaces, row, **{column: other})

    with pytest.raises(StorageCorrupt, match="thread 't'") as caught:
        saver.get_tuple(config_of("t", namespace=namespace))
    assert caught.value.column in {"name", "namespaces", "head"}
    assert {item.thread_id for item in saver.verify("t")} == {"t"}
    assert saver.repair("t")

    assert saver.verify("t") == saver.verify("other") == []
    for thread, found in (("t", before), ("other", others)):
        assert {name: saver.get_tuple(config_of(thread, namespace=name)) for name in found} == found


@pytest.mark.parametrize("repaired", [("t", "other"), ("other", "t")])
def test_a_namespace_that_was_given_to_another_thread_is_taken_back(saver: SQLSaver, repaired: tuple[str, str]) -> None:
    before = {thread: nested_thread_of(saver, thread) for thread in ("t", "other")}
    change(saver, namespaces, row_of(saver, "t", "left"), thread_id="other")

    assert [item.column for item in saver.verify("other")] == ["name"]
    assert {item.column for item in saver.verify("t")} == {"name"}
    for thread in repaired:
        saver.repair(thread)
    for thread, found in before.items():
        assert saver.verify(thread) == []
        assert {name: saver.get_tuple(config_of(thread, namespace=name)) for name in found} == found


def test_a_new_namespace_of_a_thread_that_lacks_one_is_not_begun(saver: SQLSaver) -> None:
    nested_thread_of(saver, "t")
    assert saver.get_tuple(config_of("t", namespace="new")) is None
    remove(saver, namespaces, row_of(saver, "t", "right"))

    with pytest.raises(StorageCorrupt, match=r"thread 't' .*'namespaces': it has 2 namespaces, and 3 were counted"):
        saver.get_tuple(config_of("t", namespace="new"))


@pytest.mark.parametrize("changed", [None, {"namespaces": 7}, {"thread_id": "ghost"}])
def test_a_damaged_row_of_a_thread_is_found_and_made_anew(saver: SQLSaver, changed: dict[str, Any] | None) -> None:
    before = nested_thread_of(saver, "t")
    (row,) = rows_of(saver, threads)
    if changed is None:
        remove(saver, threads, row)
    else:
        change(saver, threads, row, **changed)

    for name, found in before.items():
        assert saver.get_tuple(config_of("t", namespace=name)) == found
    assert [item.column for item in saver.verify("t")] == ["namespaces"]
    for thread in Threads(saver).ids():
        saver.repair(thread)

    assert Threads(saver).ids() == ["t"]
    assert rows_of(saver, threads) == [row]
    assert saver.verify("t") == saver.verify("ghost") == []


def test_the_row_of_a_thread_counts_what_is_made_and_removed(saver: SQLSaver) -> None:
    def counted() -> dict[str, int]:
        return {row["thread_id"]: row["namespaces"] for row in rows_of(saver, threads)}

    nested_thread_of(saver, "t")
    store(saver, "t", {"a": 1}, namespace="run", metadata={"run_id": "r"})
    saver.copy_thread("t", "copy")
    assert counted() == {"t": 4, "copy": 4}
    saver.delete_for_runs(["r"])
    assert counted() == {"t": 3, "copy": 3}
    assert saver.verify("t") == saver.verify("copy") == []

    change(saver, threads, next(row for row in rows_of(saver, threads) if row["thread_id"] == "t"), namespaces=9)
    saver.delete_thread("t")
    assert counted() == {"copy": 3}
    assert saver.get_tuple(config_of("t")) is None
    Threads(saver).delete("copy")
    assert counted() == {}


def test_swapped_numbers_within_a_thread_are_put_back(saver: SQLSaver) -> None:
    before = nested_thread_of(saver, "t")
    one, two = row_of(saver, "t", ""), row_of(saver, "t", "left")
    for row, number in ((one, 99), (two, one["namespace_id"]), ({**one, "namespace_id": 99}, two["namespace_id"])):
        change(saver, namespaces, row, namespace_id=number)

    assert saver.repair("t")

    assert saver.verify("t") == []
    assert {name: saver.get_tuple(config_of("t", namespace=name)) for name in before} == before


def test_namespaces_whose_numbers_were_swapped_are_put_back(saver: SQLSaver) -> None:
    for thread in ("t", "other"):
        thread_of(saver, thread)
    before = {thread: saver.get_tuple(config_of(thread)) for thread in ("t", "other")}
    one, two = rows_of(saver, namespaces)
    for row, number in ((one, 99), (two, one["namespace_id"]), ({**one, "namespace_id": 99}, two["namespace_id"])):
        change(saver, namespaces, row, namespace_id=number)

    for thread in before:
        assert saver.verify(thread)
    for thread in before:
        saver.repair(thread)
    for thread, found in before.items():
        assert saver.verify(thread) == []
        assert saver.get_tuple(config_of(thread)) == found


def test_random_damage_is_found_and_mended() -> None:
    tallies = run_trials(10, seed=3)

    assert {at: one.unrepaired for at, one in tallies.items() if one.unrepaired} == {}
    assert sum(len(one.silent) - one.pending for one in tallies.values()) == 0
