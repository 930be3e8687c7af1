"""Versions of one team: an agent that works beside one that asks, after a route has written to channels of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add
from typing import Annotated, Any

from langgraph.channels import DeltaChannel
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Team
from guardgraph.state import Request, RunState


def collect(before: list[str], written: Sequence[list[str]]) -> list[str]:
    """Append all that was written."""
    return [*before, *(one for some in written for one in some)]


class First(RunState, total=False):
    """Two channels: one that takes the latest value, one with a reducer."""

    score: int
    log: Annotated[list[str], add]


class Points(RunState, total=False):
    """The score is called otherwise, and the log is one text."""

    points: float
    log: str


class Typed(RunState, total=False):
    """The score is of another type."""

    score: str
    log: Annotated[list[str], add]


class Plain(RunState, total=False):
    """The log has no reducer."""

    score: int
    log: list[str]


class Less(RunState, total=False):
    """There is no score."""

    log: Annotated[list[str], add]


class More(First, total=False):
    """There is one more channel."""

    extra: str


class Differences(RunState, total=False):
    """The log is stored as what was added to it."""

    score: int
    log: Annotated[list[str], DeltaChannel(collect, list)]


Written = dict[str, Any]
WRITES: Written = {"score": 3, "log": ["began"]}


class World:
    """What the agents have done, and what the graph has seen at its end."""

    def __init__(self) -> None:
        self.worked: list[str] = []
        self.seen: Written = {}
        self.background: list[str] = []
        self.fails = False

    def ask(self, request: Request) -> str:
        """Ask a human."""
        self.worked.append("asked")
        return str(interrupt("may I?"))

    def work(self, request: Request) -> str:
        """Work, or fail."""
        self.worked.append(f"worked {request.path[-1]}")
        if self.fails:
            raise ConnectionError("the line is dead")
        return "done"

    def team(
        self,
        state: Any = First,
        *,
        worker: str = "worker",
        asker: str = "asker",
        writes: Written = WRITES,
        more: str | None = None,
        asks: Callable[[Request], Any] | None = None,
    ) -> Any:
        """Return a version of the team."""
        agents = [Agent(worker, run=self.work), Agent(asker, run=asks or self.ask)]

        def begin(gate: GateContext) -> Any:
            gate.write(**writes)
            return [gate.send(agent) for agent in agents]

        def look(state: Any) -> Written:
            self.seen = {
                name: state[name] for name in state if name not in {*RunState.__annotations__, "remaining_steps"}
            }
            self.background = [item.title for item in state.get("context") or ()]
            self.seen["agents"] = sorted(result.agent for result in state["results"])
            return {}

        team = Team("own", guards=[], entry=begin, destinations=agents, state=state)
        team.add_agents(agents, gate="handoff")
        team.add_gate("handoff", agents=agents, route=lambda gate: more or "look", destinations=[more or "look"])
        team.add_node("look", look, to="guard_exit")
        if more is not None:
            team.add_node(more, lambda state: {}, to="look")
        return team.build()
