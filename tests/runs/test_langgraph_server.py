"""`langgraph dev` serves every kind of team: on threads, in every stream mode, with questions, across a restart."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client

from guardgraph.agents import Agent
from tests.graphs.teams import plan_of, team
from tests.house.pages import blocks_of
from tests.house.sources import ROOT

pytest.importorskip("langgraph_api", reason="langgraph dev is not installed: pip install 'langgraph-cli[inmem]'")
pytest.importorskip("langgraph_cli", reason="langgraph dev is not installed: pip install 'langgraph-cli[inmem]'")

EXAMPLE = ROOT / "examples" / "server"
WALLED = """
import atexit, json, sys
from pathlib import Path
from tests.house import network
network.block()
atexit.register(lambda: Path("attempts.json").write_text(json.dumps(network.attempts)))
from langgraph_cli.cli import cli
cli(sys.argv[1:])
"""
"""`langgraph` inside the same wall as the tests; at its end it tells whom else it tried to reach."""
TOLD: set[str] = {"values", "updates", "events", "debug", "tasks", "checkpoints"}
"""The stream modes that tell something of every run."""
MODES = [*sorted(TOLD), "messages", "messages-tuple", "custom"]
ANSWERS: dict[str, Any] = {
    "vendors": "Northwind charges 2.00 USD; Contoso charges 2.40 USD",
    "approval": "sent: Order: the task",
    "nested": [["yes", "yes"]],
    "metered": "a report",
    "own": "in short: short",
}
"""What each team answers to "the task" where every question is answered with "yes"."""


@dataclass
class Served:
    """A server in a process of its own."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGSMITH_", "LANGGRAPH_"))}
        command = ["dev", "--no-browser", "--no-reload", "--n-jobs-per-worker", "4", "--port", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WALLED, *command],
                cwd=self.folder,
                env={**kept, "PYTHONPATH": str(ROOT), "LANGGRAPH_CLI_NO_ANALYTICS": "1"},
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 60
        while not self._is_up():
            assert self.process.poll() is None, self.log[-4_000:]
            assert time.monotonic() < until, self.log[-4_000:]
            time.sleep(0.1)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ok").is_success
        except httpx.TransportError:
            return False


def prepared(folder: Path, *, is_ours: bool) -> Served:
    """Return a server, not started, of the example's teams and more, with our checkpointer or with its own."""
    config: Any = json.loads((EXAMPLE / "langgraph.json").read_text())
    more = {name: f"tests.runs.served_teams:{name}" for name in ("nested", "metered", "own")}
    config["graphs"] = {name: path.replace("./", f"{EXAMPLE}/") for name, path in config["graphs"].items()} | more
    config["checkpointer"]["path"] = config["checkpointer"]["path"].replace("./", f"{EXAMPLE}/")
    if not is_ours:
        del config["checkpointer"]
    (folder / "langgraph.json").write_text(json.dumps(config))
    return Served(folder)


@pytest.fixture(scope="module", params=["its own checkpointer", "ours"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = prepared(tmp_path_factory.mktemp("served"), is_ours=request.param == "ours")
    served.start()
    yield served
    served.stop()


async def answered(client: Any, thread: str, graph: str) -> dict[str, Any]:
    """Answer "yes" to all that a run asks, at most three times, and return what it told."""
    for _ in range(3):
        state: Any = await client.threads.get_state(thread)
        if not state["interrupts"]:
            return state["values"]["outcome"]
        command = {"resume": {question["id"]: "yes" for question in state["interrupts"]}}
        await client.runs.wait(thread, graph, command=command)
    raise AssertionError(f"{graph} does not stop asking")


@pytest.mark.parametrize("graph", ANSWERS)
async def test_a_team_runs_twice_on_a_thread(server: Served, graph: str) -> None:
    async with get_client(url=server.url) as client:
        thread = (await client.threads.create())["thread_id"]
        outcomes: list[Any] = []
        for _ in range(2):
            await client.runs.wait(thread, graph, input={"task": "the task"})
            outcomes.append(await answered(client, thread, graph))
        history: Any = await client.threads.get_history(thread, limit=100)

    assert [(outcome["status"], outcome["value"]) for outcome in outcomes] == [("completed", ANSWERS[graph])] * 2
    assert [state["values"]["outcome"] for state in history if not state["next"]] == outcomes[::-1]


async def test_research_answers_with_citations(server: Served) -> None:
    async with get_client(url=server.url) as client:
        output: Any = await client.runs.wait(None, "research", input={"task": "What does a reserve pay for?"})

    assert output["outcome"]["status"] == "completed"
    assert output["outcome"]["value"]["citations"]


async def streamed(client: Any, graph: str, mode: Any) -> tuple[set[str], Any]:
    thread = (await client.threads.create())["thread_id"]
    kinds: set[str] = set()
    given: dict[str, Any] = {"input": {"task": "the task"}}
    for _ in range(3):
        async for part in client.runs.stream(thread, graph, stream_mode=mode, stream_subgraphs=True, **given):
            assert part.event != "error", part.data
            kinds.add(part.event.partition("|")[0])
        state = await client.threads.get_state(thread)
        given = {"command": {"resume": {question["id"]: "yes" for question in state["interrupts"]}}}
        if not state["interrupts"]:
            return kinds, state["values"]["outcome"]["value"]
    raise AssertionError(f"{graph} does not stop asking")


@pytest.mark.parametrize("server", ["its own checkpointer"], indirect=True)
@pytest.mark.parametrize("graph", ANSWERS)
async def test_every_stream_mode_yields_the_same_run(server: Served, graph: str) -> None:
    modes: list[Any] = [*MODES, list(MODES)]
    async with get_client(url=server.url) as client:
        output = await asyncio.gather(*(streamed(client, graph, mode) for mode in modes))

    assert [value for _, value in output] == [ANSWERS[graph]] * len(modes)
    kinds = dict(zip(MODES, (kinds for kinds, _ in output), strict=False))
    assert {mode for mode in TOLD if mode in kinds[mode]} == TOLD
    assert output[-1][0] >= TOLD
    if graph == "metered":
        assert "messages/partial" in kinds["messages"]
        assert "messages" in kinds["messages-tuple"]


async def test_a_run_that_was_stopped_before_its_workers_goes_on(server: Served) -> None:
    async with get_client(url=server.url) as client:
        thread = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread, "vendors", input={"task": "the task"}, interrupt_before=["researcher"])
        waiting = (await client.threads.get_state(thread))["next"]
        output: Any = await client.runs.wait(thread, "vendors", input=None)

    assert waiting == ["researcher", "researcher"]
    assert output["outcome"]["value"] == ANSWERS["vendors"]


async def test_a_copied_thread_and_one_that_is_run_again_from_a_checkpoint_have_answers_of_their_own(
    server: Served,
) -> None:
    async with get_client(url=server.url) as client:
        thread = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread, "approval", input={"task": "the task"})
        copied: Any = await client.threads.copy(thread)
        answers: dict[str, Any] = {}
        for name, word in ((thread, "yes"), (copied["thread_id"], "no")):
            output: Any = await client.runs.wait(name, "approval", command={"resume": word})
            answers[word] = output["outcome"]["value"]
        history = await client.threads.get_history(thread, limit=20)
        before = next(state for state in history if state["next"] == ["approve"])
        await client.runs.wait(thread, "approval", input=None, checkpoint=before["checkpoint"])
        output = await client.runs.wait(thread, "approval", command={"resume": "later"})

    assert answers == {"yes": "sent: Order: the task", "no": "not sent: no"}
    assert output["outcome"]["value"] == "not sent: later"


async def test_what_does_not_fit_is_an_error_of_the_client(server: Served) -> None:
    async with get_client(url=server.url) as client:
        with pytest.raises(Exception, match="BadInput: the task does not fit: goal: String should have at least 1"):
            await client.runs.wait(None, "vendors", input={"task": {"goal": ""}})


@pytest.fixture
def page() -> Iterator[Any]:
    """The Python of the page about the server."""
    module = types.ModuleType("__server_page__")
    sys.modules[module.__name__] = module
    for block in blocks_of((ROOT / "docs" / "server.md").read_text(encoding="utf-8")):
        if block.info == "python":
            exec(compile(block.source, "server.md", "exec", dont_inherit=True), module.__dict__)
    yield module
    del sys.modules[module.__name__]


def test_the_page_calls_it(server: Served, page: Any) -> None:
    assert page.ask(server.url, "the task") == ANSWERS["vendors"]
    assert page.nodes_of(server.url, "the task")[:4] == ["guard_admission", "planner", "guard_dispatch", "worker"]
    assert page.ask_and_answer(server.url, "ten chairs", "yes") == "sent: Order: ten chairs"


def test_a_served_team_is_an_agent_of_another(server: Served, page: Any) -> None:
    graph = team(plan_of("a", "b"), workers=[page.vendors_at(server.url)]).compile(checkpointer=InMemorySaver())

    outcome = graph.invoke({"task": "t"}, {"configurable": {"thread_id": "any text"}})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", [ANSWERS["vendors"]] * 2)


def test_a_served_team_that_asks_is_an_agent_that_asks(server: Served, page: Any) -> None:
    worker: Agent = page.approval_at(server.url)
    graph = team(plan_of("a"), workers=[worker]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    [question] = graph.invoke({"task": "t"}, config)["__interrupt__"]
    outcome = graph.invoke(Command(resume={question.id: ["yes"]}), config)["outcome"]

    assert question.value == [{"question": "May it be sent?", "draft": "Order: do a"}]
    assert (outcome.status, outcome.value) == ("completed", ["sent: Order: do a"])


async def test_a_remote_graph_streams_waits_and_is_resumed(server: Served) -> None:
    async with get_client(url=server.url) as client:
        remote = RemoteGraph("approval", client=client)
        config: Any = {"configurable": {"thread_id": (await client.threads.create())["thread_id"]}}
        updates = [part async for part in remote.astream({"task": "chairs"}, config, stream_mode="updates")]
        waiting = await remote.aget_state(config)
        output = await remote.ainvoke(Command(resume="yes"), config)

    nodes = [name for part in updates for name in part]
    assert nodes == ["guard_admission", "draft", "guard_handoff_draft", "__interrupt__"]
    assert waiting.next == ("approve",)
    assert output["outcome"]["value"] == "sent: Order: chairs"


def test_the_example_runs(server: Served) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "ask.py"), server.url], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "approval: sent: Order: ten chairs" in done.stdout
    assert done.stdout.endswith(f"as a graph: {ANSWERS['vendors']}\n")


async def test_a_run_that_waits_goes_on_in_a_server_that_was_started_again(tmp_path: Path) -> None:
    served = prepared(tmp_path, is_ours=True)
    served.start()
    async with get_client(url=served.url) as client:
        thread = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread, "nested", input={"task": "the task"})
    served.stop()
    attempts = json.loads((tmp_path / "attempts.json").read_text())

    served.start()
    async with get_client(url=served.url) as client:
        outcome = await answered(client, thread, "nested")
    served.stop()

    assert (outcome["status"], outcome["value"]) == ("completed", ANSWERS["nested"])
    assert attempts == [], "the server tried to leave this machine"
    assert "Deserializing unregistered type" not in served.log
