"""What LangGraph passes to a node in its config without a public name; the tests show that it is still there."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

__all__ = ("channel_value", "has_answer", "has_called_a_graph", "is_resumed", "messages_before")

_RESUMING = "__pregel_resuming"
_READ = "__pregel_read"
_CHECKPOINTER = "__pregel_checkpointer"
_SCRATCHPAD = "__pregel_scratchpad"


def is_resumed(config: RunnableConfig) -> bool:
    """Return whether this execution of a node continues one that was interrupted, or that has crashed."""
    return bool((config.get("configurable") or {}).get(_RESUMING))


def has_called_a_graph(config: RunnableConfig) -> bool:
    """Return whether the code of this node has called a graph before it was interrupted, or has crashed.

    Such a graph does not run again: it returns what was stored. True where the checkpointer cannot be read here.
    """
    given = config.get("configurable") or {}
    saver: Any = given.get(_CHECKPOINTER)
    if not is_resumed(config) or not hasattr(saver, "get_tuple"):
        return False
    place = {"thread_id": given.get("thread_id"), "checkpoint_ns": given.get("checkpoint_ns", "")}
    try:
        return saver.get_tuple({"configurable": place}) is not None
    except Exception:  # an async saver, on its own loop
        return True


def messages_before(config: RunnableConfig) -> list[Any] | None:
    """Return the messages of the graph that this node has called before it was interrupted, or has crashed.

    Those of tools that have ended in its last step are among them. `None` where they cannot be read here.
    """
    given = config.get("configurable") or {}
    saver: Any = given.get(_CHECKPOINTER)
    place = {"thread_id": given.get("thread_id"), "checkpoint_ns": given.get("checkpoint_ns", "")}
    try:
        found = saver.get_tuple({"configurable": place})
    except Exception:  # an async saver, on its own loop
        return None
    written = [value for _, channel, value in found.pending_writes or () if channel == "messages"]
    stored = (found.checkpoint.get("channel_values") or {}).get("messages") or []
    return [*stored, *(one for value in written for one in (value if isinstance(value, list) else [value]))]


def channel_value(config: RunnableConfig, channel: str) -> Any:
    """Return the value of a channel of the state, for a node that was sent a part of it; `None` where there is none."""
    read: Any = (config.get("configurable") or {}).get(_READ)
    return None if read is None else read([channel]).get(channel)


def has_answer(config: RunnableConfig) -> bool:
    """Return whether the next `interrupt` of this execution of a node returns an answer at once."""
    scratchpad: Any = (config.get("configurable") or {}).get(_SCRATCHPAD)
    if scratchpad is None:
        return False
    return bool(scratchpad.resume) or scratchpad.get_null_resume(False) is not None
