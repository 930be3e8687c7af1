"""What writes to LangGraph's stream of the mode `custom`, where it has a reader."""

from __future__ import annotations

from typing import Any

from langgraph.config import get_stream_writer
from langgraph.types import StreamWriter

__all__ = ("stream_writer",)


def stream_writer() -> StreamWriter | None:
    """Return what writes to the stream of the mode `custom`; `None` outside of a graph, and where it has no reader.

    LangGraph gives a node a function without effect then, so that an event would be made without a use.
    """
    try:
        writer = get_stream_writer()
    except (RuntimeError, KeyError):
        return None
    return None if _is_empty(writer) else writer


def _is_empty(function: Any) -> bool:
    """Whether a function has an empty body: it names nothing, has no closure, and no constant but `None`."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_consts == (None,) and not (code.co_names or code.co_freevars)
