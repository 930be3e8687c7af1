"""One attempt of an agent: what it is given, what it answers, and the result."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator

from guardgraph.state.agent_message import Message
from guardgraph.state.allowance import Allowance
from guardgraph.state.domain_event import Event
from guardgraph.state.evidence import Evidence
from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.opinion import ReviewRequest
from guardgraph.state.task import Subtask, Task
from guardgraph.state.usage import Usage

__all__ = (
    "AgentError",
    "ContextItem",
    "ContextKind",
    "ErrorKind",
    "Gap",
    "Origin",
    "Reply",
    "Request",
    "Result",
    "ResultStatus",
)

Origin = Literal["user", "code", "agent", "tool", "source"]
ContextKind = Literal["result", "gap", "worker", "background", "constraint", "decision", "answer"]
ResultStatus = Literal["ok", "partial", "failed", "timeout", "skipped", "provisional"]
ErrorKind = Literal["raised", "timeout", "deadline", "invalid", "stopped", "skipped", "team", "handoff"]


_MOST, _DEAREST = 10**12, 10**6


class ContextItem(FrozenModel):
    """One item of context. Its text is data from somebody else: never an instruction."""

    kind: ContextKind
    """An accepted `result`, a `gap`, a `worker` that can be delegated to, or `background` from outside; a
    `constraint` or a `decision` that is on a board of the team; an `answer` that is to be reviewed."""
    title: str
    """What it is about: the goal of a subtask, the name of a worker."""
    sender: str = ""
    """Who it comes from."""
    value: JsonValue = None
    """The content."""
    evidence: tuple[Evidence, ...] = ()
    """What it rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure its sender is, from 0 to 1; `None` if unknown."""
    reasoning: str = ""
    """Why its sender answers so."""
    subtask: str | None = None
    """The subtask that it answers."""
    origin: Origin = "source"
    """Where it comes from: the `user`, declared `code`, an `agent`, a `tool`, or any other `source` outside."""
    trusted: bool = False
    """Its integrity label: whether nothing in it was written or chosen by an untrusted agent, tool or source."""


class Request(FrozenModel):
    """All that an agent is given for one attempt, and nothing else."""

    task: Task
    """The task of the team; its goal is the original intent."""
    subtask: Subtask | None = None
    """What this agent is to do; `None` when it is to serve the task as a whole."""
    context: tuple[ContextItem, ...] = ()
    """What it needs to know from others."""
    messages: tuple[Message, ...] = ()
    """What others have sent to it since it worked last."""
    memory: JsonValue = None
    """What it has kept for itself as `Reply.memory` when it worked last, where its pattern delivers messages."""
    allowance: Allowance = Allowance()
    """What it may spend."""
    path: tuple[str, ...] = ()
    """The names of the teams and agents above it, and its own."""
    round: int = 1
    """The round it works in."""
    attempt: int = Field(default=1, ge=1)
    """1 for the first attempt."""
    tries: int = Field(default=1, ge=1)
    """Attempts of this agent, this one included; a fallback begins at 1."""
    id: str = ""
    """The id that the result of this attempt will have."""
    idempotency_key: str = ""
    """Names this attempt among all runs: its run, the teams above, the subtask and the number of the attempt.

    It is the same when a crashed attempt runs again, and another for every further attempt. See `runs.effects`.
    """
    feedback: str | None = None
    """Why the attempt before this one was refused."""
    delay: float = Field(default=0.0, ge=0)
    """How many seconds this attempt waits before it begins, since the one before it has failed."""
    trusted: bool = False
    """Its integrity label: whether all that is in it, and the choice of who gets it, is trusted. Its team sets it."""
    compensates: str | None = None
    """The agent whose answer a contract has refused, where this one is to put that right; see `Schema`."""
    handles_event: bool = False
    """Whether it delivers the event in the inputs of its subtask. Only a reactive team sets this, never a planner."""
    review: ReviewRequest | None = None
    """What a reviewer is asked about the `answer` in its context; the subtask is the one that was answered."""

    @property
    def goal(self) -> str:
        """What this agent is to do: what it is asked about an answer, else the subtask's goal, else the task's."""
        if self.review is not None:
            return self.review.question
        return self.subtask.goal if self.subtask else self.task.goal

    @property
    def event(self) -> Event | None:
        """The event that it is to handle; `None` for all but subscribers, whatever the inputs of a subtask are."""
        given = self.subtask.inputs.get("event") if self.handles_event and self.subtask is not None else None
        return None if given is None else Event.model_validate(given).model_copy(update={"trusted": self.trusted})

    @property
    def results(self) -> tuple[ContextItem, ...]:
        """The accepted results among the context."""
        return tuple(item for item in self.context if item.kind == "result")

    @property
    def answer(self) -> ContextItem | None:
        """The answer that is to be reviewed, with its evidence; `None` for all but reviewers."""
        return next((item for item in self.context if item.kind == "answer"), None)

    @property
    def gaps(self) -> tuple[ContextItem, ...]:
        """What is missing so far, among the context."""
        return tuple(item for item in self.context if item.kind == "gap")

    @property
    def constraints(self) -> tuple[ContextItem, ...]:
        """What holds for everyone by the boards of the teams, among the context."""
        return tuple(item for item in self.context if item.kind == "constraint")

    @property
    def decisions(self) -> tuple[ContextItem, ...]:
        """What was decided by the boards of the teams, among the context."""
        return tuple(item for item in self.context if item.kind == "decision")


class Reply(FrozenModel):
    """What an agent may answer instead of a bare value."""

    value: Any = None
    """The answer; it is stored as JSON data, so it must have a JSON form."""
    evidence: tuple[Evidence, ...] = ()
    """What the answer rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the agent is, from 0 to 1; `None` if unknown."""
    reasoning: str = ""
    """Why it answers so."""
    subtasks: tuple[Subtask, ...] = ()
    """What it would delegate."""
    messages: tuple[Message, ...] = ()
    """What it sends to other agents, where its pattern delivers messages."""
    memory: JsonValue = None
    """What it keeps for itself: no other agent is given it."""
    events: tuple[Event, ...] = ()
    """What has happened by its work; an answer with events of an agent that handles no event itself is refused."""
    usage: Usage | None = None
    """What was spent for it past LangChain's models, as by another framework: it is added to what was metered.

    Where `usd` is not given, what it cost is unknown; `usd=0` means that it was free. Its time is not used.
    """

    @field_validator("usage")
    @classmethod
    def _is_possible(cls, usage: Usage | None) -> Usage | None:
        if usage is not None and (usage.tokens > _MOST or usage.calls > _MOST or (usage.usd or 0) > _DEAREST):
            raise ValueError(f"one answer takes at most {_MOST} tokens or calls and {_DEAREST} US dollars, got {usage}")
        return usage

    @property
    def spending(self) -> Usage | None:
        """What `usage` adds to what was metered: a price that is not given is unknown, unless nothing was used."""
        usage = self.usage
        if usage is None:
            return None
        is_priced = "usd" in usage.model_fields_set or not (usage.tokens or usage.calls)
        return usage.model_copy(update={"usd": usage.usd if is_priced else None, "microseconds": 0})


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
    is_external: bool = False
    """Whether it is something from outside that was not taken, as an event: no work of the run was stopped by that."""

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
    retry_after: float | None = Field(default=None, ge=0)
    """For how many seconds the server that refused a call wants no other one."""


class Result(FrozenModel):
    """A reply and the facts of the run that made it; one attempt gives one result."""

    id: str
    """Unique in the run and the same when a crashed attempt runs again."""
    agent: str
    """Who worked."""
    version: str = "1"
    """Which version of the agent."""
    fallback_for: str | None = None
    """The agent that was asked first, where a fallback of it has worked."""
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
    messages: tuple[Message, ...] = ()
    """What the agent sends to others."""
    memory: JsonValue = None
    """What the agent keeps for itself."""
    events: tuple[Event, ...] = ()
    """What has happened by its work, as the agent emits it."""
    handoff: tuple[str, ...] = ()
    """The agents to hand over to, where the answer is LangGraph's `Command(goto=…)`; a gate decides."""
    gaps: tuple[Gap, ...] = ()
    """What a nested team could not deliver."""
    dissent: tuple[JsonValue, ...] = ()
    """Answers of those who did not agree, where the value is that of a panel."""
    stopped_by: str | None = None
    """The guard that stopped it or its nested team."""
    usage: Usage = Usage()
    """What it cost, including all that it delegated."""
    trusted: bool = False
    """Its integrity label: whether it was made of trusted items alone, or its agent endorses what it answers."""
    review: str | None = None
    """The id of the `ReviewRequest` that it answers, where its agent is a reviewer."""
    error: AgentError | None = None
    """Why it is not `ok`."""

    @property
    def role(self) -> str:
        """What was to be done, as gaps name it: the id of the subtask, else the agent that was asked first."""
        return self.subtask or self.fallback_for or self.agent

    @property
    def has_value(self) -> bool:
        """Whether there is an answer that others may use once it is accepted."""
        return self.status in ("ok", "partial", "provisional")

    @property
    def is_answer(self) -> bool:
        """Whether it answers something, and does not only send messages."""
        return self.value is not None or not self.messages
