"""The table of runs: what was accepted is there, newest first, and truthful about its end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from pydantic import JsonValue
from sqlalchemy import Connection, event

from guardgraph.state import (
    BadInput,
    Gap,
    Outcome,
    OutcomeStatus,
    RunUnfinished,
    StorageCorrupt,
    Task,
    Unserializable,
    Usage,
)
from guardgraph.storage import RunRow, RunStore
from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.tables import runs
from tests.storage.sql.leased import claiming, no_lease

NOON = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
TASK = Task(goal="compare", inputs={"n": [1, 2.5, None]}, categories=frozenset({"safety"}), stakes="high")


@pytest.fixture
def store(database_url: str) -> Iterator[RunStore]:
    engine = engine_of(database_url)
    yield RunStore(engine, tenant="")
    engine.dispose()


@pytest.fixture(params=["postgres", "mariadb"])
def shared_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


def create(store: RunStore, run_id: str, *, thread_id: str = "t", now: datetime = NOON) -> None:
    claim = claiming(thread_id, run_id, tenant=store.tenant)
    store.create(run_id, thread_id, "vendors", {"workers": 3}, TASK, now, claim=claim)


def test_an_accepted_run_is_there(store: RunStore) -> None:
    store.create("r", "t", "vendors", {"workers": 3, "names": ("a", "b")}, TASK, NOON, command=b"go", claim=no_lease)

    row = store.get("r")

    assert row is not None
    assert row == RunRow(
        run_id="r",
        thread_id="t",
        graph="vendors",
        arguments={"workers": 3, "names": ["a", "b"]},
        task=TASK,
        attempt=1,
        status=None,
        outcome=None,
        created=NOON,
        started=NOON,
        ended=None,
        base_checkpoint=None,
        version=row.version,
        command=b"go",
    )
    assert row.created.tzinfo is UTC
    assert row.version


def test_a_finished_run_gives_back_its_outcome(store: RunStore) -> None:
    outcome = Outcome(
        status="degraded",
        value={"report": ["x", 1]},
        gaps=(Gap(subtask="s1", agent="researcher", reason="timed out"),),
        usage=Usage(input_tokens=3, usd=Decimal("0.0000123"), calls=1),
    )
    create(store, "r")

    assert store.begin_attempt("r", NOON) == 2
    store.finish("r", outcome, LATER)

    row = store.get("r")
    assert row is not None
    assert (row.status, row.outcome) == ("degraded", outcome)
    assert (row.started, row.ended) == (NOON, LATER)


def test_a_run_that_works_again_does_not_look_finished(store: RunStore) -> None:
    create(store, "r")
    store.begin_attempt("r", NOON)
    store.finish("r", Outcome(status="escalated"), NOON)

    assert store.begin_attempt("r", LATER) == 3

    row = store.get("r")
    assert row is not None
    assert (row.status, row.outcome, row.started, row.ended) == (None, None, LATER, None)


def test_the_newest_run_of_a_thread_is_the_last_that_was_created_whatever_the_clock_says(store: RunStore) -> None:
    for run_id, now in (("z", LATER), ("a", NOON), ("m", NOON)):
        create(store, run_id, now=now)
        store.finish(run_id, Outcome(status="completed"), now)
    create(store, "other", thread_id="t2", now=LATER)

    latest = store.latest("t")

    assert latest is not None
    assert latest.run_id == "m"
    assert [row.run_id for row in store.list(9)] == ["other", "m", "a", "z"]
    assert store.latest("unknown") is None
    assert store.get("unknown") is None


def test_a_second_run_of_a_thread_is_refused_until_the_first_has_ended(store: RunStore) -> None:
    create(store, "a")
    with pytest.raises(RunUnfinished, match=r"thread 't' has a run that has not ended \('a'\)"):
        create(store, "b")
    create(store, "c", thread_id="other")
    store.finish("a", Outcome(status="cancelled"), NOON)
    create(store, "b")

    assert [row.run_id for row in store.list(9)] == ["b", "c", "a"]


def test_of_many_runs_that_are_accepted_at_once_on_a_thread_one_is(store: RunStore) -> None:
    migrate(store.engine)
    all_at_once = Barrier(6)

    def accept(number: int) -> bool:
        all_at_once.wait(60)
        try:
            create(store, str(number))
        except RunUnfinished:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(accept, range(6))) == 1


def test_a_run_that_another_process_accepts_meanwhile_is_noticed(shared_url: str) -> None:
    mine, other = (RunStore(engine_of(shared_url), tenant="") for _ in range(2))
    migrate(mine.engine)
    create(other, "before")
    other.finish("before", Outcome(status="completed"), NOON)
    claims, taken = claiming("t", "mine"), Barrier(2)

    def claim_late(connection: Connection) -> None:
        taken.wait(60)  # the other one has the lease, and commits while this one waits for it
        claims(connection)

    def accept_other(connection: Connection) -> None:
        claims(connection)
        taken.wait(60)
        time.sleep(0.3)

    try:
        with ThreadPoolExecutor(2) as pool:
            late = pool.submit(mine.create, "mine", "t", "vendors", {}, TASK, NOON, claim=claim_late)
            pool.submit(other.create, "other", "t", "vendors", {}, TASK, NOON, claim=accept_other).result()
            with pytest.raises(RunUnfinished, match=r"thread 't' has a run that has not ended \('other'\)"):
                late.result()
        assert [row.run_id for row in other.list(9)] == ["other", "before"]
    finally:
        mine.engine.dispose()
        other.engine.dispose()


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (2, ["r3", "r2"]), (9, ["r3", "r2", "r1", "r0"])])
def test_runs_are_listed_newest_first(store: RunStore, limit: int, expected: list[str]) -> None:
    for number in range(4):
        create(store, f"r{number}", thread_id=f"t{number}")

    assert [row.run_id for row in store.list(limit)] == expected


def test_runs_are_listed_by_how_they_ended(store: RunStore) -> None:
    ends: tuple[OutcomeStatus, ...] = ("failed", "completed", "failed")
    for number, status in enumerate(ends):
        create(store, f"r{number}")
        store.finish(f"r{number}", Outcome(status=status), NOON)
    create(store, "works")

    assert [row.run_id for row in store.list(9, "failed")] == ["r2", "r0"]
    assert [row.run_id for row in store.list(1, status="failed")] == ["r2"]


@pytest.mark.parametrize(("column", "value"), [("task", b"\0"), ("arguments", b"{"), ("created", 2**62)])
def test_a_damaged_row_names_its_run_and_hides_no_other(
    store: RunStore, column: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    create(store, "bad", thread_id="a")
    create(store, "good", thread_id="b")
    with write_transaction(store.engine) as connection:
        connection.execute(runs.update().where(runs.c.run_id == "bad").values({column: value}))

    with pytest.raises(StorageCorrupt, match="the row of run 'bad' of thread 'a' is damaged") as caught:
        store.latest("a")
    assert caught.value.thread_id == "a"
    assert [row.run_id for row in store.list(10)] == [row.run_id for row in store.unfinished()] == ["good"]
    assert "left out of a listing: the row of run 'bad'" in caplog.text


def test_json_of_models_and_users_comes_back_as_it_was(store: RunStore) -> None:
    odd: dict[str, JsonValue] = {
        "half": "\ud800",
        "nul": "\0",
        "none": math.nan,
        "endless": -math.inf,
        "big": 10**40,
        "ä": "\N{SNOWMAN}",
    }
    store.create("r", "t", "vendors", odd, Task(goal="\0 ä", inputs=odd), NOON, claim=no_lease)
    store.finish("r", Outcome(status="completed", value=odd), NOON)

    row = store.get("r")

    assert row is not None
    assert row.outcome is not None
    assert row.task.goal == "\0 ä"
    assert repr(row.arguments) == repr(row.task.inputs) == repr(row.outcome.value) == repr(odd)


def test_times_of_other_zones_are_kept_as_utc(store: RunStore) -> None:
    create(store, "r", now=NOON.astimezone(timezone(timedelta(hours=5))))

    row = store.get("r")

    assert row is not None
    assert row.created == NOON
    assert row.created.utcoffset() == timedelta(0)


def test_a_run_id_is_used_once(store: RunStore) -> None:
    create(store, "r")

    with pytest.raises(BadInput, match="there is a run 'r' already"):
        create(store, "r", thread_id="t2")

    assert [row.thread_id for row in store.list(9)] == ["t"]


def test_runs_that_are_accepted_at_once_take_one_transaction_each(store: RunStore) -> None:
    migrate(store.engine)
    all_at_once, commits = Barrier(6), list[object]()
    event.listen(store.engine, "commit", commits.append)
    event.listen(store.engine, "rollback", commits.append)

    def accept(thread: int) -> None:
        all_at_once.wait(60)
        for number in range(10):
            create(store, f"{thread}-{number}", thread_id=str(thread))
            store.finish(f"{thread}-{number}", Outcome(status="completed"), NOON)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(accept, range(6)))

    assert 60 < len(commits) <= 2 * 60, "ends that come at the same moment share one"
    assert len({row.run_id for row in store.list(99)}) == 60
    assert [row and row.run_id for row in map(store.latest, map(str, range(6)))] == [f"{n}-9" for n in range(6)]


def test_a_run_that_was_never_created_cannot_begin_or_end(store: RunStore) -> None:
    with pytest.raises(BadInput, match="there is no run 'r'; create it first"):
        store.begin_attempt("r", NOON)
    with pytest.raises(BadInput, match="there is no run 'r'; create it first"):
        store.finish("r", Outcome(status="failed"), NOON)


def test_what_cannot_be_stored_is_refused_before_the_database_is_asked(store: RunStore) -> None:
    with pytest.raises(Unserializable, match="cannot store the arguments of the graph as JSON"):
        store.create("r", "t", "vendors", {"build": print}, TASK, NOON, claim=no_lease)
    with pytest.raises(BadInput, match="`thread_id` has 256 characters"):
        create(store, "r", thread_id="x" * 256)
    with pytest.raises(BadInput, match="must be an aware datetime"):
        create(store, "r", now=NOON.replace(tzinfo=None))
    with pytest.raises(BadInput, match="`limit` must be a whole number that is not negative, got -1"):
        store.list(-1)

    assert store.list(9) == []
