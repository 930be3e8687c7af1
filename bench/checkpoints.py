"""Time of a checkpointed superstep, with SQLSaver and with LangGraph's own savers: `python -m bench.checkpoints`.

Each measurement runs one new thread with `durability="sync"`, and before it the same graph without a checkpointer; the
difference is what the checkpoints cost. It is wall-clock time, for the disk is part of the subject.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import click
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from bench.measuring.contest import Comparison, Contestant, Figures
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from bench.measuring.saver_contest import FULL, HELD, NORMAL, POSTGRES, VERSIONS, Pair, contest_of_savers

_ALL, _WRITE = "ms a superstep", "checkpoint ms a superstep"
_GOALS: dict[Pair, float | None] = {FULL: 1 / 1.6, NORMAL: 1.0, POSTGRES: 1 / 1.5, HELD: None}
"""For the whole thread where the state is tiny."""


class _State(TypedDict, total=False):
    step: int
    messages: Annotated[list[AnyMessage], add_messages]


@click.command(help=__doc__)
@click.option("--steps", type=click.IntRange(min=1), default=100, show_default=True, help="Supersteps of a thread.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the SQLite files go; the system's folder for temporary files by default.",
)
@common_options(rounds=7)
def main(steps: int, folder: Path | None, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    tiny = Report(
        f"A thread of {steps} supersteps that changes one number",
        *_contest(thread_graph(steps, says=None), steps, folder, rounds, _GOALS),
    )
    messages = Report(
        f"A thread of {steps} supersteps, each adds a message of 1 KB to a list",
        *_contest(thread_graph(steps, says=random.Random(1)), steps, folder, rounds, dict.fromkeys(_GOALS)),
    )
    show([tiny, messages], versions=VERSIONS, as_json=as_json)


def _contest(
    graph: Any, steps: int, folder: Path | None, rounds: int, goals: Mapping[Pair, float | None]
) -> tuple[Figures, list[Comparison], list[str]]:
    def contestant(name: str, saver: Any) -> Contestant:
        return _contestant(name, graph, saver, steps)

    return contest_of_savers(contestant, goals, [_ALL, _WRITE], folder=folder, rounds=rounds)


def thread_graph(steps: int, *, says: random.Random | None, at_each: Callable[[], None] = lambda: None) -> Any:
    """Return one node that goes round `steps` times; with `says` each round adds 1 KB that does not compress."""

    def work(state: _State) -> _State:
        at_each()
        step: _State = {"step": state.get("step", 0) + 1}
        return step if says is None else {**step, "messages": [HumanMessage(says.randbytes(512).hex())]}

    graph: Any = StateGraph(_State)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    graph.add_conditional_edges("work", lambda state: "work" if state["step"] < steps else END, ["work", END])
    return graph


def _contestant(name: str, graph: Any, saver: Any, steps: int) -> Contestant:
    bare, kept = graph.compile(), graph.compile(checkpointer=saver)

    def measure() -> Mapping[str, float]:
        config: Any = {"configurable": {"thread_id": uuid4().hex}, "recursion_limit": steps + 2}
        without = _time(lambda: bare.invoke({"step": 0}, {"recursion_limit": steps + 2}))
        both = _time(lambda: kept.invoke({"step": 0}, config, durability="sync"))
        stored = sum(1 for _ in saver.list(config))
        if stored != steps + 2:
            raise RuntimeError(f"{name} stored {stored} checkpoints instead of {steps + 2}")
        return {_ALL: both / steps, _WRITE: (both - without) / steps}

    return Contestant(name, measure)


def _time(work: Callable[[], Any]) -> float:
    """Return how long it takes, in milliseconds."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main()
