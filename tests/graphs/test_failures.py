"""What becomes of a team whose agents hang, raise, answer garbage, swallow their stop, or ask a human."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Deadline, Depth, GuardContext, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import Allowance, Amount, DelegationScope, Outcome, Plan, Request, ReservationDenied, StorageBusy
from guardgraph.storage import MemoryLedger
from tests.graphs.teams import WAYS, listed, plan_of, team, worker

ROOT = Path(__file__).parents[2]


class Finding(BaseModel):
    """What a worker has to answer."""

    number: int


def hangs(request: Request) -> str:
    time.sleep(60)
    return "too late"


async def hangs_async(request: Request) -> str:
    await asyncio.sleep(60)
    return "too late"


async def swallows_cancellation(request: Request) -> str:
    while True:
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue


def raises(request: Request) -> str:
    raise LookupError("no such thing")


def staff(hung: Any) -> list[Agent]:
    """Return one good worker and three that fail, each in its own way."""
    return [
        worker("good", skills={"good"}),
        worker("hangs", hung, skills={"hangs"}),
        worker("raises", raises, skills={"raises"}),
        worker("garbage", lambda request: "garbage", output=Finding, skills={"garbage"}),
    ]


def plan() -> Plan:
    return Plan(
        subtasks=tuple(plan_of(name, skill=name).subtasks[0] for name in ("good", "hangs", "raises", "garbage"))
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hung", [hangs, hangs_async, swallows_cancellation])
def test_one_hangs_one_raises_one_answers_garbage(way: str, hung: Any) -> None:
    graph = team(plan(), workers=staff(hung), guards=[Deadline(1.0)]).compile()

    began = time.monotonic()
    outcome = WAYS[way](graph, "the task", None)

    assert time.monotonic() - began < 2
    assert outcome.status == "degraded"
    assert outcome.value == ["done: do good"]
    reasons = {gap.subtask: gap.reason for gap in outcome.gaps}
    assert set(reasons) == {"hangs", "raises", "garbage"}
    assert "no answer after" in reasons["hangs"]
    assert reasons["raises"] == "LookupError: no such thing"
    assert "does not fit" in reasons["garbage"]


SCRIPT = """
import asyncio, sys
from tests.graphs import test_failures as t
graph = t.team(t.plan(), workers=t.staff(getattr(t, sys.argv[1])), guards=[t.Deadline(1.0)]).compile()
for way in t.WAYS.values():
    outcome = way(graph, "the task", None)
    print(sorted(gap.subtask for gap in outcome.gaps), flush=True)
"""


@pytest.mark.parametrize("hung", ["hangs", "hangs_async", "swallows_cancellation"])
def test_the_process_ends_too(hung: str) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, hung],
        capture_output=True, text=True, timeout=50, check=True, cwd=ROOT,
    )  # fmt: skip

    assert done.stdout == "['garbage', 'hangs', 'raises']\n" * len(WAYS)
    assert time.monotonic() - began < 15, "the hung worker kept the process alive"


def test_in_three_tiers_with_one_hung_leaf_every_finished_leaf_is_in_the_outcome() -> None:
    def leaf(request: Request) -> str:
        return hangs(request) if request.goal == "do b" and "low:n" in request.idempotency_key else request.goal

    for way in WAYS:
        low = team(plan_of("a", "b", "c"), workers=[worker("leaf", leaf)], guards=[], name="low").compile()
        mid = team(plan_of("m", "n"), workers=[Agent("low", run=low)], guards=[], name="mid").compile()
        top = team(plan_of("x"), workers=[Agent("mid", run=mid)], guards=[Deadline(1.5)]).compile()

        began = time.monotonic()
        outcome = WAYS[way](top, "the task", None)

        assert time.monotonic() - began < 2.5
        assert outcome.value == [[["do a", "do b", "do c"], ["do a", "do c"]]]
        assert [(gap.path, gap.subtask) for gap in outcome.gaps] == [(("mid:x", "low:n"), "b")]


def model() -> ScriptedModel:
    return ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20, max_tokens=20)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("swallowed", [Exception, BaseException])
def test_code_that_swallows_the_stop_gives_a_partial_result(way: str, swallowed: type[BaseException]) -> None:
    speaks, stops = model(), list[str]()

    def stubborn(request: Request) -> str:
        said = 0
        for _ in range(6):
            try:
                speaks.invoke("a word")
                said += 1
            except swallowed as error:
                stops.append(type(error).__name__)
        return f"{said} of 6"

    graph = team(plan_of("a"), workers=[worker(run=stubborn)], guards=[Budget(tokens=375)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.value == ["3 of 6"]
    assert outcome.status == "degraded"
    assert outcome.usage.tokens == 300
    assert stops == ["BudgetExceeded"] * 3
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == [("a", "Budget")]


@pytest.mark.parametrize("way", WAYS)
def test_a_fallback_of_langchain_does_not_get_around_the_stop(way: str) -> None:
    first, second = model(), model()
    made_up: Any = RunnableLambda(lambda _: "made up")
    line = first.with_fallbacks([made_up, second])
    graph = team(
        plan_of("a"),
        workers=[worker(run=lambda request: [str(line.invoke("a word")) for _ in range(5)])],
        guards=[Budget(tokens=375)],
    ).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "degraded"
    assert outcome.usage.tokens <= 375
    assert second.calls == 0


class BrokenLedger(MemoryLedger):
    """A ledger whose database goes away at the first model call."""

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        if amount.calls:
            raise StorageBusy("the database is busy")
        return super().reserve(entry, account, epoch, amount)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("swallows", [True, False])
def test_a_ledger_that_fails_ends_the_run_with_its_own_error(way: str, swallows: bool) -> None:
    def speaks(request: Request) -> str:
        try:
            return str(model().invoke("a word"))
        except Exception:
            if not swallows:
                raise
            return "swallowed"

    graph = team(plan_of("a"), workers=[worker(run=speaks)], guards=[Budget(tokens=900)]).compile()
    config = {"configurable": {KEY: ExecutionContext(services=Services(ledger=BrokenLedger()))}}

    with pytest.raises(StorageBusy, match="the database is busy"):
        WAYS[way](graph, "the task", config)


@pytest.mark.parametrize("way", WAYS)
def test_the_line_that_raised_is_in_the_result(way: str) -> None:
    graph = team(plan_of("a"), workers=[worker(run=raises)]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    WAYS[way](graph, "the task", config)

    error = graph.get_state(config).values["results"][0].error

    line = raises.__code__.co_firstlineno + 1
    assert (error.type, error.where) == ("LookupError", f"test_failures.py:{line} in raises")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Mute(), "Mute: (it cannot be printed)"),
        (ValueError("half a pair \ud83d"), r"ValueError: half a pair \ud83d"),
        (GeneratorExit(), "RuntimeError: the work raised GeneratorExit()"),
        (SystemExit(7), "RuntimeError: the work raised SystemExit(7)"),
    ],
)
def test_whatever_a_worker_raises_is_a_gap_that_can_be_printed(way: str, error: BaseException, reason: str) -> None:
    def fails(request: Request) -> str:
        raise error

    staff = [worker("good", skills={"good"}), worker("fails", fails, skills={"fails"})]
    plans = Plan(subtasks=tuple(plan_of(name, skill=name).subtasks[0] for name in ("good", "fails")))

    outcome = WAYS[way](team(plans, workers=staff).compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("degraded", ["done: do good"])
    assert [gap.reason for gap in outcome.gaps] == [reason]
    assert reason in str(outcome)
    assert outcome.model_dump_json()


@pytest.mark.parametrize("way", WAYS)
def test_a_planner_that_raises_fails_the_run_with_its_reason(way: str) -> None:
    graph = supervisor(planner=Agent("planner", run=raises), workers=[worker()]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "failed"
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("plan", "LookupError: no such thing")]


@pytest.mark.parametrize("way", WAYS)
def test_when_the_writer_raises_the_accepted_results_are_the_value(way: str) -> None:
    graph = team(plan_of("a", "b"), synthesizer=Agent("writer", run=raises)).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "degraded"
    assert [found["value"] for found in listed(outcome)] == ["done: do a", "done: do b"]
    assert [gap.agent for gap in outcome.gaps] == ["writer"]


def test_a_draft_that_a_guard_refuses_at_the_exit_is_written_again_with_the_reason() -> None:
    seen: list[str | None] = []

    @guard(at="exit", on_trip=Retry(1))
    def is_polite(view: GuardContext) -> str | None:
        return None if view.subject.value == "please" else "say please"

    def write(request: Request) -> str:
        seen.append(request.feedback)
        return "please" if request.feedback else "now"

    graph = team(plan_of("a"), synthesizer=Agent("writer", run=write), guards=[is_polite]).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("completed", "please")
    assert seen == [None, "say please"]


@pytest.mark.parametrize("way", WAYS)
def test_a_failed_agent_tries_again_with_the_reason_then_its_fallback(way: str) -> None:
    tried: list[tuple[str, int, str | None]] = []

    def fails(request: Request) -> str:
        tried.append(("first", request.attempt, request.feedback))
        raise LookupError("no")

    def stands_in(request: Request) -> str:
        tried.append(("second", request.attempt, request.feedback))
        return "found"

    second = worker("second", stands_in)
    graph = team(plan_of("a"), workers=[worker("first", fails, attempts=2, fallback=second)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("completed", ["found"])
    assert tried == [("first", 1, None), ("first", 2, "LookupError: no"), ("second", 3, "LookupError: no")]


@pytest.mark.parametrize("way", WAYS)
def test_a_planner_that_never_ends_is_asked_for_as_many_rounds_as_are_allowed(way: str) -> None:
    endless = Agent("planner", run=lambda request: plan_of(f"s{request.round}"))
    graph = supervisor(planner=endless, workers=[worker()], guards=[Convergence(2)], synthesizer=None).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("completed", None)
    assert [found["subtask"] for found in listed(outcome)] == ["s1", "s2"]


def test_ids_that_a_later_round_repeats_are_renamed() -> None:
    first, second = plan_of("a"), Plan(subtasks=(plan_of("a").subtasks[0].model_copy(update={"goal": "more"}),))
    graph = team(first, second).compile()

    assert WAYS["sync"](graph, "the task", None).value == ["done: do a", "done: more"]


@pytest.mark.parametrize("way", WAYS)
def test_money_cannot_be_spent_on_a_model_whose_price_is_unknown(way: str) -> None:
    def calls(request: Request) -> str:
        return GenericFakeChatModel(messages=iter(["said"])).invoke("Write.", max_tokens=9).text

    graph = team(plan_of("a"), workers=[worker(run=calls)], guards=[Budget(usd="1.00")]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.usage.tokens, outcome.stopped_by) == ("failed", 0, "Budget")
    assert "price of the model" in outcome.gaps[0].reason


@pytest.mark.parametrize("way", WAYS)
def test_two_workers_that_ask_a_human_are_answered_one_after_the_other(way: str) -> None:
    runs: list[str] = []
    lock = threading.Lock()

    def asks(request: Request) -> str:
        with lock:
            runs.append(request.goal)
        said = "nothing" if request.goal == "do c" else interrupt(request.goal)
        return f"{request.goal}: {said}"

    graph = team(plan_of("a", "b", "c"), workers=[worker(run=asks)], guards=[Budget(tokens=500), Depth(3)]).compile(
        checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "t"}}

    def go(given: Any) -> Any:
        if way == "sync":
            return graph.invoke(given, config)
        return asyncio.run(graph.ainvoke(given, config))

    waiting = {found.value: found.id for found in go({"task": "the task"})["__interrupt__"]}
    assert set(waiting) == {"do a", "do b"}
    after = go(Command(resume={waiting["do b"]: "yes"}))
    assert [found.value for found in after["__interrupt__"]] == ["do a"]
    outcome = go(Command(resume={waiting["do a"]: "no"}))["outcome"]

    assert outcome.value == ["do a: no", "do b: yes", "do c: nothing"]
    assert outcome.status == "completed"
    assert runs.count("do c") == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_function_that_calls_a_team_level_after_level_is_stopped_by_depth(way: str) -> None:
    levels: list[int] = []

    def deeper(request: Request) -> Any:
        levels.append(len(request.path))
        graph = team(plan_of("down"), workers=[worker("digger", deeper)], guards=[], name="nested").compile()
        outcome = graph.invoke({"task": "deeper"}, {"configurable": {"thread_id": f"own-{len(levels)}"}})["outcome"]
        return outcome.model_dump(mode="json")

    graph = team(plan_of("down"), workers=[worker("digger", deeper)], guards=[Depth(3)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert len(levels) == 3
    assert "Depth" in repr(outcome)


@pytest.mark.parametrize("way", WAYS)
def test_a_nested_team_that_leads_nowhere_is_a_gap_that_says_so(way: str) -> None:
    class Form(TypedDict, total=False):
        task: Any
        outcome: Outcome

    lost: Any = StateGraph(Form)
    lost.add_node("lead", lambda state: Command(goto="nowhere"))
    lost.add_edge(START, "lead")
    graph = team(plan_of("a", "b"), workers=[Agent("lost", run=lost.compile()), worker()], guards=[]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("degraded", ["done: do b"])
    (gap,) = outcome.gaps
    assert gap.subtask == "a"
    assert "ended before its `guard_exit`: a node leads nowhere" in gap.reason


def test_an_account_that_was_opened_before_keeps_a_cap_that_was_raised() -> None:
    ledger = MemoryLedger()
    facts: Any = {
        "run_id": "r",
        "account": "r",
        "spending_account": "r/work",
        "reserve": 0.2,
        "started": datetime.now(UTC),
    }
    position = DelegationScope(allowance=Allowance(tokens=100), **facts)
    Services(ledger=ledger).ensure_open(position)
    ledger.open("r", Allowance(tokens=150))

    Services(ledger=ledger).ensure_open(position)

    assert [balance.cap.tokens for balance in ledger.balances("r/work")] == [150, 80]
