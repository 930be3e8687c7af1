"""The books of a run without a `Runner`."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from guardgraph.agents import Agent
from guardgraph.guards import Budget
from guardgraph.runtime.execution_context import IDLE_RUNS, execution_services
from guardgraph.state import Amount, Request, Usage, new_id
from tests.graphs.teams import WAYS, plan_of, speaker, team, worker


@pytest.mark.parametrize("way", WAYS)
def test_the_books_of_a_plain_run_are_dropped_when_its_outcome_is_told_and_not_with_that_of_a_team_below(
    way: str,
) -> None:
    below = team(plan_of("x"), workers=[speaker("leaf", read=80, written=20)]).compile()
    seen: list[tuple[str, int]] = []

    def writes(request: Request) -> str:
        run_id = request.idempotency_key.partition("/")[0]
        seen.append((run_id, execution_services(None, run_id).ledger.usage(run_id).tokens))
        return "done"

    graph = team(plan_of("a"), workers=[Agent("team", run=below)], synthesizer=Agent("writer", run=writes)).compile()

    outcome = WAYS[way](graph)

    [(run_id, spent)] = seen
    assert (outcome.status, outcome.usage.tokens, spent) == ("completed", 100, 100)
    assert execution_services(None, run_id).ledger.usage(run_id) == Usage(), "another book, and an empty one"


def others() -> None:
    """Let more runs than are kept begin, which nobody goes on with."""
    for _ in range(2 * IDLE_RUNS):
        execution_services(None, new_id())


def test_a_run_whose_books_were_dropped_keeps_what_its_state_says_it_has_spent() -> None:
    asks = worker("asker", run=lambda request: interrupt("go on?"), skills={"ask"})
    leaf = speaker("leaf", read=80, written=20, skills={"read"}, expected_cost=Amount(tokens=100, calls=1))
    graph = team(
        plan_of("a", skill="read"),
        plan_of("b", skill="ask"),
        plan_of("c", skill="read"),
        workers=[leaf, asks],
        guards=[Budget(tokens=150)],
    ).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    assert graph.invoke({"task": "x"}, config)["__interrupt__"]

    gc.collect()
    others()
    outcome = graph.invoke(Command(resume="yes"), config)["outcome"]

    assert outcome.usage.tokens == 100
    assert [gap.subtask for gap in outcome.gaps] == ["c"]


def test_runs_that_were_left_give_their_memory_back_when_others_follow() -> None:
    graph = team(plan_of("a"), workers=[speaker("leaf", read=80, written=20)]).compile()

    def leave(count: int) -> None:
        for _ in range(count):
            for part in graph.stream({"task": "x"}, stream_mode="updates"):
                if "leaf" in part:
                    break
        gc.collect()

    leave(2)
    others()
    tracemalloc.start()
    try:
        others()
        before = tracemalloc.get_traced_memory()[0]
        leave(10)
        held = tracemalloc.get_traced_memory()[0]
        others()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held - before > 10 * 5_000, "what was left can be gone on with"
    assert after - before < (held - before) / 2
