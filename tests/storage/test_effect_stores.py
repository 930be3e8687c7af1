"""The stores of side effects keep one contract: in memory, in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.faults.failing_calls import failing_calls
from guardgraph.state import StorageUnavailable
from guardgraph.storage import memory_effects
from guardgraph.storage.effects import EffectStore
from guardgraph.storage.memory_effects import MemoryEffects
from guardgraph.storage.sql.effects import SQLEffects
from guardgraph.storage.sql.engine import close_engine, engine_of
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def sql(url: str) -> Iterator[SQLEffects]:
    engine = engine_of(url)
    yield SQLEffects(engine, tenant="")
    close_engine(engine)


@pytest.fixture(params=["memory", "sqlite memory", "sqlite", "postgres", "mariadb"])
def effects(request: pytest.FixtureRequest) -> Iterator[EffectStore]:
    if request.param == "memory":
        yield MemoryEffects()
        return
    in_memory = request.param == "sqlite memory"
    engine = engine_of("sqlite://" if in_memory else request.getfixturevalue(f"{request.param}_url"))
    yield SQLEffects(engine, tenant="")
    close_engine(engine)


def test_an_effect_begins_once_and_is_known_until_it_has_ended(effects: EffectStore) -> None:
    assert effects.begin("mail", "run 1") is None
    found = effects.begin("mail", "run 2")

    assert found is not None
    assert (found.key, found.run_id, found.is_done, found.result) == ("mail", "run 1", False, None)
    assert datetime.now(UTC) - found.started < timedelta(minutes=1)
    assert [one.key for one in effects.unknown(10)] == ["mail"]

    effects.end("mail", '{"id": 7}')
    effects.end("mail", "2")
    effects.forget("mail")
    done = effects.begin("mail", None)

    assert done is not None
    assert (done.is_done, done.result) == (True, '{"id": 7}')
    assert effects.unknown(10) == []


def test_a_forgotten_effect_can_begin_again(effects: EffectStore) -> None:
    effects.begin("mail", None)
    effects.forget("mail")

    assert effects.begin("mail", None) is None


def test_any_text_is_a_key(effects: EffectStore) -> None:
    keys = ["a", "a ", "A", "a\0", "ä", "\ud800", "x" * 4096, "'; DROP TABLE guardgraph_effect; --"]

    assert [effects.begin(key, None) for key in keys] == [None] * len(keys)
    assert sorted(one.key for one in effects.unknown(100)) == sorted(keys)
    assert len(effects.unknown(3)) == 3


def test_a_lock_is_held_by_one(effects: EffectStore) -> None:
    assert effects.lock("a")
    assert not effects.lock("a")
    assert effects.lock("b")
    effects.unlock("a")
    assert effects.lock("a")
    effects.unlock("a")
    effects.unlock("b")


LOCK = """
import sys
from guardgraph.storage.sql.effects import SQLEffects
from guardgraph.storage.sql.engine import engine_of
print(SQLEffects(engine_of(sys.argv[1]), tenant="").lock(sys.argv[2]), flush=True)
sys.stdin.read()
"""


def locked_elsewhere(url: str, key: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK, url, key], cwd=ROOT, stdin=-1, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_lock_holds_against_other_processes_and_ends_with_its_own(url: str, sql: SQLEffects) -> None:
    process, got = locked_elsewhere(url, "a")
    assert got == "True"
    assert not sql.lock("a")
    assert sql.lock("b")
    second, refused = locked_elsewhere(url, "b")
    assert refused == "False"

    for one in (process, second):
        one.kill()
        one.communicate()

    until = datetime.now(UTC) + timedelta(seconds=5)
    while not (taken := sql.lock("a")) and datetime.now(UTC) < until:
        pass
    assert taken
    sql.unlock("a")
    sql.unlock("b")


@pytest.mark.parametrize("fails", ["lock", "unlock"])
def test_locks_go_on_after_a_lost_connection(postgres_url: str, fails: str) -> None:
    engine = engine_of(postgres_url)
    sql = SQLEffects(engine, tenant="")
    assert sql.lock("first")
    assert sql.lock("second")
    with failing_calls(engine) as calls:
        calls.begin(0, "disconnect")
        if fails == "lock":
            with pytest.raises(StorageUnavailable):
                sql.lock("third")
        else:
            sql.unlock("first")
        assert "advisory" in calls.failed
    assert sql.lock("third")
    sql.unlock("second")  # of the connection that was lost

    process, taken = locked_elsewhere(postgres_url, "third")
    process.kill()
    process.communicate()

    assert taken == "False"
    for key in ("first", "third"):
        sql.unlock(key)
    close_engine(engine)


def test_a_result_that_sqlite_holds_as_text_is_read(sqlite_url: str) -> None:
    engine = engine_of(sqlite_url)
    sql = SQLEffects(engine, tenant="")
    sql.begin("a", None)
    sql.end("a", '"sent"')
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE guardgraph_effect SET result = CAST(result AS TEXT)")

    (found,) = sql.stored(10)

    assert (found.key, found.result) == ("a", '"sent"')
    close_engine(engine)


def test_a_second_engine_of_this_process_sees_the_lock(url: str, sql: SQLEffects) -> None:
    other = engine_of(url)
    assert sql.lock("a")
    assert not SQLEffects(other, tenant="").lock("a")
    sql.unlock("a")
    assert SQLEffects(other, tenant="").lock("a")
    close_engine(other)


def test_tenants_are_apart(sql: SQLEffects) -> None:
    other = SQLEffects(sql.engine, tenant="other")
    sql.begin("mail", None)
    sql.end("mail", "1")

    assert other.begin("mail", None) is None
    assert other.lock("mail")
    assert sql.lock("mail")
    other.unlock("mail")
    sql.unlock("mail")
    assert [one.key for one in other.unknown(10)] == ["mail"]
    assert sql.unknown(10) == []


def test_memory_forgets_the_oldest_effects_that_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_effects, "REMEMBERED", 2)
    effects = MemoryEffects()
    for key in ("a", "b", "c"):
        effects.begin(key, None)
        effects.end(key, "1")

    assert effects.begin("a", None) is None
    assert effects.begin("b", None) is not None
