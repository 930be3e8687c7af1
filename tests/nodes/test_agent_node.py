from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langgraph.graph.state import CompiledStateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.guards import Budget
from guardgraph.state import Outcome, Request
from tests.graphs.teams import echo, plan_of, team, worker

Graph = CompiledStateGraph[Any, Any, Any, Any]
SAID = "a few words"
TASK = {"task": "the task"}


def talker(name: str = "talker") -> Agent:
    """Return a `create_agent` whose model says its words token by token."""
    return Agent(name, run=create_agent(FakeListChatModel(responses=[SAID]), []))


async def awaited(request: Request) -> str:
    """Answer the goal, asynchronously."""
    await asyncio.sleep(0)
    return echo(request)


def supervised() -> Graph:
    return team(plan_of("a", "b"), workers=[talker()], guards=[Budget(tokens=100_000)]).compile()


def staged() -> Graph:
    return pipeline([worker("first"), Agent("second", run=awaited), talker()]).compile()


def nested() -> Graph:
    low = pipeline([worker("first"), talker()], name="low").compile()
    return team(plan_of("a"), workers=[Agent("low", run=low)]).compile()


TEAMS: dict[str, Callable[[], Graph]] = {"supervisor": supervised, "pipeline": staged, "nested team": nested}
every_team = pytest.mark.parametrize("built", TEAMS.values(), ids=TEAMS)


async def events(graph: Graph, version: Any) -> tuple[Any, str]:
    seen = [event async for event in graph.astream_events(TASK, version=version)]
    chunks = [event["data"]["chunk"] for event in seen if event["event"] == "on_chat_model_stream"]
    ends = [event["data"]["output"] for event in seen if event["event"] == "on_chain_end" and not event["parent_ids"]]
    if version == "v1":
        ends = [event["data"]["output"] for event in seen if event["event"] == "on_chain_end"]
    return ends[-1], "".join(chunk.content for chunk in chunks)


async def by_events_v1(graph: Graph) -> tuple[Any, str]:
    return await events(graph, "v1")


async def by_events_v2(graph: Graph) -> tuple[Any, str]:
    return await events(graph, "v2")


async def by_log(graph: Graph) -> tuple[Any, str]:
    final: Any = None
    said = ""
    async for patch in graph.astream_log(TASK, diff=True):
        final = patch if final is None else final + patch
        for step in patch.ops:
            if step["path"].endswith("/streamed_output_str/-"):
                said += step["value"]
    return final.state["final_output"], said


async def by_astream(graph: Graph) -> tuple[Any, str]:
    last, said = None, ""
    async for _, mode, part in graph.astream(TASK, stream_mode=["values", "messages"], subgraphs=True):
        last, said = _read(mode, part, last, said)
    return last, said


async def by_stream(graph: Graph) -> tuple[Any, str]:
    def work() -> tuple[Any, str]:
        last, said = None, ""
        for _, mode, part in graph.stream(TASK, stream_mode=["values", "messages"], subgraphs=True):
            last, said = _read(mode, part, last, said)
        return last, said

    return await asyncio.to_thread(work)


def _read(mode: str, part: Any, last: Any, said: str) -> tuple[Any, str]:
    if mode == "values":
        return part, said
    return last, said + (part[0].content if part[1].get("ls_model_type") == "chat" else "")


STREAMS: dict[str, Callable[[Graph], Coroutine[Any, Any, tuple[Any, str]]]] = {
    "astream_events v1": by_events_v1,
    "astream_events v2": by_events_v2,
    "astream_log": by_log,
    "astream": by_astream,
    "stream": by_stream,
}


@every_team
@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.filterwarnings("ignore:astream_(events version='v1'|log) is deprecated")
async def test_every_way_to_stream_tells_the_outcome_of_ainvoke_and_the_tokens_of_nested_models(
    way: str, built: Callable[[], Graph]
) -> None:
    plain: Outcome = (await built().ainvoke(TASK))["outcome"]

    output, said = await STREAMS[way](built())

    found: Outcome = output.get("guard_exit", output)["outcome"]  # v1 and the log end with the last node's update
    assert (found.status, found.value, found.gaps) == (plain.status, plain.value, plain.gaps)
    assert found.status == "completed"
    assert found.usage.model_copy(update={"microseconds": 0}) == plain.usage.model_copy(update={"microseconds": 0})
    calls = 2 if built is supervised else 1  # two workers speak at once, so their tokens may be mixed
    assert sorted(said) == sorted(SAID * calls)
