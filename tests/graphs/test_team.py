from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Team
from guardgraph.guards import Depth, Escalate, Guard, GuardContext, Limits, Retry, guard
from guardgraph.state import ContextItem, Gap, Request, Subtask
from tests.graphs.teams import WAYS, ask_sync, listed


@guard(at="handoff", on_trip=Retry(1))
def loud(view: GuardContext) -> str | None:
    return None if str(view.subject.value).isupper() else "say it louder"


@guard(at="handoff", on_trip=Escalate())
def decent(view: GuardContext) -> str | None:
    return "that is indecent" if view.subject.value == "DAMN" else None


def shouts(request: Request) -> str:
    return "HELLO" if request.feedback == "say it louder" else "hello"


def solo(
    agent: Agent, guards: Sequence[Guard] = (), then: Any = lambda gate: gate.send(WRITER)
) -> StateGraph[Any, Any, Any, Any]:
    """Return a pattern of one's own: an agent, a gate, a writer."""
    team = Team("solo", guards=guards, entry=[agent], author=WRITER)
    team.add_agents([agent], gate="handoff")
    team.add_gate("handoff", agents=[agent], route=then)
    return team.build()


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


@pytest.mark.parametrize("how", ["write", "command"])
def test_then_sees_the_state_as_the_review_leaves_it_and_may_update_it(how: str) -> None:
    def then(gate: GateContext) -> Any:
        found = [*gate.state["accepted"], *gate.state["gaps"]]
        gaps = [Gap(subtask="more", reason=f"after {found[0]}")]
        if how == "command":
            told = [*gate.context(), ContextItem(kind="gap", title="more", value=gaps[0].reason)]
            return Command(update={"gaps": gaps}, goto=[gate.send(WRITER, context=told)])
        gate.write(gaps=gaps)
        assert gate.gaps == gaps
        return gate.send(WRITER)

    outcome = solo(Agent("a", run=shouts), then=then).compile().invoke({"task": "greet"})["outcome"]

    assert outcome.value["said"] == ["hello"]
    assert outcome.value["open"][0].startswith("after a/r1#1.")
    assert [gap.subtask for gap in outcome.gaps] == ["more"]


@pytest.mark.parametrize("how", ["write", "command"])
def test_what_then_appends_comes_after_what_the_review_found(how: str) -> None:
    def then(gate: GateContext) -> Any:
        more = [Gap(subtask="more", reason="wanted")]
        if how == "command":
            return Command(update={"gaps": more}, goto="guard_exit")
        gate.write(gaps=more)
        return gate.conclude()

    outcome = solo(Agent("a", run=fails), then=then).compile().invoke({"task": "greet"})["outcome"]

    assert [gap.subtask for gap in outcome.gaps] == ["a", "more"]


def test_what_misses_something_is_not_called_complete() -> None:
    def then(gate: GateContext) -> Any:
        return gate.stop("completed", reason="enough")

    whole = ask_sync(solo(Agent("a", run=shouts), then=then).compile())
    missing = ask_sync(solo(Agent("a", run=fails), then=then).compile())

    assert (whole.status, whole.reason, listed(whole)[0]["value"]) == ("completed", "enough", "hello")
    assert (missing.status, missing.reason, [gap.subtask for gap in missing.gaps]) == ("failed", "enough", ["a"])


@pytest.mark.parametrize(
    ("guards", "status", "missing"), [([], "completed", []), ([Depth(0)], "failed", [("agent", "Depth")])]
)
def test_an_agent_behind_a_node_of_ones_own_is_judged_by_the_guards_of_dispatch(
    guards: Any, status: str, missing: list[tuple[str, str]]
) -> None:
    agent = Agent("agent", run=shouts)
    team = Team("own", guards=guards, entry=lambda gate: "prepare", destinations=["prepare"])
    team.add_agents([agent], gate="handoff")
    team.add_node("prepare", lambda state: {}, to=agent)
    team.add_gate("handoff", agents=[agent], route=lambda gate: gate.conclude())

    outcome = ask_sync(team.build().compile())

    assert outcome.status == status
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == missing


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_new_subtask_that_a_route_sends_is_planned_and_counted(attempt: int) -> None:
    agent = Agent("a", run=lambda request: request.goal)

    def then(gate: GateContext) -> Any:
        if gate.state["subtasks"]:
            return gate.conclude()
        new = [Subtask(id=id_, goal=f"do {id_}") for id_ in "xyz"]
        return [gate.send(agent, subtask, attempt=attempt) for subtask in new]

    team = Team("solo", guards=[Limits(subtasks=2)], entry=[agent], author=WRITER).add_agents([agent], gate="handoff")
    outcome = ask_sync(team.add_gate("handoff", agents=[agent], route=then, destinations=[agent]).build().compile())

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Limits")
    assert outcome.value == {"said": ["the task", "do x", "do y"], "open": ["the limit of 2 subtasks is used up"]}
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == [("z", "Limits")]


@pytest.mark.parametrize(
    ("agent", "guards", "names"),
    [
        (Agent("a", run=shouts), [], set()),
        (Agent("a", run=shouts, attempts=2), [], {"a"}),
        (Agent("a", run=shouts), [loud], {"a"}),
        (Agent("a", run=shouts), [decent], set()),
        (Agent("a", run=shouts, fallback=Agent("b", run=shouts)), [], {"b"}),
        (Agent("a", run=shouts, attempts=2, fallback=Agent("b", run=shouts)), [], {"a", "b"}),
    ],
)
def test_only_those_who_may_try_again_are_led_back_to(agent: Agent, guards: list[Guard], names: set[str]) -> None:
    drawn = solo(agent, guards).compile().get_graph().edges

    assert {edge.target for edge in drawn if edge.source == "guard_handoff"} == {*names, "writer", "guard_exit"}
