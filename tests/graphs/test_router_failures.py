"""What goes wrong in a router, and what its outcome has then: a request is never dropped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from guardgraph.agents import Agent
from guardgraph.graphs import Rule, router
from guardgraph.guards import Deadline
from guardgraph.state import Outcome, Request, RoutingDecision
from guardgraph.storage import SQLSaver

ROOT = Path(__file__).parents[2]
HANGS = 30.0
"""Seconds: much longer than any limit here."""


def raises(request: Request) -> Any:
    raise ConnectionError("no line")


def hangs(request: Request) -> Any:
    time.sleep(HANGS)


FAILURES: dict[str, tuple[Callable[[Request], Any], dict[str, Any], str]] = {
    "raises": (raises, {}, "ConnectionError: no line"),
    "hangs": (hangs, {"timeout": 0.1}, "no answer after 0.1 s (timeout)"),
    "returns garbage": (lambda request: "many", {"output": int}, "does not fit"),
    "returns nothing": (lambda request: None, {}, "it returned None"),
    "loops": (lambda request: Command(goto="tested", graph=Command.PARENT), {"attempts": 3}, "hand"),
}
"""What an agent does, what it declares for that, and words of the reason."""


def agent_that(failure: str) -> Agent:
    run, facts, _ = FAILURES[failure]
    return Agent("tested", run=run, **facts)


def general() -> Agent:
    return Agent("general", run=lambda request: f"general: {request.goal}")


def route(graph: Any, goal: str = "hello") -> tuple[Outcome, list[RoutingDecision], list[str]]:
    """Return the outcome, the decisions, and the agents whose answer was accepted."""
    state = list(graph.compile().stream({"task": goal}, stream_mode="values"))[-1]
    workers = [result.agent for result in state["results"] if result.id in state["accepted"]]
    return state["outcome"], state["routing"], workers


@pytest.mark.parametrize("failure", FAILURES)
def test_where_a_worker_fails_the_fallback_answers_and_nothing_is_missing(failure: str) -> None:
    any_request = Rule.when(lambda task: True, worker="tested", name="any")

    outcome, decisions, workers = route(router([agent_that(failure)], fallback=general(), rules=[any_request]))

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "general: hello", ())
    assert workers == ["general"]
    first, last = decisions
    assert (first.rung, first.worker) == ("rule", "tested")
    assert (last.rung, last.worker) == ("fallback", "general")
    assert last.reason.startswith("'tested' failed: ")
    assert FAILURES[failure][2] in last.reason
    assert [gap.agent for gap in last.gaps] == ["tested"]


@pytest.mark.parametrize("failure", FAILURES)
def test_where_the_model_fails_the_fallback_answers(failure: str) -> None:
    worker = Agent("worker", run=lambda request: "worker")

    outcome, decisions, workers = route(router([worker], fallback=general(), model=agent_that(failure)))

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "general: hello", ())
    assert workers == ["general"]
    assert (decisions[-1].rung, decisions[-1].worker) == ("fallback", "general")
    assert FAILURES[failure][2] in decisions[-1].problems[0]


@pytest.mark.parametrize("failure", FAILURES)
def test_where_the_fallback_fails_too_the_outcome_names_both(failure: str) -> None:
    broken = Agent("worker", run=raises)
    rules = [Rule.keywords("hello", worker="worker")]

    outcome, _, workers = route(router([broken], fallback=agent_that(failure), rules=rules))
    alone, _, _ = route(router([broken], fallback=agent_that(failure), rules=rules), "good evening")

    assert (outcome.status, outcome.value, workers) == ("failed", None, [])
    assert {gap.agent for gap in outcome.gaps} == {"worker", "tested"}
    assert {gap.agent for gap in alone.gaps} == {"tested"}
    reasons = {gap.agent: gap.reason for gap in outcome.gaps}
    assert reasons["worker"] == "ConnectionError: no line"
    assert FAILURES[failure][2] in reasons["tested"]


def slow(text: str) -> dict[str, float]:
    time.sleep(HANGS)
    return {}


CLASSIFIERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "raises": (lambda text: [][0], "the classifier raised IndexError"),
    "hangs": (slow, "the classifier raised TimeoutError: no answer within 0.1 s"),
    "returns garbage": (lambda text: "worker", "the classifier returned a str"),
    "returns nothing": (lambda text: None, "the classifier returned a NoneType"),
    "names an unknown worker": (lambda text: {"sales": 1.0}, "the classifier scores 'sales', which is no worker"),
    "scores with NaN": (lambda text: {"worker": float("nan")}, "which is no number from 0 to 1"),
}


@pytest.mark.parametrize("failure", CLASSIFIERS)
@pytest.mark.parametrize("has_model", [False, True])
def test_where_the_classifier_fails_the_next_rung_decides(failure: str, has_model: bool) -> None:
    classifier, problem = CLASSIFIERS[failure]
    worker = Agent("worker", run=lambda request: "worker")
    model = Agent("model", run=lambda request: "worker") if has_model else None

    graph = router([worker], fallback=general(), classifier=classifier, model=model, timeout=0.1)
    outcome, decisions, workers = route(graph)

    assert outcome.status == "completed"
    assert workers == ["worker" if has_model else "general"]
    assert problem in decisions[0].problems[0]
    assert decisions[-1].rung == ("model" if has_model else "fallback")


@pytest.mark.parametrize("failure", ["raises", "hangs", "returns garbage"])
def test_where_a_predicate_fails_the_next_rung_decides(failure: str) -> None:
    run, _, _ = FAILURES[failure]
    odd = Rule.when(
        lambda task: 7.5 if failure == "returns garbage" else run(Request(task=task)), worker="worker", name="odd"
    )
    worker = Agent("worker", run=lambda request: "worker")

    graph = router([worker], fallback=general(), rules=[odd], classifier=lambda text: {"worker": 0.9}, timeout=0.1)
    outcome, decisions, _ = route(graph)

    assert (outcome.status, outcome.value) == ("completed", "worker")
    assert len(decisions[0].problems) == 1


def test_where_the_time_is_over_the_outcome_names_the_deadline_and_the_worker() -> None:
    worker = Agent("worker", run=hangs)
    graph = router(
        [worker], fallback=general(), rules=[Rule.keywords("hello", worker="worker")], guards=[Deadline(0.3)]
    )

    outcome, decisions, _ = route(graph)

    assert (outcome.status, outcome.stopped_by) == ("failed", "Deadline")
    assert [gap.agent for gap in outcome.gaps] == ["worker"]
    assert [one.worker for one in decisions] == ["worker", None]
    assert decisions[-1].problems == ("'general' was not sent the request: the time for work is over",)


def killed_graph(folder: Path, *, hangs_at: str) -> Any:
    """Return a router whose rungs and workers note each of their runs in a file, and may hang."""

    def noting(name: str, answer: Any) -> Callable[[Any], Any]:
        def run(given: Any) -> Any:
            with (folder / "runs").open("a") as file:
                file.write(f"{name}\n")
            if name == hangs_at:
                (folder / "hangs").touch()
                time.sleep(HANGS)
            return answer

        return run

    graph = router(
        [Agent("worker", run=noting("worker", "worker"))],
        fallback=general(),
        classifier=noting("classifier", {"worker": 0.1}),
        model=Agent("model", run=noting("model", "worker")),
        timeout=None,
    )
    return graph.compile(checkpointer=SQLSaver.from_url(f"sqlite:///{folder / 'runs.db'}"))


SCRIPT = """
import sys
from pathlib import Path
from tests.graphs import test_router_failures as t
t.killed_graph(Path(sys.argv[1]), hangs_at=sys.argv[2]).invoke({"task": "hello"}, {"configurable": {"thread_id": "t"}})
"""


@pytest.mark.parametrize("killed_at", ["classifier", "model", "worker"])
def test_where_the_process_is_killed_another_one_repeats_only_what_was_in_flight(
    killed_at: str, tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), killed_at], cwd=ROOT)
    try:
        until = time.monotonic() + 40
        while not (tmp_path / "hangs").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    graph = killed_graph(tmp_path, hangs_at="")

    with closing(graph.checkpointer):
        config: Any = {"configurable": {"thread_id": "t"}}
        outcome = graph.invoke(None, config)["outcome"]
        decisions = graph.get_state(config).values["routing"]

    assert (outcome.status, outcome.value) == ("completed", "worker")
    assert [one.rung for one in decisions] == ["classifier", "model"]
    runs = (tmp_path / "runs").read_text().split()
    assert sorted(runs) == sorted(["classifier", "model", "worker", killed_at])
