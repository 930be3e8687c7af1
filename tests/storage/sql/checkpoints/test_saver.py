"""The saver as a whole: both ways to call it, what it refuses, and what it does under load."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from pydantic import BaseModel
from sqlalchemy import event

from guardgraph.state import BadInput, StorageUnavailable, Unserializable
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.migrate import migrate
from tests.storage.sql.stored import checkpoint_of, config_of, id_of, ids_in, store


class Note(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("kind", "write_behind"), [("sqlite", None), ("postgres", None), ("mariadb", None), ("sqlite", 600.0)]
)
async def test_every_capability_of_the_conformance_suite_is_there_and_passes(
    kind: str, write_behind: float | None, request: pytest.FixtureRequest
) -> None:
    database_url: str = request.getfixturevalue(f"{kind}_url")

    @checkpointer_test(name="SQLSaver")
    async def savers() -> AsyncGenerator[BaseCheckpointSaver[int]]:
        async with SQLSaver.from_url(database_url, write_behind=write_behind) as saver:
            yield saver

    report = await validate(savers)

    counts = {name: (result.tests_passed, result.failures) for name, result in report.results.items()}
    assert report.passed_all(), counts
    assert counts == {
        "put": (17, []),
        "put_writes": (10, []),
        "get_tuple": (10, []),
        "list": (16, []),
        "delete_thread": (5, []),
        "delete_for_runs": (7, []),
        "copy_thread": (8, []),
        "prune": (8, []),
    }


async def test_sync_and_async_calls_see_the_same(saver: SQLSaver) -> None:
    config = store(saver, "t", {"a": (1, 2)})
    await saver.aput_writes(config, [("b", {3})], "task")

    found = saver.get_tuple(config)

    assert found == await saver.aget_tuple(config)
    assert [found] == list(saver.list(None)) == [item async for item in saver.alist(None)]
    assert found is not None
    assert (found.checkpoint["channel_values"], found.pending_writes) == ({"a": (1, 2)}, [("task", "b", {3})])


def test_a_saver_in_memory_works_until_it_is_closed() -> None:
    with SQLSaver.from_url("sqlite://") as saver:
        store(saver, "t", {"a": 1})

        assert len(ids_in(saver, config_of("t"))) == 1


def test_an_engine_of_the_caller_stays_open(sqlite_url: str) -> None:
    engine = engine_of(sqlite_url)
    with SQLSaver(engine) as saver:
        store(saver, "t")

    with SQLSaver(engine) as again:
        assert len(ids_in(again, None)) == 1
    engine.dispose()


def test_what_is_stored_is_there_for_the_next_saver(database_url: str) -> None:
    with SQLSaver.from_url(database_url, types=(Note,)) as saver:
        config = store(saver, "t", {"note": Note(text="x")})

    with SQLSaver.from_url(database_url, types=(Note,)) as again:
        found = again.get_tuple(config)

    assert found is not None
    assert found.checkpoint["channel_values"] == {"note": Note(text="x")}


@pytest.mark.parametrize("value", ["\0", "\ud800", float("inf"), -(2**70), "x" * 2**20, b"\0" * 9, {"\0": "\udfff"}])
def test_hostile_values_come_back_as_they_were(saver: SQLSaver, value: Any) -> None:
    config = store(saver, "t", {"ch": value, "\0\ud800": [value]})
    saver.put_writes(config, [("\0\udfff", value), ("x" * 5000, value)], "task", "path\0\ud800")

    found = saver.get_tuple(config)

    assert found is not None
    assert found.checkpoint["channel_values"] == {"ch": value, "\0\ud800": [value]}
    assert found.pending_writes == [("task", "\0\udfff", value), ("task", "x" * 5000, value)]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(categories=None)), number=st.floats(allow_nan=False) | st.integers())
def test_any_text_and_number_come_back_as_they_were(saver: SQLSaver, text: str, number: float) -> None:
    value = {"text": text, text: (number, text.encode("utf-8", "surrogatepass"))}
    config = store(saver, "t", {"ch": value}, version=saver.get_next_version(None, None))
    saver.put_writes(config, [(text, value)], "task", text)

    found = saver.get_tuple(config)

    assert found is not None
    assert found.checkpoint["channel_values"] == {"ch": value}
    assert found.pending_writes == [("task", text, value)]


def test_a_refused_value_is_named_by_its_path_and_nothing_is_stored(saver: SQLSaver) -> None:
    first = store(saver, "t", {"results": [1]})

    with pytest.raises(Unserializable, match=r"cannot store results\[1\]\.note: .*Note is not") as caught:
        store(saver, "t", {"fine": 1, "results": [1, {"note": Note(text="x")}]}, parent=first, version=2)

    assert caught.value.thread_id == "t"
    assert ids_in(saver, None) == [id_of(first)]


def test_a_message_that_could_not_be_read_back_is_refused_and_the_thread_stays_readable(saver: SQLSaver) -> None:
    first = store(saver, "t", {"log": [AIMessage("x")]})
    broken = AIMessage("y")
    broken.content = None  # type: ignore[assignment]  # as wrappers of models do

    with pytest.raises(Unserializable, match=r"cannot store log\[1\]: .*AIMessage .*content"):
        store(saver, "t", {"log": [AIMessage("x"), broken]}, parent=first, version=2)
    with pytest.raises(Unserializable, match=r"cannot store log\[0\]: .*AIMessage .*content"):
        saver.put_writes(first, [("log", [broken])], "task")

    assert saver.get_tuple(config_of("t")) == saver.get_tuple(first)


def test_a_write_needs_the_checkpoint_that_it_belongs_to(saver: SQLSaver) -> None:
    with pytest.raises(BadInput, match="names no checkpoint"):
        saver.put_writes(config_of("t"), [("a", 1)], "task")


@pytest.mark.parametrize("call", ["get_tuple", "delete_thread", "copy_thread"])
def test_a_thread_id_that_is_no_text_is_refused(saver: SQLSaver, call: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "get_tuple": (config_of(7),),  # type: ignore[arg-type]
        "delete_thread": (7,),
        "copy_thread": (7, "t"),
    }
    with pytest.raises(BadInput, match=r"thread_id` must be a str, got int: 7"):
        getattr(saver, call)(*arguments[call])


def test_with_types_gives_a_second_saver_of_the_same_database(saver: SQLSaver) -> None:
    config = store(saver.with_types(Note), "t", {"note": Note(text="x")})

    found = saver.with_types(Note).get_tuple(config)

    assert found is not None
    assert found.checkpoint["channel_values"]["note"] == Note(text="x")
    with pytest.raises(Unserializable, match="register it"):
        store(saver, "t", {"note": Note(text="x")})


def test_langgraphs_allowlist_adds_the_classes_that_it_names(saver: SQLSaver) -> None:
    allowed = saver.with_allowlist({(Note.__module__, "Note"), ("no.such.module", "X"), ("os", "system")})

    config = store(allowed, "t", {"note": Note(text="x")})

    found = allowed.get_tuple(config)
    assert found is not None
    assert found.checkpoint["channel_values"]["note"] == Note(text="x")


def test_versions_grow_and_the_branches_of_a_fork_differ(saver: SQLSaver) -> None:
    first = saver.get_next_version(None, None)
    branches = {saver.get_next_version(first, None) for _ in range(100)}

    assert len(branches) == 100
    assert first < min(branches)
    assert max(branches) < saver.get_next_version(max(branches), None)
    assert saver.get_next_version(1, None) > 1


def test_both_branches_of_a_fork_keep_their_own_values(saver: SQLSaver) -> None:
    root = store(saver, "t", {"a": "root"}, version=saver.get_next_version(None, None))
    branches = [
        store(saver, "t", {"a": name}, parent=root, version=saver.get_next_version(1, None)) for name in ("x", "y")
    ]

    found = [saver.get_tuple(config) for config in branches]

    assert [item.checkpoint["channel_values"]["a"] for item in found if item] == ["x", "y"]


async def test_a_hundred_parallel_writes_are_all_stored(saver: SQLSaver) -> None:
    config = store(saver, "t")

    await asyncio.gather(*(saver.aput_writes(config, [("a", n)], f"task {n:03}") for n in range(100)))

    found = await saver.aget_tuple(config)
    assert found is not None
    assert [value for _, _, value in found.pending_writes or ()] == list(range(100))


async def test_many_threads_write_at_once_from_both_worlds(saver: SQLSaver) -> None:
    def work(name: str) -> None:
        for step in range(10):
            store(saver, name, {"a": step}, version=step + 1)

    await asyncio.gather(
        *(asyncio.to_thread(work, f"sync {n}") for n in range(4)),
        *(saver.aput(config_of(f"async {n % 4}"), checkpoint_of({"a": n}), {}, {"a": 1}) for n in range(40)),
    )

    assert len(ids_in(saver, None)) == 80


def slow_saver(url: str) -> SQLSaver:
    """Return a saver whose database takes its time."""
    saver = SQLSaver.from_url(url)
    migrate(saver.engine)
    event.listen(saver.engine, "commit", lambda connection: time.sleep(0.2))
    return saver


async def test_calls_of_one_thread_id_happen_in_order_and_never_block_the_loop(sqlite_url: str) -> None:
    async with slow_saver(sqlite_url) as saver:
        first: Checkpoint = checkpoint_of({"a": 1})
        put = asyncio.ensure_future(saver.aput(config_of("t"), first, {}, {"a": 1}))
        await asyncio.sleep(0)
        ticks = 0
        read = asyncio.ensure_future(saver.aget_tuple(config_of("t")))
        while not read.done():
            await asyncio.sleep(0.01)
            ticks += 1

        assert ticks >= 10
        assert (await put).get("configurable", {})["checkpoint_id"] == first["id"]
        found = await read
        assert found is not None
        assert found.checkpoint["id"] == first["id"]


async def test_a_write_that_was_accepted_is_made_when_its_waiter_is_cancelled(sqlite_url: str) -> None:
    async with slow_saver(sqlite_url) as saver:
        put = asyncio.ensure_future(saver.aput(config_of("t"), checkpoint_of(), {}, {}))
        await asyncio.sleep(0.05)
        put.cancel()

        assert await saver.aget_tuple(config_of("t")) is not None


async def test_leaving_a_saver_waits_for_what_was_accepted(sqlite_url: str) -> None:
    async with slow_saver(sqlite_url) as saver:
        first = await saver.aput(config_of("t"), checkpoint_of(), {}, {})
        write = asyncio.ensure_future(saver.aput_writes(first, [("a", 1)], "task"))
        await asyncio.sleep(0)
        write.cancel()

    with SQLSaver.from_url(sqlite_url) as again:
        found = again.get_tuple(first)
    assert found is not None
    assert found.pending_writes == [("task", "a", 1)]


def test_a_call_that_hangs_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    script = (
        "import asyncio, time\n"
        "from guardgraph.storage import SQLSaver\n"
        "class Hanging(SQLSaver):\n"
        "    def get_tuple(self, config):\n"
        "        time.sleep(600)\n"
        "async def main():\n"
        "    saver = Hanging.from_url('sqlite://')\n"
        "    try:\n"
        "        await asyncio.wait_for(saver.aget_tuple({'configurable': {'thread_id': 't'}}), 0.1)\n"
        "    except TimeoutError:\n"
        "        print('left')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "left\n"


def test_importing_the_saver_loads_no_driver_and_no_migration_tool() -> None:
    script = (
        "import sys, guardgraph.storage.sql\n"
        "print([name for name in ('alembic', 'psycopg', 'pymysql', 'numpy') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"


def test_a_server_that_is_not_there_is_a_typed_error_without_the_password() -> None:
    with (
        SQLSaver.from_url("postgresql://me:hunter2@127.0.0.1:1/x") as saver,
        pytest.raises(StorageUnavailable, match=r"me:\*\*\*@127.0.0.1:1/x cannot be reached") as caught,
    ):
        saver.get_tuple(config_of("t"))

    assert "hunter2" not in str(caught.value)
    assert caught.value.thread_id in {None, "t"}
