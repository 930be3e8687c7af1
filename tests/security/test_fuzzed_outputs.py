"""Whatever a model answers, in any role, a run ends in an outcome of typed parts (S5).

Some 200 outputs are tried by default; as many as GUARDGRAPH_SECURITY names, beside.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from threading import Thread
from typing import Any

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel

from guardgraph.agents import Agent, Bid, Bidder
from guardgraph.graphs import Subscription, auction, consensus, majority, pipeline, reactive, router, supervisor, swarm
from guardgraph.guards import Convergence, Limits, Schema, Trust
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Outcome, Plan, Result, Subtask, error_text
from tests.graphs.teams import plan_of, planner, worker
from tests.security.fuzz import fuzzed

NUMBER = int(os.environ.get("GUARDGRAPH_SECURITY", "0"))
GUARDS = (Convergence(), Limits(visits=8), Schema(), Trust())
LIMIT = 30.0
"""Seconds that a run may take."""
Role = Callable[[ScriptedModel], Any]


class Report(BaseModel):
    """What a worker with a schema answers."""

    title: str
    items: list[int]
    ratio: float


@tool
def lookup(query: str) -> str:
    """Look something up."""
    return f"found {query[:20]}"


def _agent(name: str, model: ScriptedModel, **facts: Any) -> Agent:
    return Agent(name, model=model, attempts=2, **facts)


def a_planner(model: ScriptedModel) -> Any:
    return supervisor(planner=_agent("planner", model), workers=[worker("clerk")], guards=GUARDS)


def a_chooser(model: ScriptedModel) -> Any:
    return router([worker("clerk")], fallback=worker("spare"), model=_agent("chooser", model), guards=GUARDS)


def a_worker(model: ScriptedModel) -> Any:
    return supervisor(planner=planner(plan_of("a")), workers=[_agent("w", model, output=Report)], guards=GUARDS)


def a_worker_with_tools(model: ScriptedModel) -> Any:
    return pipeline([_agent("w", model, tools=[lookup])], guards=GUARDS)


def a_typed_worker_with_tools(model: ScriptedModel) -> Any:
    return pipeline([_agent("w", model, tools=[lookup], output=Report)], guards=GUARDS)


def a_synthesizer(model: ScriptedModel) -> Any:
    team = {"planner": planner(plan_of("a")), "workers": [worker("clerk")], "guards": GUARDS}
    return supervisor(**team, synthesizer=_agent("writer", model, output=Report))  # type: ignore[arg-type]


def a_judge(model: ScriptedModel) -> Any:
    panel = [worker("a", lambda request: "x"), worker("b", lambda request: "y")]
    return consensus(panel, judge=_agent("judge", model), tie_breaker=worker("tie", lambda r: "A"), guards=GUARDS)


def a_panelist(model: ScriptedModel) -> Any:
    panel = [_agent("a", model), worker("b", lambda request: REPORT)]
    return consensus(panel, vote=majority, answer=Report, quorum=1, guards=GUARDS)


def a_bidder(model: ScriptedModel) -> Any:
    other = Bidder(worker("other"), bid=lambda lots: [Bid(subtask=lot.id, cost=2) for lot in lots])
    return auction([Bidder(worker("clerk"), bid=_agent("bidder", model)), other], guards=GUARDS)


def a_peer(model: ScriptedModel) -> Any:
    return swarm([_agent("peer", model), worker("other")], guards=GUARDS)


def a_subscriber(model: ScriptedModel) -> Any:
    listeners = [Subscription(_agent("s", model), ["task"]), Subscription(worker("t"), ["mail"])]
    return reactive(listeners, emits={"s": ["mail"]}, guards=GUARDS)


REPORT = {"title": "t", "items": [1, 2], "ratio": 0.5}
SCORES = [{"candidate": c, "criterion": k, "score": 3} for c in "AB" for k in ("accuracy", "completeness", "caution")]
PLAN = Plan(subtasks=(Subtask(id="a", goal="do", skill="clerk"), Subtask(id="b", goal="do b", depends_on=("a",))))
ROLES: Mapping[str, tuple[Role, dict[str, Any]]] = {
    "planner": (a_planner, json.loads(PLAN.model_dump_json())),
    "router": (a_chooser, {"worker": "clerk", "reason": "why", "confidence": 0.5}),
    "worker": (a_worker, REPORT),
    "worker with tools": (a_worker_with_tools, {"query": "q"}),
    "typed worker with tools": (a_typed_worker_with_tools, REPORT),
    "synthesizer": (a_synthesizer, REPORT),
    "judge": (a_judge, {"scores": SCORES, "reasoning": "so"}),
    "panelist": (a_panelist, REPORT),
    "bidder": (a_bidder, {"bids": [{"subtask": "task", "cost": 1.0, "load": 1, "seconds": 0, "confidence": 1}]}),
    "peer": (a_peer, {"recipients": ["other"], "content": "x", "performative": "ask"}),
    "subscriber": (a_subscriber, {"type": "mail", "data": {"a": 1}, "subject": "s"}),
}


def run_of(role: str, random: Random, *, is_async: bool, outputs: list[Any] | None = None) -> tuple[Any, list[str]]:
    """Run a team in which a model has `role`; return its outcome, and what is wrong with the run."""
    make, valid = ROLES[role]
    given: list[Any] = [] if outputs is None else outputs
    most = len(given) + 5

    def reply(messages: list[Any]) -> Any:
        if len(given) == most:
            return "enough"
        given.append(fuzzed(random, valid))
        return given[-1]

    found: list[Any] = []
    problems: list[str] = []
    graph = make(ScriptedModel(replies=reply)).compile()

    def work() -> None:
        try:
            state = asyncio.run(graph.ainvoke({"task": "T"})) if is_async else graph.invoke({"task": "T"})
            found.append(state["outcome"])
        except BaseException as error:
            problems.append(f"{role}: {error_text(error)}")

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT)
    if thread.is_alive():
        return None, [f"{role}: no end after {LIMIT:g} s"]
    return (found or [None])[0], problems or _problems(role, found[0])


def _problems(role: str, outcome: Any) -> list[str]:
    if not isinstance(outcome, Outcome):
        return [f"{role}: no outcome, but {outcome!r:.200}"]
    try:
        text = outcome.model_dump_json()
        again = Outcome.model_validate_json(text)
        json.dumps(outcome.model_dump(mode="json"), allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        return [f"{role}: the outcome cannot be stored: {error_text(error)}"]
    return [] if again == outcome else [f"{role}: the outcome is another one once it is stored"]


@pytest.mark.parametrize("role", ROLES)
def test_whatever_a_model_answers_the_run_ends_in_an_outcome(role: str) -> None:
    seen = Counter[str]()
    for seed in range(20):
        outcome, problems = run_of(role, Random(f"{role} {seed}"), is_async=bool(seed % 2))

        assert problems == [], f"seed {seed}"
        seen[outcome.status] += 1
    assert sum(seen.values()) == 20


@pytest.mark.timeout(0)
@pytest.mark.skipif(not NUMBER, reason="set GUARDGRAPH_SECURITY to a number of outputs")
@pytest.mark.parametrize("role", ROLES)
def test_many_fuzzed_outputs(role: str) -> None:
    seen, found = Counter[str](), list[str]()
    outputs, seed = list[Any](), 0
    while len(outputs) < NUMBER / len(ROLES):
        outcome, problems = run_of(role, Random(f"more {role} {seed}"), is_async=bool(seed % 2), outputs=outputs)
        found += [f"seed {seed}: {one}" for one in problems]
        seen[getattr(outcome, "status", "none")] += 1
        seed += 1

    print(f"{role}: {len(outputs)} outputs in {seed} runs, {dict(seen)}, {len(found)} problems")
    assert found == []


def test_a_valid_output_is_used_in_every_role() -> None:
    """What is mutated is valid where it is not: each role does its work with it."""
    for role, (make, valid) in ROLES.items():
        if role in ("worker with tools", "peer", "subscriber"):
            continue
        outcome = make(ScriptedModel(replies=lambda messages, valid=valid: json.dumps(valid))).compile()
        assert outcome.invoke({"task": "T"})["outcome"].status in ("completed", "degraded"), role


def test_what_is_compared_is_what_is_stored() -> None:
    assert _problems("any", Outcome(status="completed", value="x")) == []
    assert _problems("any", Result(id="r", agent="a"))
