from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command

from guardgraph.graphs import frame
from guardgraph.guards import Escalate, Guard, Retry, View, guard
from guardgraph.nodes import Agent, Scene, agent_node, gate, retried, send
from guardgraph.state import Gap, Request
from tests.graphs.teams import WAYS


@guard(at="handoff", on_trip=Retry(1))
def loud(view: View) -> str | None:
    return None if str(view.subject.value).isupper() else "say it louder"


@guard(at="handoff", on_trip=Escalate())
def decent(view: View) -> str | None:
    return "that is indecent" if view.subject.value == "DAMN" else None


def shouts(request: Request) -> str:
    return "HELLO" if request.feedback == "say it louder" else "hello"


def solo(
    agent: Agent, guards: Sequence[Guard] = (), then: Any = lambda scene: [send(WRITER, scene.state)]
) -> StateGraph[Any, Any, Any, Any]:
    """Return a pattern of one's own: an agent, a gate, a writer."""
    graph = frame(
        "solo",
        guards=guards,
        begin=lambda state: [send(agent, state)],
        begins_at=[agent.name],
        author=WRITER,
    )
    for member in agent.line:
        graph.add_node(member.name, agent_node(member))
        graph.add_edge(member.name, "guard_handoff")
    names = [member.name for member in agent.line]
    graph.add_node(
        "guard_handoff",
        gate(guards, agents=[agent], then=then, goes=[], author=WRITER),
        destinations=(*names, WRITER.name, "conclude"),
    )
    return graph


def gathered(request: Request) -> Any:
    return {"said": [piece.value for piece in request.results], "open": [piece.value for piece in request.gaps]}


WRITER = Agent("writer", run=gathered)


def fails(request: Request) -> str:
    raise OSError("no voice")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_accepted_goes_on(way: str) -> None:
    outcome = WAYS[way](solo(Agent("a", run=shouts)).compile(), "greet", None)

    assert (outcome.status, outcome.value) == ("completed", {"said": ["hello"], "open": []})


@pytest.mark.parametrize("way", WAYS)
def test_what_is_refused_is_tried_again_with_the_reason(way: str) -> None:
    outcome = WAYS[way](solo(Agent("a", run=shouts), [loud]).compile(), "greet", None)

    assert (outcome.status, outcome.value) == ("completed", {"said": ["HELLO"], "open": []})


@pytest.mark.parametrize("way", WAYS)
def test_what_stays_refused_is_a_gap(way: str) -> None:
    outcome = WAYS[way](solo(Agent("a", run=lambda _: "hello"), [loud]).compile(), "greet", None)

    assert (outcome.status, outcome.value) == ("degraded", {"said": [], "open": ["say it louder"]})
    assert outcome.gaps == (Gap(subtask="a", agent="a", reason="say it louder", guard="loud"),)


def test_who_fails_is_followed_by_the_fallback_which_gets_the_reason() -> None:
    heard: list[str | None] = []

    def steps_in(request: Request) -> str:
        heard.append(request.feedback)
        return "HELLO"

    agent = Agent("a", run=fails, fallback=Agent("b", run=steps_in))
    state = solo(agent).compile().invoke({"task": "greet"})

    assert state["outcome"].value == {"said": ["HELLO"], "open": []}
    assert heard == ["OSError: no voice"]


def test_a_guard_that_escalates_ends_the_run() -> None:
    outcome = solo(Agent("a", run=lambda _: "DAMN"), [decent]).compile().invoke({"task": "greet"})["outcome"]

    assert (outcome.status, outcome.stopped_by) == ("escalated", "decent")


def test_then_sees_the_state_as_the_review_leaves_it_and_may_update_it() -> None:
    def then(scene: Scene) -> Command[Any]:
        found = [*scene.state["accepted"], *scene.state["gaps"]]
        gap = Gap(subtask="more", reason=f"after {found[0]}")
        return Command(update={"gaps": [gap]}, goto=[send(WRITER, {**scene.state, "gaps": [gap]})])

    outcome = solo(Agent("a", run=shouts), then=then).compile().invoke({"task": "greet"})["outcome"]

    assert outcome.value["said"] == ["hello"]
    assert outcome.value["open"][0].startswith("after a/r1#1.")
    assert [gap.subtask for gap in outcome.gaps] == ["more"]


def test_what_then_appends_comes_after_what_the_review_found() -> None:
    def then(scene: Scene) -> Command[Any]:
        return Command(update={"gaps": [Gap(subtask="more", reason="wanted")]}, goto="conclude")

    outcome = solo(Agent("a", run=fails), then=then).compile().invoke({"task": "greet"})["outcome"]

    assert [gap.subtask for gap in outcome.gaps] == ["a", "more"]


@pytest.mark.parametrize(
    ("agent", "guards", "names"),
    [
        (Agent("a", run=shouts), [], ()),
        (Agent("a", run=shouts, attempts=2), [], ("a",)),
        (Agent("a", run=shouts), [loud], ("a",)),
        (Agent("a", run=shouts), [decent], ()),
        (Agent("a", run=shouts, fallback=Agent("b", run=shouts)), [], ("b",)),
        (Agent("a", run=shouts, attempts=2, fallback=Agent("b", run=shouts)), [], ("a", "b")),
    ],
)
def test_only_those_who_may_try_again_are_led_back_to(
    agent: Agent, guards: list[Guard], names: tuple[str, ...]
) -> None:
    assert retried([agent], guards, gate="handoff") == names
