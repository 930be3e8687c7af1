"""The channels of a team's state: reducers are called once a superstep, however many agents write."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from langgraph.channels import BinaryOperatorAggregate

from guardgraph.nodes.state_update import Channel, may_overwrite
from guardgraph.state import append_by_id, append_unique, merge_open

__all__ = ("ReducedOnce", "reduced_once")

_REDUCERS = (append_by_id, append_unique, merge_open)
"""Those that give the same for one joined write as for one write after the other."""


class ReducedOnce(BinaryOperatorAggregate[Any]):
    """A channel whose reducer is called once a superstep, with the lists (or dicts) written in it joined.

    LangGraph calls a reducer once a write, so n parallel agents would copy the value n times.
    """

    def update(self, values: Sequence[Any]) -> bool:
        """Reduce all writes of a superstep; where one is an `Overwrite`, or no plain list or dict, one by one."""
        if not values:  # LangGraph asks every channel in every superstep
            return False
        if len(values) > 1:
            if all(type(value) is list for value in values):
                values = [list(chain.from_iterable(values))]
            elif all(type(value) is dict and not may_overwrite(value) for value in values):
                values = [dict(chain.from_iterable(value.items() for value in values))]
        return super().update(values)


def reduced_once(channel: Channel) -> Channel:
    """Return the channel that does the same as `channel`, with fewer calls of its reducer if that is one of ours."""
    if type(channel) is not BinaryOperatorAggregate or channel.operator not in _REDUCERS:
        return channel
    batched = ReducedOnce(channel.typ, channel.operator)
    batched.key = channel.key
    return batched
