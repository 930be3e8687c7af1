"""Pure policies: may this go on?"""

from __future__ import annotations

from guardgraph.guards.authority import Authority
from guardgraph.guards.budget import Budget
from guardgraph.guards.checked import checked_guards, checked_own_guards
from guardgraph.guards.context import GuardContext, Subject, name_of
from guardgraph.guards.convergence import Convergence
from guardgraph.guards.deadline import Deadline
from guardgraph.guards.depth import Depth
from guardgraph.guards.evaluate import GuardDecision, alert_of, allowance_or_trip, evaluate_guards
from guardgraph.guards.grounding import Grounding
from guardgraph.guards.guard import AccountLimiter, AllowanceLimiter, FunctionGuard, Guard, SourceReader, guard
from guardgraph.guards.limits import Limits
from guardgraph.guards.on_trip import Escalate, Finish, OnTrip, Refuse, Retry
from guardgraph.guards.quotes import Lines, SourceText, flat, named_lines
from guardgraph.guards.schema import Schema

__all__ = (
    "AccountLimiter",
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
    "Limits",
    "Lines",
    "OnTrip",
    "Refuse",
    "Retry",
    "Schema",
    "SourceReader",
    "SourceText",
    "Subject",
    "alert_of",
    "allowance_or_trip",
    "checked_guards",
    "checked_own_guards",
    "evaluate_guards",
    "flat",
    "guard",
    "name_of",
    "named_lines",
)
