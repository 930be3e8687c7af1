"""The node in which an agent works: one execution is one attempt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.runtime import get_runtime
from langgraph.types import Command

from guardgraph.agents.adapters import adapt
from guardgraph.agents.agent import Agent
from guardgraph.agents.results import InvalidAnswer, failed_result, result_id, result_of_answer, stopped_error
from guardgraph.guards import Breaker, Guard, applying, prices_of
from guardgraph.nodes.attempt_execution import AttemptExecution
from guardgraph.nodes.context import context_of
from guardgraph.nodes.result_cache import ResultCache
from guardgraph.nodes.scope import attempt_scope, cost_key, until_of
from guardgraph.nodes.team_spec import EXIT
from guardgraph.nodes.turns import turns_of
from guardgraph.runtime.boards.access import access_of
from guardgraph.runtime.boards.declaration import Board
from guardgraph.runtime.breakers.circuits import attempt_key
from guardgraph.runtime.budget.attempt_budget import BudgetExceeded
from guardgraph.runtime.budget.call_guards import CALL_GATES, GuardTripped
from guardgraph.runtime.concurrency import isolation
from guardgraph.runtime.concurrency.limiter import SlotToken
from guardgraph.runtime.execution_context import execution_context, execution_services
from guardgraph.runtime.graph_config import channel_value, has_called_a_graph, is_resumed, messages_before
from guardgraph.runtime.integrity import IntegrityRecord
from guardgraph.runtime.outbox import Outbox
from guardgraph.runtime.rates.overload import retry_after_of
from guardgraph.runtime.services import Services
from guardgraph.runtime.trace_run import TraceRun
from guardgraph.state import (
    AgentError,
    Attachment,
    DelegationScope,
    ErrorKind,
    PatternError,
    Price,
    RateLimitExceeded,
    Request,
    ReservationDenied,
    Result,
    StorageError,
    Unserializable,
    Usage,
    Verdict,
    attempt_sides,
    error_place,
    error_text,
    missing_content,
    new_id,
)

__all__ = ("agent_node", "model_origins")

_LOG = logging.getLogger(__name__)
_FAILED = frozenset[ErrorKind]({"raised", "timeout", "invalid"})
"""The errors that show that an agent does not work."""


def agent_node(
    agent: Agent,
    *,
    fallback_for: str | None = None,
    writes: Callable[[Result], dict[str, Any]] = lambda result: {"results": [result]},
    concurrency: int | None = None,
    skill_limits: Mapping[str, int] | None = None,
    evidence: bool = False,
    concluding: bool = False,
    peers: Collection[str] = (),
    board: Board | None = None,
    guards: Sequence[Guard] = (),
    breaker: Breaker | None = None,
) -> RunnableLambda[Any, Any]:
    """Return `agent` as a node of a team.

    The node is given an `AgentInput` by a gate (or the team's whole state), never raises for what the agent does, and
    writes the update that `writes` makes of its `Result`. At most `concurrency` agents of the team work at a time
    (`None` sets no limit), of those with a skill at most as many as `skill_limits` allows, and of this one at most
    its `copies`. With `evidence` a model agent answers with quotes. A `concluding` agent may spend the reserve, and
    may work until half a second after the deadline. `breaker` is the guard that judges by its failures, and
    `fallback_for` names the agent that was asked first; `board` is
    that of the team, and `peers` are those to which it may send messages, and hand over. Of `guards`, those of its
    team, and of its own the ones of the gates `model` and `tool` judge its calls. Once LangGraph is to drain
    the run, an attempt that has not started raises `GraphDrained`, and runs when the thread is resumed.
    """
    skills = sorted({*agent.skills}.intersection(skill_limits or {}))
    pools = {f"skill {skill}": limit for skill in skills if (limit := (skill_limits or {})[skill])}
    if agent.copies is not None:
        pools = {f"agent {agent.name}": agent.copies, **pools}
    judging = tuple(guard for guard in (*guards, *agent.guards) if not CALL_GATES.isdisjoint(guard.gates))
    return _AgentNode(
        agent,
        fallback_for,
        writes,
        concurrency,
        pools,
        board,
        peers,
        judging,
        breaker,
        prices_of(guards),
        evidence=evidence,
        concluding=concluding,
    )


def model_origins(node: object) -> tuple[tuple[str | None, str | None], ...]:
    """Return provider and name of each model of the agent of a node, as its calls report them; none for other nodes."""
    return node.body.origins if isinstance(node, _AgentNode) else ()


class _AgentNode(RunnableLambda[Any, Any]):
    """Serves `invoke` and `ainvoke` itself: that costs no more than a plain function, and LangGraph still finds the
    graph that an agent runs, since the function given to `RunnableLambda` names it.

    Under `astream_events` and `astream_log` LangGraph calls `astream` instead: all ways to stream go through both."""

    stream, astream = Runnable[Any, Any].stream, Runnable[Any, Any].astream
    transform, atransform = Runnable[Any, Any].transform, Runnable[Any, Any].atransform

    def __init__(
        self,
        agent: Agent,
        fallback_for: str | None,
        writes: Callable[[Result], dict[str, Any]],
        concurrency: int | None,
        pools: Mapping[str, int],
        board: Board | None,
        peers: Collection[str],
        guards: Sequence[Guard],
        breaker: Breaker | None,
        prices: Mapping[str, Price],
        *,
        evidence: bool,
        concluding: bool,
    ) -> None:
        nested: Any = agent.run

        def names(state: Any) -> Any:
            return nested if state is None else state

        super().__init__(names, name=agent.name)
        self.agent, self.writes, self.concurrency, self.concluding = agent, writes, concurrency, concluding
        self.fallback_for, self.board, self.peers, self.guards = fallback_for, board, frozenset(peers), guards
        self.names = {agent.name, fallback_for or agent.name}
        self.breaker, self.prices = breaker, prices
        self.pools = pools  # taken in this order, so that attempts cannot wait for each other in a circle
        self.body = adapt(agent, evidence=evidence)
        self.cache = ResultCache(agent, evidence=evidence)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Make one attempt."""
        work = self._attempt(input, config or {}, self._services(input, config))
        try:
            result = self._cached(work) or work.wait() or self._work(work)
            self._note_end(work, result)
            return _back(_gate_of(input, work.sent), self._update(work, result))
        finally:
            work.end()

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Make one attempt without blocking the event loop."""
        services = self._services(input, config)
        work = await services.off_loop(lambda: self._attempt(input, config or {}, services))
        try:
            result = await self._acached(work) or await work.await_() or await self._awork(work)
            if self.breaker is not None and services.circuits.values.blocks:
                await isolation.run_shielded(lambda: self._note_end(work, result))
            else:
                self._note_end(work, result)
            return _back(_gate_of(input, work.sent), self._update(work, result))
        finally:
            await work.aend()

    def _services(self, given: Any, config: RunnableConfig | None) -> Services:
        if not isinstance(given, Mapping) or "position" not in given or not ("request" in given or "admitted" in given):
            what = f"agent {self.agent.name!r} was sent what is no request (`GateContext.send` makes one)"
            raise PatternError(what, node=self.agent.name)
        return execution_services(execution_context(config), _as(DelegationScope, given["position"]).run_id)

    def _attempt(self, given: Mapping[str, Any], config: RunnableConfig, services: Services) -> AttemptExecution:
        team, current = _as(DelegationScope, given["position"]), execution_context(config)
        services.ensure_open(team)
        sent = _as(Request, given["request"]) if "request" in given else _composed(given)
        id_ = result_id(self.agent.name, sent, _execution())
        concluding = self.concluding or _gate_of(given, sent) == EXIT  # a reviewer of the value
        me = attempt_scope(self.agent, sent, team, services, attempt=id_, concluding=concluding)
        request = sent.model_copy(
            update={"id": id_, "allowance": me.allowance, "path": me.path, "idempotency_key": me.account}
        )
        integrity = IntegrityRecord(
            me.trusted, self.agent.integrity == "inherits", self.agent.untrusted_tools, self.agent.kind == "model"
        )
        goes_on = has_called_a_graph(config)
        if self.agent.kind != "team" and goes_on:
            integrity.recall(messages_before(config) if self.agent.kind == "model" else None)
        slots = (services.slots(team.account, self.concurrency), *(current.slots if current else ()))
        until = until_of(me, services)
        pools = tuple(services.slots(f"{team.account} {pool}", limit) for pool, limit in self.pools.items())
        role = cost_key(team, self.agent.name)
        around = current.budget if current is not None else None
        return AttemptExecution(
            agent=self.agent,
            sent=sent,
            request=request,
            services=services,
            me=me,
            role=role,
            turns=turns_of(self.agent, services, me, role, until),
            slot_token=SlotToken(slots, current.slot_token if current else None, until),
            until=until,
            config=config,
            sides=attempt_sides(
                team.budgets,
                team=team.account,
                agent=self.agent.name,
                subtask=request.subtask.id if request.subtask else None,
                fallback_for=self.fallback_for,
            ),
            attachments=_attachments(request, config, current.attachments if current else {}),
            pool=SlotToken(pools) if pools else None,
            outbox=Outbox(self.fallback_for or self.agent.name, self.peers),
            guards=applying(self.guards, agents=self.names, categories=request.task.categories),
            above=None if around is None else around.guards,
            tool_prices={**({} if around is None else around.tool_prices), **self.agent.tool_prices},
            prices=self.prices if around is None else {**self.prices, **around.prices},
            boards=access_of(current, self.board, services, config, me, integrity),
            integrity=integrity,
            goes_on=goes_on,
        )

    def _note_end(self, work: AttemptExecution, result: Result) -> None:
        """Record for the circuit of the agent whether it has failed, where a guard judges by that."""
        if self.breaker is None:
            return
        drawn, circuits = work.me.account.rpartition("/")[0], work.services.circuits
        key = attempt_key(drawn, self.agent.name, work.sent)
        has_failed = result.error is not None and result.error.kind in _FAILED
        try:
            if work.is_cached or not (result.status == "ok" or has_failed):
                circuits.released(work.role, key)
            else:
                is_ok, attempt = result.status == "ok", work.me.account
                circuits.ended(work.role, key, self.breaker, is_ok=is_ok, attempt=attempt)
        except StorageError:  # the work is done all the same
            _LOG.warning("what attempt %s has shown of its agent is not recorded", key, exc_info=True)

    def _update(self, work: AttemptExecution, result: Result) -> dict[str, Any]:
        work.forget_calls()
        if not work.is_cached:
            result = work.labelled(result)
        if result.status == "ok" and work.agent.kind != "team" and not work.is_cached:  # a team uses what there is
            work.services.costs.learn(work.role, result.usage)
            if work.services.learned is not None:
                models = work.budget.models if work.budget is not None else ()
                work.services.learned.note(work.role, models, result.usage)
        work.services.emit(
            "agent_finished",
            work.me,
            status=result.status,
            goal=work.request.goal,
            subtask=result.subtask,
            round=work.request.round,
            attempt=result.attempt,
            tokens=result.usage.tokens,
            usd=None if result.usage.usd is None else str(result.usage.usd),
            error=result.error.message if result.error else None,
            **({} if work.request.review is None else {"reviews": work.request.review.result}),
            **({"trusted": True} if result.trusted else {}),
            **({"cached": True} if work.is_cached else {}),
        )
        if self.fallback_for is not None:
            result = result.model_copy(update={"fallback_for": self.fallback_for})
        guards = work.budget.guards if work.budget is not None else None
        verdicts = {"verdicts": [*guards.verdicts]} if guards is not None and guards.verdicts else {}
        return {**self.writes(result), "requests": {result.id: work.sent}, **verdicts}

    def _cached(self, work: AttemptExecution) -> Result | None:
        """Return the cached answer to a request, which needs neither slot nor budget."""
        if self.agent.cache is None:
            return None
        work.read_boards()
        found = self.cache.find(work.under_rules)
        if found is not None:
            work.begin_cached()
            with TraceRun(work.config, name=self.agent.name, request=work.request, cached=True) as trace:
                trace.finish(found)
        return found

    async def _acached(self, work: AttemptExecution) -> Result | None:
        if self.agent.cache is None:
            return None
        await work.aread_boards()
        found = await self.cache.afind(work.under_rules)
        if found is not None:
            work.begin_cached()
            async with TraceRun(work.config, name=self.agent.name, request=work.request, cached=True) as trace:
                trace.finish(found)
        return found

    def _work(self, work: AttemptExecution) -> Result:
        with TraceRun(work.config, name=self.agent.name, request=work.request) as trace:
            call, limits = _bound(work, trace, self.body.call or self.body.acall)
            try:
                if self.body.call is not None:
                    raw = isolation.run_in_thread(call, **limits)
                else:
                    raw = isolation.run_coroutine_blocking(call(), **limits)
            except BaseException as raised:
                error = _agents_error(work.services, raised)
                return trace.finish(self._failed(work, error), error)
            result = trace.finish(self._answered(work, raw))
            if _is_kept(work):
                self.cache.keep(work.under_rules, result)
            return result

    async def _awork(self, work: AttemptExecution) -> Result:
        async with TraceRun(work.config, name=self.agent.name, request=work.request) as trace:
            call, limits = _bound(work, trace, self.body.acall or self.body.call)
            try:
                if self.body.acall is not None:
                    raw = await isolation.wait_abandoning(call(), **limits)
                else:
                    raw = await isolation.arun_in_thread(call, **limits)
            except BaseException as raised:
                error = _agents_error(work.services, raised)
                return trace.finish(await work.services.off_loop(lambda: self._failed(work, error)), error)
            result = trace.finish(await work.services.off_loop(lambda: self._answered(work, raw)))
            if _is_kept(work):
                await self.cache.akeep(work.under_rules, result)
            return result

    def _answered(self, work: AttemptExecution, raw: object) -> Result:
        usage = work.usage(raw)
        stopped = work.budget.stopped if work.budget else None
        return self._result(work, raw, usage, stopped)

    def _result(
        self, work: AttemptExecution, raw: object, usage: Usage, stopped: ReservationDenied | Verdict | None
    ) -> Result:
        answer = result_of_answer(self.agent, work.request, raw, usage=usage, stopped=stopped, outbox=work.outbox)
        return work.labelled(answer)

    def _failed(self, work: AttemptExecution, error: BaseException) -> Result:
        """Return the result of an attempt that has raised `error`."""
        usage, budget = work.usage(), work.budget
        stopped = budget.stopped if budget else None
        if isinstance(error, ParentCommand):
            return self._result(work, error.args[0], usage, None)
        if isinstance(error, isolation.TimedOut):
            why = f"no answer after {monotonic() - work.began:.1f} s ({work.limit})"
            found = AgentError(kind=work.limit, message=why)
        elif stopped is not None or isinstance(error, BudgetExceeded | GuardTripped):
            why = stopped or (error.verdict if isinstance(error, GuardTripped) else getattr(error, "refusal", None))
            gives_way = self.agent.fallback is not None and budget is not None and budget.is_broken
            has_text = budget is not None and bool(budget.last_text) and self.agent.output is None
            if budget is not None and has_text and why is not None and not gives_way:
                return self._result(work, budget.last_text, usage, why)
            found, by = stopped_error(why) if why is not None else (AgentError(kind="stopped", message=""), "Budget")
            return failed_result(self.agent, work.request, found, usage=usage, stopped_by=by)
        elif isinstance(error, RateLimitExceeded):
            found = AgentError(kind="deadline", message=str(error))
        else:
            _LOG.debug("agent %s failed", self.agent.name, exc_info=error)
            kind: ErrorKind = "invalid" if isinstance(error, InvalidAnswer) else "raised"
            found = AgentError(
                kind=kind,
                message=error_text(error, named=kind == "raised"),
                type=type(error).__name__,
                where=error_place(error) if kind == "raised" else "",
                retry_after=retry_after_of(error),
            )
        return failed_result(self.agent, work.request, found, usage=usage)


def _gate_of(given: Any, request: Request) -> str | None:
    """Return the gate that waits for the opinion of a reviewer; `None` for any other agent."""
    return None if request.review is None else given["gate"]


def _back(gate: str | None, update: dict[str, Any]) -> Any:
    """Return an update, with the gate to which the agent comes back if it is a reviewer."""
    return update if gate is None else Command(update=update, goto=gate)


def _is_kept(work: AttemptExecution) -> bool:
    """Whether its answer may be cached: what a human has answered, or a cheaper model, is no part of the key."""
    is_cheaper = work.budget is not None and work.budget.is_downgraded
    return work.agent.cache is not None and not is_resumed(work.config) and not is_cheaper


def _attachments(
    request: Request, config: RunnableConfig, inherited: Mapping[str, Attachment]
) -> Mapping[str, Attachment]:
    """Return the content of the attachments of a task, by digest: from the teams above, or from the state."""
    if not missing_content(request.task.attachments, inherited):
        return inherited
    return {**inherited, **(channel_value(config, "attachments") or {})}


def _bound(work: AttemptExecution, trace: TraceRun, call: Any) -> tuple[Callable[[], Any], dict[str, Any]]:
    """Return the call of an agent with its arguments, and the limits under which it runs."""
    work.config = trace.config
    config, context = work.inherited()
    return partial(call, work.given, config), {"timeout": work.time, "context": context, "token": work.token}


def _agents_error(services: Services, raised: BaseException) -> BaseException:
    """Return the error that becomes a result; raise again what has to leave the node."""
    error = services.unstorable(raised) or raised
    if isinstance(error, GraphBubbleUp):  # an interrupt, or a run that is drained
        becomes_result = isinstance(error, BudgetExceeded | GuardTripped | ParentCommand)
    else:  # `Unserializable`: a nested graph could not store it; the team's own state holds JSON
        leaves = isinstance(error, StorageError | KeyboardInterrupt | asyncio.CancelledError)
        becomes_result = isinstance(error, Unserializable) or not leaves
    if not becomes_result:
        raise raised
    return error


def _as(model: Any, given: Any) -> Any:
    """Return what the state holds as a model; some checkpointers return dicts."""
    return given if isinstance(given, model) else model.model_validate(given)


def _execution() -> str:
    """Return an id of this execution of the node, which is the same when it runs again after a crash."""
    info = get_runtime().execution_info
    return (info.task_id.replace("-", "") if info is not None and info.task_id else new_id())[-12:]


def _composed(state: Mapping[str, Any]) -> Request:
    """Return a request made of a team's whole state, for nodes to which no gate sends."""
    context, position = context_of(state), _as(DelegationScope, state["position"])
    trusted = position.trusted and all(item.trusted for item in context)
    return Request(task=state["admitted"], context=context, round=state.get("round") or 1, trusted=trusted)
