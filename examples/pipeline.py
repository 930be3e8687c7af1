"""A pipeline of three stages: the second is optional and fails, the third is refused once and tries again.

Run it with `python examples/pipeline.py`.
"""

from __future__ import annotations

from typing import Any

from guardgraph.agents import Agent
from guardgraph.graphs import Stage, pipeline
from guardgraph.guards import Depth, GuardContext, Retry, Schema, guard
from guardgraph.state import Request


def collect(request: Request) -> list[str]:
    """Bring the prices."""
    return ["2.00", "2.40"]


def check(request: Request) -> list[str]:
    """Compare them with a register that does not answer."""
    raise ConnectionError("the register does not answer")


def write(request: Request) -> str:
    """Write one line; name the currency once somebody asks for it."""
    collected: Any = next(piece.value for piece in request.results if piece.sender == "collect")
    prices = " to ".join(collected)
    return f"{prices} USD" if request.feedback else prices


@guard(at="exit", on_trip=Retry(1))
def names_the_currency(view: GuardContext) -> str | None:
    """Refuse a draft without a currency; the text goes back to the last stage."""
    return None if "USD" in str(view.subject.value) else "name the currency"


def main() -> None:
    """Run the pipeline once and print what it says."""
    team = pipeline(
        [
            Agent("collect", run=collect, output=list[str], timeout=30),
            Stage(Agent("check", run=check, attempts=2), critical=False),
            Agent("write", run=write, output=str),
        ],
        guards=[Depth(), Schema(), names_the_currency],
    )
    outcome = team.compile().invoke({"task": "What do the vendors charge?"})["outcome"]
    print(outcome.status, "-", outcome.value)
    for gap in outcome.gaps:
        print("gap:", gap.agent, "-", gap.reason)


if __name__ == "__main__":
    main()
