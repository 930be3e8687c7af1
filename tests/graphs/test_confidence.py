"""What an agent is not sure of goes to a spare or a human; how sure it is travels with its result."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.agents.prompt import render
from guardgraph.graphs import Stage, pipeline, supervisor, swarm
from guardgraph.guards import Confidence, Escalate, Retry
from guardgraph.state import Evidence, Message, Reply, Request
from tests.graphs.teams import WAYS, gather, listed, plan_of, planner, team, worker

FOUND = (Evidence(source="prices.md", quote="the price is ten"),)


def sure(of: float | None, value: Any = "so") -> Any:
    return lambda request: Reply(value=value, confidence=of)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("stated", "value"), [(0.69, "checked"), (0.7, "so"), (None, "so")])
def test_an_unsure_answer_goes_to_the_fallback(way: str, stated: float | None, value: str) -> None:
    first = worker(run=sure(stated), fallback=worker("spare", sure(0.9, "checked")))
    outcome = WAYS[way](team(plan_of("a"), workers=[first], guards=[Confidence(0.7)]).compile(), "T", None)

    assert (outcome.status, listed(outcome)) == ("completed", [value])


@pytest.mark.parametrize("way", WAYS)
def test_where_nothing_better_follows_it_is_a_gap(way: str) -> None:
    first = worker(run=sure(0.2), fallback=worker("spare", sure(0.3)))
    outcome = WAYS[way](team(plan_of("a", "b"), workers=[first], guards=[Confidence(0.7)]).compile(), "T", None)

    assert {(gap.agent, gap.guard, gap.reason) for gap in outcome.gaps} == {
        ("spare", "Confidence", "its confidence is 0.3, at least 0.7 is needed")
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_human_is_given_what_nobody_is_sure_of(way: str) -> None:
    guards = [Confidence(0.7, missing="trip", on_trip=Escalate())]
    outcome = WAYS[way](team(plan_of("a"), workers=[worker(run=sure(None))], guards=guards).compile(), "T", None)

    assert (outcome.status, outcome.stopped_by) == ("escalated", "Confidence")
    assert outcome.reason == "it states no confidence; at least 0.7 is needed"


def test_the_same_agent_may_look_again_first() -> None:
    def learns(request: Request) -> Reply:
        return Reply(value=request.feedback, confidence=0.4 * request.attempt)

    outcome = team(plan_of("a"), workers=[worker(run=learns)], guards=[Confidence(0.8, on_trip=Retry(1))])

    assert listed(outcome.compile().invoke({"task": "T"})["outcome"]) == [
        "its confidence is 0.4, at least 0.8 is needed"
    ]


def explained(request: Request) -> Reply:
    return Reply(value="ten", evidence=FOUND, confidence=0.8, reasoning="the list says so")


@pytest.mark.parametrize("way", WAYS)
def test_evidence_confidence_and_reasoning_reach_all_who_use_a_result(way: str) -> None:
    seen: list[Request] = []

    def reads(request: Request) -> Reply:
        seen.append(request)
        return Reply(value="eleven", confidence=0.6, reasoning="ten and one")

    plan = plan_of("a", "b")
    second = plan.subtasks[1].model_copy(update={"depends_on": ("a",), "skill": "second"})
    plan = plan.model_copy(update={"subtasks": (plan.subtasks[0].model_copy(update={"skill": "first"}), second)})
    graph = supervisor(
        planner=planner(plan),
        workers=[worker("one", explained, skills={"first"}), worker("two", reads, skills={"second"})],
        synthesizer=Agent("writer", run=reads),
    )
    outcome = WAYS[way](graph.compile(), "T", None)

    for request in seen:
        item = request.results[0]
        assert (item.evidence, item.confidence, item.reasoning) == (FOUND, 0.8, "the list says so")
        assert all(word in render(request) for word in ("the price is ten", '"confidence": 0.8', "the list says so"))
    assert [one.reasoning for one in seen[-1].results] == ["the list says so", "ten and one"]
    assert (outcome.value, outcome.confidence, outcome.reasoning) == ("eleven", 0.6, "ten and one")


def test_they_come_up_from_a_nested_team_and_go_on_in_a_pipeline() -> None:
    seen: list[Request] = []

    def reads(request: Request) -> str:
        seen.append(request)
        return "read"

    inner = pipeline([Stage(Agent("inner", run=explained))]).compile()
    outcome = (
        pipeline([Stage(Agent("nested", run=inner)), Stage(Agent("reader", run=reads))])
        .compile()
        .invoke({"task": "T"})["outcome"]
    )

    item = seen[0].results[0]
    assert (item.evidence, item.confidence, item.reasoning) == (FOUND, 0.8, "the list says so")
    assert outcome.reasoning == ""


def test_they_are_part_of_an_answer_to_a_peer() -> None:
    def asks(request: Request) -> Any:
        if not request.messages:
            return Reply(messages=(Message(recipients=("b",), performative="ask", content="price?"),))
        message = request.messages[0]
        return [message.content, message.confidence, message.reasoning, len(message.evidence)]

    peers = [Agent("a", run=asks), Agent("b", run=explained)]
    outcome = swarm(peers).compile().invoke({"task": "T"})["outcome"]

    assert outcome.value == ["ten", 0.8, "the list says so", 1]


def test_results_without_them_are_rendered_as_before() -> None:
    requests: list[Request] = []

    def reads(request: Request) -> list[Any]:
        requests.append(request)
        return gather(request)

    team(plan_of("a"), synthesizer=Agent("writer", run=reads)).compile().invoke({"task": "T"})

    assert '{"about": "do a", "from": "worker", "value": "done: do a"}' in render(requests[0])
