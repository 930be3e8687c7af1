"""No delegation in a cycle."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Cycle",)


@dataclass(frozen=True, slots=True)
class Cycle(Composable):
    """Refuse a delegation that gives a team or an agent work which it has already passed on in the same chain.

    It is the same work where goal, inputs and attachments of the task, its background, and goal and inputs of the
    subtask are the same, whatever case and white space; so a recursion on other inputs passes, and so do a retry,
    another round and a second agent, which are no links of one chain. A goal in other words is other work: `Depth`
    limits that. The chain goes through nested teams, and through functions and tools that call a team.

    It lets through `split(page 1) -> split(page 2)`, and stops `sales -> support -> sales` with the same question.
    """

    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"admission", "dispatch"})

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where the link that the subject adds is in the chain above it."""
        link, chain = context.delegation, context.chain
        if link is None or link not in chain:
            return context.verdict(self, trips=False)
        names = [one.agent for one in (*chain[chain.index(link) :], link)]
        reason = f"{link.agent!r} would get the work again that it has passed on: {' -> '.join(names)}"
        return context.verdict(self, trips=True, measured=len(names) - 1, reason=reason)
