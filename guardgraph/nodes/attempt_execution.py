"""One attempt: the wait for its slot, its time limit, its account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import get_runtime

from guardgraph.agents.agent import Agent, takes_references
from guardgraph.agents.results import failed_result
from guardgraph.guards import Guard
from guardgraph.nodes.downgrading import downgraded_by
from guardgraph.nodes.scope import agent_info
from guardgraph.runtime.boards.access import BoardAccess
from guardgraph.runtime.boards.context import CONTEXT_KINDS, context_of_entries
from guardgraph.runtime.budget.attempt_budget import AttemptBudget
from guardgraph.runtime.budget.call_guards import CallGuards
from guardgraph.runtime.budget.cost_estimates import can_start
from guardgraph.runtime.child_config import child_config
from guardgraph.runtime.concurrency.isolation import CancelToken, run_shielded
from guardgraph.runtime.concurrency.limiter import SlotToken
from guardgraph.runtime.execution_context import ExecutionContext
from guardgraph.runtime.integrity import IntegrityRecord
from guardgraph.runtime.outbox import Outbox
from guardgraph.runtime.rates.attempt_turns import AttemptTurns, apause, pause
from guardgraph.runtime.services import Services
from guardgraph.state import (
    AgentError,
    Amount,
    Attachment,
    ContextItem,
    DelegationScope,
    ErrorKind,
    Price,
    RateLimitExceeded,
    Reply,
    Request,
    ReservationDenied,
    Result,
    SideAccount,
    StorageError,
    Usage,
    check_caps,
    unshared_copy,
    with_content,
)

__all__ = ("AttemptExecution",)


@dataclass(slots=True)
class AttemptExecution:
    """One attempt of an agent, from the wait for a slot to the closing of its account."""

    agent: Agent
    sent: Request
    """As the gate has sent it."""
    request: Request
    """As it is passed to the agent: with its id, allowance and path."""
    services: Services
    me: DelegationScope
    role: str
    """The key under which its costs are learned."""
    slot_token: SlotToken
    until: float | None
    """When it has to end, on the monotonic clock."""
    config: RunnableConfig
    boards: BoardAccess
    """The boards of its team and of the teams above, if there are any."""
    attachments: Mapping[str, Attachment] = field(default_factory=dict[str, Attachment])
    """The content of the attachments of its task, by digest."""
    sides: tuple[SideAccount, ...] = ()
    """The side accounts on which it draws itself."""
    pool: SlotToken | None = None
    """Its hold on the slots of its agent and of its skills, which it keeps while a nested team works."""
    token: CancelToken = field(default_factory=CancelToken)
    """Cancels its work once the caller of the team has left."""
    budget: AttemptBudget | None = None
    """The budget of its model calls, once it has started."""
    began: float = 0
    rules: tuple[ContextItem, ...] = ()
    """The decisions and constraints that held when it has read its boards."""
    turns: AttemptTurns | None = None
    """Its turns under rate limits, if there are any."""
    outbox: Outbox = field(default_factory=Outbox)
    """What it may send to others, and what its tools have sent."""
    guards: Sequence[Guard] = ()
    """The guards that judge its calls of models and tools."""
    above: CallGuards | None = None
    """Those of the attempt around it."""
    tool_prices: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """What one call of a tool costs, as its agent declares it, or an agent around it."""
    goes_on: bool = False
    """Whether the graph that it has called goes on from where it was interrupted, or cut off by a crash."""
    _has_pool: bool = False
    integrity: IntegrityRecord = field(default_factory=IntegrityRecord)
    """Its integrity label: that of its request, lowered by what its code receives while it works."""
    is_cached: bool = False
    """Whether its answer was found in a cache: then it has no account, and holds no slot."""

    @property
    def time(self) -> float | None:
        """Seconds that it may still take."""
        limits = [limit for limit in (self.agent.timeout, self._rest) if limit is not None]
        return min(limits) if limits else None

    @property
    def limit(self) -> Literal["timeout", "deadline"]:
        """Which limit ends it first: its own timeout, or the deadline."""
        own = self.agent.timeout
        return "deadline" if own is None or (self.until is not None and self.until <= self.began + own) else "timeout"

    def wait(self) -> Result | None:
        """Wait for a slot, and for budget without holding one; start, or return why that is not possible."""
        refusal: ReservationDenied | None = None
        late = self._backing_off()
        if late is not None:
            return late
        if self.sent.delay:
            pause(self.sent.delay, self._is_over)
        while self._rest != 0 and self._holds_pool() and self._holds_slot():
            try:
                seconds = self.turns.seconds_to_wait() if self.turns is not None else 0
            except RateLimitExceeded as error:
                return self._not_started("deadline", str(error))
            if seconds:
                self._leave_slots()
                pause(seconds, self._is_over)
                continue
            refusal = self._begin()
            if self._is_settled(refusal):
                return self.read_boards() if refusal is None else self._skipped(refusal)
            self.slot_token.pause()
            refusal = self.services.changed.wait_for(self._refusal, self._is_settled)
        return self._late(refusal)

    async def await_(self) -> Result | None:
        """Do the same as `wait` without blocking the event loop."""
        refusal: ReservationDenied | None = None
        late = self._backing_off()
        if late is not None:
            return late
        if self.sent.delay:
            await apause(self.sent.delay, self._is_over)
        while self._rest != 0 and await self._aholds_pool() and await self._aholds_slot():
            try:
                seconds = await self.turns.off_loop(self.turns.seconds_to_wait) if self.turns is not None else 0
            except RateLimitExceeded as error:
                return self._not_started("deadline", str(error))
            if seconds:
                self._leave_slots()
                await apause(seconds, self._is_over)
                continue
            refusal = await self.services.off_loop(self._begin)
            if self._is_settled(refusal):
                return await self.aread_boards() if refusal is None else self._skipped(refusal)
            self.slot_token.pause()
            refusal = await self.services.changed.await_for(
                lambda: self.services.off_loop(self._refusal), self._is_settled
            )
        return self._late(refusal)

    def read_boards(self) -> None:
        """Add to its request what holds at this moment: the decisions and constraints that it may read.

        A team passes its request on; the requests of its agents have these of their own.
        """
        if self.boards.grants:
            self.rules = context_of_entries(self.boards.entries(CONTEXT_KINDS))
            if not all(rule.trusted for rule in self.rules):
                self.integrity.lower()
            if self.agent.kind != "team":
                self.request = self.under_rules

    async def aread_boards(self) -> None:
        """Do the same as `read_boards` without blocking the event loop."""
        if self.boards.grants and self.boards.blocks:
            await run_shielded(self.read_boards)
        else:
            self.read_boards()

    def begin_cached(self) -> None:
        """Record that it begins with an answer from a cache."""
        self.is_cached = True
        self._emit_started(cached=True)

    @property
    def under_rules(self) -> Request:
        """The request with the decisions and constraints that hold, also that of a team: its answer depends on them."""
        context, trusted = (*self.rules, *self.sent.context), self.integrity.trusted
        return self.request.model_copy(update={"context": context, "trusted": trusted})

    @property
    def given(self) -> Request:
        """The request as the agent's code gets it: with the attachments, unless it is a team, which finds them.

        It is a copy: what the code changes in it reaches neither the state nor another agent. The request of a model is
        only written into its prompt.
        """
        request, task = self.request, self.request.task
        if task.attachments and not takes_references(self.agent):
            task = task.model_copy(update={"attachments": with_content(task.attachments, self.attachments)})
            request = request.model_copy(update={"task": task})
        is_seen = self.agent.kind != "model" or self.agent.choose is not None or bool(task.attachments)
        return unshared_copy(request) if is_seen else request

    def inherited(self) -> tuple[RunnableConfig, Context]:
        """Return the config and the context that the agent's own code inherits."""
        current = ExecutionContext(
            services=self.services,
            position=self.me,
            slots=self.slot_token.slots,
            slot_token=self.slot_token,
            budget=self.budget,
            attachments=self.attachments,
            outbox=self.outbox,
            boards=self.boards,
            integrity=self.integrity,
        )
        return child_config(self.config, current)

    def usage(self, raw: object = None) -> Usage:
        """Close the account, so that open reservations count in full, and return what was spent.

        The spending that an answer reports beside its model calls counts even where it exceeds the budget. Raises the
        error of a model call that ends the run.
        """
        if self.budget is not None and self.budget.ending is not None:
            raise self.budget.ending
        if self.budget is not None and isinstance(raw, Reply) and raw.spending is not None:
            self.budget.add(raw.spending)
            self.integrity.note_call()
        self._close()
        took = int((monotonic() - self.began) * 1_000_000)
        return self.services.ledger.usage(self.me.account).model_copy(update={"microseconds": took})

    def forget_calls(self) -> None:
        """Drop what the guards of its calls would go on from: it has a result."""
        if self.budget is not None and self.guards:
            self.services.ledger.keep_notes(self.me.account, None)

    def labelled(self, result: Result) -> Result:
        """Return a result with its integrity label: whether all that it was made of is trusted, or endorsed."""
        answered = self.agent.kind != "team" or result.trusted
        trusted = self.agent.is_trusted(given=self.integrity.trusted, answered=answered)
        return result if result.trusted == trusted else result.model_copy(update={"trusted": trusted})

    def end(self) -> None:
        """Release the slot, whether it has started or not; wait until the code that called its team may go on."""
        try:
            self._close()
            self._drop_turn()
        finally:
            self.services.attempt_ended(self.me.account)
            self._leave_pool()
            self.slot_token.give()

    async def aend(self) -> None:
        """Do the same as `end` without blocking the event loop."""
        try:
            await self.services.off_loop(self._close)
            if self.turns is not None and self.turns.blocks:
                await run_shielded(self._drop_turn)
            else:
                self._drop_turn()
        finally:
            self.services.attempt_ended(self.me.account)
            self._leave_pool()
            await self.slot_token.agive()

    def _leave_pool(self) -> None:
        if self.pool is not None:
            self.pool.give()

    def _backing_off(self) -> Result | None:
        """Emit that it waits since the attempt before it has failed; return why not, where its time does not allow it.

        It holds no slot meanwhile. An attempt that a crash has cut off waits again.
        """
        delay, rest = self.sent.delay, self._rest
        if delay and rest is not None and delay >= rest:
            why = f"it would wait {delay:.1f} s after a failure, and {rest:.1f} s are left until the deadline"
            return self._not_started("deadline", why)
        if delay:
            self.services.emit("agent_waiting", self.me, reason="backoff after a failure", seconds=round(delay, 3))
        return None

    def _drop_turn(self) -> None:
        """Take its turn back where it has not begun, or has called no model; one that is lost counts for a window."""
        if self.turns is not None:
            with suppress(StorageError):
                self.turns.drop()

    def _holds_pool(self) -> bool:
        if self.pool is None or self._has_pool:
            return True
        self._has_pool = self.pool.take(self._rest)
        return self._has_pool

    async def _aholds_pool(self) -> bool:
        if self.pool is None or self._has_pool:
            return True
        self._has_pool = await self.pool.atake(self._rest)
        return self._has_pool

    def _holds_slot(self) -> bool:
        return self.slot_token.take(self._rest) and not self.slot_token.is_orphan

    async def _aholds_slot(self) -> bool:
        return await self.slot_token.atake(self._rest) and not self.slot_token.is_orphan

    def _leave_slots(self) -> None:
        """Release what it holds while it waits for its turn."""
        self.slot_token.pause()
        if self.pool is not None:
            self.pool.pause()
            self._has_pool = False

    def _is_over(self) -> bool:
        """Whether it waits in vain. Raises `GraphDrained` where the run is drained."""
        _check_drained()
        return self._rest == 0 or self.slot_token.is_orphan

    @property
    def _rest(self) -> float | None:
        """Seconds until it has to end."""
        return None if self.until is None else max(self.until - monotonic(), 0)

    def _is_settled(self, refusal: ReservationDenied | None) -> bool:
        """Whether waiting longer changes nothing."""
        return refusal is None or not refusal.retryable or self._rest == 0

    def _begin(self) -> ReservationDenied | None:
        """Open the account, unless the budget does not suffice beside the running attempts."""
        services, me, expected = self.services, self.me, self._expected
        with services.starting:
            refusal = self._refusal()
            if refusal is not None:
                return refusal
            if not self._is_open_team:
                services.attempt_started(me.account, expected)
            owes = self.agent.cost is not None and not self._has_begun
        services.let_cancel(me.account, self.token)
        epoch = services.ledger.open(me.account, me.allowance)
        services.draw_on(me.account, self.sides)
        budget = AttemptBudget(
            services,
            me,
            epoch,
            self.role,
            expected=expected,
            guards=self._call_guards(),
            turns=self.turns,
            tool_prices=self.tool_prices,
            prices=self.prices,
            integrity=self.integrity,
        )
        if owes:
            refusal = budget.reserve_cost("cost", self.agent.attempt_price)
            if refusal is not None:
                services.ledger.close(me.account, epoch)
                services.attempt_ended(me.account)
                return refusal
            budget.settle_cost("cost")  # the attempt itself must not wait for it
        self.budget = budget
        if self.turns is not None:
            self.turns.begin()
        if me.steps and self.agent.models:
            self.budget.downgraded = downgraded_by(self.agent, me, services.ledger)
        self.began = monotonic()
        self.budget.ends = None if self.time is None else self.began + self.time
        self._emit_started()
        return None

    def _call_guards(self) -> CallGuards | None:
        """Return the guards that judge its calls; `None` where neither it nor an attempt above has any."""
        if not self.guards and self.above is None:
            return None
        name = self.outbox.sender
        replaced = None if name == self.agent.name else name
        info = agent_info(self.agent, self.me.path[:-1], fallback_for=replaced)
        guards = CallGuards(self.guards, self.services, self.me, info, self.above, self.integrity)
        if not self.goes_on:
            guards.begin_anew(str((self.config.get("configurable") or {}).get("checkpoint_ns") or ""))
        elif notes := cast("Mapping[str, Any]", self.services.ledger.notes(self.me.account)):
            guards.go_on(notes)
        return guards

    def _emit_started(self, **facts: bool) -> None:
        sent, me = self.request, self.me
        self.services.emit("agent_started", me, goal=sent.goal, round=sent.round, attempt=sent.attempt, **facts)

    def _refusal(self) -> ReservationDenied | None:
        """Return why the budget does not suffice beside the running attempts."""
        _check_drained()
        services, account = self.services, self.me.account
        team = account.rpartition("/")[0]
        if not self.sides and not any(balance.cap.is_metered for balance in services.ledger.balances(team)):
            return None
        in_flight = services.in_flight_attempts()
        above = services.ledger.balances(team)  # read last: an attempt that ends meanwhile counts twice, not zero times
        if self.sides:
            above = (*services.ledger.side_balances(self.sides), *above)
        expected = Amount() if self._is_open_team else self._expected
        has_begun = (self.agent.cost is not None or self.goes_on) and self._has_begun
        if has_begun and (self.goes_on or self.agent.expected_cost is None):
            return None  # its cost is charged, and each of its calls is reserved
        if self.agent.cost is not None and not has_begun:
            denied = check_caps(above, Amount(usd=self.agent.attempt_price))
            if denied is not None:
                return denied
        is_code = self.agent.kind not in ("model", "messages")
        return can_start(account, expected, above=above, in_flight=in_flight, may_be_free=is_code, sides=services.sides)

    @property
    def _has_begun(self) -> bool:
        """Whether it has spent something before an interrupt or a crash."""
        account = self.me.account
        return any(
            one.account == account and (one.spent, one.reserved) != (Amount(), Amount())
            for one in self.services.ledger.balances(account)
        )

    @property
    def _expected(self) -> Amount | None:
        return self.agent.expected_amount or self.services.costs.expected(self.role)

    @property
    def _is_open_team(self) -> bool:
        """Whether it is a team of unknown cost, whose own agents wait for budget one by one."""
        return self.agent.kind == "team" and self._expected is None

    def _skipped(self, refusal: ReservationDenied) -> Result:
        return self._not_started("skipped", f"not started: {refusal}")

    def _late(self, refusal: ReservationDenied | None) -> Result:
        why = "it waited for a slot or for budget until the deadline"
        if refusal is not None and self._expected is None:
            why += (
                f": {refusal} beside the running attempts; its cost is an assumption, which `expected_cost=` replaces"
            )
        return self._not_started("deadline", why)

    def _not_started(self, kind: ErrorKind, message: str) -> Result:
        return failed_result(self.agent, self.request, AgentError(kind=kind, message=message), usage=Usage())

    def _close(self) -> None:
        self.boards.end()
        if self.budget is not None:
            self.services.ledger.close(self.me.account, self.budget.epoch)
            self.services.in_flight.remove_attempt(self.me.account)


def _check_drained() -> None:
    """Raise `GraphDrained` where the run is to be drained: LangGraph looks at that between supersteps only."""
    control = get_runtime().control
    if control is not None and control.drain_requested:
        raise GraphDrained(control.drain_reason or "drained")
