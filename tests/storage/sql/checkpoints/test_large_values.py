"""Values of many megabytes, on every database: stored in parts, read equal, and removed, copied and mended whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table, func, select

from guardgraph.state import StorageCorrupt
from guardgraph.storage import Retention, SQLSaver, Threads
from guardgraph.storage.sql.checkpoints.packing import PART
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, writes
from tests.storage.sql.stored import config_of, store

MB = 2**20


@pytest.fixture
def saver(kept_url: str) -> Iterator[SQLSaver]:
    """Give a saver of a tenant of its own, so that its rows are known."""
    with SQLSaver.from_url(kept_url, tenant=uuid4().hex) as opened:
        yield opened


def mine(saver: SQLSaver, table: Table) -> Any:
    numbers = select(namespaces.c.namespace_id).where(namespaces.c.tenant == saver.tenant)
    return table.c.namespace_id.in_(numbers)


def count(saver: SQLSaver, table: Table) -> int:
    with read_transaction(saver.engine) as connection:
        return connection.execute(select(func.count()).select_from(table).where(mine(saver, table))).scalar_one()


def keys_of(saver: SQLSaver) -> list[bytes]:
    with read_transaction(saver.engine) as connection:
        return [bytes(key) for key in connection.execute(select(blobs.c.hash).where(mine(saver, blobs))).scalars()]


def read(saver: SQLSaver, thread_id: str) -> tuple[Any, Any]:
    found = saver.get_tuple(config_of(thread_id))
    assert found is not None
    assert found.pending_writes
    return found.checkpoint["channel_values"]["a"], found.pending_writes[0][2]


@pytest.mark.parametrize("size", [10 * MB, 40 * MB])
@pytest.mark.parametrize("kind", ["text", "bytes", "element", "many elements"])
def test_large_values_come_back_equal(saver: SQLSaver, kind: str, size: int) -> None:
    made = random.Random(1).randbytes(MB)
    value: Any = {
        "text": "é\0'" * (size // 4),
        "bytes": made * (size // MB),
        "element": ["small", made * (size // MB)],
        "many elements": [made[:100]] * (size // 800),
    }[kind]

    config = store(saver, "t", {"a": value})
    saver.put_writes(config, [("a", value)], "task")

    assert read(saver, "t") == (value, value)
    with SQLSaver(saver.engine, tenant=saver.tenant) as another:
        assert read(another, "t") == (value, value)
        assert another.verify("t") == []


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_only_what_is_larger_than_a_part_has_parts(saver: SQLSaver, extra: int) -> None:
    empty = len(saver.codec.dumps(b"x" * PART)) - PART
    value = b"x" * (PART - empty + extra)
    store(saver, "t", {"a": value})

    assert count(saver, blobs) == (3 if extra > 0 else 1)
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.checkpoint["channel_values"]["a"] == value


def test_no_row_is_larger_than_a_part(saver: SQLSaver) -> None:
    values: dict[str, Any] = {"a": ["x" * 200] * 30_000, "b": ["y" * 300] * 70_000, "c": "z" * 3 * MB}
    config = store(saver, "t", values)
    saver.put_writes(config, [*values.items()], "task")
    longer = {**values, "a": values["a"] + ["w" * 200] * 30_000}
    store(saver, "t", longer, parent=config, version=2)

    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.checkpoint["channel_values"] == longer
    with read_transaction(saver.engine) as connection:
        for column in (blobs.c.data, chunks.c.data, writes.c.data, checkpoints.c.body):
            largest = select(func.max(func.length(column))).where(mine(saver, column.table))
            assert connection.execute(largest).scalar_one() < 1.1 * PART, column


def test_parts_are_removed_with_their_value_and_kept_with_it(saver: SQLSaver) -> None:
    old, new = random.Random(1).randbytes(3 * MB), random.Random(2).randbytes(5 * MB)
    first = store(saver, "t", {"a": old})
    store(saver, "t", {"a": new, "b": [new, "small"]}, parent=first, version=2)
    assert count(saver, blobs) == 4 + 1 + 6 + 1  # the last part of each holds a few bytes

    (removed,) = Threads(saver).prune_all(Retention(keep=1, older_than=timedelta(0)), thread_ids=["t"])
    assert removed.bytes > 3 * MB

    assert count(saver, blobs) == 6 + 1
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"a": new, "b": [new, "small"]}
    saver.delete_thread("t")
    assert count(saver, blobs) == 0


def test_a_copy_has_parts_of_its_own(saver: SQLSaver) -> None:
    run, value = "a" * 32, "é" * 2 * MB
    config = store(saver, "t", {"a": [value, "small"], "b": f"{value}{'a' * 32}"}, metadata={"run_id": run})
    saver.put_writes(config, [("a", [value])], "task")
    saver.copy_thread("t", "copy")
    saver.delete_thread("t")

    assert saver.verify("copy") == []
    assert read(saver, "copy") == ([value, "small"], [value])


def test_each_damaged_or_missing_part_is_found_and_left_behind(saver: SQLSaver) -> None:
    first = store(saver, "t", {"a": "good"})
    before = set(keys_of(saver))
    store(saver, "t", {"a": random.Random(1).randbytes(2 * MB)}, parent=first, version=2)
    for key in sorted(set(keys_of(saver)) - before):
        is_it = (mine(saver, blobs), blobs.c.hash == key)
        with write_transaction(saver.engine) as connection:
            row = dict(connection.execute(select(blobs).where(*is_it)).mappings().one())
        for changed in (b"!" + bytes(row["data"])[1:], bytes(row["data"])[:-1], b"", None):
            _change(saver, is_it, row, changed)
            with pytest.raises(StorageCorrupt, match=r"in 'a': its value (was changed|is missing)"):
                saver.get_tuple(config_of("t"))
            assert [item.column for item in saver.verify("t")] == ["a"]
            _change(saver, is_it, row, row["data"])
            assert saver.verify("t") == []


def test_repairing_goes_back_behind_a_missing_part(saver: SQLSaver) -> None:
    first = store(saver, "t", {"a": "good"})
    store(saver, "t", {"a": random.Random(1).randbytes(2 * MB)}, parent=first, version=2)
    with write_transaction(saver.engine) as connection:
        connection.execute(blobs.delete().where(mine(saver, blobs), func.length(blobs.c.data) == PART))

    assert [item.column for item in saver.repair("t")] == ["a"]
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.config == first


def _change(saver: SQLSaver, is_it: Any, row: dict[str, Any], data: Any) -> None:
    with write_transaction(saver.engine) as connection:
        connection.execute(blobs.delete().where(*is_it))
        if data is not None:
            connection.execute(blobs.insert(), {**row, "data": data})


def test_encrypted_values_have_parts_too(kept_url: str) -> None:
    with SQLSaver.from_url(kept_url, tenant=uuid4().hex, key=b"k" * 16, compress_above=1000) as saver:
        value = random.Random(1).randbytes(3 * MB).hex()
        config = store(saver, "t", {"a": value})
        saver.put_writes(config, [("a", value)], "task")
        saver.copy_thread("t", "copy")

        assert read(saver, "t") == read(saver, "copy") == (value, value)
