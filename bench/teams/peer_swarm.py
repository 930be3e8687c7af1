"""The same team as `langgraph-swarm` builds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from bench.measuring.fake_model import FakeModel, Line
from bench.measuring.peers import peer
from bench.teams.team import FOUND, REPORT, TASK, WORKERS, Team

__all__ = ("peer_swarm", "peer_swarm_chain")


def peer_swarm(name: str) -> Team:
    """Hand over from the chief to each worker and back, and let the chief answer: 7 model calls.

    Raises `Missing` where the package is not installed.
    """
    orders = [Line("", tool=f"transfer_to_{worker}") for worker in WORKERS]
    lines = {worker: [Line(FOUND, tool="transfer_to_chief")] for worker in WORKERS}
    return _swarm(name, {"chief": [*orders, Line(REPORT)], **lines})


def peer_swarm_chain(name: str) -> Team:
    """Hand over from the chief to one worker after the other, and from the last one back to the chief: 5 model calls.

    Raises `Missing` where the package is not installed.
    """
    names = ("chief", *WORKERS)
    texts = {agent: "" if agent == "chief" else FOUND for agent in names}
    following = dict(zip(names, (*WORKERS, "chief"), strict=True))
    lines = {agent: [Line(texts[agent], tool=f"transfer_to_{following[agent]}")] for agent in names}
    return _swarm(name, {**lines, "chief": [*lines["chief"], Line(REPORT)]})


def _swarm(name: str, lines: Mapping[str, Sequence[Line]]) -> Team:
    """Return a swarm that begins with its first agent; each agent answers with its lines, again and again."""
    package = peer("langgraph_swarm", distribution="langgraph-swarm")
    models = {agent: FakeModel(lines=list(answers)) for agent, answers in lines.items()}
    targets = {agent: {line.tool for line in answers if line.tool} for agent, answers in lines.items()}
    agents: list[Any] = [
        create_agent(
            model,
            [
                package.create_handoff_tool(agent_name=tool.removeprefix("transfer_to_"))
                for tool in sorted(targets[agent])
            ],
            name=agent,
        )
        for agent, model in models.items()
    ]
    team: Any = package.create_swarm(agents, default_active_agent=next(iter(lines))).compile()

    def run() -> str:
        return team.invoke({"messages": [HumanMessage(TASK)]})["messages"][-1].text

    return Team(name, run, list(models.values()), calls=sum(map(len, lines.values())))
