"""What a route writes to the state, checked: what would break the graph or spoil its state does not get through."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from guardgraph.nodes.state_update import StateUpdate
from guardgraph.state import BadInput, RunState, error_text, merge_messages

__all__ = ("checked_write", "shown")

_OWN = frozenset(
    {
        "accepted",
        "admitted",
        "background",
        "draft",
        "ending",
        "outcome",
        "passed",
        "plan",
        "plans",
        "position",
        "refused",
        "remaining_steps",
        "requests",
        "results",
        "round",
        "seen",
        "task",
        "unfit",
        "visits",
    }
)
"""Channels that only gates and agent nodes write."""
_HINTS = {
    "draft": "; `GateContext.conclude` takes a draft",
    "ending": "; `GateContext.stop` ends a run",
    "round": "; `GateContext.next_round` begins the next one",
}


def checked_write(update: StateUpdate, name: str, value: Any) -> None:
    """Write to a channel. Raises `BadInput` for one that is not there, belongs to the gates, or does not take it."""
    if name in _OWN:
        hint = _HINTS.get(name, "")
        raise BadInput(f"wrote to {name!r}, which belongs to the gates{hint}")
    if name not in update.channels:
        known = ", ".join(sorted(set(update.channels) - _OWN))
        raise BadInput(f"wrote to {name!r}, which is no channel of the state; there are: {known}")
    adapter = _adapters().get(name)
    try:
        update.write(name, value if adapter is None else adapter.validate_python(value))
        if name == "messages":
            merge_messages([], value)
    except ValidationError as error:
        raise BadInput(f"wrote {shown(value)} to {name!r}: {error.errors()[0]['msg']}") from error
    except BadInput as error:
        raise BadInput(f"wrote {shown(value)} to {name!r}: {error}") from error
    except Exception as error:  # whatever a reducer of the user's raises
        raise BadInput(f"wrote {shown(value)} to {name!r}, whose reducer raised {error_text(error)}") from error


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    """Return what each channel of the shared state takes."""
    hints = get_type_hints(RunState, include_extras=False)
    return {name: TypeAdapter[Any](hint) for name, hint in hints.items() if get_args(hint) or isinstance(hint, type)}


def shown(value: object) -> str:
    """Return a value as a message shows it."""
    try:
        text = repr(value)
    except Exception:  # whatever its class does
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:79]}…"
