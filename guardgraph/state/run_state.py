"""The shared typed state of a team."""

from __future__ import annotations

from typing import Annotated, Any

from typing_extensions import TypedDict

from guardgraph.state.outcome import Outcome, OutcomeStatus
from guardgraph.state.plan import Plan, Subtask
from guardgraph.state.position import Position
from guardgraph.state.reducers import add_distinct, add_new
from guardgraph.state.request import Piece, Request
from guardgraph.state.result import Gap, Result
from guardgraph.state.task import Task
from guardgraph.state.verdict import Verdict
from guardgraph.state.word import Word

__all__ = ("Ask", "Assignment", "Ending", "RunState", "Told")


class Ending(Word):
    """Why a team stops early."""

    status: OutcomeStatus
    """What the outcome will be called if there is a value to tell; `failed` where there is none."""
    stopped_by: str | None = None
    """The guard that stopped it."""
    reason: str = ""
    """Why."""


class Ask(TypedDict, total=False):
    """What a team is given: a task (a `Task`, its fields as a dict, or just the goal) and background for it."""

    task: Task | dict[str, Any] | str
    background: list[Piece]


class Told(TypedDict, total=False):
    """What a team tells: the outcome of its run."""

    outcome: Outcome


class Assignment(TypedDict, total=False):
    """What a gate sends to an agent node."""

    request: Request
    position: Position


class RunState(TypedDict, total=False):
    """What a team knows while it runs. Lists grow by reducers; everything else has one writer."""

    task: Task
    """What was asked."""
    background: list[Piece]
    """Context from outside the team."""
    position: Position
    """Where the team stands in the tree, and what it may spend."""
    plan: Plan
    """The plan of this round."""
    subtasks: Annotated[list[Subtask], add_new]
    """Every subtask that was planned, each under the id by which results and gaps name it."""
    round: int
    """1 for the first plan."""
    results: Annotated[list[Result], add_new]
    """Every attempt of every worker or stage."""
    accepted: Annotated[list[str], add_distinct]
    """Ids of the results that others may see."""
    refused: Annotated[list[str], add_distinct]
    """Ids of the results that nobody uses."""
    plans: Annotated[list[Result], add_new]
    """Every attempt of the planner."""
    gaps: Annotated[list[Gap], add_distinct]
    """What is missing."""
    verdicts: Annotated[list[Verdict], add_distinct]
    """Alerts and trips."""
    draft: Result | None
    """The synthesizer's answer."""
    ending: Ending | None
    """Why the team stops early."""
    outcome: Outcome
    """How it ended."""
