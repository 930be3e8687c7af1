"""LangGraph's own streams show what has finished while other agents still work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from threading import Event
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langgraph.config import get_stream_writer

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.state import Plan, Request, RunEvent, Subtask
from tests.graphs.teams import plan_of, team, worker

PATIENCE = 10


def together(finished: Event, fast: Agent) -> Any:
    """Return a team whose second worker does not end before `finished` is set."""
    plan = Plan(subtasks=(Subtask(id="a", goal="do a", skill="fast"), Subtask(id="z", goal="do z", skill="slow")))
    return team(plan, workers=[fast, _slow(finished)]).compile()


def one_after_the_other(finished: Event, fast: Agent) -> Any:
    plan = Plan(
        subtasks=(
            Subtask(id="a", goal="do a", skill="fast"),
            Subtask(id="z", goal="do z", skill="slow", depends_on=("a",)),
        )
    )
    return team(plan, workers=[fast, _slow(finished)]).compile()


def _slow(finished: Event) -> Agent:
    def wait(request: Request) -> bool:
        if not finished.wait(PATIENCE):
            raise TimeoutError("the stream did not show the other result while this agent worked")
        return True

    return Agent("waits", run=wait, skills={"slow"})


def fast(**facts: Any) -> Agent:
    return worker("quick", skills={"fast"}, **facts)


def talker() -> Agent:
    return Agent("quick", run=create_agent(FakeListChatModel(responses=["some words"]), []), skills={"fast"})


def _is_update(part: Any) -> bool:
    return "quick" in part and part["quick"]["results"][0].value == "done: do a"


def _is_accepted(part: Any) -> bool:
    return any(id_.startswith("quick/a") for id_ in part.get("accepted") or ())


def _is_event(part: Any) -> bool:
    event = RunEvent.model_validate(part)
    return event.kind == "agent_finished" and event.path[-1] == "quick" and event.data["status"] == "ok"


def _is_token(part: Any) -> bool:
    _, (chunk, metadata) = part
    return chunk.content == "w" and metadata["langgraph_node"] == "model"


MODES: dict[str, tuple[Callable[[Event, Agent], Any], Agent, dict[str, Any], Callable[[Any], bool]]] = {
    "updates": (together, fast(), {"stream_mode": "updates"}, _is_update),
    "values": (one_after_the_other, fast(), {"stream_mode": "values"}, _is_accepted),
    "custom": (together, fast(), {"stream_mode": "custom"}, _is_event),
    "messages": (together, talker(), {"stream_mode": "messages", "subgraphs": True}, _is_token),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_stream_shows_a_finished_result_before_the_others_have_ended(mode: str, way: str) -> None:
    build, quick, options, shows = MODES[mode]
    finished, failed = Event(), list[str]()
    graph = build(finished, quick)

    def read(part: Any) -> None:
        if "did not show" in str(part):
            failed.append(str(part))
        if shows(part):
            finished.set()

    async def read_all() -> None:
        async for part in graph.astream({"task": "go"}, **options):
            read(part)

    if way == "sync":
        for part in graph.stream({"task": "go"}, **options):
            read(part)
    else:
        asyncio.run(read_all())

    assert finished.is_set()
    assert not failed


async def _events(graph: Any) -> AsyncIterator[Any]:
    async for event in graph.astream_events({"task": "go"}, version="v2"):
        yield event


def test_astream_events_shows_the_end_of_an_agent_and_the_tokens_of_its_model_at_once() -> None:
    finished, seen = Event(), set[str]()
    graph = together(finished, talker())

    async def read() -> Any:
        outcome = None
        async for event in _events(graph):
            if event["event"] == "on_chat_model_stream" and event["data"]["chunk"].content == "w":
                seen.add("token")
            if event["event"] == "on_chain_end" and event["name"] == "quick":
                seen.add("end")
            if seen == {"token", "end"}:
                finished.set()
            if event["event"] == "on_chain_end" and not event["parent_ids"]:
                outcome = event["data"]["output"]["outcome"]
        return outcome

    outcome = asyncio.run(read())

    assert outcome.value == ["some words", True]


def test_custom_parts_are_events_beside_what_agents_write_themselves() -> None:
    def writes(request: Request) -> str:
        get_stream_writer()({"progress": 0.5})
        return "done"

    parts = list(pipeline([Agent("a", run=writes)]).compile().stream({"task": "go"}, stream_mode="custom"))

    assert [part.get("kind", part) for part in parts] == [
        "agent_started",
        {"progress": 0.5},
        "agent_finished",
        "run_finished",
    ]
    assert len({part["run_id"] for part in parts if "kind" in part}) == 1


@pytest.mark.parametrize("subgraphs", [False, True])
def test_events_of_nested_teams_are_shown_with_subgraphs(subgraphs: bool) -> None:
    inner = team(plan_of("x"), workers=[worker("inner")]).compile()
    graph = team(plan_of("a"), workers=[Agent("low", run=inner)]).compile()

    parts: list[Any] = list(graph.stream({"task": "go"}, stream_mode=["custom"], subgraphs=subgraphs))
    paths = {tuple(part[-1]["path"]) for part in parts}

    assert (("supervisor", "low", "inner") in paths) is subgraphs
    assert ("supervisor", "low") in paths
