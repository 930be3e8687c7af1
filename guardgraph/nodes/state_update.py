"""What a gate writes: the state as it will be, and the update that makes it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.channels import BinaryOperatorAggregate, LastValue, Topic
from langgraph.channels.base import BaseChannel
from langgraph.types import Overwrite

from guardgraph.state import RunState

__all__ = ("Channel", "StateUpdate")

Channel = BaseChannel[Any, Any, Any]


class StateUpdate:
    """The writes of one gate, applied at once by the reducers of their channels.

    What is written several times to one channel becomes one write, which does the same.
    """

    __slots__ = ("channels", "state", "values")

    def __init__(self, state: Mapping[str, Any], channels: Mapping[str, Channel]) -> None:
        self.channels = channels
        self.state: dict[str, Any] = dict(state)
        """The state, with all that was written."""
        self.values: dict[str, Any] = {}
        """What was written, by channel."""

    def write(self, name: str, value: Any) -> None:
        """Write to a channel. Raises `KeyError` where there is none, and whatever its reducer raises."""
        channel = self.channels[name]
        self.state[name] = _reduced(channel, self.state, name, value)
        if name not in self.values:
            self.values[name] = value
        elif isinstance(channel, BinaryOperatorAggregate) and name not in RunState.__annotations__:
            self.values[name] = Overwrite(self.state[name])  # whatever its reducer does
        else:
            self.values[name] = _joined(channel, self.values[name], value)

    def take_back(self, name: str, items: list[Any]) -> None:
        """Take items that were written to a list out of the update; the state keeps them."""
        self.values[name] = [item for item in self.values.get(name) or () if item not in items]


def _reduced(channel: Channel, state: Mapping[str, Any], name: str, value: Any) -> Any:
    """Return the value of a channel to which `value` is written, as LangGraph will compute it."""
    if isinstance(channel, LastValue):
        return value
    now = channel.from_checkpoint(state[name]) if state.get(name) is not None else channel.copy()
    now.update([value])
    return now.get()


def _joined(channel: Channel, first: Any, second: Any) -> Any:
    """Return one write that does what both do, one after the other."""
    if isinstance(channel, LastValue) or isinstance(second, Overwrite):
        return second
    if isinstance(first, Overwrite):
        before = channel.from_checkpoint(first.value)
        before.update([second])
        return Overwrite(before.get())
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    if isinstance(first, dict) and isinstance(second, dict) and not first.keys() & second.keys():
        return {**first, **second}
    if isinstance(channel, BinaryOperatorAggregate):
        return channel.operator(first, second)
    if isinstance(channel, Topic):
        return [*_listed(first), *_listed(second)]
    return second


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
