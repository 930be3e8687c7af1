"""The shared typed state of a team."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from guardgraph.state.attempt import ContextItem, Gap, Request, Result
from guardgraph.state.delegation import DelegationScope
from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.messages import MESSAGE_LIST, Documented, Messages, OptionalInput, TaskInput, merge_messages
from guardgraph.state.outcome import Outcome, OutcomeStatus
from guardgraph.state.reducers import add_counts, append_by_id, append_unique, merge_open
from guardgraph.state.task import Plan, Subtask, Task
from guardgraph.state.verdict import Verdict

__all__ = ("AgentInput", "EarlyStop", "RunState", "TeamInput", "TeamOutput")


if TYPE_CHECKING:
    _Task: TypeAlias = Task | dict[str, Any] | str
    _ContextItems: TypeAlias = list[ContextItem]
    _AnyMessages: TypeAlias = list[Any]
else:
    _Task, _ContextItems, _AnyMessages = TaskInput, OptionalInput[ContextItem], OptionalInput[Any]


class EarlyStop(FrozenModel):
    """Why a team stops early."""

    status: OutcomeStatus
    """The status of the outcome if there is a value; it is `failed` where there is none."""
    stopped_by: str | None = None
    """The guard that stopped it."""
    reason: str = ""
    """Why."""


class TeamInput(TypedDict, total=False):
    """The input of a team: a task (a `Task`, its fields as a dict, or just the goal) and background for it.

    Instead of a task there may be messages, the last of which that a human has sent is the goal.
    """

    task: Annotated[_Task, Documented()]
    background: Annotated[_ContextItems, Documented()]
    messages: Annotated[_AnyMessages, Documented(), WithJsonSchema(MESSAGE_LIST)]


class TeamOutput(TypedDict, total=False):
    """The output of a team: the outcome of its run, also as the last of the messages."""

    outcome: Outcome
    messages: Messages


class AgentInput(TypedDict, total=False):
    """What a gate sends to an agent node."""

    request: Request
    position: DelegationScope
    gate: str
    """The gate that waits for the opinion, where the agent is a reviewer."""


class RunState(TypedDict, total=False):
    """The state of a team while it runs. Lists grow by reducers; everything else has one writer."""

    task: Any
    """The task of the next run of the thread, until it is admitted."""
    background: Any
    """The background of that task, until it is admitted."""
    admitted: Task
    """The task that the team works on, once it was admitted."""
    attachments: dict[str, dict[str, Any]]
    """The content of the task's attachments, by the digests that replace it everywhere else in the state."""
    context: list[ContextItem]
    """What every agent is given besides the task: the background, and the earlier messages."""
    position: DelegationScope
    """The position of the team in the tree of teams, and what it may spend."""
    plan: Plan
    """The plan of this round."""
    subtasks: Annotated[list[Subtask], append_by_id]
    """Every subtask that was planned, each under the id by which results and gaps name it."""
    round: int
    """1 for the first plan."""
    results: Annotated[list[Result], append_by_id]
    """Every attempt of every worker or stage."""
    trusted_subtasks: Annotated[list[str], append_unique]
    """Ids of the subtasks that come from trusted plans; only gates write them, so no plan can name itself trusted."""
    accepted: Annotated[list[str], append_unique]
    """Ids of the results that others may see."""
    refused: Annotated[list[str], append_unique]
    """Ids of the results that are not used."""
    requests: Annotated[dict[str, Request | None], merge_open]
    """The requests of answers that were not reviewed yet, by the id of the result; a retry repeats the request."""
    plans: Annotated[list[Result], append_by_id]
    """Every attempt of the planner."""
    reviews: Annotated[list[Result], append_by_id]
    """Every attempt of every reviewer."""
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
    """The ids of the messages that the previous run had."""
