"""The same team as `langgraph-supervisor` builds it."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from bench.measuring.fake_model import FakeModel, Line
from bench.measuring.peers import peer
from bench.teams.team import FOUND, REPORT, TASK, WORKERS, Team

__all__ = ("peer_supervisor",)


def peer_supervisor(name: str) -> Team:
    """Hand over to one worker after the other, each time with the word back to the supervisor, which then answers.

    Raises `Missing` where the package is not installed.
    """
    package = peer("langgraph_supervisor", distribution="langgraph-supervisor")
    chief = FakeModel(lines=[*(Line(tool=f"transfer_to_{worker}") for worker in WORKERS), Line(REPORT)])
    workers = {worker: FakeModel(lines=[Line(FOUND)]) for worker in WORKERS}
    agents = [create_agent(model, [], name=worker) for worker, model in workers.items()]
    team: Any = package.create_supervisor(agents, model=chief).compile()

    def run() -> str:
        return team.invoke({"messages": [HumanMessage(TASK)]})["messages"][-1].text

    return Team(name, run, [chief, *workers.values()], calls=7)
