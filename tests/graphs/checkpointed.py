"""A team that stores every kind of word in its checkpoints, run on a checkpointer from a question to its end.

As a program it prints, for the savers that are installed, what came back from the checkpoints, and what was logged.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from guardgraph.agents import Agent
from guardgraph.guards import Budget, GuardContext, Retry, guard
from guardgraph.state import Request
from guardgraph.storage import SQLSaver
from tests.graphs.teams import plan_of, team, worker


class Seen(NamedTuple):
    """What a run on a checkpointer showed."""

    statuses: list[str]
    """How the two runs on the thread ended."""
    plain: list[str]
    """What holds plain data where a model was stored, in any checkpoint of any level: channels, and what is sent."""


@guard(at="handoff", on_trip=Retry(1))
def is_signed(view: GuardContext) -> str | None:
    """Refuse what is not signed."""
    return None if "signed" in str(view.subject.value) else "sign it"


def asks(request: Request) -> str:
    """Ask a human for a word, and sign only when it is told to."""
    word = interrupt(f"May I {request.goal}?")
    return f"{word}, signed" if request.feedback else word


def fails(request: Request) -> str:
    """Leave a gap."""
    raise ConnectionError("nobody is there")


def graph_of_all() -> StateGraph[Any, Any, Any, Any]:
    """Return a team with a team in it, questions, a refused result and a gap."""
    below = team(plan_of("x"), workers=[worker("asker", run=asks)], guards=[is_signed]).compile()
    staff = [Agent("team", run=below, skills={"below"}), worker("absent", run=fails, skills={"none"})]
    plans = plan_of("a", skill="below").model_copy(
        update={"subtasks": (*plan_of("a", skill="below").subtasks, *plan_of("b", skill="none").subtasks)}
    )
    return team(plans, workers=staff, guards=[Budget(tokens=10_000)])


def run_on(saver: BaseCheckpointSaver[Any]) -> Seen:
    """Run the team twice on one thread, answering what it asks."""
    graph: Any = graph_of_all().compile(checkpointer=saver)
    config: RunnableConfig = {"configurable": {"thread_id": "t"}}
    statuses: list[str] = []
    for _ in range(2):
        given: Any = {"task": "the task"}
        while (told := graph.invoke(given, config)).get("__interrupt__"):
            given = Command(resume={question.id: "yes" for question in told["__interrupt__"]})
        statuses.append(told["outcome"].status)
    stored = list(graph.checkpointer.list(config))
    assert {tuple(one.config["configurable"]["checkpoint_ns"].split(":")[:1]) for one in stored} == {("",), ("team",)}
    return Seen(statuses, sorted({name for one in stored for name in _plain_in(one)}))


def _plain_in(stored: CheckpointTuple) -> Iterator[str]:
    written = [(name, value) for _, name, value in stored.pending_writes or ()]
    for name, value in [*stored.checkpoint["channel_values"].items(), *written]:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Send):
                yield from (f"{item.node}.{key}" for key, sent in item.arg.items() if isinstance(sent, dict))
            elif isinstance(item, dict) and _is_plain(name, item):
                yield name


def _is_plain(name: str, item: dict[str, Any]) -> bool:
    if name == "requests":
        return any(isinstance(request, dict) for request in item.values())
    return name not in (START, "visits")


def savers() -> dict[str, Callable[[], BaseCheckpointSaver[Any]]]:
    """Return the savers that are installed, by name."""
    found: dict[str, Callable[[], BaseCheckpointSaver[Any]]] = {
        "memory": InMemorySaver,
        "ours": lambda: SQLSaver.from_url("sqlite://"),
    }
    if find_spec("langgraph.checkpoint.sqlite") is not None:
        stock: Any = import_module("langgraph.checkpoint.sqlite")
        found["sqlite"] = lambda: stock.SqliteSaver(sqlite3.connect(":memory:", check_same_thread=False))
    return found


def main() -> None:
    """Print what each saver showed, as JSON, with what the serializer logged."""
    said: list[str] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logging.getLogger("langgraph").addHandler(Noting())
    shown = {name: run_on(make())._asdict() for name, make in savers().items()}
    json.dump({"shown": shown, "said": said}, sys.stdout)


if __name__ == "__main__":
    main()
