"""The node in which an agent works: one execution is one attempt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.runtime import get_runtime

from guardgraph.agents.adapters import adapt
from guardgraph.agents.agent import Agent
from guardgraph.agents.results import InvalidAnswer, failed_result, result_id, result_of_answer, result_of_handoff
from guardgraph.nodes.attempt_execution import AttemptExecution
from guardgraph.nodes.context import context_of
from guardgraph.nodes.scope import attempt_scope, cost_key, until_of
from guardgraph.runtime.budget.attempt_budget import BudgetExceeded
from guardgraph.runtime.concurrency import isolation
from guardgraph.runtime.concurrency.limiter import SlotToken
from guardgraph.runtime.execution_context import Services, execution_context, execution_services
from guardgraph.runtime.trace_run import TraceRun
from guardgraph.state import (
    AgentError,
    DelegationScope,
    ErrorKind,
    PatternError,
    Request,
    Result,
    StorageError,
    Unserializable,
    Usage,
    error_place,
    error_text,
    new_id,
)

__all__ = ("agent_node",)

_LOG = logging.getLogger(__name__)


def agent_node(
    agent: Agent,
    *,
    writes: Callable[[Result], dict[str, Any]] = lambda result: {"results": [result]},
    concurrency: int | None = None,
    evidence: bool = False,
    concluding: bool = False,
) -> RunnableLambda[Any, Any]:
    """Return `agent` as a node of a team.

    The node is given an `AgentInput` by a gate (or the team's whole state), never raises for what the agent does, and
    writes its `Result` where `writes` says. At most `concurrency` agents of the team work at a time (`None` sets no
    limit). With `evidence` a model agent answers with quotes. A `concluding` agent may spend the reserve, and may
    work until half a second after the deadline. Once LangGraph was asked to drain the run, an attempt that has not
    begun raises `GraphDrained`, and runs when the thread is resumed.
    """
    return _AgentNode(agent, writes, concurrency, evidence=evidence, concluding=concluding)


class _AgentNode(RunnableLambda[Any, Any]):
    """Serves `invoke` and `ainvoke` itself: that costs no more than a plain function, and LangGraph still finds the
    graph that an agent runs, since the function given to `RunnableLambda` names it.

    Under `astream_events` and `astream_log` LangGraph calls `astream` instead: all ways to stream go through both."""

    stream, astream = Runnable[Any, Any].stream, Runnable[Any, Any].astream
    transform, atransform = Runnable[Any, Any].transform, Runnable[Any, Any].atransform

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
        self.body = adapt(agent, evidence=evidence)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Work on one assignment."""
        work = self._prepared(input, config or {}, self._services(input, config or {}))
        try:
            unbegun = work.wait()
            return self._told(work, self._unbegun(work, unbegun) if unbegun else self._work(work))
        finally:
            work.end()

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Work on one assignment without blocking the event loop."""
        services = self._services(input, config or {})
        work = await services.off_loop(lambda: self._prepared(input, config or {}, services))
        try:
            unbegun = await work.await_()
            return self._told(work, self._unbegun(work, unbegun) if unbegun else await self._awork(work))
        finally:
            await work.aend()

    def _services(self, given: Any, config: RunnableConfig) -> Services:
        if not isinstance(given, Mapping) or "position" not in given or not ("request" in given or "admitted" in given):
            what = f"agent {self.agent.name!r} was sent what is no request (`GateContext.send` makes one)"
            raise PatternError(what, node=self.agent.name)
        return execution_services(execution_context(config), _as(DelegationScope, given["position"]).run_id)

    def _prepared(self, given: Mapping[str, Any], config: RunnableConfig, services: Services) -> AttemptExecution:
        team, here = _as(DelegationScope, given["position"]), execution_context(config)
        services.ensure_open(team)
        asked = _as(Request, given["request"]) if "request" in given else _composed(given)
        request = asked.model_copy(update={"id": result_id(self.agent.name, asked, _execution())})
        me = attempt_scope(self.agent, request, team, services, concluding=self.concluding)
        slots = (services.slots(team.account, self.concurrency), *(here.slots if here else ()))
        until = until_of(me, services)
        return AttemptExecution(
            agent=self.agent,
            asked=asked,
            request=request.model_copy(update={"allowance": me.allowance, "path": me.path, "key": me.account}),
            services=services,
            me=me,
            role=cost_key(team, self.agent.name),
            slot_token=SlotToken(slots, here.slot_token if here else None, until),
            until=until,
            config=config,
        )

    def _unbegun(self, work: AttemptExecution, why: AgentError) -> Result:
        return failed_result(self.agent, work.request, why, usage=Usage())

    def _told(self, work: AttemptExecution, result: Result) -> dict[str, Any]:
        if result.status == "ok" and work.agent.kind != "team":  # a team makes do with what there is
            work.services.costs.learn(work.role, result.usage)
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
        )
        return {**self.writes(result), "requests": {result.id: work.asked}}

    def _work(self, work: AttemptExecution) -> Result:
        call: Any = self.body.call
        acall: Any = self.body.acall
        with TraceRun(work.config, name=self.agent.name, request=work.request) as trace:
            work.config = trace.config
            config, context = work.inherited()
            done, token = partial(call or acall, work.request, config), work.token
            try:
                if call is not None:
                    raw = isolation.run_in_thread(done, timeout=work.time, context=context, token=token)
                else:
                    raw = isolation.run_coroutine_blocking(done(), timeout=work.time, context=context, token=token)
            except BaseException as raised:
                error = work.services.unstorable(raised) or raised
                if not _is_the_agents(error):
                    raise
                return trace.finish(self._failed(work, error), error)
            return trace.finish(self._answered(work, raw))

    async def _awork(self, work: AttemptExecution) -> Result:
        call: Any = self.body.call
        acall: Any = self.body.acall
        async with TraceRun(work.config, name=self.agent.name, request=work.request) as trace:
            work.config = trace.config
            config, context = work.inherited()
            done, token = partial(acall or call, work.request, config), work.token
            try:
                if acall is not None:
                    raw = await isolation.wait_abandoning(done(), timeout=work.time, context=context, token=token)
                else:
                    raw = await isolation.arun_in_thread(done, timeout=work.time, context=context, token=token)
            except BaseException as raised:
                failure = work.services.unstorable(raised) or raised
                if not _is_the_agents(failure):
                    raise
                return trace.finish(await work.services.off_loop(lambda: self._failed(work, failure)), failure)
            return trace.finish(await work.services.off_loop(lambda: self._answered(work, raw)))

    def _answered(self, work: AttemptExecution, raw: object) -> Result:
        budget = work.budget
        if budget is not None and budget.ending is not None:
            raise budget.ending
        work.add(raw)
        stopped = budget.stopped if budget else None
        return result_of_answer(self.agent, work.request, raw, usage=work.usage(), stopped=stopped)

    def _failed(self, work: AttemptExecution, error: BaseException) -> Result:
        """Return an error of the agent as a result."""
        budget = work.budget
        if budget is not None and budget.ending is not None:
            raise budget.ending from error
        usage = work.usage()
        if isinstance(error, ParentCommand):
            return result_of_handoff(self.agent, work.request, error.args[0], usage=usage)
        if isinstance(error, isolation.TimedOut):
            why = f"no answer after {monotonic() - work.began:.1f} s ({work.limit})"
            return failed_result(self.agent, work.request, AgentError(kind=work.limit, message=why), usage=usage)
        if isinstance(error, BudgetExceeded) or (budget is not None and budget.stopped is not None):
            stopped = budget.stopped if budget and budget.stopped else getattr(error, "refusal", None)
            if budget is not None and budget.last_text and self.agent.output is None and stopped is not None:
                return result_of_answer(self.agent, work.request, budget.last_text, usage=usage, stopped=stopped)
            return failed_result(
                self.agent, work.request, AgentError(kind="stopped", message=str(stopped)), usage=usage
            )
        kind: ErrorKind = "invalid" if isinstance(error, InvalidAnswer) else "raised"
        _LOG.debug("agent %s failed", self.agent.name, exc_info=error)
        found = AgentError(
            kind=kind,
            message=error_text(error, named=kind == "raised"),
            type=type(error).__name__,
            where=error_place(error) if kind == "raised" else "",
        )
        return failed_result(self.agent, work.request, found, usage=usage)


def _is_the_agents(error: BaseException) -> bool:
    """Tell whether an error becomes a result; all others leave the node."""
    if isinstance(error, GraphBubbleUp):  # an interrupt, or a run that is told to stop
        return isinstance(error, BudgetExceeded | ParentCommand)
    if isinstance(error, Unserializable):  # what a graph of its own would have stored; the team's state holds JSON
        return True
    return not isinstance(error, StorageError | KeyboardInterrupt | asyncio.CancelledError)


def _as(word: Any, given: Any) -> Any:
    """Return what the state holds as a word; some checkpointers give dicts back."""
    return given if isinstance(given, word) else word.model_validate(given)


def _execution() -> str:
    """Return what tells one execution of a node from all others; the same when it runs again after a crash."""
    info = get_runtime().execution_info
    return (info.task_id.replace("-", "") if info is not None and info.task_id else new_id())[-12:]


def _composed(state: Mapping[str, Any]) -> Request:
    """Return a request made of a team's whole state, for nodes that no gate sends to."""
    return Request(task=state["admitted"], context=context_of(state), round=state.get("round") or 1)
