"""What came of one attempt."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.plan import Subtask
from guardgraph.state.reply import Evidence
from guardgraph.state.usage import Usage

__all__ = ("AgentError", "ErrorKind", "Gap", "Result", "ResultStatus")

ResultStatus = Literal["ok", "partial", "failed", "timeout", "skipped", "provisional"]
ErrorKind = Literal["raised", "timeout", "deadline", "invalid", "stopped", "skipped", "team", "handoff"]


class Gap(FrozenModel):
    """Something that is missing from the outcome."""

    subtask: str
    """The id of what was to be done (the role, for a planner or synthesizer)."""
    agent: str | None = None
    """Who was to do it."""
    reason: str
    """Why it is missing."""
    guard: str | None = None
    """The guard that stopped it, if one did."""
    path: tuple[str, ...] = ()
    """The teams between the outcome's team and the gap, outermost first."""
    round: int = 1
    """The round in which it was found; of a gap from a nested team, the round of that team."""

    @property
    def owner(self) -> str:
        """The id of the subtask of the outcome's own team that leaves this open, where it has one."""
        return self.path[0].partition(":")[2] if self.path else self.subtask


class AgentError(FrozenModel):
    """Why an attempt gave no full answer."""

    kind: ErrorKind
    """`timeout` is its own, `deadline` the team's; `invalid` is unfit, `stopped` by allowance, `skipped` not begun;
    `handoff`: it wants others to take over."""
    message: str
    """What happened."""
    type: str = ""
    """The class name of the exception, if there was one."""
    where: str = ""
    """The line that raised it, as in `report.py:12 in fetch`, if there was one."""


class Result(FrozenModel):
    """A reply and the facts of the run that made it; one attempt gives one result."""

    id: str
    """Unique in the run and the same when a crashed attempt runs again."""
    agent: str
    """Who worked."""
    version: str = "1"
    """Which version of the agent."""
    subtask: str | None = None
    """The subtask it answers; `None` for a planner, a synthesizer or a stage."""
    round: int = 1
    """The round in which it was made."""
    attempt: int = 1
    """1 for the first attempt."""
    status: ResultStatus = "ok"
    """How it ended; `ok` and `partial` carry a value."""
    value: JsonValue = None
    """JSON data, also where the agent declares a model; `Model.model_validate(result.value)` makes it again."""
    evidence: tuple[Evidence, ...] = ()
    """What the value rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the agent is, from 0 to 1."""
    reasoning: str = ""
    """Why it answers so."""
    subtasks: tuple[Subtask, ...] = ()
    """What the agent would delegate."""
    handoff: tuple[str, ...] = ()
    """To whom the agent wants to hand over, where it answers with LangGraph's `Command(goto=…)`; a gate decides."""
    gaps: tuple[Gap, ...] = ()
    """What a nested team could not deliver."""
    stopped_by: str | None = None
    """The guard that stopped it or its nested team."""
    usage: Usage = Usage()
    """What it cost, including all that it delegated."""
    error: AgentError | None = None
    """Why it is not `ok`."""

    @property
    def has_value(self) -> bool:
        """Whether there is an answer that others may use once it is accepted."""
        return self.status in ("ok", "partial", "provisional")
