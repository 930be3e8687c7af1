"""Guards of your own: a function with a reason that goes back to the worker, and an object with a limit.

Run it with `python examples/own_guard.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Escalate, GuardContext, OnTrip, Retry, guard
from guardgraph.state import Gate, Plan, Reply, Request, Subtask, Verdict


@guard(at="handoff", on_trip=Retry(1))
def names_a_price(view: GuardContext) -> str | None:
    """Refuse an answer without a price; the text goes back to the worker."""
    return None if "USD" in str(view.subject.value) else "name the price in USD"


@dataclass(frozen=True)
class Sure:
    """Call a human for results of which nobody is at least `least` sure (0 to 1)."""

    least: float = 0.5
    on_trip: OnTrip = field(default_factory=Escalate)
    gates = frozenset[Gate]({"handoff"})

    def __call__(self, view: GuardContext) -> Verdict:
        """Trip below the limit; a result that says nothing of its confidence passes."""
        sure = view.subject.confidence
        trips = sure is not None and sure < self.least
        return view.verdict(self, trips=trips, measured=sure, limit=self.least, reason=f"only {sure} sure")


def plan(request: Request) -> Plan:
    """Ask for one search, once."""
    return Plan() if request.results else Plan(subtasks=(Subtask(id="price", goal="the price of Northwind"),))


def search(request: Request) -> Reply:
    """Answer badly at first, better with the reason, and never be quite sure."""
    value = "2.00 USD" if request.feedback else "it is cheap"
    return Reply(value=value, confidence=0.8)


def main() -> None:
    """Run the same team with a mild and with a strict limit."""
    for least in (0.5, 0.9):
        team = supervisor(
            planner=Agent("planner", run=plan),
            workers=[Agent("researcher", run=search)],
            guards=[names_a_price, Sure(least)],
        )
        outcome = team.compile().invoke({"task": "What does Northwind charge?"})["outcome"]
        print(f"at least {least:.0%} sure: {outcome.status}", outcome.value, *[gap.reason for gap in outcome.gaps])


if __name__ == "__main__":
    main()
