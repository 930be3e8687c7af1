"""One attempt without a graph: when it starts, what limits it, and what it releases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl, Runtime

from guardgraph.agents import Agent
from guardgraph.nodes.attempt_execution import AttemptExecution
from guardgraph.runtime.boards.access import BoardAccess
from guardgraph.runtime.concurrency.limiter import SlotToken
from guardgraph.runtime.services import Services
from guardgraph.state import Allowance, Reply, Request, Result, RunEvent, Task, Usage
from tests.nodes.gates import position

WAYS = ["sync", "async"]


@pytest.fixture(autouse=True)
def control() -> Iterator[RunControl]:
    """Run each test as if it was a node of a graph; return the control of its run."""
    control = RunControl()
    token = var_child_runnable_config.set({"configurable": {"__pregel_runtime": Runtime(control=control)}})
    yield control
    var_child_runnable_config.reset(token)


def attempt_of(
    services: Services, *, seconds: float | None = None, tokens: int | None = None, **facts: Any
) -> AttemptExecution:
    """Return an attempt of a team with one slot, and `seconds` until its deadline."""
    team = position(allowance=Allowance(tokens=tokens))
    services.ensure_open(team)
    request = Request(task=Task(goal="x"), id="w/r1#1")
    until = None if seconds is None else monotonic() + seconds
    return AttemptExecution(
        agent=Agent("w", run=str, **facts),
        sent=request,
        request=request,
        services=services,
        me=team.model_copy(update={"account": "r/w", "spending_account": "r/w", "depth": 1}),
        role="team/w",
        slot_token=SlotToken((services.slots("r", 1),), None, until),
        until=until,
        config={},
        boards=BoardAccess(services, "t", team, ()),
    )


def waited(attempt: AttemptExecution, way: str) -> Result | None:
    return attempt.wait() if way == "sync" else asyncio.run(attempt.await_())


def ended(attempt: AttemptExecution, way: str) -> None:
    attempt.end() if way == "sync" else asyncio.run(attempt.aend())


@pytest.mark.parametrize("way", WAYS)
def test_an_attempt_starts_with_a_slot_and_an_account_and_releases_both(way: str) -> None:
    events: list[RunEvent] = []
    services = Services(on_event=events.append)
    first, second = attempt_of(services), attempt_of(services, seconds=0.05)

    assert waited(first, way) is None
    late = waited(second, way)
    ended(second, way)
    ended(first, way)

    assert late is not None
    assert late.error is not None
    assert (late.status, late.error.message) == ("timeout", "it waited for a slot or for budget until the deadline")
    assert [event.kind for event in events] == ["agent_started"]
    assert services.in_flight_attempts() == {}
    assert waited(attempt_of(services), way) is None, "the slot is free again"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("tokens", "starts"), [(100, True), (99, False), (None, True)])
def test_an_attempt_that_costs_more_than_there_is_does_not_start(way: str, tokens: int | None, starts: bool) -> None:
    attempt = attempt_of(Services(), tokens=tokens, expected_cost=100)

    result = waited(attempt, way)

    assert (result is None) is starts
    if result is not None:
        assert (result.status, result.stopped_by) == ("skipped", "Budget")
        assert result.error is not None
        assert result.error.message == "not started: 100 tokens wanted, 99 left"
        assert result.usage == Usage()


@pytest.mark.parametrize("way", WAYS)
def test_once_a_run_is_drained_nothing_starts(way: str, control: RunControl) -> None:
    control.request_drain("stop")

    with pytest.raises(GraphDrained, match="stop"):
        waited(attempt_of(Services()), way)


@pytest.mark.parametrize(
    ("timeout", "seconds", "limit"),
    [(None, 10, "deadline"), (5, None, "timeout"), (5, 10, "timeout"), (20, 10, "deadline")],
)
def test_the_shorter_of_timeout_and_deadline_limits_an_attempt(
    timeout: float | None, seconds: float | None, limit: str
) -> None:
    attempt = attempt_of(Services(), seconds=seconds, timeout=timeout)
    attempt.wait()

    least = min(value for value in (timeout, seconds) if value is not None)
    assert attempt.limit == limit
    assert attempt.time == pytest.approx(least, abs=0.5)


def test_without_limits_an_attempt_may_take_any_time() -> None:
    assert attempt_of(Services()).time is None


@pytest.mark.parametrize(
    ("raw", "tokens"), [("text", 0), (Reply(value=1), 0), (Reply(value=1, usage=Usage(input_tokens=7)), 7)]
)
def test_the_usage_counts_the_spending_that_an_answer_reports(raw: object, tokens: int) -> None:
    services = Services()
    attempt = attempt_of(services, tokens=5)
    attempt.wait()

    assert attempt.usage(raw).tokens == tokens
    assert services.ledger.usage("r").tokens == tokens
