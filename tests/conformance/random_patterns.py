"""Random patterns of a user's own: agents, and a gate whose `then` does what random says, also what it must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any

from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send

from guardgraph.graphs import frame, supervisor
from guardgraph.guards import Budget, Deadline, Depth, Guard, Limits, Schema
from guardgraph.nodes import Agent, Scene, agent_node, send
from guardgraph.nodes.assign import send_subtask
from guardgraph.state import Plan, Request, Subtask
from tests.conformance.patterns import add_gate

__all__ = ("RandomPattern", "random_pattern")

_Graph = StateGraph[Any, Any, Any, Any]
_Then = Callable[[Scene], Any]
RESTARTS = ("guard_admission", "conclude and send")
"""Routes after which what was answered does not stand in the state."""


@dataclass(slots=True)
class RandomPattern:
    """A graph made by a random generator; the same generator makes the same graph."""

    graph: _Graph
    config: dict[str, Any]
    answered: list[str] = field(default_factory=list[str])
    """Every value that an agent has answered."""
    routes: list[str] = field(default_factory=list[str])
    """What `then` does, visit by visit; the last goes on for ever."""
    is_steady: bool = True
    is_given_up: bool = False
    """Ends what loops for ever, once nobody waits for it."""

    @property
    def raises(self) -> bool:
        """Whether a route raises, so that the run may end in a `PatternError`."""
        return "raises" in self.routes

    @property
    def restarts(self) -> bool:
        """Whether the state of the run is reset."""
        return bool(set(RESTARTS) & set(self.routes))


def random_pattern(random: Random) -> RandomPattern:
    """Return a pattern whose agents, routes and guards `random` chooses."""
    limit = random.choice([None, None, 60, 25])
    pattern = RandomPattern(StateGraph(dict), {} if limit is None else {"recursion_limit": limit})
    pattern.graph = _own(random, pattern)
    if random.random() < 0.25:
        pattern.graph = _above(pattern.graph)
    return pattern


def _above(inner: _Graph) -> _Graph:
    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="outer", goal="do it by a pattern"),)) if request.round == 1 else Plan()

    return supervisor(planner=Agent("planner", run=plan), workers=[Agent("pattern", run=inner.compile())], name="above")


def _own(random: Random, pattern: RandomPattern) -> _Graph:
    agents = [_agent(random, f"agent{number}", pattern) for number in range(random.randint(1, 3))]
    writer = Agent("writer", run=lambda request: sorted(str(piece.value) for piece in request.results))
    routes = _routes(agents, writer)
    hostile, fair = [name for name in routes if name not in _FAIR], list(_FAIR)
    pattern.routes = [random.choice(fair) for _ in range(random.randint(0, 3))]
    pattern.routes.append(random.choice(hostile if random.random() < 0.6 else fair))
    script = [routes[name] for name in pattern.routes]
    guards = _guards(random, pattern)
    first = agents[: random.randint(1, len(agents))]

    def then(scene: Scene) -> Any:
        if pattern.is_given_up:
            raise TimeoutError("nobody waits for it any more")
        visits = len(scene.state.get("accepted") or ()) + len(scene.state.get("refused") or ())
        return script[min(max(visits - len(first), 0), len(script) - 1)](scene)

    graph = frame(
        "own",
        guards=guards,
        begin=lambda state: [send(agent, state) for agent in first],
        begins_at=[agent.name for agent in first],
        author=writer,
    )
    for agent in agents:
        graph.add_node(agent.name, agent_node(agent))
        graph.add_edge(agent.name, "guard_handoff")
    add_gate(graph, guards, agents=agents, then=then, author=writer)
    return graph


_FAIR = ("writer", "again", "all", "a subtask", "conclude", "twice")


def _routes(agents: list[Agent], writer: Agent) -> dict[str, _Then]:
    """Return what `then` may do, by name."""
    first, last = agents[0], agents[-1]

    def raises(scene: Scene) -> Any:
        raise KeyError("no such thing")

    def numbered(scene: Scene) -> Subtask:
        return Subtask(id=f"s{len(scene.state.get('results') or ())}", goal="go on")

    return {
        "writer": lambda scene: [send(writer, scene.state)],
        "again": lambda scene: [send(first, scene.state)],
        "twice": lambda scene: [send(last, scene.state), send(last, scene.state)],
        "all": lambda scene: [send(agent, scene.state) for agent in agents],
        "a subtask": lambda scene: [send_subtask(last, numbered(scene), scene.state)],
        "conclude": lambda scene: "conclude",
        "an agent's name": lambda scene: first.name,
        "itself": lambda scene: "guard_handoff",
        "guard_admission": lambda scene: "guard_admission",
        "nothing": lambda scene: None,
        "a number": lambda scene: 7,
        "an empty list": lambda scene: [],
        "a list of None": lambda scene: [None],
        "nowhere": lambda scene: "nowhere",
        "the end": lambda scene: END,
        "sends nowhere": lambda scene: [Send("nowhere", {"task": 1})],
        "sends rubbish": lambda scene: [Send(first.name, {"odd": 1})],
        "sends None": lambda scene: [Send(first.name, None)],
        "one bare send": lambda scene: send(first, scene.state),
        "conclude and send": lambda scene: ["conclude", send(first, scene.state)],
        "unknown channel": lambda scene: Command(update={"unknown": 1}, goto="conclude"),
        "wrong results": lambda scene: Command(update={"results": "text"}, goto="conclude"),
        "wrong accepted": lambda scene: Command(update={"accepted": 7}, goto="conclude"),
        "wrong gaps": lambda scene: Command(update={"gaps": [1, None]}, goto="conclude"),
        "wrong ending": lambda scene: Command(update={"ending": "because"}, goto="conclude"),
        "wrong task": lambda scene: Command(update={"task": 7}, goto=first.name),
        "wrong position": lambda scene: Command(update={"position": None}, goto="conclude"),
        "update is a number": lambda scene: Command(update=7, goto="conclude"),
        "command to nowhere": lambda scene: Command(goto="nowhere"),
        "command without goto": lambda scene: Command(update={"round": 2}),
        "command to the parent": lambda scene: Command(graph=Command.PARENT, goto="writer"),
        "command that resumes": lambda scene: Command(resume="yes"),
        "raises": raises,
    }


def _agent(random: Random, name: str, pattern: RandomPattern) -> Agent:
    kind = random.choice(
        ["answers", "answers", "answers", "raises", "nothing", "a command", "hands over", "parent value"]
    )
    lock = Lock()

    def work(request: Request) -> Any:
        if kind == "raises":
            raise RuntimeError("it cannot")
        if kind == "a command":
            return Command(goto="writer")
        if kind == "parent value":
            return Command(graph=Command.PARENT, goto="nowhere")
        if kind == "nothing":
            return None
        with lock:
            mine = sum(answer.startswith(f"{name} ") for answer in pattern.answered)
            value = f"{name} answer {mine}"  # the same in every order of parallel agents
            pattern.answered.append(value)
        return value

    if kind == "hands over":
        return Agent(name, run=_handing_over(random.choice(["writer", "conclude", "nowhere", "agent0"])))
    return Agent(name, run=work, attempts=random.choice([1, 1, 2]))


def _handing_over(goto: str) -> Any:
    """Return a graph that hands over to a node of its parent, as the tools of swarms do."""

    def node(state: MessagesState) -> Any:
        return Command(graph=Command.PARENT, goto=goto, update={"messages": []})

    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile()


def _guards(random: Random, pattern: RandomPattern) -> list[Guard]:
    some: list[Callable[[], Guard]] = [
        Depth,
        Schema,
        lambda: Budget(tokens=5_000),
        lambda: Limits(subtasks=20),
        lambda: Deadline(2),
    ]
    chosen = [make() for make in random.sample(some, random.randint(0, 4))]
    timed = any(isinstance(guard, Deadline) for guard in chosen)
    pattern.is_steady = not timed and "twice" not in pattern.routes  # two at once of one agent come in any order
    return chosen
