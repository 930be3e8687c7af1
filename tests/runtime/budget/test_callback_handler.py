from __future__ import annotations

import asyncio
import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI

from guardgraph.agents import Agent
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runtime.budget.attempt_budget import AttemptBudget, BudgetExceeded
from guardgraph.runtime.budget.callback_handler import (
    AsyncBudgetCallbackHandler,
    BudgetCallbackHandler,
    CallReservation,
)
from guardgraph.runtime.execution_context import ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import Allowance, Amount, DelegationScope, Request, ReservationDenied, Usage
from tests import loopback
from tests.graphs.teams import WAYS, plan_of, speaker, team
from tests.loopback import OpenAIServer

FREE = {"ls_provider": "offline", "ls_model_name": "scripted"}
TEAM, MINE = "run/work", "run/work/worker:a#1"


@dataclass
class Desk:
    """An attempt with its budget and callback handlers, beside another reservation."""

    cap: int
    others: int = 0

    def __post_init__(self) -> None:
        self.services = Services()
        ledger = self.services.ledger
        ledger.reserve("theirs", TEAM, ledger.open(TEAM, Allowance(tokens=self.cap)), Amount(tokens=self.others))
        scope = DelegationScope(
            run_id="run", account=MINE, spending_account=MINE, path=("worker",), started=self.services.clock()
        )
        self.budget = AttemptBudget(self.services, scope, ledger.open(MINE, Allowance()), "worker")

    @property
    def execution(self) -> ExecutionContext:
        return ExecutionContext(self.services, self.budget.position, budget=self.budget)

    @property
    def config(self) -> RunnableConfig:
        return {"callbacks": [AsyncBudgetCallbackHandler(self.budget), BudgetCallbackHandler(self.budget)]}

    @property
    def tokens(self) -> tuple[int, int]:
        """What is spent and what is reserved."""
        balance = self.services.ledger.balances(TEAM)[-1]
        return balance.spent.tokens, balance.reserved.tokens

    def settle(self) -> None:
        """Let the others be done for nothing."""
        self.services.ledger.settle("theirs", Usage())
        self.services.changed.notify_all()


def model(**facts: Any) -> ScriptedModel:
    return ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20, **facts)


def test_a_call_is_reserved_before_and_settled_after() -> None:
    at = Desk(1_000)
    during: list[tuple[int, int]] = []
    watching = ScriptedModel(replies=lambda _: during.append(at.tokens) or "said", input_tokens=80, output_tokens=20)

    watching.invoke("hello", at.config)

    assert during == [(0, 1_000)]
    assert at.tokens == (100, 0)


async def test_an_awaited_call_is_counted_once_although_two_handlers_see_it() -> None:
    at = Desk(1_000)

    await model().ainvoke("hello", at.config)

    assert at.tokens == (100, 0)
    assert at.services.ledger.usage(TEAM).calls == 1


def test_streams_and_batches_are_counted() -> None:
    at = Desk(1_000)

    assert "".join(chunk.text for chunk in model().stream("hello", at.config)) == "said"
    model().batch(["hello"] * 3, at.config)

    assert at.tokens == (400, 0)


async def test_awaited_streams_are_counted() -> None:
    at = Desk(1_000)

    assert "".join([chunk.text async for chunk in model().astream("hello", at.config)]) == "said"

    assert at.tokens == (100, 0)


def test_a_text_model_that_reports_nothing_is_counted_in_full() -> None:
    at = Desk(1_000)

    FakeListLLM(responses=["said"]).invoke("hello", at.config)

    assert at.tokens == (1_000, 0)


def test_a_call_that_fails_is_settled() -> None:
    at = Desk(1_000)

    with pytest.raises(OSError, match="cut"):
        ScriptedModel(replies=[OSError("cut")]).invoke("hello", at.config)

    assert at.tokens == (1_000, 0)


def test_a_stop_is_raised_before_the_call_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    at, never = Desk(0), model()

    with caplog.at_level(logging.WARNING), pytest.raises(BudgetExceeded, match="tokens wanted, 0 left"):
        never.invoke("hello", at.config)

    assert never.calls == 0
    assert not caplog.records
    assert at.budget.stopped is not None


async def test_an_awaited_call_is_stopped_too(caplog: pytest.LogCaptureFixture) -> None:
    at, never = Desk(0), model()

    with caplog.at_level(logging.WARNING), pytest.raises(BudgetExceeded, match="tokens wanted, 0 left"):
        await never.ainvoke("hello", at.config)

    assert never.calls == 0
    assert not caplog.records


def test_an_error_of_another_handler_is_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Ill(BaseCallbackHandler):
        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("ill")

    with caplog.at_level(logging.WARNING):
        model().invoke("hello", {"callbacks": [Ill(), BudgetCallbackHandler(Desk(1_000).budget)]})

    assert [record.getMessage() for record in caplog.records] == ["Error in Ill.on_llm_end callback: ValueError('ill')"]


def test_what_others_have_reserved_is_waited_for() -> None:
    at = Desk(1_000, others=1_000)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(model().invoke, "hello", at.config)
        at.settle()
        assert waiting.result(20).text == "said"

    assert at.tokens == (100, 0)


async def test_the_loop_is_not_blocked_by_waiting() -> None:
    at = Desk(1_000, others=1_000)
    waiting = asyncio.create_task(model().ainvoke("hello", at.config))
    await asyncio.sleep(0)

    at.settle()

    assert (await asyncio.wait_for(waiting, 20)).text == "said"


async def test_a_call_that_would_block_the_loop_is_stopped_instead_of_waiting() -> None:
    at = Desk(1_000, others=1_000)

    with pytest.raises(BudgetExceeded, match="tokens wanted, 0 left"):
        model().invoke("hello", at.config)

    assert isinstance(at.budget.stopped, ReservationDenied)
    assert not at.budget.stopped.retryable


def test_a_reservation_bounds_the_call_that_comes_within_it() -> None:
    at = Desk(100)

    with CallReservation(at.execution, 80, None, FREE) as bound:
        assert bound == 20
        assert at.tokens == (0, 100)
        model().invoke("hello", at.config, max_tokens=bound)

    assert at.tokens == (100, 0)


async def test_an_awaited_reservation_does_the_same() -> None:
    at = Desk(100)

    async with CallReservation(at.execution, 80, None, FREE) as bound:
        assert bound == 20
        await model().ainvoke("hello", at.config, max_tokens=bound)

    assert at.tokens == (100, 0)


def test_a_reservation_whose_call_never_came_is_given_back() -> None:
    at = Desk(100)

    with pytest.raises(OSError, match="before the call"), CallReservation(at.execution, 80, 20, FREE):
        raise OSError("before the call")

    assert at.tokens == (0, 0)


async def test_a_reservation_whose_task_is_cancelled_is_given_back() -> None:
    at = Desk(100)
    began = asyncio.Event()

    async def hang() -> None:
        async with CallReservation(at.execution, 80, 20, FREE):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await began.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert at.tokens == (0, 0)


def test_a_reservation_waits_for_what_others_have_reserved() -> None:
    at = Desk(100, others=100)

    def reserve() -> int | None:
        with CallReservation(at.execution, 80, None, FREE) as bound:
            return bound

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reserve)
        at.settle()
        assert waiting.result(20) == 20


async def test_an_awaited_reservation_waits_too() -> None:
    at = Desk(100, others=100)

    async def reserve() -> int | None:
        async with CallReservation(at.execution, 80, None, FREE) as bound:
            return bound

    waiting = asyncio.create_task(reserve())
    await asyncio.sleep(0)
    at.settle()

    assert await asyncio.wait_for(waiting, 20) == 20


async def test_a_reservation_that_cannot_be_paid_for_is_refused() -> None:
    at = Desk(80)

    with pytest.raises(BudgetExceeded, match="100 tokens wanted, 80 left"), CallReservation(at.execution, 80, 20, FREE):
        pass
    with pytest.raises(BudgetExceeded, match="100 tokens wanted, 80 left"):
        async with CallReservation(at.execution, 80, 20, FREE):
            pass


@pytest.mark.parametrize("execution", [None, ExecutionContext(Services())])
async def test_outside_of_an_agent_nothing_is_reserved(execution: ExecutionContext | None) -> None:
    with CallReservation(execution, 80, 20, FREE) as bound:
        assert bound == 20
    async with CallReservation(execution, 80, None, FREE) as unbound:
        assert unbound is None


def test_after_a_stop_no_call_waits() -> None:
    at = Desk(1_000, others=1_000)
    at.budget.stop(ReservationDenied(TEAM, "tokens", 100, 0, retryable=True))

    with pytest.raises(BudgetExceeded, match="100 tokens wanted, 0 left"):
        model().invoke("hello", at.config)


class Noting(BaseCallbackHandler):
    """Counts the calls that have ended."""

    def __init__(self) -> None:
        self.ended = 0

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.ended += 1


@pytest.mark.parametrize("way", WAYS)
def test_the_innermost_handler_counts_and_callbacks_of_the_user_are_called(way: str) -> None:
    nested = team(plan_of("inner"), workers=[speaker("leaf", read=80, written=20)], guards=[]).compile()

    def ask(request: Request) -> Any:
        model().invoke("hello")
        return nested.invoke({"task": request.goal})["outcome"].value

    graph = team(plan_of("outer"), workers=[Agent("worker", run=ask)], guards=[Budget(tokens=1_000)]).compile()
    noting = Noting()

    outcome = WAYS[way](graph, "the task", {"callbacks": [noting]})

    assert outcome.status == "completed"
    assert (outcome.usage.tokens, outcome.usage.calls, noting.ended) == (200, 2, 2)


def test_an_entry_is_never_shared_by_two_calls() -> None:
    at = Desk(1_000)
    handler, ids = BudgetCallbackHandler(at.budget), (uuid4(), uuid4())

    def begin() -> None:
        for run_id in ids:
            handler.on_chat_model_start({}, [[]], run_id=run_id, metadata={**FREE, "ls_max_tokens": 100})

    copy_context().run(begin)  # the calls stay open; in no other test's context

    assert at.tokens == (0, 200)


def cached(server: OpenAIServer | None) -> Any:
    """Return a model that keeps its answers."""
    if server is None:
        return model(cache=InMemoryCache())
    return ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", cache=InMemoryCache())  # type: ignore[arg-type]


@pytest.mark.parametrize("real", [False, True])
async def test_an_answer_out_of_a_cache_costs_nothing(real: bool) -> None:
    at = Desk(100_000)
    with OpenAIServer(lambda _: loopback.text("said", input_tokens=80, output_tokens=20)) as server:
        keeps = cached(server if real else None)
        for _ in range(2):
            keeps.invoke("hello", at.config)
            await keeps.ainvoke("hello", at.config)

    assert at.tokens == (100, 0)
    assert at.services.ledger.usage(TEAM).calls == 4


class Free(ScriptedModel):
    """A model whose provider reports that it costs nothing."""

    def _reply(self, messages: list[BaseMessage], options: Any) -> AIMessage:
        said = super()._reply(messages, options)
        usage: Any = {**(said.usage_metadata or {}), "total_cost": 0}
        return said.model_copy(update={"usage_metadata": usage})


async def test_tokens_of_a_provider_that_takes_nothing_for_them_count() -> None:
    at = Desk(100_000)
    free = Free(replies=lambda _: "said", input_tokens=80, output_tokens=20)

    free.invoke("hello", at.config)
    list(free.stream("hello", at.config))
    await free.ainvoke("hello", at.config)

    assert at.tokens == (300, 0)


async def test_prompts_and_generations_of_one_call_are_counted_once_each() -> None:
    at = Desk(1_000_000)
    prompts: list[list[BaseMessage]] = [[HumanMessage("a")], [HumanMessage("b")]]
    with OpenAIServer(lambda _: loopback.text("said", input_tokens=80, output_tokens=20)) as server:
        several = ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", n=2)  # type: ignore[arg-type]
        several.generate(prompts, **at.config)
        assert (at.tokens, at.services.ledger.usage(TEAM).calls) == ((200, 0), 2)
        await several.agenerate(prompts, **at.config)

    assert (at.tokens, at.services.ledger.usage(TEAM).calls) == ((400, 0), 4)


class Twice(ScriptedModel):
    """A model that answers twice in one call; both answers carry the usage of the whole call, as those of OpenAI do."""

    def _generate(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> ChatResult:
        said = self._reply(messages, kwargs)
        return ChatResult(generations=[ChatGeneration(message=said.model_copy()) for _ in range(2)])


def test_two_generations_that_repeat_one_report_are_counted_once() -> None:
    at = Desk(1_000)

    Twice(replies=lambda _: "said", input_tokens=80, output_tokens=20).invoke("hello", at.config)

    assert at.tokens == (100, 0)


async def test_a_call_cancelled_while_waiting_leaves_no_handler_unawaited() -> None:
    at = Desk(1_000, others=1_000)
    noting: RunnableConfig = {
        "callbacks": [AsyncBudgetCallbackHandler(at.budget), BudgetCallbackHandler(at.budget), Noting()]
    }
    waiting = asyncio.create_task(model().ainvoke("hello", noting))
    await asyncio.sleep(0.01)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gc.collect()  # a coroutine that was never awaited is reported then, and is an error

    assert at.tokens == (0, 1_000)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_reservation_within_a_call_does_not_wait_for_the_one_around_it(is_async: bool) -> None:
    at = Desk(100)
    seen: list[str] = []

    def reserves(_: Any) -> str:
        with pytest.raises(BudgetExceeded, match="tokens wanted"), CallReservation(at.execution, 80, 20, FREE):
            pass
        seen.append("refused")
        return "said"

    outer = ScriptedModel(replies=reserves, input_tokens=80, output_tokens=20)
    if is_async:
        await outer.ainvoke("hello", at.config)
    else:
        await asyncio.to_thread(outer.invoke, "hello", at.config)

    assert seen == ["refused"]
