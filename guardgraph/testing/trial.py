"""What is run, and on what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.types import Command

from guardgraph.state import new_id
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.codec.schemas import types_of_graph

__all__ = ("Answer", "Trial")

Answer = Callable[[Any], Any]
"""Answers what an agent asks by `interrupt`, from its value."""

_MOST_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: the graph, its task, who answers questions, and where it is kept."""

    build: Callable[[], StateGraph[Any, Any, Any, Any]]
    task: Any
    answer: Answer | None = None
    saver: Any = None
    store: Any = None
    url: str | None = None
    """The database of a saver of ours, for those who open it themselves."""
    thread_id: str = field(default_factory=new_id)

    @property
    def config(self) -> RunnableConfig:
        """What the run is told: its thread, where it is kept on one."""
        return {"configurable": {"thread_id": self.thread_id}} if self.saver is not None else {}

    @property
    def given(self) -> dict[str, Any]:
        """The input of the graph."""
        return {"task": self.task}

    def compiled(self, graph: StateGraph[Any, Any, Any, Any] | None = None) -> Any:
        """Return the graph (or one around it), compiled with the trial's saver and store.

        A saver of ours stores the types that the graph names, as with a `Runner`.
        """
        built, saver = graph or self.build(), self.saver
        if isinstance(saver, SQLSaver):
            saver = saver.with_types(*types_of_graph(built))
        return built.compile(checkpointer=saver, store=self.store)

    def again(self) -> Trial:
        """Return the same trial on a thread of its own."""
        return Trial(self.build, self.task, self.answer, self.saver, self.store, self.url)

    def answers(self, questions: Any, number: int) -> dict[str, Any]:
        """Return the answers to what is asked, by id. Raises where nobody answers, or the questions never end."""
        if self.answer is None:
            raise AssertionError(f"it asks {[question.value for question in questions]!r}, and no `answer=` is given")
        if number > _MOST_QUESTIONS:
            raise AssertionError(f"it still asks after {_MOST_QUESTIONS} answers")
        return {question.id: self.answer(question.value) for question in questions}

    def resume(self, questions: Any, number: int) -> Command[Any]:
        """Return the answers as the input that goes on with the thread."""
        return Command(resume=self.answers(questions, number))
