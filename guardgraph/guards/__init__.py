"""Pure policies: may this go on?"""

from __future__ import annotations

from guardgraph.guards.budget import Budget
from guardgraph.guards.context import Subject, View
from guardgraph.guards.convergence import Convergence
from guardgraph.guards.deadline import Deadline
from guardgraph.guards.depth import Depth
from guardgraph.guards.evaluate import Judgement, judge, narrowed
from guardgraph.guards.grounding import Grounding
from guardgraph.guards.guard import FunctionGuard, Guard, Narrows, Reads, guard, name_of
from guardgraph.guards.limits import Limits
from guardgraph.guards.on_trip import Escalate, Finish, OnTrip, Refuse, Retry
from guardgraph.guards.quotes import Lines, SourceText, flat, named_lines
from guardgraph.guards.schema import Schema

__all__ = (
    "Budget",
    "Convergence",
    "Deadline",
    "Depth",
    "Escalate",
    "Finish",
    "FunctionGuard",
    "Grounding",
    "Guard",
    "Judgement",
    "Limits",
    "Lines",
    "Narrows",
    "OnTrip",
    "Reads",
    "Refuse",
    "Retry",
    "Schema",
    "SourceText",
    "Subject",
    "View",
    "flat",
    "guard",
    "judge",
    "name_of",
    "named_lines",
    "narrowed",
)
