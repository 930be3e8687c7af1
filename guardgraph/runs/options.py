"""The options of the methods of a `Runner`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from guardgraph.state import Allowance

__all__ = ("ResumeOptions", "RunOptions")


class RunOptions(TypedDict, total=False):
    """Options of `run`, `arun`, `stream` and `astream`."""

    thread_id: str | None
    """The thread to run on; a new one by default. It may serve one task after the other; each is a run of its own."""
    arguments: Mapping[str, Any] | None
    """The arguments with which a registered graph is built."""
    context: Any
    """LangGraph's runtime context. It is not stored: give it to `resume`, too."""
    config: RunnableConfig | None
    """LangChain's: `callbacks`, `tags`, `metadata`, `run_name`, `max_concurrency` (64 by default), `recursion_limit`
    (none by default) and `configurable` entries of yours. What the runner sets itself wins, and a warning is logged. It
    is not stored: give it to `resume`, too."""


class ResumeOptions(TypedDict, total=False):
    """Options of `resume` and `aresume`."""

    answers: Mapping[str, Any] | None
    """The answers to open interrupts, by their ids."""
    add: Allowance | Mapping[str, Any] | None
    """Counts are added to what the run may spend. A `deadline` is until when it may work from now on, if that is later;
    every deadline below moves by as much. What is unlimited stays so."""
    context: Any
    """LangGraph's runtime context."""
    config: RunnableConfig | None
    """LangChain's; see `RunOptions`."""
