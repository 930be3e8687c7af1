"""Every error says what happened and what to do, and can be caught as what it is."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from guardgraph.state import (
    BadGraph,
    BadInput,
    BoardConflict,
    BoardDenied,
    BoardEntry,
    EffectBusy,
    EffectUnknown,
    GuardgraphError,
    MigrationFailed,
    MigrationNeeded,
    MissingExtra,
    MissingKey,
    NotADatabase,
    PatternError,
    RateLimitExceeded,
    RunEnded,
    RunStranded,
    RunUnfinished,
    StaleWriter,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnavailable,
    ThreadBusy,
    TooLarge,
    UnknownGraph,
    UnknownModel,
    UnknownThread,
    Unserializable,
    WrongKey,
    errors,
)

ENTRY = BoardEntry(board="plan", key="k", version=2, number=5, author="ann", at=datetime(2030, 1, 1, tzinfo=UTC))
ALL: list[tuple[GuardgraphError, type[Exception]]] = [
    (BadGraph("no agents; pass at least one"), ValueError),
    (BadInput("the goal is empty; say what is to be done"), ValueError),
    (PatternError("the route of 'collect' raised KeyError: 'a'", node="collect"), RuntimeError),
    (RunEnded("r-1", thread_id="t-1", status="completed"), BadInput),
    (RunUnfinished("r-1", thread_id="t-1"), BadInput),
    (ThreadBusy("t-1", run_id="r-1", owner="here:1:a", until=datetime(2030, 1, 1, tzinfo=UTC)), RuntimeError),
    (StaleWriter("t-1", epoch=3), StorageError),
    (RunStranded("r-1", thread_id="t-1"), BadInput),
    (UnknownGraph("vendors", registered=["b", "a"]), LookupError),
    (UnknownThread("t-1", url="sqlite:///runs.db"), LookupError),
    (MissingExtra("psycopg", extra="postgres", needed_for="storing"), ImportError),
    (UnknownModel("acme:x", "no such provider"), ValueError),
    (MissingKey("openai:gpt-5", variable="OPENAI_API_KEY"), LookupError),
    (StorageError("it broke", thread_id="t-1"), Exception),
    (StorageUnavailable("it is away; bring it back", thread_id="t-1"), ConnectionError),
    (StorageBusy("it is locked; try again", thread_id="t-1"), TimeoutError),
    (StorageFull("the disk is full; make room", thread_id="t-1"), OSError),
    (StorageReadOnly("it cannot be written; mend the permissions"), PermissionError),
    (StorageCorrupt("it cannot be read back", thread_id="t-1"), ValueError),
    (WrongKey("it was encrypted with another key", thread_id="t-1"), PermissionError),
    (BoardConflict("plan", "k", expected=1, current=ENTRY), RuntimeError),
    (BoardDenied("plan", "k", author="worker", action="write"), PermissionError),
    (RateLimitExceeded("openai", "60 calls per 60 s", wait=12.34, within=3), TimeoutError),
    (EffectBusy("refund 7"), RuntimeError),
    (EffectUnknown("refund 7", since=datetime(2030, 1, 1, tzinfo=UTC)), RuntimeError),
    (NotADatabase("letter.txt is no SQLite database"), StorageCorrupt),
    (Unserializable("cannot store value.x: a lock is not a type that is stored"), TypeError),
    (TooLarge("cannot store 9 bytes in one row", thread_id="t-1", size=9, limit=8), Unserializable),
    (MigrationFailed("Migration('1', '2') returned None", thread_id="t-1"), RuntimeError),
    (MigrationNeeded("too new", url="sqlite:///runs.db", found="0009", known="0003"), RuntimeError),
]
each = pytest.mark.parametrize(("error", "builtin"), ALL, ids=[type(error).__name__ for error, _ in ALL])


def test_every_error_stands_here() -> None:
    assert {type(error).__name__ for error, _ in ALL} == set(errors.__all__) - {"GuardgraphError"}


@each
def test_it_is_caught_as_ours_and_as_its_builtin(error: GuardgraphError, builtin: type[Exception]) -> None:
    for caught_as in (GuardgraphError, builtin):
        with pytest.raises(caught_as) as caught:
            raise error
        assert caught.value is error


@each
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_a_copy_tells_the_same(
    error: GuardgraphError, builtin: type[Exception], again: Callable[[GuardgraphError], GuardgraphError]
) -> None:
    twin = again(error)

    assert type(twin) is type(error)
    assert isinstance(twin, builtin)
    assert str(twin) == str(error)
    assert twin.args == error.args
    assert vars(twin) == vars(error)


def test_notes_are_copied_too() -> None:
    error = UnknownModel("acme:x", "no such provider")
    error.add_note("while the planner was built")

    assert copy.copy(error).__notes__ == ["while the planner was built"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            UnknownGraph("vendors", registered=["b", "a"]),
            "no graph is registered as 'vendors' (registered: 'a', 'b'); "
            "pass it to the runner: Runner(url, graphs={'vendors': build})",
        ),
        (
            UnknownGraph("vendors", registered=[]),
            "no graph is registered as 'vendors' (registered: none); "
            "pass it to the runner: Runner(url, graphs={'vendors': build})",
        ),
        (
            UnknownThread("t-1", url="sqlite:///runs.db"),
            "no thread 't-1' in sqlite:///runs.db; list the threads with `guardgraph threads list`",
        ),
        (
            MissingExtra("psycopg", extra="postgres", needed_for="storing"),
            "storing needs 'psycopg'; install it with `pip install 'guardgraph[postgres]'`",
        ),
        (
            RunEnded("r-1", thread_id="t-1", status="completed"),
            "run 'r-1' has ended (completed), so it takes no answers and no more allowance; "
            "begin another on its thread, with larger limits where it was stopped: run(…, thread_id='t-1')",
        ),
        (
            RunEnded("r-1", thread_id="t-1", status="degraded", stopped_by="Budget"),
            "run 'r-1' has ended (degraded, stopped by Budget), so it takes no answers and no more allowance; "
            "begin another on its thread, with larger limits where it was stopped: run(…, thread_id='t-1')",
        ),
        (
            RunEnded("r-1", thread_id="t-1", status="completed", action="cancel"),
            "run 'r-1' has ended (completed), so there is nothing to cancel; "
            "begin another on its thread: run(…, thread_id='t-1')",
        ),
        (
            RunEnded("r-1", thread_id="t-1", status="degraded", stopped_by="Budget", action="update"),
            "run 'r-1' has ended (degraded, stopped by Budget), so its state cannot be updated; "
            "begin another on its thread: run(…, thread_id='t-1')",
        ),
        (UnknownModel("acme:x", "no such provider"), "cannot make a model of 'acme:x': no such provider"),
        (
            MissingKey("openai:gpt-5", variable="OPENAI_API_KEY"),
            "model 'openai:gpt-5' needs a key: set OPENAI_API_KEY, or choose `offline:extractive` (needs none)",
        ),
        (StorageFull("the disk is full; make room"), "the disk is full; make room"),
    ],
)
def test_the_message_says_what_happened_and_what_to_do(error: GuardgraphError, message: str) -> None:
    assert str(error) == message


def test_the_facts_are_attributes() -> None:
    ended = RunEnded("r-1", thread_id="t-1", status="degraded", stopped_by="Budget")
    graph = UnknownGraph("vendors", registered=["b", "a"])
    thread = UnknownThread("t-1", url="sqlite:///runs.db")
    extra = MissingExtra("psycopg", extra="postgres", needed_for="storing")
    model = UnknownModel("acme:x", "no such provider")
    key = MissingKey("openai:gpt-5", variable="OPENAI_API_KEY")
    migration = MigrationNeeded("too new", thread_id="t-1", url="sqlite:///runs.db", found="0009", known="0003")

    assert (ended.run_id, ended.thread_id, ended.status, ended.stopped_by) == ("r-1", "t-1", "degraded", "Budget")
    assert (graph.name, graph.registered) == ("vendors", ("a", "b"))
    assert (thread.thread_id, thread.url) == ("t-1", "sqlite:///runs.db")
    assert (extra.package, extra.extra, extra.needed_for) == ("psycopg", "postgres", "storing")
    assert (model.model, model.reason) == ("acme:x", "no such provider")
    assert (key.model, key.variable) == ("openai:gpt-5", "OPENAI_API_KEY")
    assert (migration.url, migration.found, migration.known) == ("sqlite:///runs.db", "0009", "0003")
    assert migration.thread_id == "t-1"


@pytest.mark.parametrize(
    "kind", [StorageUnavailable, StorageBusy, StorageFull, StorageReadOnly, StorageCorrupt, Unserializable]
)
def test_a_storage_fault_names_its_thread_where_there_is_one(kind: type[StorageError]) -> None:
    assert kind("it broke", thread_id="t-1").thread_id == "t-1"
    assert kind("it broke").thread_id is None
    assert issubclass(kind, StorageError)
