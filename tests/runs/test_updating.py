"""The id under which LangGraph stores what a caller's `Command` writes."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from guardgraph.runs.updating import NO_TASK


class State(TypedDict, total=False):
    note: str


def test_what_a_command_writes_is_stored_under_the_id_of_no_task() -> None:
    graph: Any = StateGraph(State)
    graph.add_node("ask", lambda state: {"note": interrupt("?")})
    graph.set_entry_point("ask")
    saver = InMemorySaver()
    compiled, config = graph.compile(checkpointer=saver), {"configurable": {"thread_id": "t"}}
    compiled.invoke({"note": "a"}, config)
    compiled.invoke(Command(update={"note": "b"}), config)

    stored: Any = saver.get_tuple(config)  # pyright: ignore[reportArgumentType]
    assert (NO_TASK, "note", "b") in stored.pending_writes
