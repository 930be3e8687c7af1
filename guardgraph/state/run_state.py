"""The shared typed state of a team."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from guardgraph.state.delegation_scope import DelegationScope
from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.messages import MESSAGE_LIST, Documented, Messages, OptionalInput, TaskInput, merge_messages
from guardgraph.state.outcome import Outcome, OutcomeStatus
from guardgraph.state.plan import Plan, Subtask
from guardgraph.state.reducers import add_counts, append_by_id, append_unique, merge_open
from guardgraph.state.request import ContextItem, Request
from guardgraph.state.result import Gap, Result
from guardgraph.state.task import Task
from guardgraph.state.verdict import Verdict

__all__ = ("AgentInput", "EarlyStop", "RunState", "TeamInput", "TeamOutput")


if TYPE_CHECKING:
    _Task: TypeAlias = Task | dict[str, Any] | str
    _Pieces: TypeAlias = list[ContextItem]
    _Said: TypeAlias = list[Any]
else:
    _Task, _Pieces, _Said = TaskInput, OptionalInput[ContextItem], OptionalInput[Any]


class EarlyStop(FrozenModel):
    """Why a team stops early."""

    status: OutcomeStatus
    """What the outcome will be called if there is a value to tell; `failed` where there is none."""
    stopped_by: str | None = None
    """The guard that stopped it."""
    reason: str = ""
    """Why."""


class TeamInput(TypedDict, total=False):
    """What a team is given: a task (a `Task`, its fields as a dict, or just the goal) and background for it.

    Instead of a task there may be messages, the last of which that a human has sent is the goal.
    """

    task: Annotated[_Task, Documented()]
    background: Annotated[_Pieces, Documented()]
    messages: Annotated[_Said, Documented(), WithJsonSchema(MESSAGE_LIST)]


class TeamOutput(TypedDict, total=False):
    """What a team tells: the outcome of its run, also as the last of the messages."""

    outcome: Outcome
    messages: Messages


class AgentInput(TypedDict, total=False):
    """What a gate sends to an agent node."""

    request: Request
    position: DelegationScope


class RunState(TypedDict, total=False):
    """What a team knows while it runs. Lists grow by reducers; everything else has one writer."""

    task: Any
    """What the next run of the thread is given, until it is admitted."""
    background: Any
    """What it is given beside its task, until it is admitted."""
    admitted: Task
    """The task that the team works on: what it was given, once it was admitted."""
    context: list[ContextItem]
    """What every agent is told beside the task: the background that was given, and what else was said."""
    position: DelegationScope
    """Where the team stands in the tree, and what it may spend."""
    plan: Plan
    """The plan of this round."""
    subtasks: Annotated[list[Subtask], append_by_id]
    """Every subtask that was planned, each under the id by which results and gaps name it."""
    round: int
    """1 for the first plan."""
    results: Annotated[list[Result], append_by_id]
    """Every attempt of every worker or stage."""
    accepted: Annotated[list[str], append_unique]
    """Ids of the results that others may see."""
    refused: Annotated[list[str], append_unique]
    """Ids of the results that nobody uses."""
    requests: Annotated[dict[str, Request | None], merge_open]
    """What was asked of whom has answered and was not reviewed yet, by the id of the result: a retry asks it again."""
    plans: Annotated[list[Result], append_by_id]
    """Every attempt of the planner."""
    gaps: Annotated[list[Gap], append_unique]
    """What is missing."""
    verdicts: Annotated[list[Verdict], append_unique]
    """Alerts and trips."""
    draft: Result | None
    """The synthesizer's answer."""
    passed: Annotated[list[str], append_unique]
    """Ids of the drafts that the guards of `exit` let pass."""
    ending: EarlyStop | None
    """Why the team stops early."""
    visits: Annotated[dict[str, int], add_counts]
    """How often each gate was reached in this run."""
    unfit: str | None
    """What is wrong with the input, if it was not admitted."""
    outcome: Outcome
    """How it ended."""
    messages: Annotated[Messages, merge_messages]
    """The conversation with the team, over all runs of the thread."""
    seen: list[str]
    """The ids of the messages that the run before this one has known."""
