"""Many parallel workers that share too little: never too much is spent, and what was paid for is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from guardgraph.agents import Agent
from guardgraph.graphs import Parallel, pipeline, supervisor
from guardgraph.guards import Budget, Convergence, Depth
from guardgraph.models.offline import ScriptedModel
from guardgraph.models.prices import price_of
from guardgraph.state import Amount, Outcome, Request
from tests import loopback
from tests.graphs.teams import WAYS, gather, plan_of, speaker, team

IDS = tuple(f"s{number:02}" for number in range(20))
COST = 100


def check(outcome: Outcome, *, finished: int, spent: int, subtasks: int = 20) -> None:
    """Check that what was paid for is finished, uncut, and that the rest is named."""
    assert outcome.status == "degraded"
    assert outcome.stopped_by == "Budget"
    assert outcome.value == ["said"] * finished
    assert outcome.usage.tokens == spent
    assert len({gap.subtask for gap in outcome.gaps}) == len(outcome.gaps) == subtasks - finished
    assert all(gap.reason for gap in outcome.gaps)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("concurrency", [20, 4])
@pytest.mark.parametrize("expects", [None, COST])
def test_twenty_workers_with_half_the_tokens_they_want(way: str, concurrency: int, expects: int | None) -> None:
    workers = [speaker("worker", read=80, written=20, delay=0.005, expected_cost=expects, max_tokens=20)]
    guards = [Depth(2), Budget(tokens=COST * 10), Convergence()]
    graph = team(plan_of(*IDS), workers=workers, guards=guards, concurrency=concurrency).compile()

    outcome = WAYS[way](graph, "the task", None)

    check(outcome, finished=8, spent=8 * COST)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expects", [1_000, None])
def test_three_workers_whose_output_nobody_bounds(way: str, expects: int | None) -> None:
    workers = [speaker("worker", read=800, written=200, delay=0.005, expected_cost=expects)]
    graph = team(plan_of("a", "b", "c"), workers=workers, guards=[Budget(tokens=3_000)], concurrency=3).compile()

    outcome = WAYS[way](graph, "the task", None)

    check(outcome, finished=2, spent=2_000, subtasks=3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("concurrency", [20, 4])
@pytest.mark.parametrize("expects", [None, COST])
def test_twenty_workers_whose_output_nobody_bounds(way: str, concurrency: int, expects: int | None) -> None:
    workers = [speaker("worker", read=80, written=20, delay=0.005, expected_cost=expects)]
    guards = [Depth(2), Budget(tokens=COST * 10), Convergence()]
    graph = team(plan_of(*IDS), workers=workers, guards=guards, concurrency=concurrency).compile()

    outcome = WAYS[way](graph, "the task", None)

    check(outcome, finished=8, spent=8 * COST)


@pytest.mark.parametrize("way", WAYS)
def test_workers_of_unknown_cost_do_not_start_together_where_they_would_starve_each_other(way: str) -> None:
    workers = [speaker("worker", read=400, written=600, delay=0.005)]
    graph = team(plan_of(*IDS), workers=workers, guards=[Budget(tokens=12_500)], concurrency=20).compile()

    outcome = WAYS[way](graph, "the task", None)

    check(outcome, finished=10, spent=10_000)


def by_gathering(model: ScriptedModel) -> Callable[[Request], Any]:
    """Return a worker that awaits ten calls at once."""

    async def work(request: Request) -> str:
        said = await asyncio.gather(*(model.ainvoke(request.goal) for _ in range(10)))
        return said[0].text

    return work


def by_threads(model: ScriptedModel) -> Callable[[Request], Any]:
    """Return a worker that makes ten calls in threads of its own."""

    def work(request: Request) -> str:
        with ThreadPoolExecutor(10) as pool:
            said = [pool.submit(copy_context().run, model.invoke, request.goal) for _ in range(10)]
        return said[0].result().text

    return work


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expects", [None, 10 * COST])
@pytest.mark.parametrize("work", [by_gathering, by_threads])
def test_workers_that_make_ten_calls_at_once(
    way: str, expects: int | None, work: Callable[[ScriptedModel], Callable[[Request], Any]]
) -> None:
    model = ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20, delay=0.002)
    agent = Agent("worker", run=work(model), expected_cost=expects)
    graph = team(plan_of(*IDS), workers=[agent], guards=[Budget(tokens=100 * COST)], concurrency=20).compile()

    outcome = WAYS[way](graph, "the task", None)

    check(outcome, finished=8, spent=80 * COST)


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_the_budget_cuts_short_has_only_a_partial_result(way: str) -> None:
    workers = [speaker("worker", read=80, written=200)]
    graph = team(plan_of("a"), workers=workers, guards=[Budget(tokens=COST, reserve=0)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Budget")
    assert outcome.gaps[0].subtask == "a"
    assert outcome.gaps[0].reason.startswith("4096 tokens wanted, ")


@pytest.mark.filterwarnings("ignore::guardgraph.graphs.WideTeamWarning")
@pytest.mark.parametrize("way", WAYS)
def test_twenty_different_agents_of_unknown_cost(way: str) -> None:
    workers = [speaker(f"w{id_}", read=80, written=20, delay=0.005, max_tokens=20) for id_ in IDS]
    graph = team(plan_of(*IDS), workers=workers, guards=[Budget(tokens=COST * 10)], concurrency=20).compile()

    outcome = WAYS[way](graph, "the task", None)

    check(outcome, finished=8, spent=8 * COST)


def mini(server: loopback.OpenAIServer) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", max_retries=0)  # type: ignore[arg-type]


def plans_once(messages: Any) -> str:
    """Plan two subtasks, and nothing more once there are results."""
    return plan_of().model_dump_json() if "Accepted results" in str(messages) else plan_of("a", "b").model_dump_json()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("budget", [2_000, 3_000, 5_000])
def test_a_small_budget_pays_for_a_model_that_plans(way: str, budget: int) -> None:
    def answer(body: dict[str, Any]) -> loopback.Response:
        if "response_format" in body:
            return loopback.text(plans_once(body["messages"]), input_tokens=600, output_tokens=60)
        return loopback.text("said", input_tokens=80, output_tokens=20)

    with loopback.OpenAIServer(answer) as server:
        real = supervisor(
            planner=Agent("planner", model=mini(server)),
            workers=[Agent("worker", model=mini(server))],
            synthesizer=Agent("writer", run=gather),
            guards=[Budget(tokens=budget)],
        )
        outcome = WAYS[way](real.compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("completed", ["said", "said"]), outcome.gaps
    assert outcome.usage.tokens == 2 * 660 + 2 * 100


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("budget", [1_000, 5_000])
def test_a_small_budget_pays_for_a_scripted_model_that_plans(way: str, budget: int) -> None:
    planner = Agent("planner", model=ScriptedModel(replies=plans_once))
    workers = [Agent("worker", model=ScriptedModel(replies=lambda _: "said"))]
    writer = Agent("writer", run=gather)
    graph = supervisor(planner=planner, workers=workers, synthesizer=writer, guards=[Budget(tokens=budget)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("completed", ["said", "said"]), outcome.gaps


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word} is a word"


def looks_up_twice(messages: list[Any]) -> AIMessage | str:
    """Call the tool twice, then answer."""
    answered = sum(message.type == "tool" for message in messages)
    if answered < 2:
        return AIMessage("", tool_calls=[tool_call(name="look_up", args={"word": "a"}, id=f"c{answered}")])
    return "said"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expects", [None, 3 * COST])
@pytest.mark.parametrize("concurrency", [20, 4])
@pytest.mark.parametrize("max_tokens", [None, 20])
def test_nested_agents_with_tools_and_half_the_tokens_they_want(
    way: str, expects: int | None, concurrency: int, max_tokens: int | None
) -> None:
    model = ScriptedModel(replies=looks_up_twice, input_tokens=80, output_tokens=20, max_tokens=max_tokens, delay=0.002)
    agent = Agent("worker", run=create_agent(model, [look_up]), expected_cost=expects)
    budget = 30 * COST
    graph = team(plan_of(*IDS), workers=[agent], guards=[Budget(tokens=budget)], concurrency=concurrency).compile()

    outcome = WAYS[way](graph, "the task", None)

    check(outcome, finished=8, spent=8 * 3 * COST)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_agent_with_tools_is_metered_in_each_of_its_calls(way: str) -> None:
    model = ScriptedModel(replies=looks_up_twice, input_tokens=80, output_tokens=20)
    agent = Agent("worker", model=model, tools=[look_up], max_tokens=20)
    graph = team(plan_of("a"), workers=[agent], guards=[Budget(tokens=1_000)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.usage.tokens == 300
    assert outcome.usage.calls == 3
    assert outcome.status == "completed"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("expects", [None, COST])
def test_three_tiers_share_one_budget(way: str, expects: int | None) -> None:
    leaf = speaker("leaf", read=80, written=20, delay=0.002, expected_cost=expects, max_tokens=20)
    low = team(plan_of("a", "b", "c", "d", "e"), workers=[leaf], guards=[], name="low").compile()
    mid = team(plan_of("m", "n"), workers=[Agent("low", run=low)], guards=[], name="mid").compile()
    top = team(plan_of("x", "y"), workers=[Agent("mid", run=mid)], guards=[Budget(tokens=10 * COST)]).compile()

    outcome = WAYS[way](top, "the task", None)

    leaves = {(gap.path, gap.subtask) for gap in outcome.gaps if len(gap.path) == 2}
    begun = {path for path, _ in leaves}
    failed = {(*gap.path, f"low:{gap.subtask}") for gap in outcome.gaps if len(gap.path) == 1}
    assert (outcome.status, outcome.stopped_by) == ("degraded", "Budget")
    assert outcome.usage.tokens == 8 * COST
    assert (str(outcome.value).count("said"), len(leaves) + 5 * len(failed - begun)) == (8, 20 - 8)


@pytest.mark.parametrize("way", WAYS)
def test_with_a_paid_planner_and_a_paid_writer_the_reserve_pays_for_the_report(way: str) -> None:
    plan = plan_of(*IDS).model_dump_json()
    model = ScriptedModel(replies=lambda _: plan, input_tokens=800, output_tokens=200)
    workers = [speaker("worker", read=800, written=200, expected_cost=1_000, max_tokens=200)]
    writer = speaker("writer", read=800, written=200, max_tokens=200)
    guards = [Budget(tokens=10_000), Convergence(1)]
    graph = supervisor(
        planner=Agent("planner", model=model, max_tokens=200), workers=workers, synthesizer=writer, guards=guards
    ).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.usage.tokens == (1 + 7 + 1) * 1_000
    assert outcome.value == "said"
    assert (outcome.status, outcome.stopped_by) == ("degraded", "Budget")
    assert tuple(gap.subtask for gap in outcome.gaps) == IDS[7:], (
        "nothing is left to plan a second time, and one round is allowed"
    )


def answering(read: int, written: int) -> Callable[[dict[str, Any]], loopback.Response]:
    """Answer every request with these tokens, or as many as it allows."""

    def answer(body: dict[str, Any]) -> loopback.Response:
        return loopback.text("said", input_tokens=read, output_tokens=min(written, body["max_completion_tokens"]))

    return answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("max_tokens", [None, 600])
@pytest.mark.parametrize("declares", [True, False])
def test_ten_workers_with_half_the_money_they_want(way: str, max_tokens: int | None, declares: bool) -> None:
    price = price_of("openai", "gpt-5-mini")
    assert price is not None
    cost = price.usd(400, 600)
    with loopback.OpenAIServer(answering(400, 600)) as server:
        expects = Amount(tokens=1_000, usd=cost, calls=1) if declares else None
        agent = Agent("worker", model=mini(server), max_tokens=max_tokens, expected_cost=expects)
        guards = [Budget(usd=cost * 5, reserve=0)]
        graph = team(plan_of(*IDS[:10]), workers=[agent], guards=guards, concurrency=10).compile()

        outcome = WAYS[way](graph, "the task", None)

    assert outcome.usage.usd is not None
    check(outcome, finished=5, spent=5_000, subtasks=10)
    assert outcome.usage.usd == 5 * cost


def test_each_account_of_a_budget_alerts_once_for_what_was_spent_at_once() -> None:
    both = Parallel(speaker("a", read=40, written=20), speaker("b", read=40, written=20))
    graph = pipeline([both], guards=[Budget(tokens=100, per="agent")]).compile()

    verdicts = graph.invoke({"task": "T"}, output_keys=["verdicts"])["verdicts"]

    assert [(one.action, one.account) for one in verdicts] == [("alert", "agent a"), ("alert", "agent b")]
