"""Whole threads: pruning, deleting, copying, forking and comparing them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from langgraph.channels import DeltaChannel
from langgraph.graph import END, START, StateGraph
from sqlalchemy import func, select, update
from typing_extensions import TypedDict

from guardgraph.state import (
    Allowance,
    Amount,
    BadInput,
    Outcome,
    RunUnfinished,
    StaleWriter,
    StorageCorrupt,
    Task,
    ThreadBusy,
    UnknownThread,
    WrongKey,
    new_id,
)
from guardgraph.storage import Retention, RunStore, SQLLedger, SQLSaver, Threads
from guardgraph.storage.sql.effects import SQLEffects
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.leases import Claim, acquire
from guardgraph.storage.sql.tables import checkpoints, metadata
from tests.storage.sql.leased import expire_leases
from tests.storage.sql.stored import config_of, id_of, ids_in, store

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = bytes(range(32))


@pytest.fixture
def threads(saver: SQLSaver) -> Threads:
    return Threads(saver)


def made_in(saver: SQLSaver, thread_id: str, steps: int = 4) -> list[Any]:
    """Store a thread whose list grows and whose large text changes, and return the configs of its checkpoints."""
    made: list[Any] = []
    log: list[str] = []
    for step in range(steps):
        log = [*log, f"{step} " + "x" * 300]
        values = {"log": log, "large": f"{step}" * 400, "small": step}
        made.append(store(saver, thread_id, values, parent=made[-1] if made else None, version=step + 1))
        saver.put_writes(made[-1], [("large", f"{step}" * 400)], "task")
    return made


def ended(saver: SQLSaver, thread_id: str, *, is_over: bool = True) -> str:
    """Store a run of a thread, with what it has booked, and return its id."""
    rows, ledger, run_id = (
        RunStore(saver.engine, tenant=saver.tenant, codec=saver.codec),
        SQLLedger(saver.engine, tenant=saver.tenant),
        new_id(),
    )
    rows.create(run_id, thread_id, "graph", {}, Task(goal="t"), NOW, claim=lambda _: None)
    epoch = ledger.open(run_id, Allowance(tokens=9))
    ledger.reserve(f"{run_id}#1", run_id, epoch, Amount(tokens=1))
    if is_over:
        rows.finish(run_id, Outcome(status="completed", value=1), NOW)
    return run_id


def counted(saver: SQLSaver) -> dict[str, int]:
    """Return how many rows each table has that has any."""
    with read_transaction(saver.engine) as connection:
        found = {
            table.name.removeprefix("guardgraph_"): connection.execute(
                select(func.count()).select_from(table)
            ).scalar_one()
            for table in metadata.sorted_tables
        }
    return {name: number for name, number in found.items() if number}


def taken(saver: SQLSaver, thread_id: str, owner: str = "somebody") -> Any:
    with write_transaction(saver.engine) as connection:
        return acquire(connection, Claim(thread_id, "r", owner, 60, saver.tenant))


def test_pruning_reports_what_it_removes_and_leaves_a_whole_thread(saver: SQLSaver, threads: Threads) -> None:
    made = made_in(saver, "t", 6)
    before = saver.get_tuple(made[-1])

    planned = threads.prune("t", Retention(keep=2), dry_run=True)
    assert ids_in(saver, config_of("t")) == [id_of(one) for one in reversed(made)]
    removed = threads.prune("t", Retention(keep=2))

    assert removed == planned
    assert (removed.checkpoints, removed.kept, removed.skipped) == (4, 2, None)
    assert removed.bytes > 4 * 400
    assert ids_in(saver, config_of("t")) == [id_of(made[5]), id_of(made[4])]
    assert saver.verify("t") == []
    kept = saver.get_tuple(made[-1])
    assert kept is not None
    assert before is not None
    assert (kept.checkpoint, kept.pending_writes) == (before.checkpoint, before.pending_writes)
    assert threads.prune("t", Retention(keep=2)).checkpoints == 0
    store(saver, "t", {"log": [*kept.checkpoint["channel_values"]["log"], "new"]}, parent=made[-1], version=9)
    assert saver.verify("t") == []


def test_pruning_by_age_uses_the_time_of_each_checkpoint(saver: SQLSaver, threads: Threads) -> None:
    made = made_in(saver, "t", 3)

    assert threads.prune("t", Retention(older_than=timedelta(days=1))).checkpoints == 0
    later = datetime.now(UTC) + timedelta(days=2)
    assert threads.prune("t", Retention(older_than=timedelta(days=1)), now=later).checkpoints == 2
    assert ids_in(saver, config_of("t")) == [id_of(made[-1])]


def test_forks_survive_pruning_again_and_again(saver: SQLSaver, threads: Threads) -> None:
    made = made_in(saver, "t", 5)
    fork = store(saver, "t", {"small": 7}, parent=made[1], version=20)
    last = store(saver, "t", {"small": 8}, parent=fork, version=21)
    kept = {id_of(last), id_of(made[4]), id_of(made[1])}

    for _ in range(2):
        threads.prune("t", Retention(keep=1))
        assert set(ids_in(saver, config_of("t"))) == kept
    head = saver.get_tuple(made[4])
    assert head is not None
    assert head.parent_config == config_of("t", checkpoint_id=id_of(made[1]))
    assert saver.verify("t") == []
    threads.prune("t", Retention(keep=1, keep_forks=False))
    assert ids_in(saver, config_of("t")) == [id_of(last)]


def extend(state: list[int], batches: Any) -> list[int]:
    return state + [item for batch in batches for item in batch]


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("way", ["prune", "fork", "copy"])
def test_a_delta_channel_is_the_same_afterwards(saver: SQLSaver, threads: Threads, way: str) -> None:
    State: Any = TypedDict(
        "State", {"plain": int, "log": Annotated[list[int], DeltaChannel(extend, snapshot_frequency=4)]}
    )
    graph = StateGraph(State)
    graph.add_node("one", lambda state: {"log": [1]})
    graph.add_node("two", lambda state: {"log": [2], "plain": 2})
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", END)
    compiled: Any = graph.compile(checkpointer=saver)
    for _ in range(5):
        compiled.invoke({"plain": 0}, config_of("t"))
    history = {
        one.config["configurable"]["checkpoint_id"]: one.values for one in compiled.get_state_history(config_of("t"))
    }
    newest = [*history][:3]

    thread = {
        "prune": lambda: threads.prune("t", Retention(keep=3)).thread_id,
        "fork": lambda: threads.fork("t"),
        "copy": lambda: threads.copy("t"),
    }[way]()

    assert [compiled.get_state(config_of(thread, checkpoint_id=one)).values for one in newest] == [
        history[one] for one in newest
    ]
    compiled.invoke({"plain": 0}, config_of(thread))
    assert compiled.get_state(config_of(thread)).values["log"] == [1, 2] * 6
    assert saver.verify(thread) == []


CHANGES: dict[str, Callable[[Threads], Any]] = {
    "prune": lambda threads: threads.prune("t", Retention(keep=1)),
    "delete": lambda threads: threads.delete("t"),
    "copy": lambda threads: threads.copy("t"),
    "fork": lambda threads: threads.fork("t"),
    "copied onto": lambda threads: threads.copy("other", "t"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_thread_on_which_somebody_works_is_left_alone(saver: SQLSaver, threads: Threads, change: str) -> None:
    made_in(saver, "other", 1)
    if change != "copied onto":
        made_in(saver, "t")
    taken(saver, "t")
    before = counted(saver)

    with pytest.raises(ThreadBusy, match="thread 't' is worked on by 'somebody'"):
        CHANGES[change](threads)
    for call in (saver.delete_thread, saver.repair, lambda thread: saver.prune([thread])):
        with pytest.raises(ThreadBusy):
            call("t")

    assert counted(saver) == before
    expire_leases(saver.engine)
    CHANGES[change](threads)
    assert counted(saver) != before


def test_a_run_that_has_not_ended_is_not_pruned_and_a_whole_database_is_gone_through(
    saver: SQLSaver, threads: Threads
) -> None:
    for thread in ("busy", "damaged", "ended", "open"):
        made_in(saver, thread)
    ended(saver, "ended")
    ended(saver, "open", is_over=False)
    taken(saver, "busy")
    damaged = checkpoints.c.checkpoint_id == ids_in(saver, config_of("damaged"))[0]
    with write_transaction(saver.engine) as connection:
        connection.execute(update(checkpoints).where(damaged).values(run_id="another"))

    with pytest.raises(RunUnfinished, match="thread 'open' has a run that has not ended"):
        threads.prune("open", Retention(keep=1))
    found = {one.thread_id: one for one in threads.prune_all(Retention(keep=1))}

    assert {name: type(one.skipped) for name, one in found.items() if one.skipped} == {
        "busy": ThreadBusy,
        "damaged": StorageCorrupt,
        "open": RunUnfinished,
    }
    assert (found["ended"].checkpoints, len(ids_in(saver, config_of("open")))) == (3, 4)
    assert threads.ids() == ["busy", "damaged", "ended", "open"]


def test_deleting_a_thread_leaves_nothing_of_it_but_its_effects(saver: SQLSaver, threads: Threads) -> None:
    effects = SQLEffects(saver.engine, tenant=saver.tenant)
    for thread in ("t", "kept"):
        made_in(saver, thread)
        effects.begin(f"mail of {thread}", ended(saver, thread))
    expected = {name: number // 2 for name, number in counted(saver).items()}

    planned = threads.delete("t", dry_run=True)
    assert counted(saver)["run"] == 2
    assert threads.delete("t") == planned

    assert (planned.checkpoints, planned.runs, planned.effects) == (4, 1, 0)
    assert counted(saver) == {**expected, "effect": 2}
    assert threads.delete("kept", with_effects=True).effects == 1
    assert counted(saver) == {"effect": 1}


def test_the_method_of_langgraph_deletes_the_runs_too(saver: SQLSaver) -> None:
    made_in(saver, "t")
    ended(saver, "t", is_over=False)

    saver.delete_thread("t")

    assert counted(saver) == {}


def test_a_writer_from_before_never_fits_a_lease_that_is_taken_after_a_deletion(
    saver: SQLSaver, threads: Threads
) -> None:
    made_in(saver, "t")
    before = taken(saver, "t")
    expire_leases(saver.engine)
    threads.delete("t")
    for _ in range(2):
        with write_transaction(saver.engine) as connection, pytest.raises(StaleWriter):
            before.check(connection)
        taken(saver, "t")


def test_a_fork_has_what_its_checkpoint_comes_from_and_goes_its_own_way(saver: SQLSaver, threads: Threads) -> None:
    made = made_in(saver, "t", 5)
    fork = store(saver, "t", {"small": 7}, parent=made[1], version=20)

    thread = threads.fork("t", checkpoint_id=id_of(made[3]), new_thread="fork")

    found = list(saver.list(config_of("fork")))
    origin = {id_of(one.config): one for one in saver.list(config_of("t"))}
    assert [id_of(one.config) for one in found] == [id_of(one) for one in reversed(made[:4])]
    assert [one.checkpoint for one in found] == [origin[id_of(one.config)].checkpoint for one in found]
    assert [len(one.pending_writes or ()) for one in found] == [0, 1, 1, 1]
    threads.delete("t")
    log = found[0].checkpoint["channel_values"]["log"]
    store(saver, thread, {"log": [*log, "new"]}, parent=config_of("fork", checkpoint_id=id_of(made[3])), version=30)
    assert saver.verify("fork") == []
    head = saver.get_tuple(config_of("fork"))
    assert head is not None
    assert head.checkpoint["channel_values"]["log"] == [*log, "new"]
    assert id_of(fork) not in ids_in(saver, None)


def test_a_copy_is_refused_where_it_would_mix_or_carry_on_damage(saver: SQLSaver, threads: Threads) -> None:
    made = made_in(saver, "t")
    made_in(saver, "u")
    with pytest.raises(BadInput, match="cannot copy thread 't' to 'u': that thread exists"):
        threads.copy("t", "u")
    with pytest.raises(BadInput, match="cannot copy thread 't' to 't'"):
        threads.fork("t", new_thread="t")
    with pytest.raises(BadInput, match="thread 't' has no checkpoint 'x'"):
        threads.fork("t", checkpoint_id="x")
    ended(saver, "begun", is_over=False)
    with pytest.raises(BadInput, match="cannot copy thread 't' to 'begun'"):
        threads.copy("t", "begun")

    for table in metadata.sorted_tables:
        if table.name in ("guardgraph_chunk", "guardgraph_blob"):
            with write_transaction(saver.engine) as connection:
                connection.execute(update(table).values(data=b"\x01!"))
    before = counted(saver)
    with pytest.raises(StorageCorrupt):
        threads.fork("t", checkpoint_id=id_of(made[-1]))
    assert counted(saver) == before


def test_a_run_whose_id_is_not_random_is_not_copied(saver: SQLSaver, threads: Threads) -> None:
    RunStore(saver.engine, tenant=saver.tenant).create(
        "run", "t", "graph", {}, Task(goal="t"), NOW, claim=lambda _: None
    )

    with pytest.raises(BadInput, match="run 'run' was not begun by a Runner"):
        threads.copy("t")


def test_checkpoints_are_compared_by_their_channels(saver: SQLSaver, threads: Threads) -> None:
    made = [store(saver, "t", {"a": 1, "b": [1], "branch:to:x": 1})]
    made.append(store(saver, "t", {"a": 2, "b": [1], "c": None}, parent=made[0], version=2))
    made_in(saver, "other", 1)

    found = threads.diff("t")
    assert (found.before, found.after) == (("t", id_of(made[0])), ("t", id_of(made[1])))
    assert [tuple(one) for one in found.changes] == [("a", "changed", 1, 2), ("c", "added", None, None)]
    back = threads.diff("t", id_of(made[1]), id_of(made[0])).changes
    assert [(one.channel, one.kind) for one in back] == [("a", "changed"), ("c", "removed")]
    assert threads.diff("t", other="t").changes == []
    assert {one.channel for one in threads.diff("t", other="other").changes} == {"a", "b", "c", "log", "large", "small"}
    with pytest.raises(BadInput, match="thread 'other' has one checkpoint only"):
        threads.diff("other")
    with pytest.raises(BadInput, match="thread 't' has no checkpoint 'x'"):
        threads.diff("t", "x")


def test_an_unknown_thread_is_an_error_and_no_other_tenant_is_touched(database_url: str) -> None:
    with SQLSaver.from_url(database_url) as mine, SQLSaver.from_url(database_url, tenant="acme") as theirs:
        made_in(theirs, "t")
        before = counted(mine)
        threads = Threads(mine)
        for call in (
            lambda: threads.prune("t", Retention(keep=1)),
            lambda: threads.delete("t"),
            lambda: threads.delete("t", dry_run=True),
            lambda: threads.copy("t"),
            lambda: threads.diff("t"),
            lambda: threads.check_stored("t"),
        ):
            with pytest.raises(UnknownThread, match="no thread 't' in"):
                call()
        assert (threads.ids(), Threads(theirs).ids()) == ([], ["t"])
        assert counted(mine) == before
        ended(mine, "t")
        Threads(theirs).delete("t")
        assert set(counted(mine)) == {"run", "account", "entry"}


def test_a_wrong_key_changes_nothing(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url, key=KEY) as sealed:
        made_in(sealed, "t")
    with SQLSaver.from_url(sqlite_url, key=bytes(32)) as wrong:
        threads = Threads(wrong)
        before = counted(wrong)
        for call in (
            lambda: threads.prune("t", Retention(keep=1), dry_run=True),
            lambda: threads.delete("t"),
            lambda: threads.fork("t"),
            lambda: wrong.verify("t"),
        ):
            with pytest.raises(WrongKey):
                call()
        assert counted(wrong) == before


async def test_the_async_twins_do_the_same(saver: SQLSaver, threads: Threads) -> None:
    made = made_in(saver, "t")

    assert await threads.aids() == ["t"]
    fork = await threads.afork("t", checkpoint_id=id_of(made[1]))
    assert await threads.acopy("t", "copy") == "copy"
    assert {one.channel for one in (await threads.adiff("t", other=fork)).changes} == {"log", "large", "small"}
    assert (await threads.aprune("t", Retention(keep=1))).checkpoints == 3
    found = {one.thread_id: one.checkpoints async for one in threads.aprune_all(Retention(keep=1))}
    assert found == {"copy": 3, fork: 1, "t": 0}
    assert (await threads.adelete("t")).checkpoints == 1
    assert threads.ids() == sorted(["copy", fork])
