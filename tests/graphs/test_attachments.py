"""Images and files of a task reach every agent, and are stored once."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import ValidationError

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Team, pipeline
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.runtime.budget.prompt_tokens import prompt_tokens
from guardgraph.state import BadInput, Request, RunEvent, Task
from tests import loopback
from tests.graphs.teams import WAYS, plan_of, team, worker

PIXEL = base64.b64encode(b"not really a picture" * 10).decode()
IMAGE: dict[str, Any] = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
LINK: dict[str, Any] = {"type": "image", "url": "https://pictures.test/a.png"}
FILE: dict[str, Any] = {"type": "file", "base64": PIXEL, "mime_type": "application/pdf", "id": "lc_1"}
NOTE: dict[str, Any] = {"type": "text-plain", "text": "a note", "mime_type": "text/plain"}
ALL = (IMAGE, LINK, FILE, NOTE)
TASK: dict[str, Any] = {"goal": "What is this?", "attachments": [*ALL]}

every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


def attached(request: Request) -> list[Any]:
    return list(request.task.attachments)


async def attached_async(request: Request) -> list[Any]:
    return attached(request)


def blocks(messages: list[Any]) -> str:
    """Answer with the blocks behind the text of the last message."""
    content = next(message for message in reversed(messages) if isinstance(message, HumanMessage)).content
    return json.dumps(content[1:] if isinstance(content, list) else [])


@tool
def look(at: str) -> str:
    """Look closer."""
    return at


def nested(agent: Agent) -> Agent:
    return Agent("nested", run=pipeline([agent], name="low").compile())


AGENTS: dict[str, Agent] = {
    "function": Agent("a", run=attached),
    "async function": Agent("a", run=attached_async),
    "model": Agent("a", model=ScriptedModel(replies=blocks)),
    "model with tools": Agent("a", model=ScriptedModel(replies=blocks), tools=[look]),
    "create_agent": Agent("a", run=create_agent(ScriptedModel(replies=blocks), [])),
    "nested team": nested(Agent("a", run=attached)),
    "nested twice, a model": nested(nested(Agent("a", model=ScriptedModel(replies=blocks)))),
}


@every_way
@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_every_kind_of_agent_gets_the_blocks(agent: Agent, ask: Any) -> None:
    whole, part = pipeline([agent]).compile(), team(plan_of("x"), workers=[agent]).compile()

    for graph in (whole, part):
        value = ask(graph, TASK).value
        value = value[0] if graph is part else value
        assert (json.loads(value) if isinstance(value, str) else value) == [*ALL]


@pytest.mark.parametrize("tools", [[], [look]], ids=["alone", "with tools"])
def test_the_real_client_sends_the_block(tools: list[Any]) -> None:
    with loopback.OpenAIServer([loopback.text("a dot")]) as server:
        model: Any = ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", max_retries=0)  # type: ignore[arg-type]
        graph = pipeline([Agent("a", model=model, tools=tools)], guards=[Budget(tokens=20_000)]).compile()
        outcome = graph.invoke({"task": {**TASK, "attachments": [IMAGE]}})["outcome"]

    (request,) = server.requests
    assert outcome.value == "a dot"
    assert request.body["messages"][-1]["content"] == [
        {"type": "text", "text": "Goal: What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]


def big(size: int) -> dict[str, Any]:
    return {"type": "image", "base64": base64.b64encode(bytes(size)).decode(), "mime_type": "image/png"}


@pytest.mark.parametrize("is_nested", [False, True], ids=["flat", "nested"])
def test_the_content_is_stored_as_often_with_ten_workers_as_with_one(is_nested: bool) -> None:
    def stored(count: int) -> int:
        one = worker(run=lambda request: len(str(request.task.attachments[0]["base64"])))
        workers = [nested(one) if is_nested else one]
        graph, saver = team(plan_of(*map(str, range(count))), workers=workers), InMemorySaver()
        outcome = graph.compile(checkpointer=saver).invoke(
            {"task": {"goal": "look", "attachments": [big(300_000)]}}, {"configurable": {"thread_id": "1"}}
        )["outcome"]
        assert outcome.value == [400_000] * count
        blobs = sum(len(value) for _, value in saver.blobs.values())
        return blobs + sum(len(write[2][1]) for task in saver.writes.values() for write in task.values())

    one, ten = stored(1), stored(10)

    assert one < 5.2 * 400_000  # what was given, the channel `task`, what is kept; and the writes of the last two
    assert ten < one + 400_000 / 2


def test_a_resumed_agent_a_retry_and_the_next_run_of_the_thread() -> None:
    def confirm(request: Request) -> list[Any]:
        interrupt("may I look?")
        if request.attempt == 1:
            raise ValueError("once more")
        return attached(request)

    graph = pipeline([Agent("a", run=confirm, attempts=2)]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"task": TASK}, config)
    graph.invoke(Command(resume="yes"), config)
    assert graph.invoke(Command(resume="yes"), config)["outcome"].value == [*ALL]

    assert graph.get_state(config).values["attachments"] == {}
    graph.invoke({"task": "another"}, config)
    graph.invoke(Command(resume="yes"), config)
    assert graph.invoke(Command(resume="yes"), config)["outcome"].value == []


class Trace(BaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.requests: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self._note(run)

    def _note(self, run: Run) -> None:
        if "request" in (run.inputs or {}):
            self.requests.append(repr(run.inputs["request"]) + run.inputs["request"].model_dump_json())
        for child in run.child_runs:
            self._note(child)


def test_no_event_log_or_text_shows_the_content(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    events: list[RunEvent] = []
    with Runner(f"sqlite:///{tmp_path}/runs.db", on_event=events.append) as runner:
        run = runner.run(team(plan_of("x"), workers=[worker()]), TASK)
    trace = Trace()
    pipeline([worker()]).compile().invoke({"task": TASK}, {"callbacks": [trace]})

    texts = [
        str(run),
        repr(run),
        str(Task(**TASK)),
        repr(Task(**TASK)),
        caplog.text,
        *map(str, events),
        *trace.requests,
    ]
    assert len(events) >= 6
    assert trace.requests
    assert not any(PIXEL[:40] in text for text in [*texts, *(event.model_dump_json() for event in events)])


def test_a_gate_knows_what_is_attached_but_not_its_content() -> None:
    seen: list[Any] = []

    def route(gate: GateContext) -> Any:
        seen.extend(gate.task.attachments)
        return gate.conclude(gate.accepted[-1])

    agent = Agent("a", run=attached)
    declared = Team("own", guards=[], entry=[agent]).add_agents([agent], gate="handoff")
    graph = declared.add_gate("handoff", agents=[agent], route=route).build().compile()

    assert graph.invoke({"task": TASK})["outcome"].value == [*ALL]
    assert [block["type"] for block in seen] == ["image", "image", "file", "text-plain"]
    assert seen[1] == LINK
    assert {key for block in seen for key in block} == {"type", "mime_type", "id", "url"}


BAD: dict[str, tuple[Any, str]] = {
    "unknown type": ({"type": "hologram", "base64": PIXEL}, "attachment 0 is of the type 'hologram'"),
    "text": ({"type": "text", "text": "x"}, "is of the type 'text'"),
    "no content": ({"type": "image", "mime_type": "image/png"}, "needs exactly one of base64, text, url and file_id"),
    "two contents": ({**IMAGE, "url": "https://a.test"}, "needs exactly one of"),
    "not base64": ({**IMAGE, "base64": "%%%"}, "is no valid base64"),
    "no mime type": ({"type": "file", "base64": PIXEL}, "needs a `mime_type`"),
    "bytes": ({**IMAGE, "base64": b"x"}, "attachments"),
    "content in a url": ({"type": "image", "url": f"data:image/png;base64,{PIXEL}"}, "holds its content in the `url`"),
    "a digest of nothing": ({"type": "image", "id": "sha256:00"}, "has no content"),
    "no block": ("a picture", "attachments"),
    "too much": (big(15_000_001), "at most 20,000,000 fit"),
}


@pytest.mark.parametrize(("block", "why"), BAD.values(), ids=BAD)
def test_what_is_no_content_block_is_bad_input(block: Any, why: str) -> None:
    graph = pipeline([worker()]).compile()

    with pytest.raises(BadInput, match=why) as caught:
        graph.invoke({"task": {"goal": "look", "attachments": [block]}})

    assert PIXEL[:40] not in str(caught.value)


def test_a_task_holds_twenty_million_characters_and_no_more() -> None:
    half = big(7_500_000)

    assert Task(goal="look", attachments=(half, half)).attachments == (half, half)
    with pytest.raises(ValidationError, match="at most 20,000,000 fit"):
        Task(goal="look", attachments=(half, half, NOTE))


def test_the_base64_of_a_file_is_not_counted_as_text() -> None:
    text: dict[str, Any] = {"type": "text", "text": "What is this?"}
    pdf: dict[str, Any] = {
        "type": "file",
        "base64": base64.b64encode(bytes(1_000_000)).decode(),
        "mime_type": "application/pdf",
    }

    alone, with_file = (prompt_tokens([HumanMessage(content=[*content])]) for content in ([text], [text, pdf]))

    assert with_file - alone == pytest.approx(40_000, abs=10)
    assert prompt_tokens([HumanMessage(content=[text, IMAGE])]) < 150
