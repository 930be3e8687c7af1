"""One run of a graph: its task, its answers and its storage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.types import Command

from guardgraph.state import new_id
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.codec.graph_types import types_of_graph

__all__ = ("Answer", "Trial")

Answer = Callable[[Any], Any]
"""Returns the answer to an `interrupt`, from its value."""

_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a graph on a thread of its own."""

    build: Callable[[], StateGraph[Any, Any, Any, Any]]
    task: Any
    answer: Answer | None = None
    saver: Any = None
    store: Any = None
    url: str | None = None
    """The database of a `SQLSaver`, for the `Runner`."""
    thread_id: str = field(default_factory=new_id)

    @property
    def config(self) -> RunnableConfig:
        """The config of the run: its thread, if there is a checkpointer."""
        return {"configurable": {"thread_id": self.thread_id}} if self.saver is not None else {}

    @property
    def given(self) -> dict[str, Any]:
        """The input of the graph."""
        return {"task": self.task}

    def compiled(self, graph: StateGraph[Any, Any, Any, Any] | None = None) -> Any:
        """Return the graph (or one around it), compiled with the trial's saver and store.

        A `SQLSaver` stores the types that the graph names, as with a `Runner`.
        """
        built, saver = graph or self.build(), self.saver
        if isinstance(saver, SQLSaver):
            saver = saver.with_types(*types_of_graph(built))
        return built.compile(checkpointer=saver, store=self.store)

    def again(self, **changes: Any) -> Trial:
        """Return the same trial, with `changes`, on a new thread."""
        return replace(self, thread_id=new_id(), **changes)

    def answers(self, interrupts: Any, number: int) -> dict[str, Any]:
        """Return the answers to open interrupts, by id. Raises if there is no `answer`, or after too many rounds."""
        if self.answer is None:
            values = [interrupt.value for interrupt in interrupts]
            raise AssertionError(f"the graph interrupts with {values!r}; give `answer=`, which returns the answers")
        if number > _MOST_ROUNDS:
            raise AssertionError(f"the graph still interrupts after {_MOST_ROUNDS} rounds of answers")
        return {interrupt.id: self.answer(interrupt.value) for interrupt in interrupts}

    def resume(self, interrupts: Any, number: int) -> Command[Any]:
        """Return the answers as the input that resumes the thread."""
        return Command(resume=self.answers(interrupts, number))
