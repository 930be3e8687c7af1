"""One attempt under way: its turn, its time, its books."""

from __future__ import annotations

from contextvars import Context
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import get_runtime

from guardgraph.agents.agent import Agent
from guardgraph.runtime.budget.attempt_budget import AttemptBudget
from guardgraph.runtime.budget.cost_estimates import can_start
from guardgraph.runtime.child_config import child_config
from guardgraph.runtime.concurrency.isolation import CancelToken
from guardgraph.runtime.concurrency.limiter import SlotToken
from guardgraph.runtime.execution_context import ExecutionContext, Services
from guardgraph.state import AgentError, Amount, DelegationScope, Reply, Request, ReservationDenied, Usage

__all__ = ("AttemptExecution",)


@dataclass(slots=True)
class AttemptExecution:
    """One attempt of an agent, from the wait for its turn to the closing of its account."""

    agent: Agent
    asked: Request
    """As the gate has sent it."""
    request: Request
    """As the agent gets it."""
    services: Services
    me: DelegationScope
    role: str
    """Under which name its costs are learned."""
    slot_token: SlotToken
    until: float | None
    """When it has to be over, on the monotonic clock."""
    config: RunnableConfig
    token: CancelToken = field(default_factory=CancelToken)
    """Cancels its work where the one who runs the team has left."""
    budget: AttemptBudget | None = None
    """Where its model calls are booked, once it has begun."""
    began: float = 0

    @property
    def time(self) -> float | None:
        """Seconds that it may take from now on."""
        limits = [limit for limit in (self.agent.timeout, self._rest) if limit is not None]
        return min(limits) if limits else None

    @property
    def limit(self) -> Literal["timeout", "deadline"]:
        """Which of both limits its time is: its own timeout, or the deadline."""
        own = self.agent.timeout
        return "deadline" if own is None or (self.until is not None and self.until <= self.began + own) else "timeout"

    def wait(self) -> AgentError | None:
        """Wait for a slot, and for money without holding one; begin, or say why that cannot be."""
        refusal: ReservationDenied | None = None
        while self._rest != 0 and self.slot_token.take(self._rest) and not self.slot_token.is_orphan:
            refusal = self._begin()
            if self._is_settled(refusal):
                return _skipped(refusal)
            self.slot_token.pause()
            refusal = self.services.changed.wait_for(self._refusal, self._is_settled)
        return self._late(refusal)

    async def await_(self) -> AgentError | None:
        """Do as `wait` without blocking the event loop."""
        refusal: ReservationDenied | None = None
        while self._rest != 0 and await self.slot_token.atake(self._rest) and not self.slot_token.is_orphan:
            refusal = await self.services.off_loop(self._begin)
            if self._is_settled(refusal):
                return _skipped(refusal)
            self.slot_token.pause()
            refusal = await self.services.changed.await_for(
                lambda: self.services.off_loop(self._refusal), self._is_settled
            )
        return self._late(refusal)

    def inherited(self) -> tuple[RunnableConfig, Context]:
        """Return the config and the context that the agent's own code inherits."""
        here = ExecutionContext(
            services=self.services,
            position=self.me,
            slots=self.slot_token.slots,
            slot_token=self.slot_token,
            budget=self.budget,
        )
        return child_config(self.config, here)

    def add(self, raw: object) -> None:
        """Book what an answer says was spent past the meter, even where it is more than there was."""
        spending = raw.spending if isinstance(raw, Reply) else None
        if self.budget is not None and spending is not None:
            self.budget.add(spending)

    def usage(self) -> Usage:
        """Close the account, so that what is still open counts in full, and return what was spent."""
        self._close()
        took = int((monotonic() - self.began) * 1_000_000)
        return self.services.ledger.usage(self.me.account).model_copy(update={"microseconds": took})

    def end(self) -> None:
        """Make room for others, whether it has begun or not; wait until the code that called its team may go on."""
        try:
            self._close()
        finally:
            self.services.attempt_ended(self.me.account)
            self.slot_token.give()

    async def aend(self) -> None:
        """Do as `end` without blocking the event loop."""
        try:
            await self.services.off_loop(self._close)
        finally:
            self.services.attempt_ended(self.me.account)
            await self.slot_token.agive()

    @property
    def _rest(self) -> float | None:
        """Seconds until it has to be over."""
        return None if self.until is None else max(self.until - monotonic(), 0)

    def _is_settled(self, refusal: ReservationDenied | None) -> bool:
        """Whether there is nothing to wait for."""
        return refusal is None or not refusal.retryable or self._rest == 0

    def _begin(self) -> ReservationDenied | None:
        """Open the account, unless it cannot be paid for beside what is under way."""
        services, me, expects = self.services, self.me, self._expects
        with services.starting:
            refusal = self._refusal()
            if refusal is not None:
                return refusal
            if not self._asks_inside:
                services.attempt_started(me.account, expects)
        services.let_cancel(me.account, self.token)
        epoch = services.ledger.open(me.account, me.allowance)
        self.budget = AttemptBudget(services, me, epoch, self.role, expected=expects)
        self.began = monotonic()
        request = self.request
        services.emit("agent_started", me, goal=request.goal, round=request.round, attempt=request.attempt)
        return None

    def _refusal(self) -> ReservationDenied | None:
        """Say why it cannot be paid for beside what is under way."""
        control = get_runtime().control
        if control is not None and control.drain_requested:  # LangGraph looks at that between supersteps only
            raise GraphDrained(control.drain_reason or "drained")
        services, account = self.services, self.me.account
        team = account.rpartition("/")[0]
        if not any(balance.cap.is_metered for balance in services.ledger.balances(team)):
            return None
        flights = services.in_flight_attempts()
        above = services.ledger.balances(team)  # read last: what ends meanwhile counts twice, and not never
        asked = Amount() if self._asks_inside else self._expects
        is_code = self.agent.kind not in ("model", "messages")
        return can_start(account, asked, above=above, in_flight=flights, may_be_free=is_code)

    @property
    def _expects(self) -> Amount | None:
        return self.agent.expected_amount or self.services.costs.expected(self.role)

    @property
    def _asks_inside(self) -> bool:
        """Whether its own agents are asked one by one: those of a team that nobody knows the cost of."""
        return self.agent.kind == "team" and self._expects is None

    def _late(self, refusal: ReservationDenied | None) -> AgentError:
        why = "it waited for its turn until the deadline"
        if refusal is not None and self._expects is None:
            why += f": {refusal} beside those at work; what it costs is presumed, `expected_cost=` says it"
        return AgentError(kind="deadline", message=why)

    def _close(self) -> None:
        if self.budget is not None:
            self.services.ledger.close(self.me.account, self.budget.epoch)
            self.services.in_flight.remove_attempt(self.me.account)


def _skipped(refusal: ReservationDenied | None) -> AgentError | None:
    return None if refusal is None else AgentError(kind="skipped", message=f"not begun: {refusal}")
