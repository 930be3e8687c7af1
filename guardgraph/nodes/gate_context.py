"""What the code of a gate and its route work with: the state, what remains, and how to write, send and stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send
from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.guards import Circuit, Guard, GuardDecision, applying
from guardgraph.nodes.accepted import accepted_of, open_gaps
from guardgraph.nodes.context import context_of
from guardgraph.nodes.early_stop import early_stop, too_few_steps
from guardgraph.nodes.judging import allowed_sends, judge_subject
from guardgraph.nodes.scope import COUNTS, allowance_of, attempts_of, work_until
from guardgraph.nodes.state_update import StateUpdate
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.runtime.execution_context import execution_context, execution_services
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Allowance,
    Amount,
    BadInput,
    Balance,
    ContextItem,
    Delegation,
    DelegationScope,
    EarlyStop,
    Evidence,
    Gap,
    Gate,
    Message,
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
"""Where a run goes next: what `send`, `stop` and `conclude` return, or the name of a gate or of a node of your own."""

Route: TypeAlias = "Callable[[GateContext], Destination]"
"""Returns where the run goes after a gate; a plain function, which is not async."""


class GateContext:
    """A gate of a team during one execution. All that it writes is visible at once in its `state`."""

    def __init__(
        self, team: TeamSpec, node: str, state: Mapping[str, Any], config: RunnableConfig | None = None
    ) -> None:
        self.team: TeamSpec = team
        self.node: str = node
        """The name of the gate's node."""
        position = state["position"]
        self.position: DelegationScope = (
            position if isinstance(position, DelegationScope) else DelegationScope.model_validate(position)
        )
        current = execution_context(config)
        self.services: Services = execution_services(current, self.position.run_id)
        self.services.ensure_open(self.position)
        if current is None:
            self.services.recall(self.position, attempts_of(state))
        self.now: datetime = self.services.clock()
        """The time, in UTC."""
        self.last_trip: Verdict | None = None
        """The last verdict that has kept this gate from sending something."""
        self.reviewed: tuple[Result, ...] = ()
        """The results that this gate has just reviewed."""
        self.pending_stop: EarlyStop | None = None
        """What ends the run if it would go on: the budget that stopped the results, or the limit of rounds."""
        self.needs_no_budget: bool = False
        """Whether what is sent next needs no allowance."""
        self.handoffs: list[tuple[tuple[str, ...], Gap]] = []
        """The agents that refused results name for a handoff, and the gap that is open unless one takes over."""
        self.closed_circuits: dict[str, Circuit] = {}
        """The circuits of agents that this gate has found closed."""
        self.judged: dict[int, tuple[Send, Subtask | None]] = {}  # an id is unique as long as its object lives
        """What the guards of `dispatch` have let pass, and its subtask if that is new, by the `id` of the object."""
        self.side_balances: dict[str, Balance] = {}
        """The balances of side accounts of agents and tasks, as this gate has read them."""
        self.side_costs: dict[str, Amount] = {}
        """What this gate sends already is expected to cost in them."""
        self.alerted: set[tuple[str, str, float]] = set()
        """The alerts that this gate has emitted: the account, its period and the threshold."""
        self.unreviewed: dict[str, str] = {}
        """Why there is no opinion, by the id of its `ReviewRequest`."""
        self.source_texts: dict[tuple[int, Evidence], str | None] = {}
        """What guards have read at this visit, by the `id` of the guard."""
        self._update = StateUpdate(state, team.channels)
        self._requests: Mapping[str, Any] = state.get("requests") or {}

    # Facts

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
    def visit(self) -> int:
        """How often this gate was reached in the run, this time included."""
        return int((self._update.state.get("visits") or {}).get(self.node, 0))

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
        return allowance_of(self.position, self.balances)

    @cached_property
    def unspent(self) -> Allowance:
        """What the agents of the team may still spend, when this gate is reached."""
        return remaining_allowance(self.balances).narrow(
            self.position.allowance.model_copy(update=dict.fromkeys(COUNTS))
        )

    @cached_property
    def remaining(self) -> Allowance:
        """What is left of it beside the expected costs of what this gate sends already."""
        return self.unspent

    @cached_property
    def spent(self) -> Usage:
        """What the team has spent."""
        return self.services.ledger.usage(self.position.account)

    @cached_property
    def guards(self) -> tuple[Guard, ...]:
        """The guards of the team that apply to tasks of these categories."""
        return applying(self.team.guards, categories=self.categories)

    @property
    def categories(self) -> frozenset[str]:
        """The categories of the task."""
        task = self._update.state.get("admitted")
        if isinstance(task, Task):
            return task.categories
        return frozenset() if task is None else Task.model_validate(task).categories

    @cached_property
    def links(self) -> tuple[Delegation, ...]:
        """The chain of delegation down to the team, outermost first."""
        return tuple(map(Delegation.of, self.position.chain))

    @property
    def is_late(self) -> bool:
        """Whether the time for work is over; the rest is for concluding."""
        until = work_until(self.position)
        return until is not None and self.now >= until

    def context(self, subtask: Subtask | None = None) -> tuple[ContextItem, ...]:
        """Return what an agent is given as context: background, accepted results and gaps.

        For a `subtask`, of results and gaps only those of the subtasks that it depends on.
        """
        return context_of(self._update.state, subtask)

    def is_trusted(self, subtask: Subtask | None) -> bool:
        """Return the integrity label of a subtask: that of its plan; the task as a whole is that of the team above."""
        known = self._update.state.get("trusted_subtasks") or ()
        return self.position.trusted and (subtask is None or subtask.id in known)

    def request_of(self, result: Result) -> Request | None:
        """Return the request that led to `result`; `None` where an earlier gate has reviewed it."""
        request = self._requests.get(result.id)
        return None if request is None else Request.model_validate(request)

    # Writes

    def write(self, **channels: Any) -> None:
        """Write to channels of the state, visible at once in `state`, by the channels' own reducers.

        Raises `BadInput` for a channel that does not exist, that belongs to the gates, or that does not take the value.
        """
        for name, value in channels.items():
            self._update.write_checked(name, value)

    def write_unchecked(self, **channels: Any) -> None:
        """Write as `write` does, to any channel and unchecked: for the code of gates themselves."""
        for name, value in channels.items():
            self._update.write(name, value)

    def withdraw(self, gaps: list[Gap]) -> None:
        """Take back gaps that this gate has written."""
        self._update.take_back("gaps", gaps)

    # Destinations

    def send(
        self,
        agent: Agent,
        subtask: Subtask | None = None,
        *,
        context: Iterable[ContextItem] | None = None,
        messages: Iterable[Message] = (),
        memory: JsonValue = None,
        attempt: int = 1,
        feedback: str | None = None,
        trusted: bool | None = None,
    ) -> Send:
        """Return the `Send` that makes `agent` work: on the task as a whole, or on one `subtask`.

        `context` replaces the default context (see the method of that name). `messages` are those that are delivered
        to it, `memory` is what it has kept. `attempt` and `feedback` use up none of its own `attempts`.

        `trusted` is the integrity label of all but the context and the messages, which have their own: of the subtask,
        the memory, the feedback, and the choice of the agent. By default it is that of the plan of the subtask, and
        false where there is memory or feedback.
        """
        for given, kind in ((agent, Agent), (subtask, Subtask | None)):
            if not isinstance(given, kind):
                raise BadInput(f"`send` takes an `Agent`, and a `Subtask` as its part of the task; got {given!r:.80}")
        items = self.context(subtask) if context is None else context
        given, received = (*items, *self.team.context.get(agent.name, ())), tuple(messages)
        if trusted is None:
            trusted = memory is None and feedback is None and self.is_trusted(subtask)
        request = Request(
            task=self.task,
            subtask=subtask,
            context=given,
            messages=received,
            memory=memory,
            round=self.round,
            attempt=attempt,
            feedback=feedback,
            trusted=trusted and self.position.trusted and all(map(_is_trusted, (*given, *received))),
        )
        return self.send_request(agent, request)

    def send_request(self, agent: Agent, request: Request) -> Send:
        """Return the `Send` that makes `agent` work on a `request` as it is."""
        return Send(agent.name, {"request": request, "position": self.position})

    def send_to_reviewer(self, agent: Agent, request: Request) -> Send:
        """Return the `Send` that makes a reviewer work, and come back to this gate."""
        return Send(agent.name, {"request": request, "position": self.position, "gate": self.node})

    def next_round(self) -> EarlyStop | None:
        """Begin the next round. Return what prevents it, if anything does: then the round stays as it is."""
        before = self.round
        self._update.write("round", before + 1)
        stop = self.stop_reason()
        if stop is not None:
            self._update.write("round", before)
            self.pending_stop = stop  # a route that goes on all the same is stopped
        return stop

    def stop(self, status: OutcomeStatus = "degraded", *, by: str | None = None, reason: str) -> Destination:
        """End the run: return the destination.

        `status` is that of the outcome (`degraded` lets the author write from what is accepted), `by` is the guard or
        rule that stops it, `reason` is in one sentence.
        """
        ending = EarlyStop(status=status, stopped_by=by, reason=reason)
        verdict = Verdict(guard=by or "pattern", gate="dispatch", subject=self.node, action="trip", reason=reason)
        self.emit(verdict)
        self.write_unchecked(verdicts=[verdict])
        return self.end(ending)

    def stop_for(self, found: EarlyStop) -> Destination:
        """Stop the run for the reason that `next_round` or `stop_reason` has returned."""
        return self.stop(found.status, by=found.stopped_by, reason=found.reason)

    def end(self, ending: EarlyStop) -> Destination:
        """End the run as `stop` does, where a verdict has given the reason already; an earlier, worse end stays."""
        earlier: EarlyStop | None = self._update.state.get("ending")
        if earlier is None or earlier.status in ("completed", "degraded"):
            self.write_unchecked(ending=ending)
        return self.conclude()

    def conclude(self, draft: Result | None = None) -> Destination:
        """Return the destination of a run whose work is done: the author, if there is something to write and time.

        With a `draft` it is the exit, where the guards of `exit` judge the draft, which is the value of the team. If
        one of them gives it back, its agent tries again, where it was added with `can_rewrite=True`.
        """
        if draft is not None:
            if not isinstance(cast("object", draft), Result):
                raise BadInput(f"`conclude` takes a `Result` as the draft, got {draft!r:.80}")
            self.write_unchecked(draft=draft)
            if self.request_of(draft) is not None:
                self.write_unchecked(requests={draft.id: self.request_of(draft)})
            return EXIT
        state, author = self._update.state, self.team.author
        ending: EarlyStop | None = state.get("ending")
        idle = not state.get("accepted") and (state.get("gaps") or ending is not None)
        ended = ending is not None and ending.status != "degraded"
        if author is None or idle or ended or too_few_steps(state, self.team.closing) is not None:
            return EXIT
        return [self.send(author)]

    # Decisions

    def stop_reason(self, *, steps: int | None = None) -> EarlyStop | None:
        """Return what ends a run that would go on after this gate.

        `steps` is how many supersteps it needs to go on and then to conclude; by default those of one more attempt.
        """
        needed = 2 + self.team.closing if steps is None else steps
        left = Allowance() if self.needs_no_budget else self.unspent
        stop = early_stop(
            self.state,
            self.guards,
            self.node,
            left=left,
            is_late=self.is_late,
            steps=needed,
            balances=self.balances,
        )
        return self.pending_stop or stop

    def judge(
        self, gate: Gate, subject: Any, guards: Sequence[Guard] | None = None, *, agent: Agent | None = None
    ) -> GuardDecision:
        """Judge a subject by the guards of a gate, by default those for `agent`; emit trips and alerts as events."""
        return judge_subject(self, gate, subject, self.guards_for(agent) if guards is None else guards, agent=agent)

    def guards_for(self, agent: Agent | None) -> Sequence[Guard]:
        """Return the guards that judge an agent: those of the team, then its own."""
        return (*self.guards, *agent.guards) if agent is not None and agent.guards else self.guards

    def allowed(self, sends: Iterable[Send]) -> list[Send]:
        """Return which of `sends` may be sent, in their order: those that the guards of `dispatch` let pass.

        What a guard stops is a gap. Where one of them ends the run (`Escalate`) nothing is sent, and `ending` is set
        in the state. What has passed once is not judged again.
        """
        return allowed_sends(self, sends)

    def emit(self, verdict: Verdict) -> None:
        """Emit the event of a verdict."""
        self.services.emit("verdict", self.position, **verdict.model_dump(mode="json", exclude_defaults=True))

    def command(self, goto: Any = ()) -> Command[Any]:
        """Return the update of this gate and its destination, for LangGraph."""
        return Command(update=self._update.values, goto=goto)

    @cached_property
    def balances(self) -> tuple[Balance, ...]:
        """The balances of the accounts from which the agents of the team are paid."""
        return self.services.ledger.balances(self.position.spending_account)


def _is_trusted(item: ContextItem | Message) -> bool:
    """Return the label of what a node of the user's own may have written to the state as a dict."""
    return item.trusted if isinstance(item, ContextItem | Message) else False  # pyright: ignore[reportUnnecessaryIsInstance]
