"""A router sends each request to exactly one worker: by rules, then by a classifier, then by a model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, cast

from langgraph.graph import StateGraph
from pydantic import Field, create_model

from guardgraph.agents.agent import Agent
from guardgraph.agents.defaults import with_defaults
from guardgraph.graphs.team import Team
from guardgraph.guards import Depth, Guard, Schema
from guardgraph.nodes.context import worker_roster
from guardgraph.nodes.decisions.route import Classifier, Ladder, RouteChoice
from guardgraph.nodes.decisions.route_request import review_worker, route_request
from guardgraph.nodes.decisions.rule import Rule
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import BadGraph, RoutingDecision, RunState
from guardgraph.state.argument_checks import must_be

__all__ = ("RouterState", "router")

_INSTRUCTIONS = (
    "Choose the one worker that should handle the request: answer its name as it is listed, and why in one sentence. "
    "Answer null where none of them fits. Do not handle the request yourself."
)


class RouterState(RunState, total=False):
    """The shared state of a router."""

    routing: list[RoutingDecision]
    """The decisions of the latest run, in their order: the last one names the worker that got the request."""


def router(
    workers: Sequence[Agent],
    *,
    fallback: Agent,
    rules: Sequence[Rule] = (),
    classifier: Classifier | None = None,
    model: Agent | None = None,
    threshold: float = 0.5,
    margin: float = 0.1,
    timeout: float | None = 5.0,
    guards: Sequence[Guard] | None = None,
    board: Board | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "router",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a router as an uncompiled graph: each request goes to exactly one of `workers`; its answer is the value.

    The first rule that matches decides. Else `classifier` does, if its best score is at least `threshold` and ahead of
    the second by `margin` (both 0 to 1). Else `model` is asked: an agent that answers a worker's name, or fields of
    which `worker` is one. A chat model gets a schema with the names, instructions, and at least two attempts.
    `fallback`, which may be one of `workers`, gets what none of them decides, and what a worker has failed at: nothing
    is dropped. A predicate or a classifier that takes more than `timeout` seconds has failed. Workers are sent the task
    and its background alone.

    The state has a channel `routing`, the decisions with their features. `guards=None` means `Depth()` and `Schema()`;
    `[]` means none. `reviewers` give opinions where guards name them. Raises `BadGraph` for no workers, no rung, names
    that are not unique, a rule for an unknown worker, and numbers outside their range.
    """
    _check(workers, fallback, rules, classifier, model)
    agents = [*workers] if any(worker is fallback for worker in workers) else [*workers, fallback]
    by_name = {agent.name: agent for agent in agents}
    ladder = Ladder(tuple(by_name), tuple(rules), classifier, threshold, margin, timeout)
    team = Team(
        name, guards=guards, default_guards=(Depth(), Schema()), entry=_to_dispatch, destinations=["dispatch"],
        state=RouterState, board=board, reviewers=reviewers,
    )  # fmt: skip
    team.add_agents(agents, gate="handoff", can_rewrite=True)
    output = _choice_of(tuple(by_name))
    deciding = [] if model is None else [with_defaults(model, output=output, instructions=_INSTRUCTIONS, attempts=2)]
    team.add_agents(deciding, gate="dispatch", channel="plans", context=worker_roster(agents))
    decide = partial(route_request, ladder=ladder, workers=by_name, fallback=fallback)
    team.add_gate("dispatch", decide, agents=deciding, route=_conclude, destinations=[*deciding, *agents])
    review = partial(review_worker, fallback=fallback)
    team.add_gate("handoff", review, agents=agents, route=_conclude, destinations=[fallback])
    return team.expect(rounds=1, requests=(1, 1 if agents == [fallback] else 2)).build()


def _check(
    workers: Sequence[Agent],
    fallback: Agent,
    rules: Sequence[Rule],
    classifier: Classifier | None,
    model: Agent | None,
) -> None:
    for argument, (value, kind) in {
        "workers": (workers, Sequence[Agent]),
        "fallback": (fallback, Agent),
        "rules": (rules, Sequence[Rule]),
        "model": (model, Agent | None),
    }.items():
        must_be("router", argument, value, kind)
    if not workers:
        raise BadGraph("a router needs at least one worker")
    if not rules and classifier is None and model is None:
        raise BadGraph("a router needs `rules`, a `classifier` or a `model` to decide by")


def _choice_of(workers: tuple[str, ...]) -> Any:
    """Return the schema of the model's answer."""
    worker: Any = (cast("Any", Literal[workers]) | None, Field(description="the name of the worker, or null"))
    return create_model("RouteChoice", __base__=RouteChoice, worker=worker)


def _to_dispatch(gate: GateContext) -> Destination:
    gate.needs_no_budget = True  # nothing is sent yet
    return "dispatch"


def _conclude(gate: GateContext) -> Destination:
    return gate.conclude()
