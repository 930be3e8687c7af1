"""Pure policies: may this go on?"""

from __future__ import annotations

from guardgraph.guards.authority import Authority
from guardgraph.guards.budget import Budget
from guardgraph.guards.checked import checked_guards, checked_own_guards
from guardgraph.guards.context import GuardContext, Subject, name_of
from guardgraph.guards.convergence import Convergence
from guardgraph.guards.deadline import Deadline
from guardgraph.guards.depth import Depth
from guardgraph.guards.evaluate import GuardDecision, allowance_or_trip, evaluate_guards
from guardgraph.guards.grounding import Grounding
from guardgraph.guards.guard import AllowanceLimiter, FunctionGuard, Guard, SourceReader, guard
from guardgraph.guards.injection import SHAPES, Injection, InjectionShape, find_injections
from guardgraph.guards.limits import Limits
from guardgraph.guards.on_trip import Escalate, Finish, OnTrip, Refuse, Retry
from guardgraph.guards.quotes import Lines, SourceText, flat, named_lines
from guardgraph.guards.schema import Schema
from guardgraph.guards.trust import Trust

__all__ = (
    "SHAPES",
    "AllowanceLimiter",
    "Authority",
    "Budget",
    "Convergence",
    "Deadline",
    "Depth",
    "Escalate",
    "Finish",
    "FunctionGuard",
    "Grounding",
    "Guard",
    "GuardContext",
    "GuardDecision",
    "Injection",
    "InjectionShape",
    "Limits",
    "Lines",
    "OnTrip",
    "Refuse",
    "Retry",
    "Schema",
    "SourceReader",
    "SourceText",
    "Subject",
    "Trust",
    "allowance_or_trip",
    "checked_guards",
    "checked_own_guards",
    "evaluate_guards",
    "find_injections",
    "flat",
    "guard",
    "name_of",
    "named_lines",
)
