"""The same team as `langgraph-swarm` builds it."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from bench.measuring.fake_model import FakeModel, Line
from bench.measuring.peers import peer
from bench.teams.team import FOUND, REPORT, TASK, WORKERS, Team

__all__ = ("peer_swarm",)


def peer_swarm(name: str) -> Team:
    """Hand over from the chief to one worker after the other, and from the last one back to the chief, who answers.

    Raises `Missing` where the package is not installed.
    """
    package = peer("langgraph_swarm", distribution="langgraph-swarm")
    names = ("chief", *WORKERS)
    models: list[FakeModel] = []
    agents: list[Any] = []
    for here, there in zip(names, (*WORKERS, "chief"), strict=True):
        text = "" if here == "chief" else FOUND
        lines = [Line(text, tool=f"transfer_to_{there}"), *([Line(REPORT)] if here == "chief" else [])]
        model = FakeModel(lines=lines)
        models.append(model)
        agents.append(create_agent(model, [package.create_handoff_tool(agent_name=there)], name=here))
    team: Any = package.create_swarm(agents, default_active_agent="chief").compile()

    def run() -> str:
        return team.invoke({"messages": [HumanMessage(TASK)]})["messages"][-1].text

    return Team(name, run, models, calls=5)
