"""A planner that is a model, without any instructions: the real OpenAI client against a scripted server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.state import Amount
from tests import loopback
from tests.graphs.teams import WAYS, listed, worker

PLANNED = {"subtasks": [{"id": "a", "goal": "find the price", "skill": "search"}]}
ENOUGH = {"subtasks": []}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "skill": (
        {"subtasks": [{"id": "a", "goal": "A", "skill": "cook"}, {"id": "b", "goal": "B", "skill": "sing"}]},
        "no worker has the skill: 'a' needs 'cook', 'b' needs 'sing'; there are: finder, search, writer",
    ),
    "cycle": (
        {"subtasks": [{"id": "a", "goal": "A", "depends_on": ["b"]}, {"id": "b", "goal": "B", "depends_on": ["a"]}]},
        "a -> b -> a",
    ),
    "fields": ({"subtasks": [{"id": "a", "gaol": "A"}, {"goal": ""}]}, "subtasks.0.goal"),
}


def team(url: str, **facts: Any) -> Any:
    model = ChatOpenAI(model="gpt-5-mini", base_url=url, api_key="none", max_retries=0)  # type: ignore[arg-type]
    workers = [worker("finder", skills={"search"}, expected_cost=Amount(tokens=500)), worker("writer")]
    return supervisor(planner=Agent("planner", model=model, **facts), workers=workers).compile()


@pytest.mark.parametrize("way", WAYS)
def test_its_prompt_shows_the_workers_and_its_plan_is_carried_out(way: str) -> None:
    with loopback.OpenAIServer([loopback.text(json.dumps(PLANNED)), loopback.text(json.dumps(ENOUGH))]) as server:
        outcome = WAYS[way](team(server.url), "What does it cost?", None)

    assert (outcome.status, listed(outcome)[0]["value"]) == ("completed", "done: find the price")
    system, human = (message["content"] for message in server.requests[0].body["messages"])
    assert "depends_on" in system
    assert (
        '{"about": "finder", "from": "team", "value": {"skills": ["search"], "expected_cost": {"tokens": 500}}}'
        in human
    )
    assert "done: find the price" in server.requests[1].body["messages"][-1]["content"]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_plan_goes_back_with_every_error_named(bad: str) -> None:
    wrong, says = BAD[bad]
    script = [loopback.text(json.dumps(plan)) for plan in (wrong, PLANNED, ENOUGH)]
    with loopback.OpenAIServer(script) as server:
        outcome = WAYS["sync"](team(server.url), "What does it cost?", None)

    assert (outcome.status, outcome.gaps) == ("completed", ())
    again = server.requests[1].body["messages"][-1]["content"]
    assert says in again.replace("\\u003c", "<"), again


def test_a_plan_that_stays_bad_leaves_a_gap_for_what_nobody_can_do() -> None:
    wrong = {"subtasks": [*PLANNED["subtasks"], {"id": "b", "goal": "B", "skill": "sing"}]}
    script = [loopback.text(json.dumps(plan)) for plan in (wrong, wrong, ENOUGH)]
    with loopback.OpenAIServer(script) as server:
        outcome = WAYS["sync"](team(server.url), "What does it cost?", None)

    assert (outcome.status, listed(outcome)[0]["value"]) == ("degraded", "done: find the price")
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [
        ("b", "no worker has the skill 'sing'; there are: finder, search, writer")
    ]


def test_a_model_as_fallback_of_a_planner_has_the_same_defaults() -> None:
    def broken(request: Any) -> Any:
        raise ValueError("broken")

    with loopback.OpenAIServer([loopback.text(json.dumps(PLANNED)), loopback.text(json.dumps(ENOUGH))]) as server:
        spare = Agent("spare", model=ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", max_retries=0))  # type: ignore[arg-type]
        first = Agent("planner", run=broken, fallback=spare)
        graph = supervisor(planner=first, workers=[worker("finder", skills={"search"})])
        outcome = WAYS["sync"](graph.compile(), "What does it cost?", None)

    assert outcome.status == "completed"


def test_instructions_of_ones_own_replace_the_default_ones() -> None:
    with loopback.OpenAIServer([loopback.text(json.dumps(PLANNED)), loopback.text(json.dumps(ENOUGH))]) as server:
        WAYS["sync"](team(server.url, instructions="Plan with care."), "What does it cost?", None)

    assert server.requests[0].body["messages"][0]["content"] == "Plan with care."
