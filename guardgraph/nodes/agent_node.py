"""The node in which an agent works: one execution is one attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.errors import GraphBubbleUp, GraphDrained
from langgraph.runtime import get_runtime

from guardgraph.nodes import apart
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.attempt import Invalid, answered, failed
from guardgraph.nodes.body import body_of
from guardgraph.nodes.flights import may_start
from guardgraph.nodes.inherited import context_of, inherited
from guardgraph.nodes.pieces import pieces_of
from guardgraph.nodes.place import place_of, until_of
from guardgraph.nodes.services import Here, Services, here_of, services_of
from guardgraph.nodes.slots import Ticket
from guardgraph.nodes.tab import AllowanceSpent, Tab
from guardgraph.state import (
    AgentError,
    Amount,
    ErrorKind,
    Position,
    Refusal,
    Request,
    Result,
    StorageError,
    Usage,
)

__all__ = ("agent_node",)


def agent_node(
    agent: Agent,
    *,
    writes: Callable[[Result], dict[str, Any]] = lambda result: {"results": [result]},
    concurrency: int | None = None,
    evidence: bool = False,
    concluding: bool = False,
) -> RunnableLambda[Any, Any]:
    """Return `agent` as a node of a team.

    The node is given an `Assignment` by a gate (or the team's whole state), never raises for what the agent does, and
    writes its `Result` where `writes` says. At most `concurrency` agents of the team work at a time (`None` sets no
    limit). With `evidence` a model agent answers with quotes. A `concluding` agent may spend the reserve, and may
    work until the deadline itself. Once LangGraph was asked to drain the run, what has not begun ends without a word
    (`GraphDrained`), and runs when the thread is resumed.
    """
    return _AgentNode(agent, writes, concurrency, evidence=evidence, concluding=concluding)


@dataclass(slots=True)
class _Attempt:
    """One attempt, from the request to the result."""

    agent: Agent
    request: Request
    services: Services
    here: Here | None
    team: Position
    me: Position
    ticket: Ticket
    until: float | None
    """When it has to be over, on the monotonic clock."""
    config: RunnableConfig
    tab: Tab | None = None
    began: float = 0

    @property
    def rest(self) -> float | None:
        """Seconds that it may still take."""
        return None if self.until is None else max(self.until - monotonic(), 0)

    def is_settled(self, refusal: Refusal | None) -> bool:
        """Whether there is nothing to wait for."""
        return refusal is None or not refusal.waits or self.rest == 0

    @property
    def time(self) -> float | None:
        """Seconds that its work may take from now on."""
        limits = [limit for limit in (self.agent.timeout, self.rest) if limit is not None]
        return min(limits) if limits else None

    @property
    def limit(self) -> Literal["timeout", "deadline"]:
        """Which of both limits its time is: its own timeout, or the deadline."""
        own = self.agent.timeout
        return "deadline" if own is None or (self.until is not None and self.until <= self.began + own) else "timeout"

    def config_of(self, *, on_a_loop: bool) -> RunnableConfig:
        """Return the config that the agent's own work inherits."""
        slots, ticket = self.ticket.slots, self.ticket
        here = Here(services=self.services, position=self.me, slots=slots, ticket=ticket, tab=self.tab)
        return inherited(self.config, here, on_a_loop=on_a_loop)


class _AgentNode(RunnableLambda[Any, Any]):
    """Serves `invoke` and `ainvoke` itself: that costs no more than a plain function, and LangGraph still finds the
    graph that an agent runs, since the function given to `RunnableLambda` names it."""

    def __init__(
        self,
        agent: Agent,
        writes: Callable[[Result], dict[str, Any]],
        concurrency: int | None,
        *,
        evidence: bool,
        concluding: bool,
    ) -> None:
        nested: Any = agent.run

        def names(state: Any) -> Any:
            return nested if state is None else state

        super().__init__(names, name=agent.name)
        self.agent, self.writes, self.concurrency, self.concluding = agent, writes, concurrency, concluding
        self.body = body_of(agent, evidence=evidence)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Work on one assignment."""
        attempt = self._begin(input, config or {})
        if not attempt.ticket.take(attempt.rest):
            return self._told(attempt, self._unbegun(attempt, "deadline", "it waited for a slot until the deadline"))
        try:
            refusal = self._wait_for_money(attempt)
            if refusal is not None:
                return self._told(attempt, self._unbegun(attempt, "skipped", f"not begun: {refusal}"))
            return self._told(attempt, self._work(attempt))
        finally:
            self._end(attempt)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Work on one assignment without blocking the event loop."""
        attempt = self._begin(input, config or {})
        if not await attempt.ticket.atake(attempt.rest):
            return self._told(attempt, self._unbegun(attempt, "deadline", "it waited for a slot until the deadline"))
        try:
            refusal = await self._await_money(attempt)
            if refusal is not None:
                return self._told(attempt, self._unbegun(attempt, "skipped", f"not begun: {refusal}"))
            return self._told(attempt, await self._awork(attempt))
        finally:
            self._end(attempt)

    def _begin(self, given: Mapping[str, Any], config: RunnableConfig) -> _Attempt:
        team = _as(Position, given["position"])
        here = here_of(config)
        services = services_of(here, team.run_id)
        services.ensure_open(team)
        request = _as(Request, given["request"]) if "request" in given else _composed(given)
        me = place_of(self.agent, request, team, services, concluding=self.concluding)
        slots = (services.slots(team.account, self.concurrency), *(here.slots if here else ()))
        return _Attempt(
            agent=self.agent,
            request=request.model_copy(update={"allowance": me.allowance, "path": me.path, "key": me.account}),
            services=services,
            here=here,
            team=team,
            me=me,
            ticket=Ticket(slots, here.ticket if here else None),
            until=until_of(me, services),
            config=config,
        )

    def _end(self, attempt: _Attempt) -> None:
        if attempt.tab is not None:
            attempt.services.ledger.close(attempt.me.account, attempt.tab.epoch)
        attempt.services.land(attempt.me.account)
        attempt.ticket.give()

    def _told(self, attempt: _Attempt, result: Result) -> dict[str, Any]:
        if result.status == "ok" and attempt.agent.kind != "team":  # a team makes do with what there is
            attempt.services.costs.learn(attempt.agent.name, result.usage)
        attempt.services.tell(
            "agent_finished",
            attempt.me,
            status=result.status,
            goal=attempt.request.goal,
            subtask=result.subtask,
            round=attempt.request.round,
            attempt=result.attempt,
            tokens=result.usage.tokens,
            usd=None if result.usage.usd is None else str(result.usage.usd),
            error=result.error.message if result.error else None,
        )
        return self.writes(result)

    def _unbegun(self, attempt: _Attempt, kind: ErrorKind, why: str) -> Result:
        return failed(attempt.agent, attempt.request, AgentError(kind=kind, message=why), usage=Usage())

    def _wait_for_money(self, attempt: _Attempt) -> Refusal | None:
        return attempt.services.changed.until(lambda: self._start(attempt), attempt.is_settled)

    async def _await_money(self, attempt: _Attempt) -> Refusal | None:
        return await attempt.services.changed.auntil(lambda: self._start(attempt), attempt.is_settled)

    def _start(self, attempt: _Attempt) -> Refusal | None:
        """Open the account of the attempt, unless it cannot be paid for beside what is under way."""
        control = get_runtime().control
        if control is not None and control.drain_requested:  # LangGraph looks at that between supersteps only
            raise GraphDrained(control.drain_reason or "drained")
        services, me = attempt.services, attempt.me
        expects = self.agent.expected or services.costs.expected(self.agent.name)
        asks_inside = expects is None and self.agent.kind == "team"  # then its own agents are asked one by one
        with services.starting:
            team = me.account.rpartition("/")[0]
            if any(balance.cap.is_metered for balance in services.ledger.balances(team)):
                flights = services.flights()
                above = services.ledger.balances(team)  # read last: what ends meanwhile counts twice, and not never
                asked = Amount() if asks_inside else expects
                is_code = self.agent.kind not in ("model", "messages")
                refusal = may_start(me.account, asked, above=above, flights=flights, may_be_free=is_code)
                if refusal is not None:
                    return refusal
            if not asks_inside:
                services.take_off(me.account, expects)
        epoch = services.ledger.open(me.account, me.allowance)
        attempt.tab = Tab(services, me, epoch, self.agent.name, expected=expects)
        attempt.began = monotonic()
        request = attempt.request
        services.tell("agent_started", me, goal=request.goal, round=request.round, attempt=request.attempt)
        return None

    def _work(self, attempt: _Attempt) -> Result:
        config, request = attempt.config_of(on_a_loop=self.body.call is None), attempt.request
        context = context_of(config)
        call: Any = self.body.call
        acall: Any = self.body.acall
        try:
            if call is not None:
                raw = apart.run(lambda: context.run(call, request, config), timeout=attempt.time)
            else:
                raw = apart.run_coroutine(acall(request, config), timeout=attempt.time, context=context)
        except BaseException as error:
            return self._failed(attempt, error)
        return self._answered(attempt, raw)

    async def _awork(self, attempt: _Attempt) -> Result:
        config, request = attempt.config_of(on_a_loop=True), attempt.request
        context = context_of(config)
        call: Any = self.body.call
        acall: Any = self.body.acall
        try:
            if acall is not None:
                raw = await apart.aawait(acall(request, config), timeout=attempt.time, context=context)
            else:
                raw = await apart.arun(lambda: context.run(call, request, config), timeout=attempt.time)
        except BaseException as error:
            return self._failed(attempt, error)
        return self._answered(attempt, raw)

    def _answered(self, attempt: _Attempt, raw: object) -> Result:
        tab = attempt.tab
        if tab is not None and tab.fault is not None:
            raise tab.fault
        stopped = tab.stopped if tab else None
        return answered(self.agent, attempt.request, raw, usage=self._usage(attempt), stopped=stopped)

    def _failed(self, attempt: _Attempt, error: BaseException) -> Result:
        """Return the error as a result; raise it again where it is not the agent's."""
        if isinstance(error, GraphBubbleUp) and not isinstance(error, AllowanceSpent):
            raise error  # an interrupt, or a command to a parent graph
        if isinstance(error, StorageError | KeyboardInterrupt | GeneratorExit | asyncio.CancelledError):
            raise error
        tab = attempt.tab
        if tab is not None and tab.fault is not None:
            raise tab.fault from error
        usage = self._usage(attempt)
        if isinstance(error, apart.TimedOut):
            why = f"no answer after {monotonic() - attempt.began:.1f} s ({attempt.limit})"
            return failed(self.agent, attempt.request, AgentError(kind=attempt.limit, message=why), usage=usage)
        if isinstance(error, AllowanceSpent) or (tab is not None and tab.stopped is not None):
            stopped = tab.stopped if tab and tab.stopped else getattr(error, "refusal", None)
            if tab is not None and tab.said and self.agent.output is None and stopped is not None:
                return answered(self.agent, attempt.request, tab.said, usage=usage, stopped=stopped)
            return failed(self.agent, attempt.request, AgentError(kind="stopped", message=str(stopped)), usage=usage)
        kind: ErrorKind = "invalid" if isinstance(error, Invalid) else "raised"
        told = str(error) if kind == "invalid" else f"{type(error).__name__}: {error}"
        found = AgentError(kind=kind, message=told[:2_000], type=type(error).__name__)
        return failed(self.agent, attempt.request, found, usage=usage)

    def _usage(self, attempt: _Attempt) -> Usage:
        """Close the account, so that what is still open counts in full, and return what was spent."""
        services = attempt.services
        if attempt.tab is not None:
            services.ledger.close(attempt.me.account, attempt.tab.epoch)
        took = int((monotonic() - attempt.began) * 1_000_000)
        return services.ledger.usage(attempt.me.account).model_copy(update={"microseconds": took})


def _as(word: Any, given: Any) -> Any:
    """Return what the state holds as a word; some checkpointers give dicts back."""
    return given if isinstance(given, word) else word.model_validate(given)


def _composed(state: Mapping[str, Any]) -> Request:
    """Return a request made of a team's whole state, for nodes that no gate sends to."""
    return Request(task=state["task"], context=pieces_of(state), round=state.get("round") or 1)
