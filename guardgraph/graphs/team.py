"""The builder of all patterns: agents and gates are declared, and a graph is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps

from guardgraph.graphs.checked_guards import checked_guards
from guardgraph.guards import Grounding, Guard, must_be
from guardgraph.nodes import Agent, Route, agent_node
from guardgraph.nodes.admission import ADMISSION, admission
from guardgraph.nodes.decisions.review import can_retry, retry_targets, review_results
from guardgraph.nodes.exit_gate import exit_gate
from guardgraph.nodes.gate import Decide, gate_node
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.state import Ask, BadGraph, Gate, Piece, Result, RunState, Told

__all__ = ("Team",)

_KINDS: dict[str, tuple[Gate, ...]] = {"dispatch": ("round", "dispatch"), "handoff": ("handoff",)}
"""At which gates the guards judge in a gate of this kind."""
_CHANNELS = ("results", "plans")


@dataclass(frozen=True, slots=True)
class _Member:
    """An agent, and what becomes of its answers."""

    agent: Agent
    to: str
    channel: str
    context: tuple[Piece, ...]
    drafts: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """A gate, as it was declared."""

    decide: Decide
    agents: tuple[Agent, ...]
    then: Route
    goes: tuple[str | Agent, ...]


class Team:
    """A pattern in the making: `guard_admission -> agents and gates -> guard_exit -> END`.

    Agents and gates are declared in any order; `build` returns an uncompiled `StateGraph`, and names every mistake as
    `BadGraph`. Nodes of gates are called `guard_` and the name of the gate, and stand there whether or not guards are
    given; the metadata of a node says which guards judge there. Whoever sends a worker to work judges that by the
    guards of `dispatch`.
    """

    def __init__(
        self,
        name: str,
        *,
        begin: Sequence[Agent] | Route,
        goes: Sequence[str | Agent] = (),
        guards: Sequence[Guard] | None = None,
        default: Sequence[Guard] = (),
        author: Agent | None = None,
        expected: Sequence[Agent] = (),
        concurrency: int | None = None,
        state: type[Any] = RunState,
    ) -> None:
        """Declare a team.

        `begin` are the agents that are sent the task once it is admitted, or a route, which may go to what `goes`
        names. `guards=None` stands for `default`. `author` is the agent whose draft is the team's value: it is asked
        once work has ended. Without one the value is the draft of `GateContext.conclude`, or the list of accepted
        results. `expected` are agents without whom the work is not whole: where a run is stopped, each of them that
        has not worked is a gap. At most `concurrency` agents work at a time (`None` sets no limit). `state` is a
        `TypedDict` that extends `RunState` by channels of your own.
        """
        must_be("a team", "name", name, str)
        must_be(name, "guards", guards, Sequence[Any] | None)
        must_be(name, "author", author, Agent | None)
        must_be(name, "expected", expected, Sequence[Agent])
        must_be(name, "concurrency", concurrency, int | None)
        if concurrency is not None and concurrency < 1:
            raise BadGraph(f"`concurrency` must be at least 1, got {concurrency!r}")
        if not callable(begin):
            must_be(name, "begin", begin, Sequence[Agent])
            goes = [*begin]
        self.name: str = name
        self.guards: tuple[Guard, ...] = checked_guards(default if guards is None else guards)
        self._begin, self._goes = begin, tuple(goes)
        self._author, self._expected, self._concurrency, self._state = author, tuple(expected), concurrency, state
        self._members: list[_Member] = []
        self._places: dict[str, _Place] = {}
        self._own: dict[str, tuple[Any, str]] = {}

    def add_agents(
        self,
        agents: Sequence[Agent],
        *,
        to: str,
        channel: str = "results",
        context: Sequence[Piece] = (),
        drafts: bool = False,
    ) -> Team:
        """Add agents and their fallbacks, whose answers the gate `to` reviews; return the team.

        `channel` is where their results are written: `results`, or `plans` for those who plan. What is sent to the
        former is judged by the guards of `dispatch`. `context` is added to every request that they are sent. With
        `drafts` what they answer may be the draft of the team, which a guard of `exit` can have them write again.
        """
        must_be(self.name, "agents", agents, Sequence[Agent])
        if channel not in _CHANNELS:
            raise BadGraph(f"`channel` must be one of {', '.join(_CHANNELS)}, got {channel!r}")
        self._check_unique([*agents])
        self._members.extend(_Member(agent, to, channel, tuple(context), drafts) for agent in agents)
        return self

    def add_gate(
        self,
        name: str,
        decide: Decide = review_results,
        *,
        agents: Sequence[Agent],
        then: Route,
        goes: Sequence[str | Agent] = (),
    ) -> Team:
        """Add a gate behind agents; return the team.

        Its name begins with `handoff` or `dispatch`, which says at which gates the guards judge in it. `decide` says
        what becomes of what `agents` have answered; once it leaves that open, `then` is asked where to go. It may go
        to the `agents` of the gate, to the gates, agents and nodes that `goes` names, and end the run.
        """
        must_be(self.name, "agents", agents, Sequence[Agent])
        if name.partition("_")[0] not in _KINDS:
            kinds = " or ".join(map(repr, _KINDS))
            raise BadGraph(f"a gate is called {kinds}, or that with an ending such as 'handoff_review'; got {name!r}")
        if name in self._places:
            raise BadGraph(f"there are two gates {name!r}")
        for what, given in (("then", then), ("decide", decide)):
            if not callable(given) or iscoroutinefunction(given):
                raise BadGraph(f"gate {name!r}: `{what}` must be a plain function that is not async, got {given!r}")
        self._places[name] = _Place(decide, tuple(agents), then, tuple(goes))
        return self

    def add_node(self, name: str, node: Callable[..., Any], *, to: str | Agent) -> Team:
        """Add a node of your own that leads to a gate, an agent or another node; return the team."""
        if name in self._own:
            raise BadGraph(f"there are two nodes {name!r}")
        self._own[name] = (node, to.name if isinstance(to, Agent) else to)
        return self

    def build(self) -> StateGraph[Any, Any, Any, Any]:
        """Return the team as an uncompiled graph. Raises `BadGraph`, which names what does not fit together."""
        self._check()
        graph: Any = StateGraph(_with_steps(self._state), input_schema=Ask, output_schema=Told)
        spec = self._spec(graph)
        goes = self._nodes_of(self._goes)
        begin = self._begin if callable(self._begin) else _to_each(tuple(self._begin))
        self._add_gate_node(graph, ADMISSION, admission(spec, begin=begin, goes=goes), ("admission",), goes)
        graph.add_edge(START, ADMISSION)
        for name, place in self._places.items():
            self._add_place(graph, spec, name, place)
        again = self._rewriting()
        self._add_gate_node(graph, EXIT, exit_gate(spec), ("exit",), (*again, END))
        self._add_agent_nodes(graph)
        for name, (node, to) in self._own.items():
            graph.add_node(name, node)
            graph.add_edge(name, self._node(to))
        return graph

    def _add_place(self, graph: Any, spec: TeamSpec, name: str, place: _Place) -> None:
        kinds = _KINDS[name.partition("_")[0]]
        reviewed = [agent for agent in place.agents if self._leads_to(agent, name)]
        sent = [agent.name for agent in place.agents if agent not in reviewed]
        again = retry_targets(reviewed, self.guards, at=kinds[0])
        shown = (*again, *sent, *self._nodes_of(place.goes))
        allowed = {*shown, *(member.name for agent in place.agents for member in agent.line)}
        node = f"guard_{name}"
        work = gate_node(spec, node, place.decide, agents=place.agents, then=place.then, goes=allowed)
        self._add_gate_node(graph, node, work, kinds, shown)

    def _add_gate_node(self, graph: Any, node: str, work: Any, gates: Sequence[Gate], goes: Sequence[str]) -> None:
        """Add the node of a gate, which says in its metadata who judges what there."""
        workers = {member.name for one in self._members if one.channel == "results" for member in one.agent.line}
        sends = ("dispatch",) if not workers.isdisjoint(goes) and "dispatch" not in gates else ()
        judging = {gate: [_name(guard) for guard in self.guards if gate in guard.gates] for gate in (*gates, *sends)}
        said = "; ".join(f"{gate}: {', '.join(names)}" for gate, names in judging.items() if names)
        starts = node == ADMISSION and not callable(self._begin)  # nothing is there yet that could be written from
        ends = (END,) if node == EXIT else (*([self._author.name] if self._author and not starts else []), EXIT)
        destinations = tuple(dict.fromkeys((*goes, *ends)))
        graph.add_node(node, work, destinations=destinations, metadata={"guards": said or "none"})

    def _add_agent_nodes(self, graph: Any) -> None:
        grounded = any(isinstance(guard, Grounding) for guard in self.guards)
        for member in self._members:
            evidence, writes = grounded and member.channel == "results", _writes(member.channel)
            for agent in member.agent.line:
                node = agent_node(agent, writes=writes, concurrency=self._concurrency, evidence=evidence)
                graph.add_node(agent.name, node)
                graph.add_edge(agent.name, f"guard_{member.to}")
        for agent in self._author.line if self._author else ():
            node = agent_node(agent, writes=_write_draft, concurrency=self._concurrency, concluding=True)
            graph.add_node(agent.name, node)
            graph.add_edge(agent.name, EXIT)

    def _spec(self, graph: Any) -> TeamSpec:
        author = self._author.line if self._author else ()
        lines = [(member, agent) for member in self._members for agent in member.agent.line]
        return TeamSpec(
            name=self.name,
            guards=self.guards,
            channels=dict(graph.channels),
            agents={agent.name: agent for agent in (*(agent for _, agent in lines), *author)},
            workers=frozenset(agent.name for member, agent in lines if member.channel == "results"),
            drafters=frozenset([*(agent.name for member, agent in lines if member.drafts), *(a.name for a in author)]),
            context={agent.name: member.context for member, agent in lines if member.context},
            author=self._author,
            expected=self._expected,
            nodes={name: f"guard_{name}" for name in self._places},
            steps=self._steps(),
        )

    def _steps(self) -> dict[str, int]:
        """Return how many supersteps work takes that goes on in a node, with the gate behind it."""
        steps = {f"guard_{name}": 3 for name in self._places}  # the gate, an agent, and the gate behind that
        steps |= {agent.name: 2 for member in self._members for agent in member.agent.line}
        for name in self._own:
            steps[name] = self._way_from(name)
        return steps

    def _way_from(self, name: str) -> int:
        count, seen = 0, set[str]()
        while name in self._own and name not in seen:
            seen.add(name)
            count, name = count + 1, self._own[name][1]
        return count + (1 if name in self._places else 2)

    def _rewriting(self) -> tuple[str, ...]:
        """Return the names of those whom `guard_exit` may send to."""
        heads = [*([self._author] if self._author else []), *(one.agent for one in self._members if one.drafts)]
        if can_retry(self.guards, at="exit"):
            return tuple(agent.name for head in heads for agent in head.line)
        return retry_targets(heads[:1] if self._author else (), self.guards, at="exit")

    def _leads_to(self, agent: Agent, gate: str) -> bool:
        return any(member.agent is agent and member.to == gate for member in self._members)

    def _node(self, name: str | Agent) -> str:
        if isinstance(name, Agent):
            return name.name
        return f"guard_{name}" if name in self._places else name

    def _nodes_of(self, goes: Sequence[str | Agent]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(self._node, goes)))

    def _check(self) -> None:
        """Raise `BadGraph` for what does not fit together."""
        names = self._check_unique()
        reserved = sorted(name for name in names if name.startswith("guard_") or name in (START, END, *self._places))
        if reserved:
            raise BadGraph(f"these agent names are taken by the team's own nodes: {_listed(reserved)}")
        gates = f"the gates are {_listed(sorted(self._places)) or 'none yet (`add_gate`)'}"
        for member in self._members:
            if member.to not in self._places:
                raise BadGraph(f"agent {member.agent.name!r} leads to a gate {member.to!r} that there is not; {gates}")
        named = [(f"gate {name!r}", (*place.agents, *place.goes)) for name, place in self._places.items()]
        named += [("`begin`", self._goes), ("`expected`", self._expected)]
        named += [(f"node {name!r}", (to,)) for name, (_, to) in self._own.items()]
        for where, goes in named:
            for one in goes:
                self._check_known(where, one, names, gates)
        if callable(self._begin) and iscoroutinefunction(self._begin):
            raise BadGraph("`begin` must be a plain function that is not async")

    def _check_unique(self, more: Sequence[Agent] = ()) -> Collection[str]:
        """Return the names of all agents and nodes. Raises `BadGraph` where one stands twice."""
        heads = [*(member.agent for member in self._members), *more, *([self._author] if self._author else [])]
        names = Counter([*(agent.name for head in heads for agent in head.line), *self._own])
        twice = sorted(name for name, count in names.items() if count > 1)
        if twice:
            raise BadGraph(f"agent names must be unique in a team, these stand twice: {_listed(twice)}")
        return names

    def _check_known(self, where: str, one: str | Agent, names: Collection[str], gates: str) -> None:
        if isinstance(cast("object", one), Agent):
            agent = cast("Agent", one)
            if agent.name not in names:
                raise BadGraph(f"{where} names the agent {agent.name!r}, who was not added (`add_agents`)")
        elif one not in names and one not in self._places and one != EXIT:
            raise BadGraph(f"{where} names {one!r}, which is no gate, agent or node of the team; {gates}")


def _with_steps(state: type[Any]) -> type[Any]:
    """Return the state with what LangGraph counts: `state` itself is data that needs no LangGraph."""

    class Channels(state):
        remaining_steps: RemainingSteps

    Channels.__name__ = Channels.__qualname__ = state.__name__
    return Channels


def _to_each(agents: Sequence[Agent]) -> Route:
    return lambda gate: [gate.send(agent) for agent in agents]


def _writes(channel: str) -> Callable[[Result], dict[str, Any]]:
    return lambda result: {channel: [result]}


def _write_draft(result: Result) -> dict[str, Any]:
    return {"draft": result}


def _name(guard: Guard) -> str:
    return str(getattr(guard, "name", None) or type(guard).__name__)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
