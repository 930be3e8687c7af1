"""Parallel writes and replays come to the same lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Overwrite, Send
from typing_extensions import TypedDict

from guardgraph.state import Gap, Result, Verdict, add_counts, append_by_id, append_unique, merge_open
from guardgraph.storage.sql.codec.codec import Codec

Reducer = Callable[[Sequence[Any] | None, Sequence[Any] | None], list[Any]]

RESULTS = st.lists(st.builds(Result, id=st.sampled_from("abcd"), agent=st.sampled_from("xy")), max_size=6)
VERDICTS = st.builds(
    Verdict,
    guard=st.sampled_from("ab"),
    gate=st.just("round"),
    subject=st.just("s"),
    measured=st.sampled_from([1, True, 1.0, "1", [1], [True], {"a": 1}, None]),
)
ITEMS = st.lists(st.sampled_from("abcd") | VERDICTS, max_size=6)
WRITES = [(append_by_id, RESULTS), (append_unique, ITEMS)]
both = pytest.mark.parametrize(("reducer", "writes"), WRITES, ids=["append_by_id", "append_unique"])


@both
@given(data=st.data())
def test_it_does_not_matter_how_writes_are_grouped(reducer: Reducer, writes: Any, data: st.DataObject) -> None:
    first, second, third = reducer([], data.draw(writes)), data.draw(writes), data.draw(writes)

    assert reducer(reducer(first, second), third) == reducer(first, reducer(second, third))


@both
@given(data=st.data())
def test_the_same_write_twice_changes_nothing(reducer: Reducer, writes: Any, data: st.DataObject) -> None:
    before, write, later = reducer([], data.draw(writes)), data.draw(writes), data.draw(writes)
    after = reducer(reducer(before, write), later)

    assert reducer(after, write) == after
    assert reducer(after, after) == after


@both
@given(data=st.data())
def test_no_write_takes_away_or_moves_what_stands(reducer: Reducer, writes: Any, data: st.DataObject) -> None:
    before, write = data.draw(writes), data.draw(writes)
    kept = list(before)

    assert reducer(before, write)[: len(before)] == kept
    assert before == kept


@both
@given(data=st.data())
def test_no_list_is_an_empty_list(reducer: Reducer, writes: Any, data: st.DataObject) -> None:
    write = reducer([], data.draw(writes))

    assert reducer(write, None) == write
    assert reducer(None, write) == reducer([], write)
    assert reducer(None, None) == []


@given(ITEMS, ITEMS)
def test_an_item_is_new_when_no_item_equals_it(left: list[Any], right: list[Any]) -> None:
    expected = list(left)
    for item in right:
        if not any(item == known for known in expected):
            expected.append(item)

    assert append_unique(left, right) == expected


def test_different_results_of_one_id_both_stay_each_under_an_id_of_its_own() -> None:
    first, other = Result(id="a", agent="x"), Result(id="a", agent="y")

    merged = append_by_id([first], [other])

    assert merged[0] == first
    assert merged[1] == other.model_copy(update={"id": merged[1].id})
    assert merged[1].id.startswith("a~")
    assert append_by_id([], [first, other]) == append_by_id(merged, [other]) == merged


def test_counts_add_up_and_what_is_answered_is_taken_out() -> None:
    assert add_counts({"a": 1}, {"a": 2, "b": 1}) == {"a": 3, "b": 1}
    assert add_counts(None, None) == {}
    assert merge_open({"a": 1, "b": 2}, {"b": None, "c": 3}) == {"a": 1, "c": 3}
    assert merge_open(None, {"a": None}) == {}


@pytest.mark.parametrize(
    ("reducer", "items"),
    [
        (append_by_id, [Result(id=str(place), agent="x") for place in range(20_000)]),
        (append_unique, [Gap(subtask=str(place), reason="late") for place in range(20_000)]),
    ],
    ids=["append_by_id", "append_unique"],
)
def test_long_lists_take_no_quadratic_time(reducer: Reducer, items: list[Any]) -> None:
    assert reducer(items, items) == items
    assert reducer([], items) == items


class State(TypedDict, total=False):
    results: Annotated[list[Result], append_by_id]
    accepted: Annotated[list[str], append_unique]


class Sent(TypedDict):
    run: str
    id: str


def work(state: Sent) -> State:
    made = Result(id=f"{state['run']}/{state['id']}", agent="worker")
    return {"results": [made], "accepted": [made.id, "all"]}


def team() -> StateGraph[Any, Any, Any, Any]:
    """Three parallel workers behind an admission that empties the lists of an earlier run."""

    def admit(state: State, config: RunnableConfig) -> dict[str, Any]:
        return {"results": Overwrite([]), "accepted": Overwrite([])}

    def send(state: State, config: RunnableConfig) -> list[Send]:
        run = config.get("configurable", {})["run"]
        return [Send("work", {"run": run, "id": id_}) for id_ in "abc"]

    graph = StateGraph(State)
    graph.add_node("admit", admit)
    graph.add_node("work", work)
    graph.add_edge(START, "admit")
    graph.add_conditional_edges("admit", send, ["work"])
    graph.add_edge("work", END)
    return graph


def ids_of(state: dict[str, Any]) -> list[str]:
    return [result.id for result in state["results"]]


def test_parallel_writes_stand_in_the_order_they_were_sent() -> None:
    done = team().compile().invoke({}, {"configurable": {"run": "r"}})

    assert ids_of(done) == ["r/a", "r/b", "r/c"]
    assert done["accepted"] == ["r/a", "all", "r/b", "r/c"]


def test_an_overwrite_begins_a_second_run_on_the_thread_anew() -> None:
    graph = team().compile(checkpointer=InMemorySaver(serde=Codec()))

    graph.invoke({}, {"configurable": {"thread_id": "t", "run": "first"}})
    second = graph.invoke({}, {"configurable": {"thread_id": "t", "run": "second"}})

    assert ids_of(second) == ["second/a", "second/b", "second/c"]
    assert second["accepted"] == ["second/a", "all", "second/b", "second/c"]


def test_a_replay_from_any_checkpoint_comes_to_the_same_lists() -> None:
    graph = team().compile(checkpointer=InMemorySaver(serde=Codec()))
    config: RunnableConfig = {"configurable": {"thread_id": "t", "run": "r"}}
    done = graph.invoke({}, config)
    history = list(graph.get_state_history(config))

    for snapshot in history:
        again = graph.invoke(None, {"configurable": {**snapshot.config.get("configurable", {}), "run": "r"}})
        assert again == done
    assert len(history) == 4


def test_a_write_of_what_stands_already_changes_nothing() -> None:
    graph = team().compile(checkpointer=InMemorySaver(serde=Codec()))
    config: RunnableConfig = {"configurable": {"thread_id": "t", "run": "r"}}
    done = graph.invoke({}, config)

    graph.update_state(config, work({"run": "r", "id": "b"}), as_node="work")

    assert graph.get_state(config).values == done
