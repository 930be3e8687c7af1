"""No delegation without end."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Allowance, BadGraph, Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Depth",)


@dataclass(frozen=True, slots=True)
class Depth:
    """Refuse delegation below `limit` levels; the first team is level 0, its workers are level 1."""

    limit: int = 5
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"admission", "dispatch"})

    def __post_init__(self) -> None:
        check_fields(self)
        if self.limit < 0:
            raise BadGraph(f"`limit` must not be negative, got {self.limit!r}")

    def narrow(self, view: GuardContext) -> Allowance:
        """Return an allowance that ends at this depth."""
        return Allowance(depth=self.limit)

    def __call__(self, view: GuardContext) -> Verdict:
        """Trip where the subject's level is deeper than the allowance."""
        limit = self.limit if view.allowance.depth is None else view.allowance.depth
        reason = f"level {view.depth} is deeper than the {limit} levels allowed"
        return view.verdict(self, measured=view.depth, limit=limit, trips=view.depth > limit, reason=reason)
