"""What has happened in a run is stored with its checkpoints, and read again in the order in which it happened."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.types import interrupt
from sqlalchemy import Engine, delete, func, select

from guardgraph.agents import Agent
from guardgraph.graphs import Team, pipeline, supervisor
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import (
    BadInput,
    Plan,
    Request,
    RunEvent,
    StorageCorrupt,
    StorageUnavailable,
    StoredEvent,
    Subtask,
    WrongKey,
)
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import close_engine, engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.event_table import events
from guardgraph.storage.sql.events import EventLog, EventStore
from guardgraph.storage.sql.migrate import migrate
from tests.storage.sql.conftest import database_url, mariadb_url, postgres_url, sqlite_url

__all__ = ("database_url", "mariadb_url", "postgres_url", "sqlite_url")

ODD = "a\0b \ud800 \U0001f600 %s ' \" \\ \u2028"


def facts(found: list[Any]) -> list[Any]:
    return [(one.kind, one.run_id, one.at, one.path, one.data) for one in found]


def count(engine: Engine) -> int:
    with read_transaction(migrate(engine)) as connection:
        return connection.execute(select(func.count()).select_from(events)).scalar_one()


def planned(request: Request) -> Plan:
    one, two = Subtask(id="one", goal="one"), Subtask(id="two", goal="two", depends_on=("one",))
    return Plan(subtasks=(one, two) if request.round == 1 else ())


def teams() -> Any:
    """A team in a team, with model calls, and a budget that alerts."""
    model = ScriptedModel(replies=lambda messages: "said", input_tokens=90, output_tokens=10)
    worker = Agent("worker", run=lambda request: model.invoke("go", max_tokens=10).text)
    inner = supervisor(planner=Agent("planner", run=planned), workers=[worker], synthesizer=None, name="inner")
    return supervisor(
        planner=Agent("planner", run=planned),
        workers=[Agent("team", run=inner.compile())],
        synthesizer=None,
        guards=[Budget(tokens=250, reserve=0)],
        name="outer",
    )


def asking() -> Any:
    return pipeline([Agent("first", run=lambda _: "done"), Agent("asks", run=lambda _: interrupt("may I?"))])


def lost(node: Any) -> Any:
    """A graph of a node of the user's own, which does not lead to its end."""
    team = Team("own", guards=[], entry=lambda gate: "node", destinations=["node"])
    return team.add_node("node", node, destinations=["guard_exit"]).build()


GRAPHS = {"teams": teams, "asking": asking}


def test_what_is_stored_is_what_the_callback_received(database_url: str) -> None:
    seen: list[RunEvent] = []
    with Runner(database_url, graphs=GRAPHS, on_event=seen.append) as runner:
        run = runner.run("teams", "t", thread_id="t")
        stored = runner.events("t")

    assert facts(stored) == facts(seen)
    assert [one.number for one in stored] == [*range(1, len(seen) + 1)]
    assert {one.kind for one in stored} == {
        "run_started", "agent_started", "model_called", "agent_finished", "verdict", "run_finished",
    }  # fmt: skip
    assert {one.run_id for one in stored} == {run.run_id}
    assert max(len(one.path) for one in stored) == 3


def test_events_are_read_from_a_number_on(sqlite_url: str) -> None:
    with Runner(sqlite_url, graphs=GRAPHS) as runner:
        run = runner.run("teams", "t", thread_id="t")
        whole = runner.events("t")
        assert asyncio.run(runner.aevents("t", after=2, limit=3)) == whole[2:5]
        assert [event for after in range(len(whole)) for event in runner.events("t", after=after, limit=1)] == whole
        assert runner.events("t", after=len(whole)) == []
        runner.run("asking", "t", thread_id="t")
        assert runner.events("t", run_id=run.run_id) == whole
        assert runner.events("t") != whole
        with pytest.raises(BadInput, match=r"thread 't' has no run 'no'"):
            runner.events("t", run_id="no")


def test_a_run_that_waits_goes_on_in_the_same_log(database_url: str) -> None:
    seen: list[RunEvent] = []
    for options in ({}, {"answers": "yes"}):
        with Runner(database_url, graphs=GRAPHS, on_event=seen.append) as runner:
            if not options:
                run = runner.run("asking", "t", thread_id="t")
            else:
                run = runner.resume("t", answers={one.id: "yes" for one in runner.status("t").waiting})
            stored = runner.events("t")
            assert facts(stored) == facts(seen)

    assert run.status == "completed"
    assert [one.number for one in stored] == [*range(1, len(seen) + 1)]
    waits = [one.data["questions"] for one in stored if one.kind == "run_waiting"]
    assert len(waits) == 1
    assert [one.data["attempt"] for one in stored if one.kind == "run_started"] == [1, 2]


def test_what_has_happened_is_there_while_the_run_is_active(database_url: str) -> None:
    during: list[StoredEvent] = []

    def look(_: Request) -> str:
        with Runner(database_url) as other:
            during.extend(other.events("t"))
        return "looked"

    with Runner(database_url, graphs={}) as runner:
        runner.run(pipeline([Agent("first", run=lambda _: "done"), Agent("second", run=look)]), "t", thread_id="t")

    assert [(one.kind, *one.path[1:]) for one in during][-1] == ("agent_finished", "first")


def test_the_end_of_a_run_is_logged_also_where_no_node_does_so(sqlite_url: str) -> None:
    with Runner(sqlite_url, graphs=GRAPHS) as runner:
        assert runner.run(lost(lambda state: {}), "t", thread_id="ends").status == "failed"
        runner.run("asking", "t", thread_id="asks")
    seen: list[RunEvent] = []
    with Runner(sqlite_url, on_event=seen.append) as runner:
        assert runner.cancel("asks").status == "cancelled"
        last = [runner.events(thread)[-1] for thread in ("ends", "asks")]

    assert [(one.kind, one.data["status"]) for one in last] == [
        ("run_finished", "failed"),
        ("run_finished", "cancelled"),
    ]
    assert facts(last[1:]) == facts(seen)


def test_what_a_failed_graph_has_done_is_logged(sqlite_url: str) -> None:
    with Runner(sqlite_url) as runner:
        with pytest.raises(ZeroDivisionError):
            runner.run(lost(lambda state: 1 // 0), "t", thread_id="t")
        assert [one.kind for one in runner.events("t")] == ["run_started"]


def test_a_failed_transaction_loses_and_repeats_nothing(database_url: str) -> None:
    engine = engine_of(database_url)
    migrate(engine)
    log = EventLog(engine, Codec(), "r", tenant="")

    def add(*goals: str) -> None:
        for goal in goals:
            log.add(RunEvent(kind="verdict", run_id="r", at=datetime.now(UTC), data={"goal": goal}))

    def write_in_vain() -> None:
        with write_transaction(engine) as connection:
            log.write_changes(connection)
            add("4")
            log.write_changes(connection)
            raise ZeroDivisionError

    add("1", "2")
    log.store()
    add("3")
    with pytest.raises(ZeroDivisionError):
        write_in_vain()
    log.written(False)
    add("5")
    log.store()
    log.store()

    stored = EventStore(engine, Codec(), tenant="").read("r")
    assert [(one.number, one.data["goal"]) for one in stored] == [(number, str(number)) for number in range(1, 6)]
    close_engine(engine)


@pytest.mark.parametrize("before", [0, 2])
def test_a_commit_whose_answer_was_lost_repeats_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    engine = engine_of(sqlite_url)
    store = EventStore(engine, Codec(), tenant="")
    added = 0

    def add_to(log: EventLog, count: int) -> None:
        nonlocal added
        for _ in range(count):
            added += 1
            log.add(RunEvent(kind="verdict", run_id="r", at=datetime.now(UTC), data={"at": added}))

    @contextmanager
    def unanswered(*given: Any, **options: Any) -> Generator[Any]:
        with write_transaction(*given, **options) as connection:
            yield connection
        raise StorageUnavailable("the answer was lost")

    earlier = EventLog(engine, Codec(), "r", tenant="", is_new=True)
    add_to(earlier, before)
    earlier.store()
    log = EventLog(engine, Codec(), "r", tenant="")
    for _ in range(2):
        add_to(log, 2)
        with monkeypatch.context() as patch:
            patch.setattr("guardgraph.storage.sql.group_commit.write_transaction", unanswered)
            with pytest.raises(StorageUnavailable):
                log.store()
        add_to(log, 1)
        log.store()

    assert [one.data["at"] for one in store.read("r")] == [*range(1, added + 1)]
    close_engine(engine)


def test_many_large_events_are_several_rows(database_url: str) -> None:
    engine = engine_of(database_url)
    migrate(engine)
    log = EventLog(engine, Codec(), "r", tenant="", is_new=True)
    for number in range(30):
        log.add(RunEvent(kind="verdict", run_id="r", at=datetime.now(UTC), data={"at": number, "x": "x" * 600_000}))
    log.store()

    stored = EventStore(engine, Codec(), tenant="").read("r", after=3)
    assert [(one.number, one.data["at"]) for one in stored] == [(at + 1, at) for at in range(3, 30)]
    assert count(engine) == 30
    close_engine(engine)


def test_odd_texts_are_stored_as_they_are(database_url: str) -> None:
    def fail(_: Request) -> str:
        raise ValueError(ODD)

    seen: list[RunEvent] = []
    with Runner(database_url, on_event=seen.append) as runner:
        runner.run(pipeline([Agent("a", run=fail)]), "t", thread_id="t")
        assert facts(runner.events("t")) == facts(seen)
    assert any("\U0001f600" in str(one.data.get("error")) for one in seen)


def test_damage_is_found(database_url: str) -> None:
    with Runner(database_url, graphs=GRAPHS) as runner:
        run_id, engine = runner.run("asking", "t", thread_id="t").run_id, runner.saver.engine
        whole = select(events).where(events.c.run_id == run_id).order_by(events.c.upto)
        with read_transaction(engine) as connection:
            rows = [dict(row) for row in connection.execute(whole).mappings()]
        first, second, *_, last = rows
        for damaged in (
            [first, {**second, "data": second["data"][:-1] + b" "}, *rows[2:]],
            [first, {**second, "data": first["data"]}, *rows[2:]],
            [*rows[:-1], {**last, "upto": last["upto"] + 1}],
            [first, *rows[2:]],
            rows[1:],
        ):
            with write_transaction(engine) as connection:
                connection.execute(delete(events).where(events.c.run_id == run_id))
                connection.execute(events.insert(), damaged)
            with pytest.raises(StorageCorrupt, match="events") as caught:
                runner.events("t")
            assert (caught.value.thread_id, caught.value.column) == ("t", "events")


def test_a_copy_has_the_events_and_a_deleted_thread_has_none(database_url: str) -> None:
    with Runner(database_url, graphs=GRAPHS) as runner:
        runner.run("asking", "t", thread_id="t")
        origin = runner.events("t")
        runner.threads.copy("t", "copy")
        runner.threads.fork("t", new_thread="fork")
        copied = runner.events("copy")
        assert [one.model_copy(update={"run_id": ""}) for one in copied] == [
            one.model_copy(update={"run_id": ""}) for one in origin
        ]
        assert runner.events("fork") == []
        runner.resume("copy", answers={one.id: "yes" for one in runner.status("copy").waiting})
        assert runner.events("copy")[: len(origin)] == copied
        assert runner.events("t") == origin
        for thread in ("t", "copy", "fork"):
            runner.threads.delete(thread)
        assert count(runner.saver.engine) == 0


def test_events_are_encrypted(sqlite_url: str) -> None:
    with Runner(sqlite_url, graphs=GRAPHS, key=b"k" * 32) as runner:
        runner.run("asking", "secret", thread_id="t")
        runner.threads.copy("t", "copy")
        assert "secret" in repr(runner.events("t"))
        assert "secret" in repr(runner.events("copy"))
        with read_transaction(runner.saver.engine) as connection:
            assert b"secret" not in b"".join(connection.execute(select(events.c.data)).scalars())
    with Runner(sqlite_url) as runner, pytest.raises(WrongKey):
        runner.events("t")
