"""The graphs of the stored threads: they may change, but have to resume what every release has stored."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from operator import add
from typing import Annotated, Any

from langchain_core.messages import BaseMessage
from langgraph.channels import DeltaChannel
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Rule, Team, consensus, majority, router, supervisor
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import effects
from guardgraph.state import Plan, Request, RunState, Subtask

__all__ = ("GRAPHS", "failing", "worked")

worked: list[str] = []
"""What agents have done in this process."""
failing: set[str] = set()
"""The goals at which the agents of this process fail."""
_CRASH = "CORPUS_CRASH"
"""The variable that names the goal at which a process dies."""


def _works(request: Request) -> str:
    worked.append(request.goal)
    if request.goal == os.environ.get(_CRASH):
        time.sleep(0.5)  # the others have written
        os._exit(3)
    if request.goal in failing:
        raise ConnectionError(f"no {request.goal}")
    return f"{request.goal} is done"


def _asks(request: Request) -> str:
    if request.goal != "second" or request.goal in failing:
        return _works(request)
    worked.append(request.goal)
    return f"{request.goal}: {interrupt('may I?')}"


def _plans(request: Request, *names: str) -> Plan:
    names = () if request.round > 1 else names or ("first", "second")
    return Plan(subtasks=tuple(Subtask(id=name, goal=name) for name in names))


def _writes(request: Request) -> str:
    return "; ".join(sorted(str(item.value) for item in request.results))


def _two(work: Callable[[Request], Any] = _works, name: str = "worker") -> Any:
    workers, writer = [Agent(name, run=work)], Agent("writer", run=_writes)
    return supervisor(planner=Agent("planner", run=_plans), workers=workers, synthesizer=writer)


def _nested() -> Any:
    inner = Agent("inner", run=_two(_asks).compile())
    return supervisor(planner=Agent("planner", run=lambda request: _plans(request, "a")), workers=[inner], name="outer")


def _panel() -> Any:
    human = Agent("human", run=lambda request: str(interrupt("which one?")))
    agents = [human, *(Agent(name, run=lambda request: worked.append("panel") or "yes") for name in ("p1", "p2"))]
    return consensus(agents, vote=majority)


def _router() -> Any:
    workers = [Agent("billing", run=lambda request: str(interrupt("how much?"))), Agent("general", run=_works)]
    return router(workers, fallback=workers[1], rules=[Rule.keywords("refund", worker="billing")])


def _joined(before: Sequence[str], written: Sequence[Sequence[str]]) -> list[str]:
    return [*before, *(one for some in written for one in some)]


class Log(RunState, total=False):
    """A list that grows."""

    log: Annotated[list[str], add]


class Differences(RunState, total=False):
    """A list of which only the differences are stored."""

    log: Annotated[list[str], DeltaChannel(_joined, list)]


def _long(state: Any) -> Any:
    """Write 40 lines in each of six rounds, then ask."""
    reader, asker = Agent("reader", run=_works), Agent("asker", run=lambda request: str(interrupt("enough?")))

    def again(gate: GateContext) -> Any:
        if gate.state["results"][-1].agent == "asker":
            return gate.conclude(draft=gate.state["results"][-1].model_copy(update={"value": len(gate.state["log"])}))
        begin = len(gate.state.get("log") or ())
        gate.write(log=[f"line {begin + number}" for number in range(40)])
        return gate.send(reader if begin < 200 else asker)

    team = Team("long", guards=[], entry=[reader], state=state)
    team.add_agents([reader, asker], gate="handoff")
    team.add_gate("handoff", agents=[reader, asker], route=again, destinations=[reader, asker])
    return team.build()


def _effects() -> Any:
    def pay(request: Request) -> str:
        paid = effects.once(f"{request.goal}/pay", lambda: worked.append("paid") or "paid")
        return f"{request.goal} {paid}: {interrupt('sent?')}" if request.goal == "second" else request.goal

    return _two(pay)


def _reserved() -> Any:
    def answer(messages: list[BaseMessage]) -> str:
        return _works(Request.model_validate({"task": {"goal": "model"}}))

    model = ScriptedModel(replies=answer, input_tokens=30, output_tokens=10)
    agent = Agent("worker", model=model, max_tokens=50, expected_cost=100)
    return supervisor(
        planner=Agent("planner", run=lambda request: _plans(request, "a")),
        workers=[agent],
        guards=[Budget(tokens=1_000, reserve=0)],
    )


GRAPHS: dict[str, Callable[[], Any]] = {
    "two": _two,
    "asking": lambda: _two(_asks),
    "nested": _nested,
    "panel": _panel,
    "router": _router,
    "long": lambda: _long(Log),
    "differences": lambda: _long(Differences),
    "effects": _effects,
    "reserved": _reserved,
}
