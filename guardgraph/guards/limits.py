"""Caps on what is counted."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Allowance, Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Limits",)


@dataclass(frozen=True, slots=True)
class Limits(Composable):
    """Cap the subtasks, messages and model calls of the team and all teams below it; `None` sets no cap.

    `visits` is how often each gate of the team may be reached in one run before the run is concluded, not counting the
    attempts at planned subtasks, which the plan bounds; it holds also without this guard.
    """

    subtasks: int | None = 1_000
    messages: int | None = None
    calls: int | None = None
    visits: int = 100
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"dispatch"})

    def __post_init__(self) -> None:
        check_fields(self, at_least={"subtasks": 0, "messages": 0, "calls": 0, "visits": 1})

    def narrow(self, context: GuardContext) -> Allowance:
        """Return an allowance with these caps."""
        return Allowance(subtasks=self.subtasks, messages=self.messages, calls=self.calls)

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where nothing is left of a cap, of calls only of its own; messages are counted when they are sent."""
        for name in ("subtasks", "calls"):
            left, limit = getattr(context.remaining, name), getattr(context.allowance, name)
            is_others = name == "calls" and (self.calls is None or (limit is not None and limit < self.calls))
            if left is not None and left < 1 and not is_others:
                reason = f"the limit of {limit} {name} is used up"
                return context.verdict(self, trips=True, measured=left, limit=limit, reason=reason)
        return context.verdict(self, trips=False)
