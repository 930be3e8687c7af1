"""Deleting, copying and pruning."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langgraph.channels import DeltaChannel
from langgraph.graph import END, START, StateGraph
from sqlalchemy import func, select
from typing_extensions import TypedDict

from guardgraph.state import BadInput
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, writes
from tests.storage.sql.stored import config_of, id_of, ids_in, store


def rows(saver: SQLSaver) -> dict[str, int]:
    with read_transaction(saver.engine) as connection:
        return {
            table.name.removeprefix("guardgraph_"): connection.execute(
                select(func.count()).select_from(table)
            ).scalar_one()
            for table in (namespaces, checkpoints, chunks, blobs, writes)
        }


def thread_with(saver: SQLSaver, thread_id: str, steps: int, *, run_id: str = "run") -> list[Any]:
    made: list[Any] = []
    for step in range(steps):
        parent = made[-1] if made else None
        metadata = {"run_id": f"{run_id}{step}"}
        values = {"a": str(step) * 300, "b": ["x" * 300, step]}
        made.append(store(saver, thread_id, values, parent=parent, version=step + 1, metadata=metadata))
        saver.put_writes(made[-1], [("a", str(step) * 300)], "task")
    return made


def test_deleting_a_thread_leaves_no_row_of_it(saver: SQLSaver) -> None:
    thread_with(saver, "t", 3)
    store(saver, "t", {"a": 1}, namespace="child")
    kept = store(saver, "other", {"a": "x" * 300})

    saver.delete_thread("t")
    saver.delete_thread("unknown")

    assert ids_in(saver, None) == [id_of(kept)]
    assert rows(saver) == {"namespace": 1, "checkpoint": 1, "chunk": 0, "blob": 1, "write": 0}


def test_deleting_runs_leaves_what_others_need(saver: SQLSaver) -> None:
    made = thread_with(saver, "t", 3)

    saver.delete_for_runs(["run0", "run2", "unknown"])

    assert ids_in(saver, None) == [id_of(made[1])]
    assert rows(saver) == {"namespace": 1, "checkpoint": 1, "chunk": 1, "blob": 2, "write": 1}
    saver.delete_for_runs(["run1"])
    assert rows(saver) == {"namespace": 0, "checkpoint": 0, "chunk": 0, "blob": 0, "write": 0}


def test_a_copy_is_a_thread_of_its_own(saver: SQLSaver) -> None:
    made = thread_with(saver, "t", 3)
    store(saver, "t", {"a": 1}, namespace="child")
    saver.copy_thread("t", "copy")
    original = list(saver.list(config_of("t", namespace=None)))
    saver.delete_thread("t")

    copied = list(saver.list(config_of("copy", namespace=None)))

    assert [item.checkpoint for item in copied] == [item.checkpoint for item in original]
    assert [item.pending_writes for item in copied] == [item.pending_writes for item in original]
    assert copied[-2].parent_config == config_of("copy", checkpoint_id=id_of(made[0]))


def test_a_copy_never_mixes_two_threads(saver: SQLSaver) -> None:
    store(saver, "a")
    store(saver, "b")

    with pytest.raises(BadInput, match="cannot copy thread 'a' to 'b': that thread exists"):
        saver.copy_thread("a", "b")
    with pytest.raises(BadInput, match="cannot copy thread 'a' to 'a'"):
        saver.copy_thread("a", "a")


async def test_the_async_twins_do_the_same(saver: SQLSaver) -> None:
    made = thread_with(saver, "t", 3)
    store(saver, "gone", {"a": 1})

    await saver.adelete_thread("gone")
    await saver.acopy_thread("t", "copy")
    await saver.adelete_for_runs(["run0"])
    assert ids_in(saver, config_of("t")) == ids_in(saver, config_of("copy")) == [id_of(made[2]), id_of(made[1])]
    assert ids_in(saver, config_of("gone")) == []

    await saver.aprune(["copy"])
    assert ids_in(saver, config_of("copy")) == [id_of(made[2])]
    await saver.aprune(["copy"], strategy="delete")
    assert ids_in(saver, None) == [id_of(made[2]), id_of(made[1])]
    with pytest.raises(BadInput, match="cannot copy thread 't' to 't'"):
        await saver.acopy_thread("t", "t")


def test_copying_what_is_not_there_copies_nothing(saver: SQLSaver) -> None:
    saver.copy_thread("unknown", "t")

    assert rows(saver)["namespace"] == 0


def test_pruning_keeps_the_newest_of_each_namespace_with_its_writes(saver: SQLSaver) -> None:
    made = thread_with(saver, "t", 5)
    child = store(saver, "t", {"a": 1}, namespace="child")

    saver.prune(["t", "unknown"])

    assert set(ids_in(saver, config_of("t", namespace=None))) == {id_of(made[-1]), id_of(child)}
    assert rows(saver) == {"namespace": 2, "checkpoint": 2, "chunk": 1, "blob": 2, "write": 1}


def test_pruning_can_delete_threads(saver: SQLSaver) -> None:
    thread_with(saver, "t", 2)

    saver.prune(["t"], strategy="delete")

    assert rows(saver) == {"namespace": 0, "checkpoint": 0, "chunk": 0, "blob": 0, "write": 0}


def test_an_unknown_strategy_is_refused(saver: SQLSaver) -> None:
    with pytest.raises(BadInput, match="must be 'keep_latest' or 'delete', got 'all'"):
        saver.prune(["t"], strategy="all")


def extend(state: list[int], batches: Any) -> list[int]:
    return state + [item for batch in batches for item in batch]


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("frequency", [1, 3, 1000])
@pytest.mark.parametrize("runs", [1, 2, 7])
def test_pruning_never_changes_a_delta_channel(saver: SQLSaver, frequency: int, runs: int) -> None:
    fields = {
        "plain": int,
        "often": Annotated[list[int], DeltaChannel(extend, snapshot_frequency=frequency)],
        "never": Annotated[list[int], DeltaChannel(extend, snapshot_frequency=1000)],
    }
    State: Any = TypedDict("State", fields, total=False)  # pyright: ignore[reportArgumentType]  # they vary by test
    graph = StateGraph(State)
    graph.add_node("one", lambda state: {"often": [1], "never": [1]})
    graph.add_node("two", lambda state: {"often": [2], "plain": 2})
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", END)
    compiled: Any = graph.compile(checkpointer=saver)
    config = config_of("t")
    for _ in range(runs):
        compiled.invoke({"plain": 0}, config)
    before = compiled.get_state(config).values

    saver.prune(["t"])

    assert compiled.get_state(config).values == before
    assert before["often"] == [1, 2] * runs
    assert before["never"] == [1] * runs
    compiled.invoke({"plain": 0}, config)
    assert compiled.get_state(config).values["often"] == [1, 2] * (runs + 1)
