"""A supervisor plans, workers work in parallel, a synthesizer writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from warnings import warn

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.agents.defaults import with_defaults
from guardgraph.agents.skills import Skills
from guardgraph.graphs.team import Team
from guardgraph.guards import Convergence, Cycle, Depth, Guard, Limits, Schema
from guardgraph.nodes.context import worker_roster
from guardgraph.nodes.decisions.contradictions import resolve_first, resolver_with_defaults, was_resolved
from guardgraph.nodes.decisions.dispatch import nothing_to_send, pending_subtasks, read_plan_and_dispatch
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import BadGraph, Plan
from guardgraph.state.argument_checks import must_be

__all__ = ("WideTeamWarning", "supervisor")

_WIDE = 10
"""Workers under one lead above which a warning is given."""
_PLANNING = """\
You plan the work of a team; you do none of it yourself. Split the goal into subtasks for the workers that are listed.
- A subtask names as its skill one of the skills of the worker that is to do it, or the name of that worker.
- A worker sees its own subtask, the task as a whole, and the results of the subtasks in `depends_on`; nothing else. \
Write each goal so that it can be understood alone, and name in `depends_on` what it needs.
- Subtasks that do not depend on each other run at the same time. Plan as few as are needed.
- You are asked again with the results and with what is missing. Answer an empty plan once the goal can be met with \
them; never repeat a subtask that has a result.\
"""
"""The instructions of a model planner that has none of its own."""


class WideTeamWarning(UserWarning):
    """One lead has more workers than it can plan for well."""


def supervisor(
    *,
    planner: Agent,
    workers: Sequence[Agent],
    synthesizer: Agent | None = None,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = 4,
    skill_limits: Mapping[str, int] | None = None,
    skills: Skills | None = None,
    resolver: Agent | None = None,
    board: Board | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "supervisor",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a team as an uncompiled graph: plan, work in parallel, review, plan again, write.

    The planner answers a `Plan` and plans again with accepted results and gaps; an empty plan ends the rounds. All
    subtasks that can start are sent at once; `concurrency` caps how many agents work at a time, and `skill_limits` how
    many of those with a skill. A planner that is a model needs nothing else: it answers a `Plan`, has instructions, and
    at least two attempts. `guards=None` means `Depth()`, `Cycle()`, `Convergence()`, `Limits()` and `Schema()`; `[]`
    means none. Without a synthesizer the value is the list of accepted results. With `skills` a worker that can do the
    special can do the general. Where claims in accepted results contradict each other, the `resolver` decides first;
    what it does not decide is a gap. `reviewers` give opinions where guards name them. Raises `BadGraph` for names that
    are empty, reserved or not unique, and for agents and guards of another type.
    """
    for argument, value in {"planner": planner, "synthesizer": synthesizer, "resolver": resolver}.items():
        must_be("supervisor", argument, value, Agent if argument == "planner" else Agent | None)
    must_be("supervisor", "workers", workers, Sequence[Agent])
    must_be("supervisor", "skills", skills, Skills | None)
    workers = workers if skills is None else [*map(skills.expanded, workers)]
    _check_size(name, planner, workers)
    planner = with_defaults(planner, output=Plan, instructions=_PLANNING, attempts=2)
    team = Team(
        name,
        guards=guards,
        default_guards=(Depth(), Cycle(), Convergence(), Limits(), Schema()),
        entry=[planner],
        author=synthesizer,
        concurrency=concurrency,
        skill_limits=skill_limits,
        board=board,
        reviewers=reviewers,
    )
    team.add_agents([planner], gate="dispatch", channel="plans", context=worker_roster(workers))
    resolvers = [] if resolver is None else [resolver_with_defaults(resolver)]
    team.add_agents([*workers, *resolvers], gate="handoff")
    dispatch = partial(_read_and_dispatch, resolver=resolver)
    route = partial(_plan_again, planner=planner, resolver=resolver)
    team.add_gate("dispatch", dispatch, agents=[planner, *workers], route=route, destinations=[planner, *resolvers])
    route, after = partial(_after_work, planner=planner, resolver=resolver), ["dispatch", planner, *resolvers]
    team.add_gate("handoff", agents=[*workers, *resolvers], route=route, destinations=after)
    return team.build()


def _check_size(name: str, planner: Agent, workers: Sequence[Agent]) -> None:
    if not workers:
        raise BadGraph("a supervisor needs at least one worker")
    if len(workers) > _WIDE:
        warn(
            f"{name}: {planner.name!r} leads {len(workers)} workers; above {_WIDE} plans get worse and rounds slower: "
            "`hierarchy` with `Tier.of_workers` puts leads between them",
            WideTeamWarning,
            stacklevel=3,
        )


def _read_and_dispatch(gate: GateContext, agents: Sequence[Agent], *, resolver: Agent | None) -> Destination | None:
    destination = read_plan_and_dispatch(gate, agents)
    return None if destination is None else resolve_first(gate, destination, resolver)


def _after_work(gate: GateContext, *, planner: Agent, resolver: Agent | None) -> Destination:
    if was_resolved(gate.state):
        return resolve_first(gate, gate.conclude(), resolver)
    return "dispatch" if pending_subtasks(gate.state) else _plan_again(gate, planner=planner, resolver=resolver)


def _plan_again(gate: GateContext, *, planner: Agent, resolver: Agent | None) -> Destination:
    stop = nothing_to_send(gate) or gate.next_round()
    if stop is None:
        return gate.send(planner)
    if gate.gaps:
        return resolve_first(gate, gate.stop_for(stop), resolver)
    gate.pending_stop = None  # with nothing missing, no other round is needed
    return resolve_first(gate, gate.conclude(), resolver)
