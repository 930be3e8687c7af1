"""Eight threads at once on one saver, beside LangGraph's savers: `python -m bench.concurrent_threads`.

Each thread runs a graph of tiny state with `durability="sync"` in a thread of the process. It is wall-clock time, for
the disk is part of the subject.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from bench.checkpoints import thread_graph
from bench.measuring.contest import Contestant
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from bench.measuring.saver_contest import FULL, POSTGRES, VERSIONS, Pair, contest_of_savers

_QUANTITY = "ms a superstep of all"
_GOALS: dict[Pair, float | None] = {FULL: 1 / 2, POSTGRES: 1 / 4}


@click.command(help=__doc__)
@click.option("--threads", type=click.IntRange(min=1), default=8, show_default=True, help="Threads at once.")
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Supersteps of each.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Of the SQLite files.")
@common_options(rounds=5)
def main(threads: int, steps: int, folder: Path | None, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click
    def contestant(name: str, saver: Any) -> Contestant:
        return _contestant(name, saver, threads, steps)

    found = contest_of_savers(contestant, _GOALS, [_QUANTITY], folder=folder, rounds=rounds)
    show([Report(f"{threads} threads at once, {steps} supersteps each", *found)], versions=VERSIONS, as_json=as_json)


def _contestant(name: str, saver: Any, threads: int, steps: int) -> Contestant:
    graph = thread_graph(steps, says=None).compile(checkpointer=saver)

    def run(_: int) -> int:
        config: Any = {"configurable": {"thread_id": uuid4().hex}, "recursion_limit": steps + 2}
        return graph.invoke({"step": 0}, config, durability="sync")["step"]

    def measure() -> Mapping[str, float]:
        with ThreadPoolExecutor(threads) as pool:
            begun = time.perf_counter()
            ends = [*pool.map(run, range(threads))]
            took = time.perf_counter() - begun
        if ends != [steps] * threads:
            raise RuntimeError(f"{name} ended at {ends}")
        return {_QUANTITY: took * 1000 / steps}

    return Contestant(name, measure)


if __name__ == "__main__":
    main()
