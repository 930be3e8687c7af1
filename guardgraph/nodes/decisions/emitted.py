"""What an agent may emit: only events of the types that were declared for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guardgraph.guards import GuardContext, OnTrip
from guardgraph.guards.on_trip import Retry
from guardgraph.state import Gate, Result, Verdict

__all__ = ("DeclaredEvents",)


@dataclass(frozen=True, slots=True)
class DeclaredEvents:
    """Refuse an answer that emits an event of a type that its agent does not declare; the agent may try again."""

    types: Mapping[str, frozenset[str]]
    """The types that each agent emits, by its name."""
    on_trip: OnTrip = Retry(0)
    gates = frozenset[Gate]({"handoff"})

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where a type is not declared."""
        result: Result = context.subject
        allowed = self.types.get(result.fallback_for or result.agent, frozenset[str]())
        odd = next((event.type for event in result.events if event.type not in allowed), None)
        known = ", ".join(map(repr, sorted(allowed))) or "no events"
        reason = f"{result.agent!r} emits {odd!r}, which is not declared in `emits`: it may emit {known}"
        return context.verdict(self, trips=odd is not None, reason=reason if odd is not None else "")
