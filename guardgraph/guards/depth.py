"""A limit on levels of delegation."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Allowance, Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Depth",)


@dataclass(frozen=True, slots=True)
class Depth(Composable):
    """Refuse delegation below `limit` levels; the first team is level 0, its workers are level 1."""

    limit: int = 5
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"admission", "dispatch"})

    def __post_init__(self) -> None:
        check_fields(self, at_least={"limit": 0})

    def narrow(self, context: GuardContext) -> Allowance:
        """Return an allowance that ends at this depth."""
        return Allowance(depth=self.limit)

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where the subject's level is deeper than the allowance."""
        limit = self.limit if context.allowance.depth is None else context.allowance.depth
        reason = f"level {context.depth} is deeper than the {limit} levels allowed"
        return context.verdict(self, measured=context.depth, limit=limit, trips=context.depth > limit, reason=reason)
