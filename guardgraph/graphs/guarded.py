"""Guards around a compiled LangGraph graph, unchanged inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_type_hints

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.channels import LastValue
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from guardgraph.agents.adapters import OwnCalls
from guardgraph.agents.agent import Agent
from guardgraph.agents.foreign_graph import (
    GivenGraph,
    astream_graph,
    closed,
    given_graph,
    has_outcome,
    stream_graph,
    with_input,
)
from guardgraph.graphs.declaration import Declaration, GateDeclaration, Member, check_team
from guardgraph.graphs.review_checks import as_reviewer, check_reviewers
from guardgraph.graphs.wiring import wire
from guardgraph.guards import AllowanceLimiter, AnyOf, Budget, Guard, checked_guards, conditions, leaves, name_of
from guardgraph.nodes.decisions.review import review_results
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import BadGraph, Outcome, Result, RunState, Task
from guardgraph.state.argument_checks import must_be

__all__ = ("GuardedState", "guarded", "is_guarded")

_GATES = frozenset({"admission", "dispatch", "handoff", "exit", "model", "tool"})
_ENDS = frozenset({"escalated", "refused", "cancelled"})
"""How a guarded graph within has ended where the one around it ends so too."""
_LONGEST = 2_000
"""Characters of the goal that describes the input of the graph."""


class GuardedState(RunState, total=False):
    """The state of the team that is around a graph."""

    kept: dict[str, Any]
    """The last state of the graph."""


def guarded(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    guards: Sequence[Guard],
    *,
    reviewers: Sequence[Agent] = (),
    name: str = "guarded",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a graph around a compiled one, with admission, meter and exit: uncompiled, for `compile` or a `Runner`.

    It has the input, output and context schemas of `graph`, and an `outcome` besides. Every call of a model or a tool
    inside is counted and judged before it happens, whoever makes it. Where a guard stops it, the last state of `graph`
    is its output, in which every tool call has an answer, and `outcome` has the status, what has stopped it, and as its
    value the structured response, the last text, or else the output as JSON data. What `graph` raises, and a deadline
    that ends the wait for it, become an outcome with the status `failed`, with its last state too. Interrupts, resume,
    streaming and checkpointers work as they do for a subgraph; where another process resumes an interrupt, what was
    spent before is known with a `Runner` alone.

    `graph` may be guarded itself, or hold agents with a `GuardMiddleware`: the guards within judge an answer first, and
    a call last. What is spent counts for all, and the tighter limit holds. Its outcome is taken over: a status that is
    not `completed` comes up.

    `guards` are `Budget`, `Deadline`, `Depth`, `Limits`, `Repetition`, `Velocity`, `AllowedTools`, `Schema`, and any of
    yours but those of `round`. Nothing concludes, so a `Budget` keeps no reserve. A guard of `handoff` with `Retry`
    runs `graph` again: one with `messages` goes on from its conversation with the reason, others begin anew. What is no
    key of its input begins anew with every input of a thread. `reviewers` are agents that give opinions of its answer
    where guards name them (`review=`).

    Raises `BadGraph` for what is no compiled `StateGraph`, for a team of guardgraph, which takes `guards=` itself, and
    for a guard that judges nowhere here, such as one for tasks of some categories: an input has none.
    """
    builder = _checked_graph(graph)
    found = _checked(guards)
    must_be("guarded", "name", name, str)
    must_be("guarded", "reviewers", reviewers, Sequence[Agent])
    team: Any = _team_around(graph, found, reviewers, name).compile()
    outer: Any = StateGraph(
        _state_of(graph, "State", builder.input_schema, builder.output_schema),
        context_schema=builder.context_schema,
        input_schema=builder.input_schema,
        output_schema=_state_of(graph, "Output", builder.output_schema),
    )
    outer.add_node(name, _GuardedNode(team, graph, outer.channels, frozenset(builder.schemas[builder.input_schema])))
    outer.add_edge(START, name)
    outer.add_edge(name, END)
    return outer


def is_guarded(graph: StateGraph[Any, Any, Any, Any]) -> bool:
    """Return whether a graph is one that `guarded` has made."""
    return any(isinstance(node.runnable, _GuardedNode) for node in graph.nodes.values())


class _GuardedNode(RunnableLambda[Any, Any]):
    """Runs the team around a graph; LangGraph finds the team, since the function given to `RunnableLambda` names it."""

    stream, astream = Runnable[Any, Any].stream, Runnable[Any, Any].astream
    transform, atransform = Runnable[Any, Any].transform, Runnable[Any, Any].atransform

    def __init__(self, team: Any, graph: Any, channels: Mapping[str, Any], inputs: frozenset[str]) -> None:
        def names(state: Any) -> Any:
            return team if state is None else state

        super().__init__(names, name="guarded")
        self.team, self.graph, self.channels, self.inputs = team, graph, channels, inputs

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run it once."""
        given = self._given(input)
        with with_input(GivenGraph(given)):
            output = self.team.invoke(_task_of(given), config, output_keys=["outcome", "kept"])
        return self._update(output)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run it once without blocking the event loop."""
        given = self._given(input)
        with with_input(GivenGraph(given)):
            output = await self.team.ainvoke(_task_of(given), config, output_keys=["outcome", "kept"])
        return self._update(output)

    def _given(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in state.items() if name in self.inputs}

    def _update(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """Return the last state of the graph as it is, whatever the reducers of its channels do."""
        kept: Mapping[str, Any] = output.get("kept") or {}
        return {
            **{
                name: value if isinstance(self.channels[name], LastValue) else Overwrite(value)
                for name, value in kept.items()
                if name in self.channels
            },
            "outcome": output["outcome"],  # in place of one of the graph's own, which it has taken over
        }


class _Calls(OwnCalls):
    """How the graph is called: with the input that it was given, and such that its states are kept."""

    def call(self, run: Any, request: Any, config: RunnableConfig) -> Any:
        return _usable(stream_graph(run, request, config))

    async def acall(self, run: Any, request: Any, config: RunnableConfig) -> Any:
        return _usable(await astream_graph(run, request, config))


def _usable(value: Any) -> Any:
    """Return the outcome of a guarded graph that was escalated as one with a value; `_conclude` ends the run as it."""
    is_escalated = isinstance(value, Outcome) and value.status == "escalated" and value.value is not None
    return value.model_copy(update={"status": "degraded"}) if is_escalated else value


def _team_around(
    graph: Any, guards: Sequence[Guard], reviewers: Sequence[Agent], name: str
) -> StateGraph[Any, Any, Any, Any]:
    """Return the team whose only agent is the graph, apart from reviewers."""
    agent = Agent("graph", run=graph, to_input=_Calls(), from_output=_same)
    declared = Declaration(
        name=name, guards=tuple(guards), entry=[agent], destinations=(agent,), author=None, required=(agent,),
        concurrency=None, skill_limits={}, state=GuardedState, reviewers=tuple(map(as_reviewer, reviewers)),
    )  # fmt: skip
    declared.members.append(Member(agent, "handoff", "results", (), can_rewrite=True, writes=_writes))
    route = partial(_conclude, has_outcome=has_outcome(graph))
    declared.gates["handoff"] = GateDeclaration(review_results, (agent,), route, ())
    declared.before_exit = _take_value
    check_team(declared)
    check_reviewers(declared)
    return wire(declared)


def _writes(result: Result) -> dict[str, Any]:
    state = given_graph().state
    if state is not None and result.error is not None:
        state = closed(state, result.error.message)
    return {"results": [result], **({} if state is None else {"kept": state})}


def _conclude(gate: GateContext, *, has_outcome: bool) -> Destination:
    own = (gate.state.get("kept") or {}).get("outcome") if has_outcome else None
    if isinstance(own, Outcome) and own.status in _ENDS:
        return gate.stop(own.status, by=own.stopped_by, reason=own.reason)
    return gate.conclude(gate.accepted[-1]) if gate.accepted else gate.conclude()


def _take_value(gate: GateContext) -> None:
    """Make what was accepted the value, also where the run was stopped."""
    if gate.state.get("draft") is None and gate.accepted:
        gate.write_unchecked(draft=gate.accepted[-1])


def _same(value: Any) -> Any:
    return value


def _task_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task that describes the input: the last message of a human, or the input as a text."""
    messages: Any = state.get("messages")
    listed: list[Any] = messages if isinstance(messages, list) else []
    human = next((one.text for one in reversed(listed) if isinstance(one, HumanMessage) and one.text.strip()), None)
    shown = {name: value for name, value in state.items() if not _has_messages(value)}
    goal = human or json.dumps(shown, default=str, ensure_ascii=False)
    return {"task": Task(goal=goal[:_LONGEST].encode(errors="replace").decode().replace("\0", " "))}


def _has_messages(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, BaseMessage) for one in value)


def _state_of(graph: Any, title: str, *schemas: Any) -> Any:
    """Return a schema with the keys of `schemas`, as they are declared, and `outcome`."""
    hints: dict[str, Any] = {}
    for schema in schemas:
        declared = get_type_hints(schema, include_extras=True)
        known = graph.builder.schemas[schema]
        hints |= {name: kind for name, kind in declared.items() if name in known}
    return TypedDict(title, {**hints, "outcome": Outcome}, total=False)  # type: ignore[misc]


def _checked_graph(graph: Any) -> Any:
    """Return the builder of a compiled graph. Raises `BadGraph` for anything else."""
    if isinstance(graph, StateGraph):
        raise BadGraph("guarded: `graph` is not compiled; pass `graph.compile()`")
    if not isinstance(graph, CompiledStateGraph):
        raise BadGraph(f"guarded: `graph` must be a compiled `StateGraph`, got {type(graph).__name__}")
    builder: Any = graph.builder
    if hasattr(builder, "team"):
        raise BadGraph("guarded: `graph` is a team of guardgraph; give it `guards=` itself")
    channels = {*builder.schemas[builder.input_schema], *builder.schemas[builder.output_schema]}
    if "outcome" in channels and not has_outcome(graph):
        raise BadGraph("guarded: `graph` has a channel `outcome` of its own; rename it, or guard it where it is made")
    if "__root__" in channels:
        raise BadGraph("guarded: the state of `graph` is one value without keys; give it a `TypedDict` or a model")
    return builder


def _checked(guards: Any) -> tuple[Guard, ...]:
    """Return the guards. Raises `BadGraph` for none, and for one that judges nowhere around a graph."""
    must_be("guarded", "guards", guards, Sequence[Any])
    found = checked_guards(guards)
    if not found:
        raise BadGraph("guarded: `guards` is empty, so nothing would be stopped; give at least one guard")
    idle = next((one for one in found if _GATES.isdisjoint(one.gates) and not _limits(one)), None)
    if idle is not None:
        gates = " and ".join(sorted(idle.gates))
        raise BadGraph(
            f"guarded: guard {name_of(idle)!r} judges at {gates}, which a graph in `guarded` does not have; its gates "
            f"are {', '.join(sorted(_GATES))}"
        )
    conditional = next((one for one in conditions(found) if one.categories is not None), None)
    if conditional is not None:
        raise BadGraph(
            f"guarded: `only(categories=…)` of guard {name_of(conditional)!r}: the input of a graph has no categories"
        )
    return tuple(map(_without_reserve, found))


def _limits(guard: Guard) -> bool:
    """Return whether a guard, or the parts that it is made of, narrow the allowance."""
    return any(isinstance(leaf, AllowanceLimiter) for leaf in leaves([guard]))


def _without_reserve(guard: Guard) -> Guard:
    """Return a guard whose budgets keep nothing: nothing concludes."""
    if isinstance(guard, AnyOf):
        return AnyOf(tuple(map(_without_reserve, guard.parts)))
    return replace(guard, reserve=0.0) if isinstance(guard, Budget) else guard
