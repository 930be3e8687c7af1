"""What a gate knows when it is reached, and what it may do: given to the decisions of a gate and to its route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send

from guardgraph.agents.agent import Agent
from guardgraph.guards import Guard, GuardDecision
from guardgraph.nodes.checked_write import checked_write
from guardgraph.nodes.context import accepted_of, context_of
from guardgraph.nodes.early_stop import early_stop, too_few_steps
from guardgraph.nodes.judging import allowed_sends, judge_subject
from guardgraph.nodes.outcome import open_gaps
from guardgraph.nodes.scope import COUNTS, allowance_of, attempts_of, work_until
from guardgraph.nodes.sends import request_for
from guardgraph.nodes.state_update import StateUpdate
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.runtime.execution_context import Services, execution_context, execution_services
from guardgraph.state import (
    Allowance,
    BadInput,
    Balance,
    ContextItem,
    DelegationScope,
    EarlyStop,
    Gap,
    Gate,
    OutcomeStatus,
    Request,
    Result,
    Subtask,
    Task,
    Usage,
    Verdict,
    remaining_allowance,
)

__all__ = ("Destination", "GateContext", "Route")


Destination: TypeAlias = str | Send | Sequence[str | Send] | Command[Any]
"""Where a gate leads: what `send`, `stop` and `conclude` return, or the name of a gate or of a node of your own."""

Route: TypeAlias = "Callable[[GateContext], Destination]"
"""Decides where a gate leads; a plain function, which is not async."""


class GateContext:
    """A gate's view of its team at one moment. All that it writes is seen at once in its `state`."""

    def __init__(
        self, team: TeamSpec, node: str, state: Mapping[str, Any], config: RunnableConfig | None = None
    ) -> None:
        given = state["position"]
        self.team: TeamSpec = team
        self.node: str = node
        """The name of the gate's node."""
        self.position: DelegationScope = (
            given if isinstance(given, DelegationScope) else DelegationScope.model_validate(given)
        )
        here = execution_context(config)
        self.services: Services = execution_services(here, self.position.run_id)
        self.services.ensure_open(self.position)
        if here is None:
            self.services.recall(self.position, attempts_of(state))
        self.now: datetime = self.services.clock()
        """The time, in UTC."""
        self.last_trip: Verdict | None = None
        """The last verdict that has stopped something which this gate wanted to send."""
        self.reviewed: tuple[Result, ...] = ()
        """The results that this gate has just reviewed."""
        self.exhausted: EarlyStop | None = None
        """What ends the run if it would go on: what came back, or the rounds, allow no more."""
        self.is_free: bool = False
        """Whether what is sent next needs no allowance."""
        self.handoffs: list[tuple[tuple[str, ...], Gap]] = []
        """To whom what was refused wants to hand over, and what is missing unless they take over."""
        self._update = StateUpdate(state, team.channels)
        self._requests: Mapping[str, Any] = state.get("requests") or {}
        self._judged: set[int] = set()
        self._kept: list[Send] = []  # an id is unique only as long as its object lives
        self._remaining: Allowance | None = None

    # What there is

    @property
    def state(self) -> Mapping[str, Any]:
        """The state of the team, with all that this gate has written."""
        return MappingProxyType(self._update.state)

    @property
    def task(self) -> Task:
        """The task that the team works on."""
        return self._update.state["admitted"]

    @property
    def round(self) -> int:
        """The number of the round, from 1."""
        return int(self._update.state.get("round") or 1)

    @property
    def accepted(self) -> list[Result]:
        """All accepted results of the run, in the order in which they were made."""
        return accepted_of(self._update.state)

    @property
    def gaps(self) -> list[Gap]:
        """What is missing so far."""
        return open_gaps(self._update.state)

    @cached_property
    def allowance(self) -> Allowance:
        """All that the team may spend, with what was added since its admission."""
        return allowance_of(self.position, self._balances)

    @cached_property
    def unspent(self) -> Allowance:
        """What the agents of the team may still spend, when this gate is reached."""
        return remaining_allowance(self._balances).narrow(
            self.position.allowance.model_copy(update=dict.fromkeys(COUNTS))
        )

    @property
    def remaining(self) -> Allowance:
        """What of it is left beside that for which this gate sends already."""
        return self.unspent if self._remaining is None else self._remaining

    @cached_property
    def spent(self) -> Usage:
        """What the team has spent."""
        return self.services.ledger.usage(self.position.account)

    @property
    def is_late(self) -> bool:
        """Whether the time for work is over; what is left of it is for concluding."""
        until = work_until(self.position)
        return until is not None and self.now >= until

    def context(self, subtask: Subtask | None = None) -> tuple[ContextItem, ...]:
        """Return what an agent is told: background, accepted results and gaps.

        For a `subtask`, of results and gaps only those of the subtasks that it depends on.
        """
        return context_of(self._update.state, subtask)

    def asked(self, result: Result) -> Request | None:
        """Return what was asked of whom has given `result`, if no gate before this one has reviewed it."""
        request = self._requests.get(result.id)
        return request if request is None or isinstance(request, Request) else Request.model_validate(request)

    # What it writes

    def write(self, **channels: Any) -> None:
        """Write to channels of the state, seen at once in `state`, by the channels' own reducers.

        Raises `BadInput` for a channel that does not exist, that belongs to the gates, or that does not take the value.
        """
        for name, value in channels.items():
            checked_write(self._update, name, value)

    def note(self, **channels: Any) -> None:
        """Write as `write` does, unchecked: for what gates themselves find."""
        for name, value in channels.items():
            self._update.write(name, value)

    def withdraw(self, gaps: list[Gap]) -> None:
        """Take back gaps that this gate has written."""
        self._update.take_back("gaps", gaps)

    # Where it leads

    def send(
        self,
        agent: Agent,
        subtask: Subtask | None = None,
        *,
        context: Iterable[ContextItem] | None = None,
        attempt: int = 1,
        feedback: str | None = None,
    ) -> Send:
        """Return what makes `agent` work: on the task as a whole, or on one `subtask`.

        `context` replaces what the agent would be told (see the method of that name). `attempt` and `feedback` are
        told to the agent; they use up none of its own `attempts`.
        """
        told = self.context(subtask) if context is None else tuple(context)
        request = request_for(self._update.state, subtask, told, attempt=attempt, feedback=feedback)
        return self.send_request(agent, request, told=self.team.context.get(agent.name, ()))

    def send_request(self, agent: Agent, request: Request, *, told: Sequence[ContextItem] = ()) -> Send:
        """Return what makes `agent` work on a `request` as it is, with what it is `told` beside."""
        if told:
            request = request.model_copy(update={"context": (*request.context, *told)})
        return Send(agent.name, {"request": request, "position": self.position})

    def next_round(self) -> EarlyStop | None:
        """Begin the next round. Return what keeps it from beginning: then the round stays as it is."""
        before = self.round
        self._update.write("round", before + 1)
        stop = self.must_stop()
        if stop is not None:
            self._update.write("round", before)
            self.exhausted = stop  # whoever goes on all the same is stopped
        return stop

    def stop(self, status: OutcomeStatus = "degraded", *, by: str | None = None, reason: str) -> Destination:
        """End the run: return where that leads.

        `status` is that of the outcome (`degraded` lets the author write from what is accepted), `by` is the guard or
        rule that stops it, `reason` says why.
        """
        ending = EarlyStop(status=status, stopped_by=by, reason=reason)
        verdict = Verdict(guard=by or "pattern", gate="dispatch", subject=self.node, action="trip", reason=reason)
        self.tell(verdict)
        self.note(verdicts=[verdict])
        return self.end(ending)

    def stop_early(self, found: EarlyStop) -> Destination:
        """Stop the run for what `next_round` or `must_stop` has found."""
        return self.stop(found.status, by=found.stopped_by, reason=found.reason)

    def end(self, ending: EarlyStop) -> Destination:
        """End the run as `stop` does, where a verdict has already told why; a worse end before it stays."""
        before: EarlyStop | None = self._update.state.get("ending")
        if before is None or before.status in ("completed", "degraded"):
            self.note(ending=ending)
        return self.conclude()

    def conclude(self, draft: Result | None = None) -> Destination:
        """Return where a run goes whose work is done: to its author, if there is something to write and time for it.

        With a `draft` it goes to the exit, where the guards of `exit` judge it: it is the value of the team. If one of
        them gives it back, its agent tries again, where the team was told that it may (`drafts=True`).
        """
        if draft is not None:
            if not isinstance(cast("object", draft), Result):
                raise BadInput(f"`conclude` takes a `Result` as the draft, got {draft!r:.80}")
            self.note(draft=draft)
            if self.asked(draft) is not None:
                self.note(requests={draft.id: self.asked(draft)})
            return EXIT
        state, author = self._update.state, self.team.author
        ending: EarlyStop | None = state.get("ending")
        idle = not state.get("accepted") and (state.get("gaps") or ending is not None)
        ended = ending is not None and ending.status != "degraded"
        if author is None or idle or ended or too_few_steps(state, self.team.closing) is not None:
            return EXIT
        return [self.send(author)]

    # What keeps it from going on

    def must_stop(self, *, steps: int | None = None) -> EarlyStop | None:
        """Return what ends a run that would go on from here.

        `steps` is how many supersteps it needs to go on and to conclude after that; by default those of one more
        attempt.
        """
        needed = 2 + self.team.closing if steps is None else steps
        left = Allowance() if self.is_free else self.unspent
        stop = early_stop(self.state, self.team.guards, self.node, left=left, is_late=self.is_late, steps=needed)
        return self.exhausted or stop

    def judge(
        self, gate: Gate, subject: Any, guards: Sequence[Guard] | None = None, *, agent: Agent | None = None
    ) -> GuardDecision:
        """Judge a subject by the guards of a gate, and tell the listener of trips and alerts."""
        return judge_subject(self, gate, subject, self.team.guards if guards is None else guards, agent=agent)

    def allow(self, sends: Iterable[Send]) -> list[Send]:
        """Return which of `sends` may be sent, in their order: those that the guards of `dispatch` let pass.

        What a guard stops is a gap. Where one of them ends the run (`Escalate`) nothing is sent, and `ending` stands
        in the state. What was allowed once is not judged again.
        """
        return allowed_sends(self, sends)

    @property
    def judged(self) -> tuple[Send, ...]:
        """What the guards of `dispatch` have let pass at this gate."""
        return tuple(self._kept)

    def is_judged(self, send: Send) -> bool:
        """Whether `allow` was asked before about exactly this."""
        return id(send) in self._judged

    def mark_judged(self, send: Send, remaining: Allowance) -> None:
        """Note that something is sent, and what remains beside it."""
        self._judged.add(id(send))
        self._kept.append(send)
        self._remaining = remaining

    def tell(self, verdict: Verdict) -> None:
        """Tell the listener of a verdict."""
        self.services.emit("verdict", self.position, **verdict.model_dump(mode="json", exclude_defaults=True))

    def command(self, goto: Any = ()) -> Command[Any]:
        """Return what LangGraph does: the update of this gate, and where it leads."""
        return Command(update=self._update.values, goto=goto)

    @cached_property
    def _balances(self) -> tuple[Balance, ...]:
        return self.services.ledger.balances(self.position.spending_account)
