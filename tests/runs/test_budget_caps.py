"""Operators see and set what the runs of a tenant or a thread may spend."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.guards import Budget, Guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.state import Allowance, Amount, BadInput, Request

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MODEL = ScriptedModel(replies=lambda messages: "said", input_tokens=90, output_tokens=10)


def work(request: Request) -> str:
    return MODEL.invoke("go", max_tokens=10).text


def team(*guards: Guard, run: Any = work) -> Any:
    return pipeline([Agent("worker", run=run)], guards=[*guards])


def test_budgets_show_what_is_declared_set_spent_and_when_it_begins_anew(database_url: str) -> None:
    with Runner(database_url, tenant="acme", clock=lambda: NOON) as runner:
        assert runner.budgets() == []
        runner.run(team(Budget(usd=9, tokens=500, per="tenant", window="day")), "t", thread_id="one")
        runner.run(team(Budget(calls=3, per="thread")), "t", thread_id="two")
        raised = runner.set_budget(Allowance(tokens=800), window="day")
        found = runner.budgets()

    assert [one.label for one in found] == ["tenant acme's day 2026-11-23", "thread two"]
    day, thread = found
    assert raised == day
    assert (day.spent, day.reserved) == (Amount(100, MODEL_COST, 1), Amount())
    assert (day.declared, day.operator) == (Allowance(usd=Decimal(9), tokens=500), Allowance(tokens=800))
    assert day.cap == Allowance(usd=Decimal(9), tokens=800), "what the operator has not set stays as it is declared"
    assert day.resets == datetime(2026, 11, 24, tzinfo=UTC)
    assert (thread.spent.calls, thread.resets, thread.thread_id) == (1, None, "two")


MODEL_COST = Amount().usd


def test_a_raised_cap_lets_a_thread_go_on_and_a_lower_one_stops_it(database_url: str) -> None:
    graph = team(Budget(calls=1, per="thread"))
    with Runner(database_url) as runner:

        def calls() -> int:
            return runner.run(graph, "t", thread_id="one").usage.calls

        spent = [calls(), calls()]
        runner.set_budget(Allowance(calls=3), thread_id="one")
        spent += [calls(), calls(), calls()]
        runner.set_budget(None, thread_id="one")
        runner.set_budget(Allowance(calls=0), thread_id="two")
        two = runner.run(graph, "t", thread_id="two")

    assert spent == [1, 0, 1, 1, 0]
    assert two.usage.calls == 0


@pytest.mark.parametrize("window", ["day", timedelta(hours=6), None])
def test_a_cap_holds_for_runs_whose_teams_declare_none(database_url: str, window: Any) -> None:
    with Runner(database_url, tenant="acme", clock=lambda: NOON) as runner:
        runner.set_budget(Allowance(calls=2), window=window)
        runs = [runner.run(team(), "t") for _ in range(3)]
        nested = runner.run(pipeline([Agent("inner", run=team().compile())]), "t")

    assert [run.usage.calls for run in runs] == [1, 1, 0]
    assert nested.usage.calls == 0
    assert "calls left of tenant acme" in str(runs[2].outcome)
    with Runner(database_url, tenant="zeta", clock=lambda: NOON) as runner:
        assert runner.run(team(), "t").usage.calls == 1


def test_a_call_that_waits_for_another_runs_reservation_goes_on_once_the_cap_is_raised(database_url: str) -> None:
    entered, leave = Event(), Event()

    def blocked(messages: Any) -> str:
        entered.set()
        assert leave.wait(60)
        return "said"

    slow = ScriptedModel(replies=blocked, input_tokens=90, output_tokens=10)
    budget = Budget(calls=1, per="tenant")
    found: list[Run] = []

    def run(given: Any) -> None:
        with Runner(database_url) as runner:
            found.append(runner.run(team(budget, run=given), "t"))

    first = Thread(target=run, args=(lambda request: slow.invoke("go", max_tokens=10).text,))
    second = Thread(target=run, args=(work,))
    first.start()
    assert entered.wait(60)
    second.start()
    second.join(2)
    assert second.is_alive(), "the only call is reserved by the other run, which may not need it"
    with Runner(database_url) as runner:
        runner.set_budget(Allowance(calls=2))
    second.join(30)
    assert [one.usage.calls for one in found] == [1]
    leave.set()
    first.join(60)

    assert [one.usage.calls for one in found] == [1, 1]


def test_the_async_twins_do_the_same(database_url: str) -> None:
    async def both() -> Any:
        async with Runner(database_url) as runner:
            return await runner.aset_budget(Allowance(calls=2), window="hour"), await runner.abudgets()

    made, listed = asyncio.run(both())

    assert [made] == listed


@pytest.mark.parametrize(
    ("cap", "options", "message"),
    [
        (Allowance(), {}, "a budget caps something"),
        (Allowance(calls=1, subtasks=2), {}, "a budget caps `usd`, `tokens` and `calls`, not `subtasks`"),
        (Allowance(calls=1), {"window": "week"}, "`window` must be one of minute, hour, day, month"),
        (Allowance(calls=1), {"window": timedelta(0)}, "`window` must be one of"),
        (Allowance(calls=1), {"thread_id": "x" * 300}, "`thread_id` has 300 characters"),
    ],
)
def test_what_cannot_be_set_is_refused(sqlite_url: str, cap: Allowance, options: Any, message: str) -> None:
    with Runner(sqlite_url) as runner, pytest.raises(BadInput, match=message):
        runner.set_budget(cap, **options)


def test_a_deleted_thread_takes_its_budget_with_it(database_url: str) -> None:
    with Runner(database_url) as runner:
        runner.run(team(Budget(calls=3, per="thread"), Budget(calls=9, per="tenant")), "t", thread_id="one")
        runner.set_budget(Allowance(calls=5), thread_id="one")
        runner.threads.delete("one")

        assert [one.label for one in runner.budgets()] == ["the tenant"]
