from __future__ import annotations

import asyncio
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from guardgraph.runtime.execution_context import (
    IDLE_RUNS,
    KEY,
    ExecutionContext,
    enter,
    execution_context,
    execution_services,
    forget_run,
)
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Allowance,
    Amount,
    DelegationScope,
    ReservationDenied,
    Result,
    RunEvent,
    StorageBusy,
    Usage,
    new_id,
)
from guardgraph.storage import MemoryLedger

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def position(*, reserve: float = 0, **allowance: Any) -> DelegationScope:
    work = "r/work" if reserve else "r"
    return DelegationScope(
        run_id="r",
        account="r",
        spending_account=work,
        path=("team",),
        reserve=reserve,
        allowance=Allowance(**allowance),
        started=NOW,
    )


def caps(services: Services, account: str) -> list[int | None]:
    return [balance.cap.tokens for balance in services.ledger.balances(account)]


def test_the_accounts_of_a_team_are_opened_once() -> None:
    services = Services()
    for _ in range(2):
        services.ensure_open(position(tokens=100))

    assert caps(services, "r") == [100]
    assert services.epoch_of("r") == 1


@pytest.mark.parametrize(("reserve", "work"), [(0.2, 80), (0.25, 75), (0.999, 0)])
def test_what_is_kept_for_concluding_is_not_in_the_account_for_work(reserve: float, work: int) -> None:
    services = Services()
    services.ensure_open(position(reserve=reserve, tokens=100))

    assert caps(services, "r/work") == [100, work]


@pytest.mark.parametrize(
    ("before", "now", "cap"), [(150, 100, 150), (100, 150, 150), (100, None, None), (None, 100, None)]
)
def test_opened_again_an_account_keeps_the_wider_limit(before: int | None, now: int | None, cap: int | None) -> None:
    ledger = MemoryLedger()
    Services(ledger=ledger).ensure_open(position(tokens=before))
    again = Services(ledger=ledger)

    again.ensure_open(position(tokens=now))

    assert caps(again, "r") == [cap]
    assert again.epoch_of("r") == 2, "what the process before had reserved is settled"


def test_an_account_that_could_not_be_opened_is_opened_at_the_next_call() -> None:
    class Failing(MemoryLedger):
        faults = 1

        def reopen(self, account: str, at_least: Allowance) -> int:
            if account == "r/work" and self.faults:
                self.faults -= 1
                raise StorageBusy("locked")
            return super().reopen(account, at_least)

    services = Services(ledger=Failing())
    with pytest.raises(StorageBusy, match="locked"):
        services.ensure_open(position(reserve=0.2, tokens=100))

    services.ensure_open(position(reserve=0.2, tokens=100))

    assert caps(services, "r/work") == [100, 80]


def test_a_team_has_its_own_slots_at_every_call() -> None:
    services = Services()

    assert services.slots("r", 2) is services.slots("r", 5)
    assert services.slots("r", 2).limit == 2
    assert services.slots("r/other", None) is not services.slots("r", 2)


def test_attempts_under_way_are_known_with_what_they_have_spent() -> None:
    services = Services()
    epoch = services.ledger.open("r/a", Allowance())
    services.attempt_started("r/a", Amount(tokens=50))
    services.attempt_started("r/b", Amount())
    assert services.ledger.reserve("e", "r/a", epoch, Amount(tokens=20)) is None
    services.ledger.settle("e", Usage(input_tokens=7, calls=1))

    attempts = services.in_flight_attempts()

    assert {name: (attempt.expects, attempt.spent.tokens) for name, attempt in attempts.items()} == {
        "r/a": (Amount(tokens=50), 7),
        "r/b": (Amount(), 0),
    }


def test_an_attempt_that_has_ended_is_not_in_flight_and_wakes_who_waits() -> None:
    services = Services()
    services.attempt_started("r/a", Amount())
    change = services.changed.next_change()

    services.attempt_ended("r/a")
    services.attempt_ended("r/never-began")

    assert services.in_flight_attempts() == {}
    assert change.done()


def test_events_have_a_path_and_a_time() -> None:
    events: list[RunEvent] = []
    services = Services(clock=lambda: NOW, on_event=events.append)

    services.emit("agent_started", position(), goal="search")

    assert events == [RunEvent(kind="agent_started", run_id="r", at=NOW, path=("team",), data={"goal": "search"})]


def test_on_event_is_not_called_again_after_it_raised_and_the_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    events: list[RunEvent] = []

    def on_event(event: RunEvent) -> None:
        events.append(event)
        raise LookupError("no screen")

    services = Services(on_event=on_event)
    for _ in range(2):
        services.emit("run_finished", position())

    assert len(events) == 1
    assert "`on_event` of run r raised" in caplog.text
    assert "no screen" in caplog.text


def test_without_a_clock_the_time_is_aware() -> None:
    assert Services().clock().utcoffset() == timedelta(0)


def test_the_execution_context_comes_from_its_config_and_else_from_its_context() -> None:
    mine, inherited = ExecutionContext(Services()), ExecutionContext(Services())

    def check() -> None:
        enter(inherited)
        assert execution_context(None) is inherited
        assert execution_context({}) is inherited
        assert execution_context({"configurable": {"thread_id": "own"}}) is inherited
        assert execution_context({"configurable": {KEY: mine}}) is mine
        assert execution_context({"configurable": {KEY: "not ours"}}) is inherited

    copy_context().run(check)
    assert execution_context({"configurable": None}) is None


async def test_tasks_inherit_the_execution_context_and_do_not_change_that_of_others() -> None:
    below = ExecutionContext(Services())

    async def deeper() -> ExecutionContext | None:
        enter(below)
        return await asyncio.create_task(asyncio.sleep(0, execution_context(None)))

    assert await asyncio.create_task(deeper()) is below
    assert execution_context(None) is None


def test_services_come_with_the_config_and_else_belong_to_the_run() -> None:
    with_config, run_id = Services(), new_id()

    assert execution_services(ExecutionContext(with_config), run_id) is with_config
    own = execution_services(None, run_id)
    assert execution_services(None, run_id) is own
    assert execution_services(None, new_id()) is not own


@pytest.mark.parametrize(("beside", "is_kept"), [(IDLE_RUNS - 1, True), (IDLE_RUNS, False)])
def test_the_most_recent_idle_runs_keep_their_services(beside: int, is_kept: bool) -> None:
    run_id = new_id()
    execution_services(None, run_id).costs.learn("role", Usage(calls=7))
    for _ in range(beside):
        execution_services(None, new_id())

    assert (execution_services(None, run_id).costs.expected("role") is not None) is is_kept


def test_services_that_are_referenced_are_kept() -> None:
    run_id = new_id()
    services = execution_services(None, run_id)
    for _ in range(2 * IDLE_RUNS):
        execution_services(None, new_id())

    assert execution_services(None, run_id) is services


def test_services_of_a_run_are_kept_until_it_is_forgotten() -> None:
    run_id = new_id()
    services = execution_services(None, run_id)

    assert execution_services(None, run_id) is services
    forget_run(run_id)
    forget_run("never-begun")
    assert execution_services(None, run_id) is not services


def test_what_stored_results_have_spent_is_settled_once_where_the_ledger_does_not_contain_it() -> None:
    services, team = Services(), position(reserve=0.2, tokens=1_000, usd=Decimal(1), subtasks=3)
    services.ensure_open(team)
    half = Usage(input_tokens=300, output_tokens=100, usd=Decimal("0.1") ** 30, calls=2, microseconds=5)
    results = [Result(id=f"r{n}", agent="a", subtask=f"s{n}", value=n, usage=half) for n in range(2)]

    for _ in range(2):
        services.recall(team, results)

    assert services.ledger.usage("r") == (half + half).model_copy(update={"microseconds": 0})
    assert [balance.spent.subtasks for balance in services.ledger.balances("r/work")] == [2, 2]


def test_what_the_ledger_contains_of_stored_results_is_not_settled_again() -> None:
    services, team = Services(), position(tokens=1_000)
    services.ensure_open(team)
    assert services.ledger.reserve("e", "r", services.epoch_of("r"), Amount(tokens=50, subtasks=1)) is None
    services.ledger.settle("e", Usage(input_tokens=50, calls=1))
    spent = Usage(input_tokens=60, calls=1)

    services.recall(team, [Result(id="r", agent="a", subtask="s", value=1, usage=spent)])

    assert services.ledger.usage("r") == spent
    assert services.ledger.balances("r")[-1].spent.subtasks == 1


@pytest.mark.parametrize("usd", [Decimal(2), None])
def test_what_was_spent_over_the_limit_is_settled_too(usd: Decimal | None) -> None:
    services, team = Services(), position(tokens=10, usd=Decimal(1), subtasks=0)
    services.ensure_open(team)
    spent = Usage(input_tokens=60, usd=usd, calls=1)

    services.recall(team, [Result(id="r", agent="a", subtask="s", value=1, usage=spent)])

    assert services.ledger.usage("r") == spent


def test_a_process_that_took_over_refuses_the_one_before() -> None:
    ledger = MemoryLedger()
    before, after = Services(ledger=ledger), Services(ledger=ledger)
    before.ensure_open(position())
    after.ensure_open(position())

    assert ledger.reserve("e", "r", before.epoch_of("r"), Amount(tokens=1)) == ReservationDenied("r", "closed")
    assert ledger.reserve("e", "r", after.epoch_of("r"), Amount(tokens=1)) is None
