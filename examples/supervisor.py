"""A guarded supervisor that needs no key: plan, work in parallel, review, write; one worker fails and is named.

Run it with `python examples/supervisor.py`.
"""

from __future__ import annotations

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Deadline, Depth, GuardContext, Retry, guard
from guardgraph.state import Plan, Request, Subtask

PRICES = {"Northwind": "2.00 USD", "Contoso": "2.40 USD, less than ACME"}


def plan(request: Request) -> Plan:
    """Ask for one search per vendor, and for nothing more once something is back."""
    if request.results or request.gaps:
        return Plan()
    vendors = ("Northwind", "Contoso", "Fabrikam")
    return Plan(subtasks=tuple(Subtask(id=name.lower(), goal=name, skill="search") for name in vendors))


def search(request: Request) -> str:
    """Look up the price of the vendor that the subtask names."""
    price = PRICES[request.goal]
    if request.feedback:  # the attempt before this one was refused
        price = price.partition(",")[0]
    return f"{request.goal} charges {price}"


def write(request: Request) -> str:
    """Put together what was accepted, and say what is missing."""
    found = "; ".join(str(piece.value) for piece in request.results)
    missing = ", ".join(piece.title for piece in request.gaps)
    return f"{found}. Not found: {missing}." if missing else f"{found}."


@guard(at="handoff", on_trip=Retry(1))
def names_no_rival(view: GuardContext) -> str | None:
    """Refuse what names a rival; the reason goes back to the worker."""
    return "names a rival: leave ACME out" if "ACME" in str(view.subject.value) else None


def main() -> None:
    """Run the team once and print what it says."""
    team = supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("researcher", run=search, skills={"search"})],
        synthesizer=Agent("writer", run=write),
        guards=[Depth(2), Budget(tokens=10_000), Deadline(60), Convergence(rounds=2), names_no_rival],
        concurrency=3,
    )
    states = list(team.compile().stream({"task": "What do the vendors charge?"}, stream_mode="values"))
    outcome = states[-1]["outcome"]
    print(outcome.status, "-", outcome.value)
    for gap in outcome.gaps:
        print("gap:", gap.subtask, "-", gap.reason)
    for verdict in states[-1]["verdicts"]:
        print("guard:", verdict.guard, verdict.action, verdict.subject, "-", verdict.reason)


if __name__ == "__main__":
    main()
