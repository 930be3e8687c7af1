"""What a gate writes is what LangGraph makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.channels import BinaryOperatorAggregate
from langgraph.types import Overwrite

from guardgraph.nodes.state_update import StateUpdate
from guardgraph.state import add_counts, append_unique

LISTS = [["a"], [], Overwrite(["b"]), ("c",)]
DICTS = [{"a": 1}, {}, Overwrite({"b": 1}), {"__overwrite__": {"c": 1}}, {"type": "__overwrite__", "value": {"d": 1}}]


@pytest.mark.parametrize(
    ("name", "before", "value"),
    [("refused", before, value) for before in (None, [], ["z"]) for value in LISTS]
    + [("visits", before, value) for before in (None, {}, {"z": 1}) for value in DICTS],
)
@pytest.mark.parametrize("is_ours", [True, False], ids=["channel of every team", "channel of a pattern"])
def test_a_write_gives_what_the_channel_gives(name: str, before: Any, value: Any, *, is_ours: bool) -> None:
    kind, reducer = (list, append_unique) if name == "refused" else (dict, add_counts)
    name = name if is_ours else f"own_{name}"
    update = StateUpdate({name: before}, {name: BinaryOperatorAggregate[Any](kind, reducer)})
    channel = BinaryOperatorAggregate[Any](kind, reducer).from_checkpoint(kind() if before is None else before)
    channel.update([value])

    update.write(name, value)

    assert update.state[name] == channel.get()
    written = BinaryOperatorAggregate[Any](kind, reducer).from_checkpoint(kind() if before is None else before)
    written.update([update.values[name]] if name in update.values else [])
    assert written.get() == channel.get()


def test_a_write_of_nothing_is_none() -> None:
    channels = {"refused": BinaryOperatorAggregate[Any](list, append_unique)}
    update = StateUpdate({"refused": ["a"]}, channels)

    update.write("refused", [])

    assert update.values == {}
