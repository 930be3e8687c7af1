"""Random patterns of a user's own: agents, gates, and routes that do what random says, also what they must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import add
from random import Random
from threading import Lock
from typing import Annotated, Any, cast

from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Overwrite, Send

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Team, auction, supervisor
from guardgraph.guards import (
    Budget,
    Convergence,
    Deadline,
    Depth,
    Escalate,
    Finish,
    Guard,
    Limits,
    Retry,
    Schema,
    guard,
)
from guardgraph.state import Plan, Request, Result, RunState, Subtask

__all__ = ("RandomPattern", "random_pattern")

_Graph = StateGraph[Any, Any, Any, Any]
_Route = Callable[[GateContext], Any]


class Extended(RunState, total=False):
    """The shared state, with channels of a user's own."""

    notes: Annotated[list[str], add]
    counted: Annotated[int, add]


@dataclass(slots=True)
class RandomPattern:
    """A graph made by a random generator; the same generator makes the same graph."""

    graph: _Graph
    config: dict[str, Any]
    answered: list[str] = field(default_factory=list[str])
    """Every value that an agent has answered."""
    failed: set[str] = field(default_factory=set[str])
    """The agents that have worked and always fail, without a fallback."""
    subtasks: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Ids and goals of the subtasks that agents have worked on."""
    most: int | None = None
    """How many subtasks `Limits` allow."""
    routes: list[str] = field(default_factory=list[str])
    """What routes do, visit by visit; the last goes on for ever."""
    is_steady: bool = True
    is_given_up: bool = False
    """Ends what loops for ever, once nobody waits for it."""

    @property
    def raises(self) -> bool:
        """Whether a route raises, so that the run may end in a `PatternError`."""
        return any(route in RAISING for route in self.routes)


def random_pattern(random: Random) -> RandomPattern:
    """Return a pattern whose agents, gates, routes and guards `random` chooses."""
    limit = random.choice([None, None, 60, 25, random.randint(4, 20)])
    pattern = RandomPattern(StateGraph(dict), {} if limit is None else {"recursion_limit": limit})
    pattern.graph = _own(random, pattern)
    if random.random() < 0.25:
        pattern.graph = _above(random, pattern.graph)
    return pattern


def _above(random: Random, inner: _Graph) -> _Graph:
    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="outer", goal="do it by a pattern"),)) if request.round == 1 else Plan()

    planner, worker = Agent("planner", run=plan), Agent("pattern", run=inner.compile())
    if random.random() < 0.5:
        return auction([worker], planner=planner, name="above")
    return supervisor(planner=planner, workers=[worker], name="above")


def _own(random: Random, pattern: RandomPattern) -> _Graph:
    agents = [_agent(random, f"agent{number}", pattern) for number in range(random.randint(1, 3))]
    writer = Agent(
        "writer",
        run=lambda request: sorted(str(piece.value) for piece in request.results),
        attempts=random.choice([1, 2]),
    )
    routes = _routes(agents, writer)
    hostile, fair = [name for name in routes if name not in _FAIR], list(_FAIR)
    pattern.routes = [random.choice(fair) for _ in range(random.randint(0, 3))]
    pattern.routes.append(random.choice(hostile if random.random() < 0.6 else fair))
    script = [routes[name] for name in pattern.routes]
    first = agents[: random.randint(1, len(agents))]
    gates = ["handoff", *random.sample(["handoff_second", "dispatch", "dispatch_second"], random.choice([0, 0, 1]))]

    def then(gate: GateContext) -> Any:
        if pattern.is_given_up:
            raise TimeoutError("nobody waits for it any more")
        visits = sum(gate.state["visits"].get(f"guard_{name}", 0) for name in gates)
        return script[min(max(visits - 1, 0), len(script) - 1)](gate)

    begin: Any = first
    if random.random() < 0.2:
        begin = then
    elif random.random() < 0.3:
        begin = _begins(first)
    team = Team(
        "own",
        guards=_guards(random, pattern),
        entry=begin,
        destinations=[] if begin is first else [*gates, *agents, "note"],
        author=random.choice([writer, writer, None])
        if begin is first and "writer" not in " ".join(pattern.routes)
        else writer,
        required=random.choice([[], first]),
        concurrency=random.choice([None, None, 1]),
        state=Extended,
    )
    meet = random.choice(gates)  # those who begin at once lead to one gate
    for agent in agents:
        to = meet if begin is first and agent in first else random.choice(gates)
        team.add_agents([agent], gate=to, can_rewrite=random.random() < 0.3)
    for name in gates:
        team.add_gate(name, agents=agents, route=then, destinations=[*gates, "note"])
    team.add_node("note", _note, to=random.choice([*gates, agents[0]]))
    pattern.is_steady = pattern.is_steady and len(gates) == 1
    return team.build()


def _begins(agents: list[Agent]) -> _Route:
    return lambda gate: Command(update={"counted": 1}, goto=[gate.send(agent) for agent in agents])


def _note(state: Any) -> dict[str, Any]:
    return {"notes": ["noted"]}


_FAIR = (
    "writer",
    "again",
    "all",
    "a subtask",
    "an agent's name",
    "conclude",
    "conclude by a draft",
    "twice",
    "the next round",
    "stop",
    "own channels",
    "allowed",
    "feedback",
)
RAISING = frozenset(
    {
        "raises",
        "raises what exits",
        "writes an ending",
        "writes the round",
        "writes an unknown channel",
        "writes results that are none",
        "writes over gaps",
        "writes over results",
        "writes what its reducer refuses",
        "writes a result",
        "writes a result again",
        "writes a draft",
        "writes no draft",
        "writes a plan",
        "accepts all",
        "refuses all",
        "stops oddly",
        "stops for no reason",
        "a draft that is none",
        "sends nobody",
        "sends a subtask that is none",
        "sends an odd attempt",
        "writes to the state",
    }
)
"""Routes that raise."""
UNSTEADY = frozenset(
    {"twice", "allowed", "gate and agent", "many subtasks", "one subtask twice", "the same send twice"}
)
"""Routes that send to one agent twice at once: what it answers comes in any order."""


def _routes(agents: list[Agent], writer: Agent) -> dict[str, _Route]:
    """Return what a route may do, by name."""
    made = (_fair(agents, writer), _odd(agents, writer), _commands(agents[0]), _raising(agents[0]))
    routes = {name: route for some in (*made, _writing(agents[0]), _stopping(agents)) for name, route in some.items()}
    assert routes.keys() >= RAISING.union(_FAIR)
    return routes


def _fair(agents: list[Agent], writer: Agent) -> dict[str, _Route]:
    """Return what routes may do."""
    first, last = agents[0], agents[-1]
    return {
        "writer": lambda gate: gate.send(writer),
        "again": lambda gate: [gate.send(first)],
        "twice": lambda gate: [gate.send(last), gate.send(last)],
        "all": lambda gate: [gate.send(agent) for agent in agents],
        "a subtask": lambda gate: gate.send(last, _numbered(gate)),
        "an agent's name": lambda gate: first.name,
        "conclude": _conclude,
        "conclude by a draft": _conclude_by_a_draft,
        "the next round": lambda gate: _next_round(gate, first),
        "stop": lambda gate: gate.stop(by="me", reason="it is enough"),
        "own channels": _after(lambda gate: gate.write(notes=["one"], counted=2), lambda gate: ["note"]),
        "allowed": lambda gate: gate.allowed([gate.send(first), gate.send(last, _numbered(gate))]) or gate.conclude(),
        "feedback": lambda gate: gate.send(first, attempt=2, feedback="better", context=gate.context()),
    }


def _odd(agents: list[Agent], writer: Agent) -> dict[str, _Route]:
    """Return answers that lead nowhere, or that may."""
    first, last = agents[0], agents[-1]
    return {
        "its own name": lambda gate: "handoff",
        "its own node": lambda gate: "guard_handoff",
        "guard_admission": lambda gate: "guard_admission",
        "guard_exit": lambda gate: "guard_exit",
        "the writer's name": lambda gate: "writer",
        "nothing": lambda gate: None,
        "a number": lambda gate: 7,
        "an empty list": lambda gate: [],
        "a list of None": lambda gate: [None],
        "a list in a list": lambda gate: [[gate.send(first)]],
        "a set": lambda gate: {"handoff"},
        "a generator": lambda gate: (gate.send(agent) for agent in agents),
        "nowhere": lambda gate: "nowhere",
        "the end": lambda gate: END,
        "an agent itself": lambda gate: first,
        "the gate itself": lambda gate: gate,
        "sends nowhere": lambda gate: [Send("nowhere", {"task": 1})],
        "sends a stranger": lambda gate: gate.send(_STRANGER),
        "sends rubbish": lambda gate: [Send(first.name, {"odd": 1})],
        "sends None": lambda gate: [Send(first.name, None)],
        "sends to a gate": lambda gate: [Send("guard_handoff", dict(gate.state))],
        "sends to the exit": lambda gate: [Send("guard_exit", dict(gate.state))],
        "sends to a node": lambda gate: [Send("note", {"odd": 1})],
        "sends to a node and an agent": lambda gate: ["note", gate.send(first)],
        "gate and agent": lambda gate: ["handoff", gate.send(last)],
        "sends the writer a subtask": lambda gate: gate.send(writer, _numbered(gate)),
        "two writers": lambda gate: [gate.send(writer), gate.send(writer)],
        "conclude and send": lambda gate: ["guard_exit", gate.send(first)],
        "a list of conclude": lambda gate: [gate.conclude(), gate.send(first)],
        "the same send twice": lambda gate: [gate.send(last, _numbered(gate))] * 2,
        "what was sent before": _sent_before(first),
        "a request as it is stored": lambda gate: Send(
            first.name,
            {
                "request": gate.send(first).arg["request"].model_dump(mode="json"),
                "position": gate.position.model_dump(mode="json"),
            },
        ),
        "one subtask twice": lambda gate: [gate.send(agent, _numbered(gate)) for agent in (first, last)],
        "one id for all": lambda gate: gate.send(
            agents[len(gate.reviewed) % len(agents)], Subtask(id="same", goal=str(_count(gate)))
        ),
        "subtasks that are no first attempts": lambda gate: gate.send(first, _numbered(gate), attempt=2),
        "many subtasks": lambda gate: [
            gate.send(last, Subtask(id=f"{_count(gate)!s}-{n}", goal="go on")) for n in range(5)
        ],
        "an id of the team": lambda gate: gate.send(first, Subtask(id=first.name, goal="go on")),
    }


def _commands(first: Agent) -> dict[str, _Route]:
    """Return commands."""
    return {
        "a command to an agent": lambda gate: Command(goto=first.name),
        "a command that sends": lambda gate: Command(update={"counted": 3}, goto=[gate.send(first)]),
        "a command of a command": lambda gate: Command(goto=cast("Any", [Command(goto="handoff")])),
        "unknown channel": lambda gate: Command(update={"unknown": 1}, goto="guard_exit"),
        "wrong results": lambda gate: Command(update={"results": "text"}, goto="guard_exit"),
        "wrong accepted": lambda gate: Command(update={"accepted": 7}, goto="guard_exit"),
        "wrong gaps": lambda gate: Command(update={"gaps": [1, None]}, goto="guard_exit"),
        "wrong ending": lambda gate: Command(update={"ending": "because"}, goto="guard_exit"),
        "wrong task": lambda gate: Command(update={"task": 7}, goto=first.name),
        "wrong position": lambda gate: Command(update={"position": None}, goto="guard_exit"),
        "wrong own channel": lambda gate: Command(update={"notes": 7}, goto="guard_exit"),
        "gaps overwritten": lambda gate: Command(update={"gaps": Overwrite([])}, goto="guard_exit"),
        "gaps overwritten by a mapping": lambda gate: Command(
            update={"gaps": {"__overwrite__": []}}, goto="guard_exit"
        ),
        "own channel overwritten": lambda gate: Command(update={"notes": Overwrite([])}, goto=first.name),
        "update is a number": lambda gate: Command(update=7, goto="guard_exit"),
        "update is a list": lambda gate: Command(update=[("notes", ["one"])], goto="guard_exit"),
        "odd names in the update": lambda gate: Command(update={cast("Any", 7): 7}, goto="guard_exit"),
        "command to nowhere": lambda gate: Command(goto="nowhere"),
        "command without goto": lambda gate: Command(update={"counted": 2}),
        "command to the parent": lambda gate: Command(graph=Command.PARENT, goto="writer"),
        "command that resumes": lambda gate: Command(resume="yes"),
    }


def _raising(first: Agent) -> dict[str, _Route]:
    """Return what raises."""
    return {
        "raises": _raise(KeyError("no such thing")),
        "raises what exits": _raise(SystemExit(3)),
        "writes an ending": _after(lambda gate: gate.write(ending=None), lambda gate: gate.send(first)),
        "writes the round": _after(lambda gate: gate.write(round=0), lambda gate: gate.send(first)),
        "writes an unknown channel": _after(lambda gate: gate.write(unknown=1), lambda gate: gate.send(first)),
        "writes results that are none": _after(lambda gate: gate.write(results=[7]), lambda gate: gate.send(first)),
        "writes over gaps": _after(lambda gate: gate.write(gaps=Overwrite([])), _conclude),
        "writes over results": _after(lambda gate: gate.write(results=Overwrite([])), _conclude),
        "writes what its reducer refuses": _after(lambda gate: gate.write(notes=7), _conclude),
        "stops oddly": lambda gate: gate.stop(cast("Any", "splendid"), reason="it is over"),
        "stops for no reason": lambda gate: gate.stop(reason=cast("Any", None)),
        "a draft that is none": lambda gate: gate.conclude(cast("Any", "text")),
        "sends nobody": lambda gate: gate.send(cast("Any", None)),
        "sends a subtask that is none": lambda gate: gate.send(first, cast("Any", "text")),
        "sends an odd attempt": lambda gate: gate.send(first, attempt=cast("Any", "no number")),
    }


def _writing(first: Agent) -> dict[str, _Route]:
    """Return what is written."""
    return {
        "writes gaps that are none": _after(lambda gate: gate.write(gaps=[]), _conclude),
        "writes a result": _after(lambda gate: gate.write(results=[_made(gate)]), _conclude),
        "writes a result again": _after(lambda gate: gate.write(results=gate.state["results"]), _conclude),
        "writes a draft": _after(lambda gate: gate.write(draft=_made(gate)), lambda gate: gate.send(first)),
        "writes no draft": _after(lambda gate: gate.write(draft=None), _conclude),
        "writes a subtask": _after(lambda gate: gate.write(subtasks=[_numbered(gate)]), _conclude),
        "writes a plan": _after(
            lambda gate: gate.write(plan=Plan(subtasks=(_numbered(gate),))), lambda gate: gate.send(first)
        ),
        "writes context": _after(lambda gate: gate.write(context=[]), lambda gate: gate.send(first)),
        "accepts all": _after(lambda gate: gate.write(accepted=[one.id for one in gate.state["results"]]), _conclude),
        "refuses all": _after(lambda gate: gate.write(refused=[one.id for one in gate.state["results"]]), _conclude),
        "writes to the state": _after(lambda gate: cast("Any", gate.state).__setitem__("gaps", []), _conclude),
        "changes a list of the state": _after(lambda gate: gate.state["gaps"].clear(), _conclude),
    }


def _stopping(agents: list[Agent]) -> dict[str, _Route]:
    """Return rounds and stops."""
    first, last = agents[0], agents[-1]
    return {
        "rounds without end": _after(
            lambda gate: [gate.next_round() for _ in range(50)], lambda gate: gate.send(first)
        ),
        "a round for nobody": _after(lambda gate: gate.next_round(), _conclude),
        "stops and goes on": _after(lambda gate: gate.stop(reason="it is enough"), lambda gate: gate.send(first)),
        "fails and goes on": _after(
            lambda gate: gate.stop("failed", reason="it is enough"), lambda gate: gate.send(first)
        ),
        "stops as completed": lambda gate: gate.stop("completed", reason="all is well"),
        "stops as cancelled": lambda gate: gate.stop("cancelled", by="me", reason="it is enough"),
        "stops as escalated and goes on": _after(
            lambda gate: gate.stop("escalated", reason="look at it"), lambda gate: gate.send(first)
        ),
        "stops twice": _after(
            lambda gate: gate.stop("failed", reason="first"), lambda gate: gate.stop("completed", reason="then")
        ),
        "a draft of what came last": _conclude_by_the_last,
        "a draft that was made up": lambda gate: gate.conclude(_made(gate)),
        "a draft, and goes on": _after(_conclude_by_a_draft, lambda gate: gate.send(first)),
        "concludes and goes on": _after(_conclude, lambda gate: gate.send(first)),
        "allows and sends nobody": _after(lambda gate: gate.allowed([gate.send(last, _numbered(gate))]), _conclude),
        "allows strangers": lambda gate: gate.allowed([gate.send(_STRANGER)]) or gate.conclude(),
    }


def _numbered(gate: GateContext) -> Subtask:
    return Subtask(id=f"s{_count(gate)}", goal="go on")


def _count(gate: GateContext) -> int:
    return len(gate.state.get("results") or ())


def _after(do: Callable[[GateContext], Any], way: _Route) -> _Route:
    def route(gate: GateContext) -> Any:
        do(gate)
        return way(gate)

    return route


def _next_round(gate: GateContext, agent: Agent) -> Any:
    stop = gate.next_round()
    return gate.send(agent) if stop is None else gate.stop(stop.status, by=stop.stopped_by, reason=stop.reason)


def _conclude(gate: GateContext) -> Any:
    return gate.conclude()


def _conclude_by_a_draft(gate: GateContext) -> Any:
    return gate.conclude(gate.accepted[-1]) if gate.accepted else gate.conclude()


def _conclude_by_the_last(gate: GateContext) -> Any:
    results = gate.state.get("results") or ()
    return gate.conclude(results[-1]) if results else gate.conclude()


def _made(gate: GateContext) -> Result:
    return Result(id="made", agent="nobody", value="made up")


def _raise(error: BaseException) -> _Route:
    def route(gate: GateContext) -> Any:
        raise error

    return route


def _sent_before(agent: Agent) -> _Route:
    kept: list[Any] = []

    def route(gate: GateContext) -> Any:
        kept.append(gate.send(agent))
        return kept[0]

    return route


_STRANGER = Agent("stranger", run=lambda request: "who?")


def _agent(random: Random, name: str, pattern: RandomPattern) -> Agent:
    kind = random.choice(
        ["answers", "answers", "answers", "raises", "nothing", "a command", "hands over", "parent value"]
    )
    has_fallback = random.random() < 0.2
    lock = Lock()

    def work(request: Request) -> Any:
        with lock:
            if request.subtask is not None:
                pattern.subtasks.add((request.subtask.id, request.subtask.goal))
            if kind in ("raises", "nothing") and not has_fallback:
                pattern.failed.add(name)
        if kind == "raises":
            raise RuntimeError("it cannot")
        if kind == "a command":
            return Command(goto="writer")
        if kind == "parent value":
            return Command(graph=Command.PARENT, goto="nowhere")
        return None if kind == "nothing" else answered(name)

    def answered(by: str) -> str:
        with lock:
            mine = sum(answer.startswith(f"{by} ") for answer in pattern.answered)
            value = f"{by} answer {mine}"  # the same in every order of parallel agents
            pattern.answered.append(value)
        return value

    fallback = Agent(f"{name}_fallback", run=lambda request: answered(f"{name}_fallback")) if has_fallback else None
    if kind == "hands over":
        goto = random.choice(["writer", "guard_exit", "nowhere", "agent0"])
        return Agent(name, run=_handing_over(goto), fallback=fallback)
    return Agent(name, run=work, attempts=random.choice([1, 1, 2]), fallback=fallback)


def _handing_over(goto: str) -> Any:
    """Return a graph that hands over to a node of its parent, as the tools of swarms do."""

    def node(state: MessagesState) -> Any:
        return Command(graph=Command.PARENT, goto=goto, update={"messages": []})

    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile()


def _guards(random: Random, pattern: RandomPattern) -> list[Guard]:
    most = random.choice([0, 1, 2, 5, 20])

    @guard(at="dispatch", on_trip=random.choice([Finish(), Escalate()]))
    def not_twice(view: Any) -> str | None:
        name = view.agent.name
        before = sum(result.agent == name for result in view.state.get("results") or ())
        return f"{name} has worked {before} times" if before >= 2 else None

    @guard(at="handoff", on_trip=random.choice([Finish(), Retry(1), Escalate()]))
    def no_second(view: Any) -> str | None:
        return "it is the second" if str(view.subject.value).endswith("answer 1") else None

    @guard(at="exit", on_trip=random.choice([Finish(), Retry(1), Escalate()]))
    def unwanted(view: Any) -> str | None:
        return "there is a third" if "answer 2" in str(view.subject.value) else None

    some: list[Callable[[], Guard]] = [
        Depth,
        Schema,
        lambda: Budget(tokens=5_000),
        lambda: Limits(subtasks=most, on_trip=random.choice([Finish(), Escalate()])),
        lambda: Deadline(2),
        lambda: Convergence(2),
        lambda: not_twice,
        lambda: no_second,
        lambda: unwanted,
    ]
    chosen = [make() for make in random.sample(some, random.randint(0, 5))]
    timed = any(isinstance(one, Deadline) for one in chosen)
    pattern.most = most if any(isinstance(one, Limits) for one in chosen) else None
    pattern.is_steady = not timed and UNSTEADY.isdisjoint(pattern.routes)
    return chosen
