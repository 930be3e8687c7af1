"""Migrations: applied once, by one, and never to a database of a newer version."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, inspect, text

import guardgraph.storage.sql
import guardgraph.storage.sql.migrations
from guardgraph.state import MigrationNeeded, StorageCorrupt
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.migrate import known_revisions, migrate
from guardgraph.storage.sql.tables import metadata
from tests.storage.sql.stored import store

pytestmark = pytest.mark.no_tables


def revision_of(engine: Engine) -> str:
    with read_transaction(engine) as connection:
        return str(connection.execute(text("SELECT version_num FROM guardgraph_version")).scalar_one())


def pretend(engine: Engine, revision: str) -> None:
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE guardgraph_version SET version_num = :revision"), {"revision": revision})


def declared() -> MetaData:
    """Return every table of guardgraph, also those of modules that nothing has imported yet."""
    for module in pkgutil.iter_modules(guardgraph.storage.sql.__path__, "guardgraph.storage.sql."):
        importlib.import_module(module.name)
    return metadata


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", guardgraph.storage.sql.migrations.__path__[0])
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_an_empty_database_gets_exactly_the_declared_tables(database_url: str) -> None:
    engine = engine_of(database_url)

    migrate(engine)
    migrate(engine)

    with read_transaction(engine) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "guardgraph_version"})
        names = set(inspect(connection).get_table_names())
        assert compare_metadata(context, declared()) == []
    assert {"guardgraph_version", "guardgraph_checkpoint", "guardgraph_namespace", "guardgraph_run"} <= names
    assert revision_of(engine) == known_revisions()[-1]
    engine.dispose()


def test_the_revisions_are_one_chain_in_the_order_of_their_numbers() -> None:
    config = Config()
    config.set_main_option("script_location", guardgraph.storage.sql.migrations.__path__[0])
    script = ScriptDirectory.from_config(config)

    chain = [revision.revision for revision in script.walk_revisions()][::-1]

    assert tuple(chain) == known_revisions()
    assert len(script.get_heads()) == 1


def test_threads_that_start_at_once_migrate_once(database_url: str) -> None:
    engines = [engine_of(database_url) for _ in range(4)]
    failures: list[BaseException] = []

    def run(engine: Engine) -> None:
        try:
            migrate(engine)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert revision_of(engines[0]) == known_revisions()[-1]
    for engine in engines:
        engine.dispose()


def test_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    script = (
        "import sys\n"
        "from guardgraph.storage.sql.engine import engine_of\n"
        "from guardgraph.storage.sql.migrate import migrate\n"
        "sys.stdin.readline()\n"
        "engine = engine_of(sys.argv[1], busy_timeout=60)\n"
        "migrate(engine)\n"
        "engine.dispose()\n"
    )
    command = [sys.executable, "-c", script, database_url]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stderr=pipe, text=True) for _ in range(4)]

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=100)[1] for process in processes]

    assert errors == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    engine = engine_of(database_url)
    assert revision_of(engine) == known_revisions()[-1]
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database_url: str) -> None:
    engine = engine_of(database_url)
    migrate(engine)
    pretend(engine, "9999")

    with SQLSaver.from_url(database_url) as saver, pytest.raises(MigrationNeeded, match="revision '9999'") as caught:
        store(saver, "t")

    assert (caught.value.found, caught.value.known) == ("9999", known_revisions()[-1])
    assert "upgrade guardgraph, or open another database" in str(caught.value)
    assert revision_of(engine) == "9999"
    with read_transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM guardgraph_checkpoint")).scalar_one() == 0
    engine.dispose()


def test_a_database_from_before_the_first_release_is_refused_and_left_alone(database_url: str) -> None:
    engine = engine_of(database_url)
    migrate(engine)
    pretend(engine, "0004")

    with SQLSaver.from_url(database_url) as saver, pytest.raises(MigrationNeeded, match="was never released") as caught:
        store(saver, "t")

    assert (caught.value.found, revision_of(engine)) == ("0004", "0004")
    engine.dispose()


def test_two_migrations_of_the_same_revision_are_refused_before_anything_is_written(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "guardgraph.storage.sql.migrate"
    folder = Path(guardgraph.storage.sql.migrations.__path__[0])
    mixed = Path(shutil.copytree(folder, tmp_path / "migrations"))
    newest = max((mixed / "versions").glob("[0-9]*.py"))
    shutil.copy(newest, newest.with_name(newest.name.replace("_", "_other_", 1)))

    with SQLSaver.from_url(sqlite_url) as saver:
        monkeypatch.setattr(f"{module}._FOLDER", mixed)
        with pytest.raises(MigrationNeeded, match=r"two .* same .*: install it anew"):
            store(saver, "t")
        monkeypatch.undo()
        with read_transaction(saver.engine) as connection:
            assert inspect(connection).get_table_names() == []
        store(saver, "t")


def test_a_database_with_two_revisions_is_damaged(sqlite_url: str) -> None:
    engine = engine_of(sqlite_url)
    migrate(engine)
    with write_transaction(engine) as connection:
        connection.execute(text("INSERT INTO guardgraph_version VALUES ('0101')"))

    with (
        SQLSaver.from_url(sqlite_url) as saver,
        pytest.raises(StorageCorrupt, match=r"has 2 schema revisions at once: '01"),
    ):
        store(saver, "t")
    engine.dispose()


def test_a_database_of_an_older_version_is_upgraded_and_keeps_what_it_holds(database_url: str) -> None:
    engine, old = engine_of(database_url), engine_of(database_url)
    with write_transaction(old) as connection:
        upgrade(connection, known_revisions()[0])
        connection.execute(text("INSERT INTO guardgraph_blob VALUES (7, :key, :key)"), {"key": b"k" * 16})
    assert revision_of(old) == known_revisions()[0]

    migrate(engine)

    assert revision_of(engine) == known_revisions()[-1]
    with read_transaction(engine) as connection:
        assert connection.execute(text("SELECT namespace_id FROM guardgraph_blob")).scalar_one() == 7
        assert connection.execute(text("SELECT count(*) FROM guardgraph_run")).scalar_one() == 0
    engine.dispose()
    old.dispose()


def test_tables_of_others_are_left_alone(database_url: str) -> None:
    engine = engine_of(database_url)
    with write_transaction(engine) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))

    migrate(engine)

    with read_transaction(engine) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "theirs"
    engine.dispose()
