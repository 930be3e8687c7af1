"""What an agent says was spent past the meter counts like what was metered."""

from __future__ import annotations

from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runtime.budget.attempt_budget import AttemptBudget
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import Allowance, DelegationScope, Reply, Request, Usage
from guardgraph.storage import Ledger, MemoryLedger, SQLLedger
from guardgraph.storage.sql.engine import engine_of
from tests.graphs.teams import WAYS, gather, plan_of, planner, team

IDS = ("a", "b", "c", "d", "e", "f")


@pytest.fixture(params=["memory", "sqlite"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    ledger = SQLLedger(engine_of(f"sqlite:///{tmp_path}/books.db"), tenant="")
    yield ledger
    ledger.engine.dispose()


def foreign(usage: Usage | None) -> Any:
    """Return a worker that another framework serves."""

    def work(request: Request) -> Reply:
        return Reply(value="said", usage=usage)

    return work


@pytest.mark.parametrize("way", WAYS)
def test_it_is_added_to_what_was_metered_and_every_account_above_sees_it(way: str, books: Ledger) -> None:
    model = ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20)

    def work(request: Request) -> Reply:
        return Reply(value=model.invoke("hello").text, usage=Usage(input_tokens=700, output_tokens=200, calls=3))

    inner = team(plan_of("x"), workers=[Agent("leaf", run=work)], guards=[]).compile()
    graph = team(plan_of("a", "b"), workers=[Agent("worker", run=inner)], guards=[Budget(tokens=10_000)]).compile()
    here = ExecutionContext(Services(ledger=books), run_id="run")

    outcome = WAYS[way](graph, "the task", {"configurable": {KEY: here}})

    assert outcome.status == "completed"
    assert (outcome.usage.tokens, outcome.usage.calls) == (2 * 1_000, 2 * 4)
    assert books.balances("run")[0].spent.tokens == 2_000


@pytest.mark.parametrize("way", WAYS)
def test_an_overspend_shows_and_later_work_is_refused(way: str, books: Ledger) -> None:
    agent = Agent("worker", run=foreign(Usage(input_tokens=5_000, usd=Decimal(0))))
    guards = [Budget(tokens=4_000, reserve=0)]
    graph = team(plan_of(*IDS), workers=[agent], guards=guards, concurrency=1).compile()

    outcome = WAYS[way](graph, "the task", {"configurable": {KEY: ExecutionContext(Services(ledger=books))}})

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Budget")
    assert (outcome.usage.tokens, outcome.value) == (5_000, ["said"])
    assert [gap.reason for gap in outcome.gaps] == ["not started: 5000 tokens wanted, 0 left"] * 5


def test_what_is_learned_of_it_lets_later_rounds_begin_only_what_can_be_paid_for() -> None:
    agent = Agent("worker", run=foreign(Usage(input_tokens=1_000, usd=Decimal(0))))
    plans = planner(plan_of("a"), plan_of(*IDS[1:]))
    guards = [Budget(tokens=3_500, reserve=0)]
    graph = supervisor(planner=plans, workers=[agent], synthesizer=Agent("writer", run=gather), guards=guards).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert (outcome.usage.tokens, len(outcome.gaps)) == (3_000, 3)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage(input_tokens=100), None),
        (Usage(input_tokens=100) + Usage(output_tokens=1), None),
        (Usage(calls=1), None),
        (Usage(input_tokens=100, usd=None), None),
        (Usage(input_tokens=100, usd=Decimal(0)), Decimal(0)),
        (Usage(input_tokens=100, usd=Decimal("0.02")), Decimal("0.02")),
        (Usage(), Decimal(0)),
        (None, Decimal(0)),
    ],
)
def test_a_price_that_is_not_said_is_unknown_and_never_zero(usage: Usage | None, usd: Decimal | None) -> None:
    graph = team(plan_of("a"), workers=[Agent("worker", run=foreign(usage))], guards=[]).compile()

    assert WAYS["sync"](graph, "the task", None).usage.usd == usd


def test_where_money_is_limited_nothing_that_costs_is_begun_beside_an_unknown_price() -> None:
    def work(request: Request) -> Reply:
        return Reply(value="said", usage=Usage(input_tokens=100, calls=1))

    graph = team(
        plan_of("a", "b"), workers=[Agent("worker", run=work)], guards=[Budget(usd="1.00", reserve=0)], concurrency=1
    ).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert (outcome.usage.usd, outcome.value) == (None, ["said"])
    assert [gap.subtask for gap in outcome.gaps] == ["b"]
    assert outcome.gaps[0].reason.startswith("not started: the price of the model is unknown")


@pytest.mark.parametrize("said", [{"input_tokens": -1}, {"usd": "-0.01"}, {"input_tokens": "many"}])
def test_what_cannot_be_spent_is_refused_where_it_is_said(said: dict[str, Any]) -> None:
    def work(request: Request) -> Reply:
        return Reply.model_validate({"value": "said", "usage": said})

    graph = team(plan_of("a"), workers=[Agent("worker", run=work)], guards=[]).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert outcome.status == "failed"
    assert f"usage.{next(iter(said))}" in outcome.gaps[0].reason


def test_an_answer_that_does_not_fit_has_been_paid_for_all_the_same() -> None:
    agent = Agent("worker", run=foreign(Usage(input_tokens=300)), output=int)
    graph = team(plan_of("a"), workers=[agent], guards=[]).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert (outcome.status, outcome.usage.tokens) == ("failed", 300)


def test_more_than_the_books_can_hold_is_told_in_the_result(books: Ledger) -> None:
    agent = Agent("worker", run=foreign(Usage(input_tokens=10**30)))
    graph = team(plan_of("a"), workers=[agent], guards=[]).compile()

    outcome = WAYS["sync"](graph, "the task", {"configurable": {KEY: ExecutionContext(Services(ledger=books))}})

    assert outcome.status == "failed"
    assert "usage" in outcome.gaps[0].reason


def test_it_is_booked_once(books: Ledger) -> None:
    services = Services(ledger=books)
    books.open("run", Allowance())
    account = "run/worker:a#1"
    place = DelegationScope(
        run_id="run", account=account, spending_account=account, path=("worker",), started=services.clock()
    )
    budget = AttemptBudget(services, place, books.open(account, Allowance()), "worker")

    for _ in range(2):
        budget.add(Usage(input_tokens=100))

    assert books.usage("run").tokens == 100
