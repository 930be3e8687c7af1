"""What LangGraph passes to a node in its config without a public name; the tests show that it is still there."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig

__all__ = ("is_resumed",)

_RESUMING = "__pregel_resuming"


def is_resumed(config: RunnableConfig) -> bool:
    """Return whether this execution of a node continues one that was interrupted, or that has crashed."""
    return bool((config.get("configurable") or {}).get(_RESUMING))
