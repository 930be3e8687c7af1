"""A fan-out of 1,000 `Send`s with a checkpointer, beside LangGraph's savers: `python -m bench.stored_fan_out`.

The workers return at once; `durability="sync"`. It is wall-clock time, for the disk is part of the subject.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import click
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from bench.measuring.contest import Contestant
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from bench.measuring.saver_contest import FULL, POSTGRES, VERSIONS, Pair, contest_of_savers

_QUANTITY = "ms a fan-out"
_GOALS: dict[Pair, float | None] = {FULL: 1 / 2, POSTGRES: 1 / 4}


class _State(TypedDict, total=False):
    goal: str
    found: Annotated[list[str], operator.add]


@click.command(help=__doc__)
@click.option("--workers", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Of the SQLite files.")
@common_options(rounds=5)
def main(workers: int, folder: Path | None, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it
    def contestant(name: str, saver: Any) -> Contestant:
        return _contestant(name, saver, workers)

    found = contest_of_savers(contestant, _GOALS, [_QUANTITY], folder=folder, rounds=rounds)
    show([Report(f"A stored fan-out of {workers} workers", *found)], versions=VERSIONS, as_json=as_json)


def _contestant(name: str, saver: Any, workers: int) -> Contestant:
    graph: Any = StateGraph(_State)
    graph.add_node("worker", lambda state: {"found": [state["goal"]]})
    sends = [Send("worker", {"goal": f"goal {number}"}) for number in range(workers)]
    graph.add_conditional_edges(START, lambda _: sends, ["worker"])
    graph.add_edge("worker", END)
    stored = graph.compile(checkpointer=saver)

    def measure() -> Mapping[str, float]:
        config: Any = {"configurable": {"thread_id": uuid4().hex}}
        begun = time.perf_counter()
        found = stored.invoke({"goal": "all"}, config, durability="sync")["found"]
        took = time.perf_counter() - begun
        if len(found) != workers:
            raise RuntimeError(f"{name} found {len(found)} of {workers}")
        return {_QUANTITY: took * 1000}

    return Contestant(name, measure)


if __name__ == "__main__":
    main()
