"""Agents that subscribe to events: whatever happens is an event, and each agent works on those of its types."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.subscription import EventTypes, Subscription, check_subscriptions, checked_types, subscribers_of
from guardgraph.graphs.team import Team
from guardgraph.guards import Depth, Guard, Schema
from guardgraph.nodes.decisions.emitted import DeclaredEvents
from guardgraph.nodes.decisions.event_index import EventIndexes
from guardgraph.nodes.decisions.event_outcome import close_log_at_exit
from guardgraph.nodes.decisions.event_work import EventRules
from guardgraph.nodes.decisions.react import WAIT, ReactiveState, begin_events, settle_deliveries, wait_for_events
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import TASK_EVENT, BadGraph
from guardgraph.state.argument_checks import must_be

__all__ = ("reactive",)


def reactive(
    subscriptions: Sequence[Subscription],
    *,
    accepts: Collection[str] = (),
    emits: Mapping[str, Collection[str]] | None = None,
    depth: int = 16,
    events: int = 10_000,
    value: str | Sequence[str] = (),
    synthesizer: Agent | None = None,
    until: Collection[str] = (),
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = None,
    board: Board | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "reactive",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a team as an uncompiled graph: agents subscribe to types of events, and emit events by their answers.

    The task is the first event, of type `task`. An agent emits by `Reply(events=…)`, a model by the tool `emit_event`,
    and only the types that `emits` declares for it; `accepts` are those from outside (`Runner.publish`). No agent gets
    its own events. For one subscriber the events of one source are worked on in their order, those of different
    sources in parallel. An event whose attempts are used up is parked, and is a gap; all others go on.

    The run ends once nothing is left to deliver; with `until` only once an event of one of these types has come: before
    that it waits. At most `events` come in one run, and at most `depth` of them cause each other; what is beyond is a
    gap, and what is left open is delivered by the next run on the thread. The value is the latest data of the type
    `value`, the data of all events of several types, or what the `synthesizer` writes, which is given the last 100 to
    200 results (a gap names how many there were); else all accepted results. `guards=None` means `Depth()` and
    `Schema()`. `reviewers` give opinions where guards name them. The state has the channel `event_log` (see
    `events_of`). Raises `BadGraph` for what does not fit together, as a type that no agent emits and that is not
    accepted.
    """
    _check(subscriptions, emits, depth, events, value, synthesizer)
    agents, subscribers = subscribers_of(subscriptions)
    types = EventTypes(
        accepts=checked_types(name, "accepts", accepts),
        emits={agent: checked_types(name, f"emits[{agent!r}]", some) for agent, some in (emits or {}).items()},
        until=checked_types(name, "until", until),
        value=frozenset([value]) if isinstance(value, str) else checked_types(name, "value", value),
    )
    check_subscriptions(subscribers, types)
    agents = tuple(_emitting(agent, types.emits.get(agent.name, frozenset())) for agent in agents)
    heads = {member.name: agent.name for agent in agents for member in agent.fallback_chain}
    rules = EventRules(
        agents={agent.name: agent for agent in agents},
        heads=heads,
        subscribers=subscribers,
        accepts=types.accepts,
        until=types.until,
        value=value if isinstance(value, str) else tuple(value),
        keeps_values=not value and synthesizer is None,
        depth=depth,
        events=events,
        indexes=EventIndexes(subscribers),
        reserved=frozenset([*heads, TASK_EVENT]),
    )
    declared = DeclaredEvents({agent: types.emits.get(head, frozenset()) for agent, head in heads.items()})
    team = Team(
        name, guards=[*((Depth(), Schema()) if guards is None else guards), declared],
        entry=partial(begin_events, rules=rules), destinations=[*agents, *([WAIT] if until else [])],
        author=synthesizer, concurrency=concurrency, state=ReactiveState, board=board, reviewers=reviewers,
    )  # fmt: skip
    requests = len(agents), len(agents) * events
    team.expect(rounds=1, requests=requests, accepts=types.accepts, before_exit=partial(close_log_at_exit, rules=rules))
    return _connected(team, rules, agents).build()


def _connected(team: Team, rules: EventRules, agents: Sequence[Agent]) -> Team:
    """Add the agents, the gate in which their answers are reviewed, and that in which a run waits."""
    team.add_agents(agents, gate="handoff")
    decide, waits = partial(settle_deliveries, rules=rules), [WAIT] if rules.until else []
    team.add_gate("handoff", decide, agents=agents, route=_conclude, destinations=[*agents, *waits])
    if waits:
        wait = partial(wait_for_events, rules=rules)
        team.add_gate(WAIT, agents=(), route=wait, destinations=[*agents])
    return team


def _check(
    subscriptions: object, emits: object, depth: object, events: object, value: object, synthesizer: object
) -> None:
    for argument, (given, kind) in {
        "subscriptions": (subscriptions, Sequence[Subscription]),
        "emits": (emits, Mapping[str, Any] | None),
        "depth": (depth, int),
        "events": (events, int),
        "synthesizer": (synthesizer, Agent | None),
    }.items():
        must_be("reactive", argument, given, kind)
    if not subscriptions:
        raise BadGraph("a reactive team needs at least one subscription")
    for argument, given, least in (("depth", depth, 0), ("events", events, 1)):
        if isinstance(given, int) and given < least:
            raise BadGraph(f"`{argument}` must be at least {least}, got {given!r}")
    if value and synthesizer is not None:
        raise BadGraph("give one of `value` and `synthesizer`: either events are the value, or an agent writes it")


def _emitting(agent: Agent, types: frozenset[str]) -> Agent:
    """Return an agent whose model has the tool `emit_event`; so has each of its fallbacks."""
    if not types:
        return agent
    if agent.fallback is not None:
        agent = replace(agent, fallback=_emitting(agent.fallback, types))
    if agent.kind != "model":
        return agent
    from guardgraph.agents.emit_event import emit_event_tool  # loads LangChain's tools

    return replace(agent, tools=(*agent.tools, emit_event_tool(types)))


def _conclude(gate: GateContext) -> Destination:
    return gate.conclude()
