"""Swarms: what a message costs as they grow, and where agents that hand over for ever stop: `python -m bench.swarm`.

In the first part 200 agents send messages to random others until their budget of messages is spent; all agents are
functions that return at once, and each measurement is a new process. In the second part two agents of LangGraph hand
over to each other and never answer: under `langgraph-swarm`, and unchanged under `swarm`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from random import Random
from typing import Any

import click
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langgraph.errors import GraphRecursionError
from rich.console import Console
from rich.table import Table

from bench.measuring.fake_model import FakeModel, Line
from bench.measuring.peers import peer
from guardgraph.agents import Agent
from guardgraph.graphs import swarm
from guardgraph.guards import Limits
from guardgraph.state import Message, Reply, Request

_PEERS = 200


def _exchange(messages: int) -> tuple[int, float, float]:
    """Return how many messages a swarm has delivered, the CPU seconds, and by how many MB this process has grown."""

    def talk(request: Request) -> Reply:
        me, random = int(request.path[-1][1:]), Random(f"{request.path[-1]} {request.round}")
        others = [(me + random.randrange(1, _PEERS)) % _PEERS for _ in range(max(len(request.messages), 1))]
        sent = (Message(recipients=(f"p{other}",), content=request.round) for other in others)
        return Reply(value=request.round, messages=tuple(sent))

    peers = [Agent(f"p{number}", run=talk) for number in range(_PEERS)]
    graph = swarm(
        peers, start=peers, per_pair=None, per_peer=None, guards=[Limits(messages=messages, visits=10**6)]
    ).compile()
    graph.invoke({"task": "warm up"}, {"recursion_limit": 4})
    before, began = _peak(), time.process_time()
    *_, last = graph.stream({"task": "talk"}, {"recursion_limit": 10**6}, stream_mode="values")
    sent = sum(len(message.recipients) for message in last["log"])
    if sent > messages:
        raise RuntimeError(f"{sent} messages were sent, {messages} are allowed")
    return sent, time.process_time() - began, _peak() - before


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _ping_pong(name: str) -> tuple[str, int]:
    """Return where two agents that hand over for ever have stopped, and after how many calls of models."""
    package = peer("langgraph_swarm", distribution="langgraph-swarm")
    models = {one: FakeModel(lines=[Line("", tool=f"transfer_to_{two}")]) for one, two in (("a", "b"), ("b", "a"))}
    graphs = {
        one: create_agent(model, [package.create_handoff_tool(agent_name=other)], name=one)
        for (one, model), other in zip(models.items(), ("b", "a"), strict=True)
    }
    if name == "swarm":
        outcome = (
            swarm([Agent(one, run=graph) for one, graph in graphs.items()]).compile().invoke({"task": "go"})["outcome"]
        )
        where = f"{outcome.status}, stopped by {outcome.stopped_by}: {outcome.reason}"
    else:
        team: Any = package.create_swarm(list(graphs.values()), default_active_agent="a").compile()
        try:
            team.invoke({"messages": [HumanMessage("go")]}, {"recursion_limit": 1_000})
            where = "it has ended"
        except GraphRecursionError:
            where = "GraphRecursionError at a `recursion_limit` of 1,000 (the default is 10,007)"
    return where, sum(model.calls for model in models.values())


@click.command(help=__doc__)
@click.option("--messages", type=int, multiple=True, default=(1_000, 2_000, 4_000, 8_000), show_default=True)
@click.option("--one", type=int, hidden=True)
def main(messages: tuple[int, ...], one: int | None) -> None:
    if one is not None:
        click.echo(" ".join(map(str, _exchange(one))))
        return
    console, table = Console(), Table("budget of messages", "delivered", "CPU ms a message", "KB a message")
    for budget in messages:
        command = [sys.executable, "-m", "bench.swarm", "--one", str(budget)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        sent, cpu, grown = int(answer[0]), float(answer[1]), float(answer[2])
        table.add_row(f"{budget:,}", f"{sent:,}", f"{cpu / sent * 1000:.2f}", f"{grown / sent * 1000:.1f}")
    console.print(f"{_PEERS} agents", table)
    stops = Table("two agents that hand over for ever", "model calls", "how it ends")
    for name in ("langgraph-swarm", "swarm"):
        where, calls = _ping_pong(name)
        stops.add_row(name, str(calls), where)
    console.print(stops)


if __name__ == "__main__":
    main()
