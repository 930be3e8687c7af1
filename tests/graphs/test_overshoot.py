"""How far a budget is overshot where what calls take is underestimated: the bound that the page on budgets states."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from guardgraph.agents import Agent
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Plan, Request, Subtask
from tests.graphs.overshoot import SHAPES, Shape, case_of, run
from tests.graphs.teams import WAYS, plan_of, speaker, team

IDS = tuple(f"s{number:02}" for number in range(20))
CASES = int(os.environ.get("GUARDGRAPH_SEARCH", "25"))


def largest(costs: list[int], shape: Shape, calls: int) -> int:
    """Return the most that one call takes; the prompts of one `generate` are one."""
    return max(costs, default=0) * (calls if shape == "generate" else 1)


@settings(max_examples=CASES)
@given(st.integers(0, 10**9))
@pytest.mark.timeout(3_600)
def test_a_random_team_overshoots_by_one_call_at_most(seed: int) -> None:
    case = case_of(seed)

    outcome, model, budget = run(case)

    spent = outcome.usage.tokens
    assert spent <= sum(model.costs), "nothing is counted that was not spent"
    assert spent <= budget + largest(model.costs, case.shape, case.calls), case


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("declared", [None, 1])
def test_many_calls_at_once_that_read_four_times_what_was_counted(
    way: str, shape: Shape, declared: float | None
) -> None:
    case = case_of(
        0, way=way, shape=shape, workers=20, concurrency=20, calls=5, size=1_000, factor=4, written=20, bounded=True,
        declared=declared, paid=4.5, delay=0.002,
    )  # fmt: skip

    outcome, model, budget = run(case)

    assert budget < sum(model.costs[:1]) * 5 * 20, "it does not pay for all of them"
    assert outcome.usage.tokens <= budget + largest(model.costs, shape, case.calls)
    assert outcome.usage.tokens == sum(model.costs)


@pytest.mark.parametrize("way", WAYS)
def test_chinese_text_is_counted_as_a_quarter_of_what_is_read(way: str) -> None:
    goal = "请总结这份文件的主要内容并列出所有要点" * 20
    model = ScriptedModel(replies=lambda _: "好", input_tokens=len(goal), output_tokens=10, delay=0.005)
    plan = Plan(subtasks=tuple(Subtask(id=id_, goal=goal) for id_ in IDS))
    budget = 5 * (len(goal) + 10)
    graph = team(
        plan, workers=[Agent("worker", model=model, expected_cost=150)], guards=[Budget(tokens=budget, reserve=0)]
    )

    outcome = WAYS[way](graph.compile(), "the task", None)

    assert budget - len(goal) - 10 < outcome.usage.tokens <= budget + len(goal) + 10


@pytest.mark.parametrize("way", WAYS)
def test_where_the_budget_pays_for_the_worst_calls_go_together(way: str) -> None:
    workers = [speaker("worker", read=80, written=20, delay=0.3, expected_cost=100, max_tokens=20)]
    graph = team(plan_of(*IDS), workers=workers, guards=[Budget(tokens=1_000_000)], concurrency=20).compile()

    began = monotonic()
    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "completed"
    assert monotonic() - began < 20 * 0.3


def slow(delay: float = 0.2, **facts: Any) -> ScriptedModel:
    return ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20, delay=delay, **facts)


async def test_a_call_that_was_cancelled_holds_up_nobody_once_its_attempt_is_over() -> None:
    hangs, answers = slow(30), slow(0)

    async def work(request: Request) -> str:
        if request.goal == "do a":
            async with asyncio.timeout(0.05):
                await hangs.ainvoke("hello")
        return (await answers.ainvoke("hello")).text

    graph = team(
        plan_of("a", "b", "c"), workers=[Agent("worker", run=work)], guards=[Budget(tokens=100_000)], concurrency=3
    ).compile()

    outcome = (await asyncio.wait_for(graph.ainvoke({"task": "the task"}), 20))["outcome"]

    assert outcome.value == ["said", "said"]


async def test_an_agent_that_gave_up_a_call_goes_on_calling() -> None:
    hangs, answers = slow(30), slow(0)

    async def work(request: Request) -> str:
        with suppress(TimeoutError):
            await asyncio.wait_for(hangs.ainvoke("hello"), 0.05)
        said = await asyncio.gather(answers.ainvoke("hello"), answers.ainvoke("hello"))
        return said[0].text

    graph = team(plan_of("a"), workers=[Agent("worker", run=work)], guards=[Budget(tokens=100_000)]).compile()

    outcome = (await asyncio.wait_for(graph.ainvoke({"task": "the task"}), 20))["outcome"]

    assert outcome.value == ["said"]


@pytest.mark.parametrize("way", WAYS)
def test_an_attempt_that_hangs_in_its_call_holds_up_nobody_after_its_time(way: str) -> None:
    hangs, answers = slow(3), slow(0)

    def work(request: Request) -> str:
        return (hangs if request.goal == "do a" else answers).invoke("hello").text

    workers = [Agent("worker", run=work, timeout=0.3)]
    graph = team(plan_of("a", "b"), workers=workers, guards=[Budget(tokens=100_000)], concurrency=1).compile()

    began = monotonic()
    outcome = WAYS[way](graph, "the task", None)

    assert outcome.value == ["said"]
    assert monotonic() - began < 3


async def test_threads_that_wait_leave_the_loop_able_to_end_the_call_that_they_wait_for() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    model = slow(0.05)

    async def work(request: Request) -> str:
        if request.goal == "do a":
            return (await model.ainvoke("hello")).text
        return (await asyncio.to_thread(model.invoke, "hello")).text

    guards = [Budget(tokens=100_000)]
    graph = team(plan_of("a", "b", "c"), workers=[Agent("worker", run=work)], guards=guards, concurrency=3).compile()

    outcome = (await asyncio.wait_for(graph.ainvoke({"task": "the task"}), 20))["outcome"]

    assert outcome.value == ["said"] * 3


@pytest.mark.parametrize("way", WAYS)
def test_a_function_that_runs_a_loop_of_its_own_is_held_to_the_bound(way: str) -> None:
    model = slow(0.005, max_tokens=20)

    async def asks() -> str:
        return (await asyncio.gather(*(model.ainvoke("hello") for _ in range(20))))[0].text

    graph = team(
        plan_of("a"), workers=[Agent("worker", run=lambda _: asyncio.run(asks()))], guards=[Budget(tokens=500)]
    ).compile()

    assert WAYS[way](graph, "the task", None).usage.tokens <= 500 + 100


@pytest.mark.parametrize("way", WAYS)
def test_prompts_of_which_one_cannot_be_paid_for_are_not_sent_and_not_counted(way: str) -> None:
    model = slow(0, max_tokens=20)

    def work(request: Request) -> str:
        return model.generate([[HumanMessage("a")], [HumanMessage("b" * 40_000)]]).generations[0][0].text

    graph = team(plan_of("a"), workers=[Agent("worker", run=work)], guards=[Budget(tokens=500)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.usage.tokens, model.calls) == (0, 0)
    assert "tokens wanted" in outcome.gaps[0].reason


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_is_read_while_others_wait_holds_them_up_until_it_ends(way: str) -> None:
    model, order = slow(0.01), list[str]()

    def work(request: Request) -> str:
        if request.goal == "do a":
            said = ""
            for part in model.stream("hello"):
                sleep(0.02)
                said += part.text
            order.append("stream")
            return said
        said = model.invoke("hello").text
        order.append("call")
        return said

    guards = [Budget(tokens=100_000)]
    graph = team(plan_of("a", "b"), workers=[Agent("worker", run=work)], guards=guards, concurrency=2).compile()

    assert WAYS[way](graph, "the task", None).status == "completed"
    assert sorted(order) == ["call", "stream"]
