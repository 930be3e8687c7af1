"""Attempts and model calls wait after a failure, as long as their backoff and the server want."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from guardgraph.agents import Agent, Backoff
from guardgraph.graphs import pipeline
from guardgraph.guards import Budget, Deadline, GuardContext, Retry, guard
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Outcome, Request, RunEvent
from tests import loopback
from tests.storage.sql.conftest import sqlite_url

__all__ = ("sqlite_url",)

QUICK = Backoff(first=0.2, jitter=0)


class Failing:
    """Fails so many times, and notes when it is called."""

    def __init__(self, times: int, error: Callable[[], Exception] = lambda: ValueError("not yet")) -> None:
        self.times, self.error, self.at = times, error, list[float]()

    def __call__(self, request: Request) -> str:
        self.at.append(time.monotonic())
        if len(self.at) <= self.times:
            raise self.error()
        return "done"

    @property
    def waits(self) -> list[float]:
        return [round(after - before, 1) for before, after in zip(self.at, self.at[1:], strict=False)]


class Refusal(Exception):
    status_code = 429

    def __init__(self, retry_after: str) -> None:
        self.response = type("Response", (), {"headers": {"Retry-After": retry_after}})
        super().__init__("too many")


def outcome_of(*agents: Agent, is_async: bool = False, guards: Any = None) -> Outcome:
    graph, given = pipeline(agents, guards=guards).compile(), {"task": "work"}
    return (asyncio.run(graph.ainvoke(given)) if is_async else graph.invoke(given))["outcome"]


@pytest.mark.parametrize("is_async", [False, True])
def test_attempts_wait_longer_and_longer(is_async: bool) -> None:
    work = Failing(3)

    assert outcome_of(Agent("a", run=work, attempts=4, backoff=QUICK), is_async=is_async).value == "done"
    assert work.waits == pytest.approx([0.2, 0.4, 0.8], abs=0.15)


def test_without_a_backoff_nothing_waits() -> None:
    work = Failing(1)

    assert outcome_of(Agent("a", run=work, attempts=2)).value == "done"
    assert work.waits[0] < 0.15


def test_the_wait_is_not_part_of_the_timeout() -> None:
    work = Failing(1)

    agent = Agent("a", run=work, attempts=2, timeout=0.3, backoff=Backoff(first=0.6, jitter=0))
    assert outcome_of(agent).value == "done"


def test_an_answer_that_a_guard_refuses_is_tried_again_at_once() -> None:
    work = Failing(0)

    @guard(at="handoff", on_trip=Retry(1))
    def twice(context: GuardContext) -> str | None:
        return None if len(work.at) > 1 else "again"

    assert outcome_of(Agent("a", run=work, backoff=Backoff(first=30, jitter=0)), guards=[twice]).value == "done"


@pytest.mark.parametrize(("retry_after", "waits"), [("0", 0.2), ("0.5", 0.5)])
def test_what_a_server_asks_for_is_honoured_by_any_agent(retry_after: str, waits: float) -> None:
    work = Failing(1, lambda: Refusal(retry_after))

    assert outcome_of(Agent("a", run=work, attempts=2, backoff=QUICK)).value == "done"
    assert work.waits == pytest.approx([waits], abs=0.15)


def test_what_takes_too_long_is_left_to_the_fallback() -> None:
    work, spare = Failing(9, lambda: Refusal("3600")), Failing(0)

    agent = Agent("a", run=work, attempts=3, backoff=QUICK, fallback=Agent("b", run=spare))
    began = time.monotonic()
    assert outcome_of(agent).value == "done"
    assert (len(work.at), len(spare.at)) == (1, 1)
    assert time.monotonic() - began < 5


def test_no_attempt_waits_past_the_deadline() -> None:
    work = Failing(9)

    began = time.monotonic()
    outcome = outcome_of(Agent("a", run=work, attempts=9, backoff=Backoff(first=30, jitter=0)), guards=[Deadline(20)])
    assert time.monotonic() - began < 5
    assert outcome.status == "failed"
    assert len(work.at) == 1
    assert "not yet" in outcome.gaps[0].reason


def test_a_wait_is_an_event_and_is_made_up_after_a_crash(sqlite_url: str) -> None:
    events, work = list[RunEvent](), Failing(1)
    graph = pipeline([Agent("a", run=work, attempts=2, backoff=Backoff(first=0.7, jitter=0))])

    def stop(event: RunEvent) -> None:
        events.append(event)
        if event.kind == "agent_waiting" and len(events) < 9:
            runner.drain()

    with Runner(sqlite_url, graphs={"g": graph}, on_event=stop) as runner:
        stopped = runner.run("g", "work", thread_id="t")
    assert stopped.status == "stopped"
    assert len(work.at) == 1
    with Runner(sqlite_url, graphs={"g": graph}) as again:
        began = time.monotonic()
        assert again.resume("t").outcome.value == "done"  # type: ignore[union-attr]
        assert time.monotonic() - began > 0.65
    waiting = [event for event in events if event.kind == "agent_waiting"]
    assert waiting[0].data == {"reason": "backoff after a failure", "seconds": 0.7}


# Model calls


def client(server: loopback.OpenAIServer, **facts: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", **{"max_retries": 0, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_model_call_that_meets_an_overload_is_made_again_in_its_attempt(is_async: bool) -> None:
    script = [loopback.too_many_requests(Retry_After="1"), loopback.too_many_requests(), loopback.text("said")]
    with loopback.OpenAIServer(script) as server:
        began = time.monotonic()
        agent = Agent("a", model=client(server), backoff=Backoff(first=0.1, jitter=0))
        outcome = outcome_of(agent, is_async=is_async, guards=[Budget(tokens=50_000)])

        assert (outcome.status, outcome.value) == ("completed", "said")
        assert len(server.requests) == 3
        assert 1.2 <= time.monotonic() - began < 5
    assert outcome.usage.calls == 3
    assert outcome.usage.tokens == 18, "a refused call costs nothing"


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_with_tools_keeps_what_its_tools_have_done(is_async: bool) -> None:
    done = list[str]()

    @tool
    def pay(to: str) -> str:
        """Pay."""
        done.append(to)
        return "paid"

    script = [loopback.tool_call("pay", {"to": "ann"}), loopback.too_many_requests(), loopback.text("said")]
    with loopback.OpenAIServer(script) as server:
        agent = Agent("a", model=client(server), tools=[pay], backoff=Backoff(first=0.1))
        assert outcome_of(agent, is_async=is_async).value == "said"

    assert done == ["ann"]


@pytest.mark.parametrize(("calls", "requests"), [(0, 2), (1, 4), (2, 6)])
def test_each_attempt_makes_so_many_calls_again(calls: int, requests: int) -> None:
    with loopback.OpenAIServer(lambda _: loopback.too_many_requests()) as server:
        backoff = Backoff(first=0.01, calls=calls)
        outcome = outcome_of(Agent("a", model=client(server), attempts=2, backoff=backoff))

        assert outcome.status == "failed"
        assert len(server.requests) == requests
        assert "rate limit reached" in outcome.gaps[0].reason


def test_an_error_that_is_no_overload_is_not_made_again() -> None:
    with loopback.OpenAIServer(lambda _: loopback.server_error()) as server:
        assert outcome_of(Agent("a", model=client(server), backoff=QUICK)).status == "failed"
        assert len(server.requests) == 1


@pytest.mark.parametrize("limit", ["timeout", "deadline"])
def test_a_wait_that_outlasts_its_attempt_ends_it_at_once(limit: str) -> None:
    with loopback.OpenAIServer(lambda _: loopback.too_many_requests(Retry_After="30")) as server:
        facts: dict[str, Any] = {"timeout": 20} if limit == "timeout" else {}
        began = time.monotonic()
        agent = Agent("a", model=client(server), backoff=QUICK, **facts)
        outcome = outcome_of(agent, guards=[Deadline(20)] if limit == "deadline" else None)

        assert outcome.status == "failed"
        assert time.monotonic() - began < 5
        assert len(server.requests) == 1


def test_a_client_that_repeats_by_itself_is_refused_beside_a_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback.OpenAIServer(lambda _: loopback.too_many_requests()) as server:
        for own in ({"max_retries": None}, {"max_retries": 2}):
            with pytest.raises(BadGraph, match="and ChatOpenAI does so by itself too; make it with max_retries=0"):
                Agent("a", model=client(server, **own), backoff=QUICK)
            with pytest.raises(BadGraph, match="does so by itself too"):
                Agent("a", models={"cheap": client(server, **own)}, backoff=QUICK)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        assert outcome_of(Agent("a", model="openai:gpt-5-mini", backoff=Backoff(calls=0))).status == "failed"
        assert len(server.requests) == 1, "the client of a name is made without retries"


def test_a_backoff_is_one() -> None:
    with pytest.raises(BadGraph, match="`backoff` must be Backoff"):
        Agent("a", run=Failing(0), backoff=1.0)  # type: ignore[arg-type]
