"""Draw a supervisor with a nested pipeline: as text on the terminal, and as a page for the browser.

Run it with `python examples/pictures.py`; it writes `vendors.html` and `vendors.svg` (needs the extra `draw`). The
picture of the README is made of the same module by the command:
`guardgraph graph show examples.pictures:team --direction right --out docs/supervisor.svg`.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import Stage, draw, pipeline, supervisor
from guardgraph.guards import Budget, Convergence, Depth, Grounding, Schema


def team() -> StateGraph[Any, Any, Any, Any]:
    """Return the supervisor of the README."""
    return supervisor(
        planner=Agent("planner", run=str),
        workers=[Agent("researcher", run=str), Agent("analyst", run=str)],
        synthesizer=Agent("writer", run=str),
        guards=[Depth(2), Budget(usd="2.00"), Convergence(rounds=2), Schema(), Grounding({})],
    )


def vendors() -> StateGraph[Any, Any, Any, Any]:
    """Return a supervisor one of whose workers is a pipeline."""
    reading = pipeline(
        [Agent("extract", run=str), Stage(Agent("translate", run=str, attempts=2), critical=False)], name="reading"
    )
    return supervisor(
        planner=Agent("planner", run=str),
        workers=[Agent("searcher", run=str, skills={"search"}), Agent("reader", run=reading.compile())],
        synthesizer=Agent("writer", run=str),
    )


def main() -> None:
    """Draw the graph, with the inside of its pipeline."""
    picture = draw(vendors(), xray=True, title="vendors")
    print(picture.text)
    for file in ("vendors.html", "vendors.svg"):
        picture.save(file)
        print("written:", file)


if __name__ == "__main__":
    main()
