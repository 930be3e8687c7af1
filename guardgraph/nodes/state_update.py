"""What a gate writes: the state after the writes, the update that leads to it, and the checks of a route's writes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

from langgraph.channels import BinaryOperatorAggregate, LastValue, Topic
from langgraph.channels.base import BaseChannel
from langgraph.types import Overwrite
from pydantic import TypeAdapter, ValidationError

from guardgraph.state import BadInput, RunState, error_text, merge_messages

__all__ = ("Channel", "StateUpdate", "may_overwrite", "short_repr")

Channel = BaseChannel[Any, Any, Any]

_WRITABLE = frozenset({"context", "gaps", "messages", "subtasks", "verdicts"})
_OWN = frozenset({*RunState.__annotations__, "remaining_steps"}) - _WRITABLE
"""Channels that only gates and agent nodes write."""
_OVERWRITE = ("__overwrite__", "type")
"""The keys by which LangGraph recognises an `Overwrite` that was stored as JSON."""
_HINTS = {
    "draft": "; `GateContext.conclude` takes a draft",
    "ending": "; `GateContext.stop` ends a run",
    "round": "; `GateContext.next_round` begins the next one",
}


class StateUpdate:
    """The writes of one gate, applied at once by the reducers of their channels.

    Several writes to one channel become one write with the same effect.
    """

    __slots__ = ("channels", "state", "values")

    def __init__(self, state: Mapping[str, Any], channels: Mapping[str, Channel]) -> None:
        self.channels = channels
        self.state: dict[str, Any] = dict(state)
        """The state after all writes."""
        self.values: dict[str, Any] = {}
        """The writes, by channel."""

    def write(self, name: str, value: Any) -> None:
        """Write to a channel. Raises `KeyError` where there is none, and whatever its reducer raises."""
        channel, before = self.channels[name], self.state.get(name)
        is_joined = isinstance(channel, BinaryOperatorAggregate)
        if is_joined and type(value) is type(before) and not value and name in RunState.__annotations__:
            return  # nothing is added
        self.state[name] = value if type(channel) is LastValue else _reduced(channel, before, value)
        self.values[name] = self._joined(channel, name, value) if name in self.values else value

    def write_checked(self, name: str, value: Any) -> None:
        """Write to a channel as a route may. Raises `BadInput` for a channel or a value that it may not write."""
        if name in _OWN:
            raise BadInput(f"wrote to {name!r}, which belongs to the gates{_HINTS.get(name, '')}")
        if name not in self.channels:
            known = ", ".join(sorted(set(self.channels) - _OWN))
            raise BadInput(f"wrote to {name!r}, which is no channel of the state; there are: {known}")
        adapter = _adapters().get(name)
        try:
            self.write(name, value if adapter is None else adapter.validate_python(value))
            if name == "messages":
                merge_messages([], value)
        except ValidationError as error:
            raise BadInput(f"wrote {short_repr(value)} to {name!r}: {error.errors()[0]['msg']}") from error
        except BadInput as error:
            raise BadInput(f"wrote {short_repr(value)} to {name!r}: {error}") from error
        except Exception as error:  # whatever a user's reducer raises
            what = f"wrote {short_repr(value)} to {name!r}, whose reducer raised {error_text(error)}"
            raise BadInput(what) from error

    def take_back(self, name: str, items: list[Any]) -> None:
        """Take items that were written to a list out of the update; they stay in `state`."""
        self.values[name] = [item for item in self.values.get(name) or () if item not in items]

    def _joined(self, channel: Channel, name: str, value: Any) -> Any:
        """Return one write with the effect of the earlier one to a channel, followed by `value`."""
        earlier, is_ours = self.values[name], name in RunState.__annotations__
        if isinstance(channel, Topic):
            return [*_as_list(earlier), *_as_list(value)]
        if is_ours and isinstance(earlier, list) and isinstance(value, list):
            return [*earlier, *value]
        if is_ours and isinstance(earlier, dict) and isinstance(value, dict) and earlier.keys().isdisjoint(value):
            return {**earlier, **value}
        if isinstance(channel, BinaryOperatorAggregate):  # whatever its reducer does
            return Overwrite(self.state[name])
        return value


def _reduced(channel: Channel, before: Any, value: Any) -> Any:
    """Return the value of a channel that holds `before` after `value` was written, as LangGraph computes it."""
    if isinstance(channel, BinaryOperatorAggregate) and before is not None and not may_overwrite(value):
        return channel.operator(before, value)
    now = channel.copy() if before is None else channel.from_checkpoint(before)
    now.update([value])
    return now.get()


def may_overwrite(value: Any) -> bool:
    """Return whether LangGraph may take a value for an `Overwrite`, of which a dict is a stored form."""
    return type(value) is not list and not (type(value) is dict and value.keys().isdisjoint(_OVERWRITE))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    """Return what each channel of the shared state takes."""
    return {name: TypeAdapter[Any](get_type_hints(RunState)[name]) for name in _WRITABLE}


def short_repr(value: object) -> str:
    """Return the `repr` of a value, cut to 80 characters."""
    try:
        text = repr(value)
    except Exception:  # whatever its class does
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:79]}…"
