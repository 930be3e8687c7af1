"""The builder of all patterns: it makes a graph of the agents and gates that are added."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.child_limits import check_child_limits
from guardgraph.graphs.declaration import (
    KINDS,
    Declaration,
    GateDeclaration,
    Member,
    OwnNode,
    check_state,
    check_team,
    check_unique,
)
from guardgraph.graphs.review_checks import as_reviewer, check_reviewers
from guardgraph.graphs.unpriced import check_unpriced
from guardgraph.graphs.wiring import wire
from guardgraph.guards import Guard, checked_guards
from guardgraph.nodes.decisions.review import review_results
from guardgraph.nodes.gate import Decide
from guardgraph.nodes.gate_context import GateContext, Route
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import BadGraph, ContextItem, RunState
from guardgraph.state.argument_checks import must_be

__all__ = ("Team",)

_CHANNELS = ("results", "plans")


class Team:
    """The builder of a pattern: `guard_admission -> agents and gates -> guard_exit -> END`.

    Agents and gates are added in any order; `build` returns an uncompiled `StateGraph`, and names every mistake as
    `BadGraph`. The node of a gate is called `guard_` and the name of the gate, and exists whether or not guards are
    given; the metadata of the node names the guards that judge there. What is sent to a worker is judged by the guards
    of `dispatch`.

    `entry` are the agents that are sent the task once it is admitted, or a route, which may go to `destinations`.
    `guards=None` means `default_guards`. `author` is the agent whose draft is the team's value: it works once all other
    work has ended. Without one the value is the draft of `GateContext.conclude`, or the list of accepted results.
    `required` are agents whose work the value needs: where a run is stopped, each of them that has not worked is a
    gap. At most `concurrency` agents work at a time (`None` sets no limit), and of those with a skill that
    `skill_limits` names at most so many. `state` is a `TypedDict` that extends
    `RunState` by channels of your own. `board` is what its agents share besides: every request to them holds its
    decisions and constraints. `reviewers` are agents that give an `Opinion` of a result, or of the draft, where a
    guard names one (`review=`); what they answer is no result of the team.
    """

    def __init__(
        self,
        name: str,
        *,
        entry: Sequence[Agent] | Route,
        destinations: Sequence[str | Agent] = (),
        guards: Sequence[Guard] | None = None,
        default_guards: Sequence[Guard] = (),
        author: Agent | None = None,
        required: Sequence[Agent] = (),
        concurrency: int | None = None,
        skill_limits: Mapping[str, int] | None = None,
        state: type[Any] = RunState,
        board: Board | None = None,
        reviewers: Sequence[Agent] = (),
    ) -> None:
        must_be("a team", "name", name, str)
        arguments: dict[str, tuple[object, Any]] = {
            "guards": (guards, Sequence[Any] | None),
            "author": (author, Agent | None),
            "required": (required, Sequence[Agent]),
            "concurrency": (concurrency, int | None),
            "skill_limits": (skill_limits, Mapping[str, int] | None),
            "destinations": (destinations, Sequence[str | Agent]),
            "board": (board, Board | None),
            "reviewers": (reviewers, Sequence[Agent]),
        }
        for argument, (value, kind) in arguments.items():
            must_be(name, argument, value, kind)
        _check_limits(concurrency, skill_limits or {})
        check_state(name, state)
        if not callable(entry):
            must_be(name, "entry", entry, Sequence[Agent])
            if not entry:
                raise BadGraph("`entry` names no agent")
            destinations = [*entry]
        self.name: str = name
        self.guards: tuple[Guard, ...] = checked_guards(default_guards if guards is None else guards)
        self._team = Declaration(
            name=name,
            guards=self.guards,
            entry=entry,
            destinations=tuple(destinations),
            author=author,
            required=tuple(required),
            concurrency=concurrency,
            skill_limits=dict(skill_limits or {}),
            state=state,
            board=board,
            reviewers=tuple(map(as_reviewer, reviewers)),
        )

    def add_agents(
        self,
        agents: Sequence[Agent],
        *,
        gate: str,
        channel: str = "results",
        context: Sequence[ContextItem] = (),
        can_rewrite: bool = False,
        sends_messages: bool = False,
    ) -> Team:
        """Add agents and their fallbacks, whose answers `gate` reviews; return the team.

        `channel` is where their results are written: `results`, or `plans` for planners. What is sent to the former is
        judged by the guards of `dispatch`. `context` is added to every request to them. With `can_rewrite` a guard of
        `exit` can give back to them a draft of the team that is their answer. With `sends_messages` they may send
        messages to each other, and hand over: results have them, and the route of `gate` delivers them.
        """
        must_be(self.name, "agents", agents, Sequence[Agent])
        if channel not in _CHANNELS:
            raise BadGraph(f"`channel` must be one of {', '.join(_CHANNELS)}, got {channel!r}")
        check_unique(self._team, [*agents])
        self._team.members.extend(
            Member(agent, gate, channel, tuple(context), can_rewrite, sends_messages) for agent in agents
        )
        return self

    def add_gate(
        self,
        name: str,
        decide: Decide = review_results,
        *,
        agents: Sequence[Agent],
        route: Route,
        destinations: Sequence[str | Agent] = (),
    ) -> Team:
        """Add a gate behind agents; return the team.

        Its name begins with `handoff` or `dispatch`, the guards that judge in it. `decide` decides about the answers of
        `agents`; where it returns `None`, `route` returns the destination: what `destinations` names (gates, agents,
        nodes), one of `agents` whose answers another gate reviews, or the end of the run.
        """
        must_be(self.name, "agents", agents, Sequence[Agent])
        must_be(self.name, "destinations", destinations, Sequence[str | Agent])
        if name.partition("_")[0] not in KINDS:
            kinds = " or ".join(map(repr, KINDS))
            raise BadGraph(f"a gate is called {kinds}, or that with a suffix such as 'handoff_review'; got {name!r}")
        if name in self._team.gates:
            raise BadGraph(f"there are two gates {name!r}")
        for what, given in (("route", route), ("decide", decide)):
            if not callable(given) or iscoroutinefunction(given):
                raise BadGraph(f"gate {name!r}: `{what}` must be a plain function that is not async, got {given!r}")
        self._team.gates[name] = GateDeclaration(decide, tuple(agents), route, tuple(destinations))
        return self

    def add_node(
        self, name: str, node: Callable[..., Any], *, to: str | Agent | None = None, destinations: Sequence[str] = ()
    ) -> Team:
        """Add a node of your own; return the team.

        It leads `to` a gate, an agent or another node; before an agent, the gate `guard_dispatch_<name>` judges what is
        sent. A node that returns LangGraph's `Command` names the gates and nodes to which it may go in `destinations`.
        """
        if name in self._team.own:
            raise BadGraph(f"there are two nodes {name!r}")
        if (to is None) == (not destinations):
            raise BadGraph(f"node {name!r}: give exactly one of `to` and `destinations`")
        if isinstance(to, Agent):
            agent, to = to, f"dispatch_{name}"
            if to in self._team.gates:
                raise BadGraph(f"node {name!r} leads to an agent by a gate {to!r}, which exists already")
            self._team.gates[to] = GateDeclaration(
                _leave_open, (), lambda gate: gate.send(agent), (agent,), reads_plans=False
            )
        self._team.own[name] = OwnNode(node, (to,) if to is not None else tuple(destinations), is_routing=to is None)
        return self

    def expect(
        self,
        *,
        rounds: int | None = None,
        requests: tuple[int, int] | None = None,
        repeats: int | None = None,
        accepts: Collection[str] | None = None,
        before_exit: Callable[[GateContext], None] | None = None,
    ) -> Team:
        """State what the routes of the team allow, which `estimate` cannot see otherwise; return the team.

        `rounds` is how many they begin at most, `requests` to how many workers they send in a round: usually, and at
        most. `repeats` is to how many workers they send one subtask at most, one after the other. By default the guards
        bound the rounds, and agents that are no planner's workers work once in each.
        `accepts` are the types of events that its gates take from outside (`GateContext.services.published`).
        `before_exit` is called in the exit gate, however the run ends, before the value is judged: it writes gaps, and
        a draft, that the team keeps elsewhere than in the channels of the shared state.
        """
        for name, value in {"rounds": rounds, "requests": requests and min(requests), "repeats": repeats}.items():
            if value is not None and value < 1:
                raise BadGraph(f"`{name}` must be at least 1, got {value!r}")
        self._team.rounds, self._team.requests, self._team.repeats = rounds, requests, repeats
        self._team.accepts = None if accepts is None else frozenset(accepts)
        self._team.before_exit = before_exit
        return self

    def build(self) -> StateGraph[Any, Any, Any, Any]:
        """Return the team as an uncompiled graph. Raises `BadGraph`, which names what does not fit together."""
        check_team(self._team)
        check_reviewers(self._team)
        graph: Any = wire(self._team)
        check_unpriced(graph)
        check_child_limits(graph.team)
        return graph


def _check_limits(concurrency: int | None, skill_limits: Mapping[str, int]) -> None:
    if concurrency is not None and concurrency < 1:
        raise BadGraph(f"`concurrency` must be at least 1, got {concurrency!r}")
    low = next((skill for skill, limit in skill_limits.items() if limit < 1), None)
    if low is not None:
        raise BadGraph(f"`skill_limits` must be at least 1 each, got {skill_limits[low]!r} for {low!r}")


def _leave_open(gate: GateContext, agents: Sequence[Agent]) -> None:
    """Decide nothing: the route returns the destination."""
