"""A call that hangs keeps neither a loop from being closed nor the process alive; all that does not hang is waited for.

Each case is a process of its own: it says its outcome, and then has to end.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Timer
from time import monotonic

import pytest

ROOT = Path(__file__).parents[3]
START = """
import asyncio, concurrent.futures, contextvars, sys, threading, time
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.config import run_in_executor
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool
from guardgraph.graphs import pipeline
from guardgraph.guards import Deadline
from guardgraph.agents import Agent
from guardgraph.models.offline import ScriptedModel

def hang(*_):
    time.sleep(60)

@tool
def sleeps(seconds: int) -> str:
    "Sleep."
    time.sleep(seconds)
    return "slept"

def tool_agent(seconds=60):
    both = [tool_call(name="sleeps", args={"seconds": seconds}, id=str(i)) for i in range(2)]
    return create_agent(ScriptedModel(replies=[AIMessage("", tool_calls=both), "done"]), [sleeps])

async def to_thread(request):
    await asyncio.to_thread(hang)

async def in_executor(request):
    await asyncio.get_running_loop().run_in_executor(None, hang)

async def langchains(request):
    await run_in_executor(None, hang)

async def gathers(request):
    await asyncio.gather(*(asyncio.to_thread(hang) for _ in range(50)))

async def swallows(request):
    while True:
        try:
            await asyncio.to_thread(hang)
        except asyncio.CancelledError:
            pass

async def shields(request):
    await asyncio.shield(asyncio.to_thread(hang))

async def in_a_task(request):
    await asyncio.create_task(asyncio.to_thread(hang))

def own_loop(request):
    asyncio.run(asyncio.to_thread(hang))

def nested_sync(request):
    return RunnableLambda(hang).batch([1, 2])

def nested():
    return pipeline([Agent("inner", run=tool_agent())], name="low").compile()

def nested_to_thread():
    return pipeline([Agent("inner", run=to_thread)], name="low").compile()

AGENTS = dict(
    a_tool=tool_agent, to_thread=lambda: to_thread, in_executor=lambda: in_executor, langchains=lambda: langchains,
    gathers=lambda: gathers, swallows=lambda: swallows, shields=lambda: shields, in_a_task=lambda: in_a_task,
    own_loop=lambda: own_loop, parallel=lambda: RunnableParallel(a=hang, b=hang), batch=lambda: nested_sync,
    nested=nested, nested_to_thread=nested_to_thread,
)

def graph_of(run):
    return pipeline([Agent("hung", run=run)], guards=[Deadline(0.25)]).compile()

def ask(graph, way):
    if way == "sync":
        return graph.invoke({"task": "x"})["outcome"]
    async def ask():
        return (await graph.ainvoke({"task": "x"}))["outcome"]
    if way == "closed":
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(ask())
        finally:
            loop.close()
    return asyncio.run(ask())
"""
HUNG = """
for name in sys.argv[2:]:
    outcome = ask(graph_of(AGENTS[name]()), sys.argv[1])
    assert (outcome.status, outcome.gaps[0].guard) == ("failed", "Deadline"), (name, outcome)
print("done", flush=True)
"""
NAMES = [
    "to_thread", "in_executor", "langchains", "gathers", "swallows", "shields", "in_a_task", "own_loop",
    "parallel", "batch", "nested", "nested_to_thread",
]  # fmt: skip


def program(text: str, *arguments: str) -> tuple[str, str, float]:
    """Run a program; return what it said, what it complained of, and how long it took after its first line."""
    command = [sys.executable, "-W", "error", "-c", START + text, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        killer = Timer(50, process.kill)
        killer.start()
        first = process.stdout.readline()
        said_at = monotonic()
        rest, errors = process.stdout.read(), process.stderr.read()
        process.wait()
        killer.cancel()
    assert process.returncode == 0, errors
    return first + rest, errors, monotonic() - said_at


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_tool_that_hangs_under_a_deadline_lets_the_process_end_soon_after_the_outcome(way: str) -> None:
    said, errors, took = program(HUNG, way, "a_tool")

    assert (said, errors) == ("done\n", "")
    assert took < 10


@pytest.mark.parametrize("way", ["sync", "async", "closed"])
def test_so_does_whatever_else_hangs_in_a_thread(way: str) -> None:
    said, errors, took = program(HUNG, way, *NAMES)

    assert said == "done\n"
    assert took < 10
    assert not errors or way == "closed", "a loop that is closed at once tells of the tasks that it had"


def test_calls_that_do_not_hang_are_waited_for_and_keep_their_values_errors_and_context() -> None:
    said, errors, _ = program(
        """
seen = []
mark = contextvars.ContextVar("mark")

def fails():
    raise LookupError("lost")

def stops():
    raise StopAsyncIteration("over")

async def work(request):
    mark.set("mine")
    loop = asyncio.get_running_loop()
    seen.append(await asyncio.to_thread(lambda: mark.get()))
    seen.append(await loop.run_in_executor(None, lambda *given: given, 1, 2))
    seen.append(sum(await asyncio.gather(*(asyncio.to_thread(lambda n=n: n) for n in range(100)))))
    for raises in (fails, stops):
        try:
            await asyncio.to_thread(raises)
        except (LookupError, StopAsyncIteration) as error:
            seen.append(repr(error))
    seen.append(await loop.run_in_executor(OWN, lambda: threading.current_thread().name))
    return "worked"

OWN = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="own")
graph = pipeline([Agent("a", run=work)]).compile()
print(ask(graph, sys.argv[1]).status, seen, flush=True)
""",
        "async",
    )

    expected = ["mine", (1, 2), 4950, "LookupError('lost')", "StopAsyncIteration('over')", "own_0"]
    assert (said, errors) == (f"completed {expected}\n", "")


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("beside", ["nothing hangs", "one hangs"])
def test_what_an_agent_has_begun_and_not_awaited_is_done_before_the_process_ends(way: str, beside: str) -> None:
    said, errors, _ = program(
        """
def writes(line):
    time.sleep(0.7)
    sys.stdout.write(line + chr(10))

POOL = concurrent.futures.ThreadPoolExecutor(2)

async def on_the_loop(request):
    asyncio.get_running_loop().run_in_executor(None, writes, "called on the loop")
    return "begun"

def in_a_pool(request):
    POOL.submit(writes, "called in a pool of its own")
    return "begun"

graph = pipeline([Agent("a", run=on_the_loop), Agent("b", run=in_a_pool)]).compile()
assert ask(graph, sys.argv[1]).status == "completed"
if sys.argv[2] == "one hangs":
    assert ask(graph_of(tool_agent()), sys.argv[1]).status == "failed"
print("outcome", flush=True)
""",
        way,
        beside,
    )

    assert errors == ""
    assert sorted(said.splitlines()) == ["called in a pool of its own", "called on the loop", "outcome"]
