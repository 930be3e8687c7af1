"""Pure policies: may this go on?"""

from __future__ import annotations

from guardgraph.guards.allowed_tools import AllowedTools
from guardgraph.guards.applying import applying, bounds_of, side_budgets
from guardgraph.guards.authority import Authority
from guardgraph.guards.breaker import Breaker, breaker_of
from guardgraph.guards.budget import Budget
from guardgraph.guards.calls import ModelCall, ToolCall
from guardgraph.guards.checked import checked_guards, checked_own_guards, prices_of
from guardgraph.guards.circuit import Circuit, CircuitState
from guardgraph.guards.composition import AllOf, AnyOf, Composable, Only, conditions, leaves
from guardgraph.guards.confidence import Confidence
from guardgraph.guards.context import GuardContext, Subject, name_of
from guardgraph.guards.convergence import Convergence
from guardgraph.guards.cycle import Cycle
from guardgraph.guards.deadline import Deadline
from guardgraph.guards.depth import Depth
from guardgraph.guards.downgrade import Downgrade
from guardgraph.guards.evaluate import GuardDecision, alert_of, allowance_or_trip, evaluate_guards
from guardgraph.guards.function import FunctionGuard, guard
from guardgraph.guards.grounding import Grounding
from guardgraph.guards.guard import (
    AccountLimiter,
    AllowanceLimiter,
    Guard,
    SourceReader,
    caps_accounts,
    narrows_allowance,
    reads_sources,
)
from guardgraph.guards.injection import SHAPES, Injection, InjectionShape, find_injections
from guardgraph.guards.limits import Limits
from guardgraph.guards.on_trip import Escalate, Finish, OnTrip, Refuse, Retry
from guardgraph.guards.quotes import Lines, SourceText, flat, named_lines
from guardgraph.guards.repetition import Repetition
from guardgraph.guards.reviewable import REVIEWED_AT, Question, Reviewable, Unreviewed, check_review, reviewing
from guardgraph.guards.reviewed import Reviewed
from guardgraph.guards.schema import Schema
from guardgraph.guards.trust import Trust
from guardgraph.guards.velocity import Velocity

__all__ = (
    "REVIEWED_AT",
    "SHAPES",
    "AccountLimiter",
    "AllOf",
    "AllowanceLimiter",
    "AllowedTools",
    "AnyOf",
    "Authority",
    "Breaker",
    "Budget",
    "Circuit",
    "CircuitState",
    "Composable",
    "Confidence",
    "Convergence",
    "Cycle",
    "Deadline",
    "Depth",
    "Downgrade",
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
    "ModelCall",
    "OnTrip",
    "Only",
    "Question",
    "Refuse",
    "Repetition",
    "Retry",
    "Reviewable",
    "Reviewed",
    "Schema",
    "SourceReader",
    "SourceText",
    "Subject",
    "ToolCall",
    "Trust",
    "Unreviewed",
    "Velocity",
    "alert_of",
    "allowance_or_trip",
    "applying",
    "bounds_of",
    "breaker_of",
    "caps_accounts",
    "check_review",
    "checked_guards",
    "checked_own_guards",
    "conditions",
    "evaluate_guards",
    "find_injections",
    "flat",
    "guard",
    "leaves",
    "name_of",
    "named_lines",
    "narrows_allowance",
    "prices_of",
    "reads_sources",
    "reviewing",
    "side_budgets",
)
