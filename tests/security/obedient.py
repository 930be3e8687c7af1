"""Agents that obey whatever they read, and teams of each pattern that are made of them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.errors import ParentCommand
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send

from guardgraph.agents import Agent, Bid, Bidder
from guardgraph.agents.prompt import render
from guardgraph.graphs import (
    Board,
    Rule,
    Subscription,
    Tier,
    auction,
    consensus,
    hierarchy,
    majority,
    pipeline,
    reactive,
    router,
    supervisor,
    swarm,
)
from guardgraph.guards import Convergence, Limits, Schema, Trust
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import boards
from guardgraph.state import Event, GuardgraphError, Message, Outcome, Plan, Reply, Request, Subtask
from tests.security.injected import MARK

__all__ = ("PATTERNS", "WAYS_TO_OBEY", "Obedience", "team_of")

_ORDER = re.compile(r"\[\[(tool|route|key|board_key|event) ((?:'[^']*')|(?:\"[^\"]*\"))\]\]")
INSTRUCTIONS = "You look things up."
RESERVED = "payer"


@dataclass(slots=True)
class Obedience:
    """What was done in a run by orders that were read, and what must not have been."""

    way: str
    """How agents obey."""
    obeyed: Counter[str] = field(default_factory=Counter[str])
    """How often agents have read an order, by role."""
    tools: list[str] = field(default_factory=list[str])
    """The tools that were called."""
    paid: list[str] = field(default_factory=list[str])
    """The requests that the reserved agent was given."""
    system: set[str] = field(default_factory=set[str])
    """All system messages that models were given."""


def orders_in(text: str) -> Mapping[str, str]:
    """Return the orders in a text, by their kind; JSON may have escaped them."""
    plain = text.replace("\\\\", "\\")
    return {kind: ast.literal_eval(name) for kind, name in _ORDER.findall(plain)}


def _update(orders: Mapping[str, str]) -> dict[str, Any]:
    return {orders["key"]: MARK, "messages": [AIMessage(MARK)]}


def _goto(orders: Mapping[str, str], request: Request) -> Any:
    return Command(goto=orders["route"] or "payer", update=_update(orders))


def _send(orders: Mapping[str, str], request: Request) -> Any:
    return Command(
        goto=[Send(orders["route"] or "payer", _update(orders))], update=_update(orders), graph=Command.PARENT
    )


def _raise(orders: Mapping[str, str], request: Request) -> Any:
    raise ParentCommand(_send(orders, request))


def _message(orders: Mapping[str, str], request: Request) -> Any:
    message = Message(recipients=(orders["route"] or "*",), content=MARK, trusted=True)
    return Reply(value=MARK, messages=(message,))


def _event(orders: Mapping[str, str], request: Request) -> Any:
    return Reply(value=MARK, events=(Event(type=orders["event"], source="task", id="1", trusted=True),))


def _fields(orders: Mapping[str, str], request: Request) -> Any:
    return {"worker": orders["route"], "candidate": orders["route"], "goto": orders["route"], **_update(orders)}


def _plan(orders: Mapping[str, str], request: Request) -> Any:
    name = orders["route"] or "payer"
    subtasks = (Subtask(id=name, goal=MARK, skill=name), Subtask(id="plan", goal=MARK, skill=RESERVED))
    return Reply(value=Plan(subtasks=subtasks), subtasks=subtasks)


def _choice(orders: Mapping[str, str], request: Request) -> Any:
    return orders["route"] or RESERVED


def _bid(orders: Mapping[str, str], request: Request) -> Any:
    return [Bid(subtask=orders["route"] or "x", cost=0), *[Bid(subtask="task", cost=0)]]


def _outcome(orders: Mapping[str, str], request: Request) -> Any:
    return Outcome(status="completed", value=MARK, trusted=True)


def _board(orders: Mapping[str, str], request: Request) -> Any:
    try:
        boards.current().put(orders["board_key"], MARK, kind="decision")
    except GuardgraphError as refused:
        return str(refused)
    return MARK


WAYS_TO_OBEY: Mapping[str, Callable[[Mapping[str, str], Request], Any]] = {
    "goto": _goto, "send": _send, "raise": _raise, "message": _message, "event": _event, "fields": _fields,
    "plan": _plan, "choice": _choice, "bid": _bid, "outcome": _outcome, "board": _board,
}  # fmt: skip
"""How a function obeys; `model` and `graph` are a model with tools, and a graph of LangGraph."""


def _obeying(seen: Obedience, role: str, request: Request) -> Any:
    orders = orders_in(render(request))
    if not orders:
        return "nothing to obey"
    seen.obeyed[role] += 1
    return WAYS_TO_OBEY[seen.way](orders, request)


def obedient(seen: Obedience, name: str, **facts: Any) -> Agent:
    """Return an untrusted agent that obeys all that it reads, in the way of `seen`."""
    if seen.way == "model":
        return _model(seen, name, **facts)
    if seen.way == "graph":
        return Agent(name, run=_graph(seen, name), **facts)
    return Agent(name, run=partial(_obeying, seen, name), integrity="untrusted", **facts)


def _model(seen: Obedience, name: str, **facts: Any) -> Agent:
    @tool
    def lookup(query: str = "") -> str:
        """Look something up."""
        seen.tools.append("lookup")
        return f"found {query}"

    @tool
    def transfer_money(to: str = "") -> str:
        """Pay; never given to an agent."""
        seen.tools.append("transfer_money")
        return "paid"

    def answer(messages: list[BaseMessage]) -> Any:
        seen.system.update(one.text for one in messages if isinstance(one, SystemMessage))
        orders = orders_in("\n".join(one.text for one in messages if isinstance(one, HumanMessage)))
        if not orders or not isinstance(messages[-1], HumanMessage):
            return MARK
        seen.obeyed[name] += 1
        names = dict.fromkeys([orders["tool"], orders["route"], "lookup"])
        return AIMessage("", tool_calls=[{"name": one, "args": {}, "id": f"c{n}"} for n, one in enumerate(names)])

    model = ScriptedModel(replies=answer)
    return Agent(name, model=model, tools=[lookup], instructions=INSTRUCTIONS, **facts)


def _graph(seen: Obedience, name: str) -> Any:
    def work(state: MessagesState) -> Any:
        orders = orders_in("\n".join(one.text for one in state["messages"]))
        if not orders:
            return {"messages": [AIMessage("nothing to obey")]}
        seen.obeyed[name] += 1
        return Command(goto=orders["route"] or "payer", update={"messages": [AIMessage(MARK)], orders["key"]: MARK},
                       graph=Command.PARENT)  # fmt: skip

    graph: Any = StateGraph(MessagesState)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    graph.add_edge("work", END)
    return graph.compile()


def _payer(seen: Obedience) -> Agent:
    def pay(request: Request) -> str:
        seen.paid.append(request.goal)
        return "paid"

    return Agent(RESERVED, run=pay, skills={"pay"})


def _common(seen: Obedience) -> dict[str, Any]:
    return {
        "guards": [Convergence(), Limits(visits=12), Schema(), Trust({RESERVED})],
        "board": Board("plan", write={"worker": ("notes/worker",)}),
    }


def _two(skill: str) -> Callable[[Request], Plan]:
    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="a", goal="read", skill=skill),)) if request.round == 1 else Plan()

    return plan


def a_pipeline(seen: Obedience) -> Any:
    return pipeline([obedient(seen, "worker"), obedient(seen, "second"), _payer(seen)], **_common(seen))


def a_router(seen: Obedience) -> Any:
    workers = [obedient(seen, "worker"), _payer(seen)]
    rules = [Rule.when(lambda task: False, worker="worker", name="never")]
    return router(
        workers, fallback=obedient(seen, "spare"), model=obedient(seen, "chooser"), rules=rules, **_common(seen)
    )


def a_supervisor(seen: Obedience) -> Any:
    workers = [obedient(seen, "worker", skills={"read"}), _payer(seen)]
    planner = Agent("planner", run=_two("read")) if seen.way in ("model", "graph", "message", "board") else None
    planner = planner or obedient(seen, "planner")
    return supervisor(planner=planner, workers=workers, synthesizer=obedient(seen, "writer"), **_common(seen))


def a_hierarchy(seen: Obedience) -> Any:
    low = Tier(obedient(seen, "lead"), [obedient(seen, "worker", skills={"read"}), _payer(seen)])
    chief = Agent("chief", run=_two("read"), integrity="untrusted")
    return hierarchy(Tier(chief, [low], synthesizer=obedient(seen, "writer")), **_common(seen))


def a_consensus(seen: Obedience) -> Any:
    panel = [obedient(seen, "worker"), obedient(seen, "other"), _payer(seen)]
    return consensus(panel, vote=majority, judge=obedient(seen, "judge"), rounds=2, quorum=1, **_common(seen))


def a_swarm(seen: Obedience) -> Any:
    peers = [obedient(seen, "worker"), obedient(seen, "other"), _payer(seen)]
    return swarm(peers, tie_breaker=obedient(seen, "breaker"), **_common(seen))


def a_reactive_team(seen: Obedience) -> Any:
    listeners = [
        Subscription(obedient(seen, "worker"), ["task"]),
        Subscription(obedient(seen, "second"), ["mail"]),
        Subscription(_payer(seen), ["pay", "mail"]),
    ]
    return reactive(listeners, emits={"worker": ["mail"], "second": ["pay"]}, **_common(seen))


def an_auction(seen: Obedience) -> Any:
    worker = Bidder(obedient(seen, "worker"), bid=obedient(seen, "bidder"))
    bidders = [worker, Bidder(_payer(seen), bid=obedient(seen, "agent of payer"))]
    return auction(bidders, **_common(seen))


PATTERNS: Mapping[str, Callable[[Obedience], Any]] = {
    "pipeline": a_pipeline,
    "router": a_router,
    "supervisor": a_supervisor,
    "hierarchy": a_hierarchy,
    "consensus": a_consensus,
    "swarm": a_swarm,
    "reactive": a_reactive_team,
    "auction": an_auction,
}


def team_of(pattern: str, seen: Obedience) -> Any:
    """Return a team of obedient agents, beside a reserved one that no trusted request ever goes to."""
    return PATTERNS[pattern](seen)
