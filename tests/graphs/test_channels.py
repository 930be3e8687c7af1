"""A reducer that is called once a superstep gives what LangGraph's own channel gives."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langgraph.channels import BinaryOperatorAggregate
from langgraph.types import Overwrite

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.graphs.channels import ReducedOnce
from guardgraph.state import Result, append_by_id, merge_open

RESULTS = st.lists(st.builds(Result, id=st.sampled_from("abcd"), agent=st.sampled_from("xy")), max_size=6)


@given(st.lists(RESULTS, max_size=5), st.none() | st.integers(0, 5))
def test_a_list_that_is_reduced_once_a_superstep_is_the_same(writes: list[Any], overwritten: int | None) -> None:
    if overwritten is not None and overwritten < len(writes):
        writes[overwritten] = Overwrite(writes[overwritten])
    once, each = ReducedOnce(list, append_by_id), BinaryOperatorAggregate(list, append_by_id)

    assert once.update(writes) == each.update(writes)
    assert once.get() == each.get()


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 3))
        | st.builds(lambda value: {"__overwrite__": {"z": value}}, st.integers()),
        max_size=5,
    )
)
def test_a_dict_that_is_reduced_once_a_superstep_is_the_same(writes: list[dict[str, Any]]) -> None:
    if sum("__overwrite__" in write for write in writes) > 1:
        writes = writes[:1]
    once, each = ReducedOnce(dict, merge_open), BinaryOperatorAggregate(dict, merge_open)

    assert once.update(writes) == each.update(writes)
    assert once.get() == each.get()


def test_a_reducer_is_called_once_for_all_writes_of_a_superstep() -> None:
    calls = list[Any]()

    def reducer(left: list[Any], right: list[Any]) -> list[Any]:
        calls.append(right)
        return append_by_id(left, right)

    ReducedOnce(list, reducer).update([[Result(id=name, agent="x")] for name in "abc"])

    assert [[result.id for result in call] for call in calls] == [["a", "b", "c"]]


def test_the_lists_that_parallel_agents_write_are_such_channels() -> None:
    agent = Agent("a", run=lambda request: request.goal)

    channels = supervisor(planner=agent, workers=[Agent("b", run=lambda request: request.goal)]).channels

    assert {name for name, channel in channels.items() if isinstance(channel, ReducedOnce)} >= {"results", "requests"}
