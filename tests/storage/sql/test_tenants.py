"""Tenants share a database and see nothing of each other: every public method of every store, with all ids the same."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from itertools import cycle
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from langgraph.checkpoint.base import CheckpointMetadata
from sqlalchemy import Engine

from guardgraph.state import (
    Allowance,
    Amount,
    BadInput,
    Event,
    Outcome,
    ReservationDenied,
    RunEvent,
    SideAccount,
    Task,
    UnknownThread,
    Usage,
    WrongKey,
)
from guardgraph.storage import Reputation, RunStore, SQLSaver
from guardgraph.storage.boards import BoardChange, BoardPlace
from guardgraph.storage.reputation import SettledAward
from guardgraph.storage.sql.boards import SQLBoards
from guardgraph.storage.sql.checkpoints.loading import namespaces_of
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.effects import SQLEffects
from guardgraph.storage.sql.engine import close_engine, engine_of, write_transaction
from guardgraph.storage.sql.events import EventLog, EventStore
from guardgraph.storage.sql.leases import Claim, acquire
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.ledger.shared_budgets import SQLBudgets
from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.published import PublishedStore
from guardgraph.storage.sql.reputation import SQLReputation
from guardgraph.storage.sql.values import SQLValues
from tests.storage.sql.leased import claiming
from tests.storage.sql.rows import delete_rows_of, rows_of_tenant
from tests.storage.sql.stored import checkpoint_of, config_of, ids_in, store

THEIRS = "b"
OTHERS = ("", "a", "B", "b ", "%", "_", "b\u0301")
"""Tenants that a careless comparison takes for theirs."""
NOW = datetime(2030, 1, 1, tzinfo=UTC)
TASK = Task(goal="x")
THREAD, WHOLE, NESTED = config_of("t"), config_of("t", namespace=None), config_of("t", namespace="n")
FIRST, SECOND = config_of("t", checkpoint_id="1"), config_of("t", checkpoint_id="2")
CONFIGS = (THREAD, NESTED, FIRST, SECOND)
BOARD, SHARED = BoardPlace("t", "plan"), BoardPlace(None, "plan")
OWN: Any = object()
"""What a method returns that stores something of its own."""


class Call(NamedTuple):
    """A call, and what it returns, or raises, where there is nothing."""

    result: Any
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})


def put_of(checkpoint_id: str, values: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments with which a checkpoint is stored under an id."""
    facts: CheckpointMetadata = {"source": "loop", "step": 0, "run_id": "r", "topic": "x"}  # type: ignore[typeddict-unknown-key]
    checkpoint = {**checkpoint_of(values), "id": checkpoint_id}
    return THREAD if checkpoint_id == "1" else FIRST, checkpoint, facts, checkpoint["channel_versions"]


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"filter": {"topic": "x"}},
    {"filter": {"run_id": "r"}},
    {"before": config_of("t", checkpoint_id="9")},
    {"limit": 1},
)
CALLS: dict[type[Any], dict[str, list[Call]]] = {
    SQLSaver: {
        "get": [Call(None, (config,)) for config in CONFIGS],
        "get_tuple": [Call(None, (config,)) for config in CONFIGS],
        "list": [Call([], (config,), options) for config in (None, WHOLE, *CONFIGS) for options in FILTERS],
        "get_delta_channel_history": [
            Call({"x": {"writes": []}}, options={"config": config, "channels": ["x"]}) for config in CONFIGS
        ],
        "verify": [Call([], ("t",))],
        "repair": [Call([], ("t",))],
        "delete_thread": [Call(None, ("t",))],
        "delete_for_runs": [Call(None, (["r"],))],
        "prune": [Call(None, (["t"],)), Call(None, (["t"],), {"strategy": "delete"})],
        "copy_thread": [Call(None, ("t", "copy"))],
        "put": [Call(OWN, put_of("3", {"x": ["mine"]}))],
        "put_writes": [Call(OWN, (SECOND, [("x", "mine")], "task"))],
        "flush": [Call(None, ("t",)), Call(None)],
        "replace_writes": [Call(OWN, (SECOND, {"task": [("x", "mine")]}))],
    },
    RunStore: {
        "get": [Call(None, ("r",))],
        "latest": [Call(None, ("t",))],
        "latest_with_lease": [Call((None, None), ("t",))],
        "list": [Call([], (9,)), Call([], (9, "completed"))],
        "unfinished": [Call([])],
        "begin_attempt": [Call(BadInput, ("r", NOW))],
        "finish": [Call(BadInput, ("r", Outcome(status="failed"), NOW))],
        "create": [Call(OWN, ("r", "t", "mine", {}, TASK, NOW))],
    },
    SQLLedger: {
        "balances": [Call((), ("r",)), Call((), ("r/work",))],
        "usage": [Call(Usage(), ("r",))],
        "top_up": [Call(BadInput, ("r", Allowance(calls=1)))],
        "reserve": [Call(ReservationDenied("r", "closed"), ("entry", "r", 1, Amount(calls=1)))],
        "settle": [Call(None, ("entry", Usage(calls=1)))],
        "close": [Call(None, ("r", 1))],
        "open": [Call(OWN, ("r", Allowance(calls=1)))],
        "reopen": [Call(OWN, ("r", Allowance(calls=1)))],
    },
    SQLBudgets: {
        "listed": [Call([]), Call([], ("t",))],
        "find": [Call(None, ("t", "day")), Call(None, (None, None))],
        "set": [Call(None, (None,)), Call(OWN, (Allowance(calls=1),))],
        "limited": [Call((), ("t",))],
    },
    EventLog: {
        "store": [Call(OWN)],
    },
    EventStore: {
        "read": [Call([], ("r",))],
    },
    SQLBoards: {
        "last": [Call(None, (place, "k")) for place in (BOARD, SHARED)],
        "named": [Call(None, (place, "w")) for place in (BOARD, SHARED)],
        "entries": [Call([], (place,)) for place in (BOARD, SHARED)],
        "history": [Call([], (place, "k")) for place in (BOARD, SHARED)],
        "changes": [Call([], (place, 0)) for place in (BOARD, SHARED)],
        "names": [Call([], ("t",)), Call([], (None,))],
        "write": [Call(OWN, (place, BoardChange("k", "1", "mine", expect=0, name="w"))) for place in (BOARD, SHARED)],
    },
    SQLReputation: {
        "read": [Call({"worker": Reputation("worker")}, (["worker"],))],
        "listed": [Call([], (9,))],
        "forget": [Call(0, ("worker",)), Call(0, ("worker",), {"dry_run": True})],
        "record": [Call(OWN, ([SettledAward("r/1", "worker", True, 1.0, None, 0.5)],))],
    },
    SQLValues: {
        "read": [Call({}, ("rate",)), Call({}, ("rate", ["k"]))],
        "forget": [Call(False, ("rate", "k"))],
        "update": [Call(OWN, ("rate", ["k"], lambda there, _: {"k": [*there.values()]}))],
    },
    PublishedStore: {
        "add": [Call(UnknownThread, ("t", Event(type="item", source="shop", id="1")))],
        "after": [Call([], ("t", 0, 9))],
        "last": [Call(0, ("t",))],
        "note_read": [Call(None, ("t", 9))],
        "unread_threads": [Call([])],
    },
    SQLEffects: {
        "unknown": [Call([], (9,))],
        "stored": [Call([], (9,)), Call([], (9,), {"key": "open"}), Call([], (9,), {"thread_id": "t"})],
        "lock": [Call(True, ("held",))],
        "unlock": [Call(None, ("held",))],
        "end": [Call(None, ("open", "1"))],
        "forget": [Call(None, ("open",))],
        "begin": [Call(OWN, ("open", "r")), Call(OWN, ("done", "r"))],
    },
}
NO_READS: dict[type[Any], set[str]] = {
    SQLSaver: {
        "close", "flush_last", "from_url", "get_next_version", "reading_plain", "run_in_lane", "serde",
        "storing_along", "with_allowlist", "with_fence", "with_types",
    },
    SQLBoards: {"with_fence"},
    SQLLedger: {"alert_once", "draw_on", "keep_notes", "notes", "side_balances", "with_fence"},
    EventLog: {"add", "write_changes", "written"},
    SQLValues: {"now"},
}  # fmt: skip
"""The methods that touch no rows."""


def methods_of(kind: type[Any]) -> set[str]:
    """Return the public methods of a class; async twins are called with the arguments of their methods."""
    names = {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))}
    return names - NO_READS.get(kind, set())


def calls_of(kind: type[Any], name: str) -> list[Call]:
    known = CALLS[kind]
    return known.get(name) or known[name.removeprefix("a")]


def opened(kind: type[Any], engine: Engine, tenant: Any) -> Any:
    if kind is PublishedStore:
        return PublishedStore(engine, Codec(), tenant=tenant)
    if kind is EventStore:
        return EventStore(engine, Codec(), tenant=tenant)
    if kind is EventLog:
        return event_log(engine, tenant, "mine")
    return kind(engine, tenant=tenant or None if kind is SQLSaver else tenant)  # no empty one for a saver


def event_log(engine: Engine, tenant: str, goal: str) -> EventLog:
    """Return the log of a run, with an event that is not stored yet."""
    log = EventLog(engine, Codec(), "r", tenant=tenant)
    log.add(RunEvent(kind="agent_started", run_id="r", at=NOW, data={"goal": goal}))
    return log


@pytest.fixture(scope="module")
def engine(kept_url: str) -> Iterator[Engine]:
    """Give a database that is full of another tenant's data."""
    engine = engine_of(kept_url)
    saver = SQLSaver(engine, tenant=THEIRS)
    for name in ("1", "2"):
        saver.put(*put_of(name, {"x": ["theirs" * 100, name]}))
    saver.put_writes(SECOND, [("x", "theirs")], "task")
    store(saver, "t", {"x": "theirs"}, namespace="n")
    rows = RunStore(engine, tenant=THEIRS)
    rows.create("old", "t", "theirs", {}, TASK, NOW, claim=claiming("t", "old", tenant=THEIRS))
    rows.finish("old", Outcome(status="completed", value="theirs"), NOW)
    rows.create("r", "t", "theirs", {}, TASK, NOW, claim=claiming("t", "r", tenant=THEIRS))
    ledger = SQLLedger(engine, tenant=THEIRS)
    for account in ("r", "r/work"):
        epoch = ledger.open(account, Allowance(calls=9))
        ledger.reserve(f"{account} entry", account, epoch, Amount(calls=1))
    ledger.reserve("entry", "r", 1, Amount(calls=2))
    spend_shared(engine)
    event_log(engine, THEIRS, "theirs").store()
    for place in (BOARD, SHARED):
        SQLBoards(engine, tenant=THEIRS).write(place, BoardChange("k", '"theirs"', "theirs", name="w"))
    theirs = [SettledAward(key, name, False, 1.0, 2.0, 0.5) for key, name in (("r/1", "worker"), ("r/2", "theirs"))]
    SQLReputation(engine, tenant=THEIRS).record(theirs)
    SQLValues(engine, tenant=THEIRS).update("rate", ["k"], lambda *_: {"k": "theirs"})
    PublishedStore(engine, Codec(), tenant=THEIRS).add("t", Event(type="item", source="theirs", id="1"))
    effects = SQLEffects(engine, tenant=THEIRS)
    effects.begin("open", "r")
    effects.begin("done", "r")
    effects.end("done", '"theirs"')
    assert effects.lock("held")
    yield engine
    effects.unlock("held")
    delete_rows_of(engine, THEIRS)
    close_engine(engine)


def spend_shared(engine: Engine) -> None:
    """Spend under budgets of the tenant and the thread, of which an operator has capped one."""
    with write_transaction(migrate(engine)) as connection:
        fence = acquire(connection, Claim("t", "r", "test", 60, THEIRS))
    run = RunLedger(engine, "r2", tenant=THEIRS, fence=fence, is_new=True)
    epoch = run.open("r2", Allowance())
    run.draw_on("r2", [SideAccount("=tenant", "tenant", Allowance()), SideAccount("=thread", "thread", Allowance())])
    assert run.reserve("r2 entry", "r2", epoch, Amount(calls=1)) is None
    SQLBudgets(engine, tenant=THEIRS).set(Allowance(calls=9), "t", "day")


@pytest.fixture(params=OTHERS[2:4])
def other(request: pytest.FixtureRequest, engine: Engine) -> Iterator[str]:
    """Give another tenant, who has nothing."""
    yield request.param
    delete_rows_of(engine, request.param)


async def collected(found: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in found]


def result_of(store: Any, name: str, call: Call) -> Any:
    """Return what a method returns, or the class of what it raises."""
    options = dict(call.options)
    if isinstance(store, RunStore) and name == "create":
        options["claim"] = claiming("t", "r", tenant=store.tenant)
    try:
        found = getattr(store, name)(*call.args, **options)
        if inspect.isasyncgen(found):
            return asyncio.run(collected(found))
        found = asyncio.run(found) if inspect.iscoroutine(found) else found
        return list(found) if inspect.isgenerator(found) else found
    except (BadInput, UnknownThread) as error:
        return type(error)


METHODS = [(kind, name) for kind in CALLS for name in sorted(methods_of(kind))]


@pytest.mark.parametrize(
    ("other", "kind", "name"),
    [(other, *method) for other, method in zip(cycle(OTHERS), METHODS, strict=False)],
    indirect=["other"],
)
def test_a_tenant_meets_nothing_of_another(engine: Engine, other: str, kind: type[Any], name: str) -> None:
    before = rows_of_tenant(engine, THEIRS)
    assert len(before) == 19
    store = opened(kind, engine, other)

    for call in calls_of(kind, name):
        found = result_of(store, name, call)
        assert found == call.result or call.result is OWN, call
        assert "theirs" not in repr(found)

    assert rows_of_tenant(engine, THEIRS) == before
    mine = rows_of_tenant(engine, other)
    assert "theirs" not in repr(mine)
    assert bool(mine) == any(call.result is OWN for call in calls_of(kind, name))
    if isinstance(store, SQLEffects):
        store.unlock("held")
        assert not SQLEffects(engine, tenant=THEIRS).lock("held")
    if isinstance(store, SQLSaver):
        store.close()


def test_every_public_method_of_a_store_has_a_call() -> None:
    assert {kind: methods_of(kind) - {*calls, *(f"a{name}" for name in calls)} for kind, calls in CALLS.items()} == {
        kind: set[str]() for kind in CALLS
    }


def test_a_run_of_another_tenant_has_other_accounts_and_namespaces(engine: Engine, other: str) -> None:
    ledger = RunLedger(engine, "r", tenant=other)

    assert ledger.balances("r/work") == ()
    epoch = ledger.open("r", Allowance(calls=1))
    assert ledger.reserve("entry", "r", epoch, Amount(calls=1)) is None
    ledger.store()
    assert RunLedger(engine, "r", tenant=other).balances("r")[0].reserved.calls == 1
    assert SQLLedger(engine, tenant=THEIRS).balances("r")[0].reserved.calls == 4
    assert namespaces_of(engine, "t", tenant=other) == []


def test_two_tenants_use_the_same_ids_each_with_a_key_of_its_own(database_url: str) -> None:
    engine, keys = engine_of(database_url), {"a": b"a" * 32, "b": b"b" * 32}
    for tenant, key in keys.items():
        saver = SQLSaver(engine, tenant=tenant, key=key)
        store(saver, "t", {"x": tenant})
        claim = claiming("t", "r", tenant=tenant)
        RunStore(engine, tenant=tenant, codec=saver.codec).create("r", "t", tenant, {}, TASK, NOW, claim=claim)

    for tenant, key in keys.items():
        saver = SQLSaver(engine, tenant=tenant, key=key)
        assert [item.checkpoint["channel_values"] for item in saver.list(None)] == [{"x": tenant}]
        assert [row.graph for row in RunStore(engine, tenant=tenant, codec=saver.codec).list(9)] == [tenant]
    with pytest.raises(WrongKey):
        store(SQLSaver(engine, tenant="a", key=keys["b"]), "t", {"x": 1})
    close_engine(engine)


def test_who_names_no_tenant_is_the_one_without_a_name(database_url: str) -> None:
    with SQLSaver.from_url(database_url) as saver, SQLSaver.from_url(database_url, tenant=None) as unnamed:
        store(saver, "t")
        assert ids_in(unnamed.with_types(), None) == ids_in(saver, None) != []
        assert saver.tenant == ""


@pytest.mark.parametrize("kind", CALLS)
def test_a_tenant_is_an_id(sqlite_url: str, kind: type[Any]) -> None:
    engine = engine_of(sqlite_url)
    for tenant, reason in (("a\0", "holds a NUL"), ("a" * 256, "has 256 characters"), (7, "must be a str")):
        with pytest.raises(BadInput, match=f"`tenant` {reason}"):
            opened(kind, engine, tenant)
    close_engine(engine)
