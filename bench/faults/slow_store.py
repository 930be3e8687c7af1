"""How much memory a long run takes while each commit is slow: `python -m bench.faults.slow_store --steps 10000`.

A graph of plain LangGraph counts to the number of steps, with the saver of guardgraph on SQLite. Each way of running
is a new process; its growth is that of its resident memory from the 500th step to the last.
"""

from __future__ import annotations

import asyncio
import operator
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import click
from langgraph.graph import END, START, StateGraph
from rich.console import Console
from rich.table import Table
from sqlalchemy import event
from typing_extensions import TypedDict

from guardgraph.storage import SQLSaver

_WARM = 500
"""Steps after which all that is made once has been made."""
_WAYS = ("invoke sync", "invoke async", "ainvoke sync", "ainvoke async")
"""LangGraph's method and its `durability`."""


class _State(TypedDict, total=False):
    step: int
    found: Annotated[list[int], operator.add]


def _memory(what: str) -> float:
    """Return the resident memory of this process (`VmRSS`) or its peak (`VmHWM`) in MB; of Linux alone."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1000


def _counting(steps: int, look: Callable[[], None]) -> Any:
    def count(state: _State) -> _State:
        step = state.get("step", 0) + 1
        if step == _WARM:
            look()
        return {"step": step}

    graph = StateGraph(_State)
    graph.add_node("count", count)
    graph.add_edge(START, "count")
    graph.add_conditional_edges("count", lambda state: END if state["step"] >= steps else "count", ["count", END])
    return graph


def _measure(way: str, steps: int, delay: float) -> float:
    """Return by how many MB this process has grown at most."""
    method, durability = way.split()
    seen: list[float] = []

    def look() -> None:
        seen.append(_memory("VmRSS"))

    with tempfile.TemporaryDirectory() as folder, SQLSaver(f"sqlite:///{folder}/slow.db") as saver:
        event.listen(saver.engine, "commit", lambda _: time.sleep(delay))
        graph = _counting(steps, look).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": steps + 10}
        if method == "invoke":
            result = graph.invoke({"step": 0}, config, durability=durability)
        else:
            result = asyncio.run(graph.ainvoke({"step": 0}, config, durability=durability))
        assert result["step"] == steps
        assert graph.get_state(config).values["step"] == steps
    return _memory("VmHWM") - seen[0]


@click.command(help=__doc__)
@click.option("--steps", type=click.IntRange(min=2 * _WARM), default=10_000, show_default=True)
@click.option("--delay", type=float, default=0.05, show_default=True, help="Seconds that each commit takes.")
@click.option("--way", type=click.Choice(_WAYS), hidden=True)
def main(steps: int, delay: float, way: str | None) -> None:
    if way:
        click.echo(_measure(way, steps, delay))
        return
    command = [sys.executable, "-m", "bench.faults.slow_store", "--steps", str(steps), "--delay", str(delay)]
    began = time.monotonic()
    processes = {each: subprocess.Popen([*command, "--way", each], stdout=subprocess.PIPE, text=True) for each in _WAYS}
    table = Table("method and durability", "MB grown", "seconds")
    for each, process in processes.items():
        answer = process.communicate()[0]
        table.add_row(each, f"{float(answer):.1f}", f"{time.monotonic() - began:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
