"""Two sources state different prices: a resolver decides, or the outcome shows that nothing is decided.

Run it with `python examples/contradictions.py`.
"""

from __future__ import annotations

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.state import Claim, Plan, Reply, Request, Subtask

PAGES = {"contract": "12 USD", "website": "15 USD"}


def plan(request: Request) -> Plan:
    """Read both sources, once."""
    read = (Subtask(id=name, goal=f"Read the price on the {name}.") for name in PAGES)
    return Plan() if request.results else Plan(subtasks=tuple(read))


def read(request: Request) -> Claim:
    """State the price that one source has."""
    source = request.subtask.id if request.subtask else "website"
    return Claim(subject="Northwind", attribute="price per seat", value=PAGES[source])


def decide(request: Request) -> Reply:
    """Decide for the contract: it is binding."""
    binding = next(item for item in request.results if item.subtask == "contract")
    return Reply(value=binding.value, reasoning="the contract is binding")


def write(request: Request) -> str:
    """Write what was decided, and what was not."""
    decided = [Claim.model_validate(item.value) for item in request.results if item.sender == "judge"]
    return f"Northwind charges {decided[0].value}." if decided else f"Open: {request.gaps[-1].value}."


def main() -> None:
    """Run the same team with a resolver and without one."""
    for resolver in (Agent("judge", run=decide), None):
        team = supervisor(
            planner=Agent("planner", run=plan),
            workers=[Agent("reader", run=read)],
            synthesizer=Agent("writer", run=write),
            resolver=resolver,
        )
        outcome = team.compile().invoke({"task": "What does Northwind charge?"})["outcome"]
        print(f"{outcome.status}: {outcome.value}")


if __name__ == "__main__":
    main()
