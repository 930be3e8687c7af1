"""The frame that all patterns share: `guard_admission -> body -> guard_exit -> conclude -> END`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps

from guardgraph.guards import Guard, OnTrip, Retry, must_be, name_of
from guardgraph.nodes import Agent, Route, Ways, admission, agent_node, conclude, exit_gate, retried
from guardgraph.state import Ask, BadGraph, Gate, RunState, Told, error_text

__all__ = ("frame",)

_ANSWERED = frozenset[Gate]({"handoff", "round", "exit"})
"""The gates at which somebody has answered, who can be asked again."""


def frame(
    name: str,
    *,
    guards: Sequence[Guard],
    begin: Route,
    begins_at: Sequence[str],
    author: Agent | None = None,
    expected: Sequence[Agent] = (),
    concurrency: int | None = None,
    state: type[Any] = RunState,
) -> StateGraph[Any, Any, Any, Any]:
    """Return a graph with its way in and its way out; the body is yours to add.

    `begin` says where a task that was admitted goes: a node of `begins_at`, or `Send`s to such nodes. `author` is the
    agent whose draft is the team's value; it is added with a `guard_exit` behind it where a guard judges the exit or
    where it may try again. Send to it with `assign.send`. A body without an author goes to `conclude`, where the guards
    of `exit` judge what becomes the value. `expected` are agents without whom the work is not whole: where a run is
    stopped, each of them that has not worked is a gap.
    """
    _check(name, guards)
    must_be(name, "begins_at", begins_at, Sequence[str])
    must_be(name, "author", author, Agent | None)
    must_be(name, "expected", expected, Sequence[Agent])
    graph: Any = StateGraph(_channels_of(state), input_schema=Ask, output_schema=Told)
    way_in = admission(guards, team=name, begin=begin, ways=Ways(guards, frozenset(begins_at), author))
    graph.add_node("guard_admission", way_in, destinations=tuple(dict.fromkeys((*begins_at, "conclude"))))
    graph.add_edge(START, "guard_admission")
    graph.add_node("conclude", conclude(guards, expected=expected))
    graph.add_edge("conclude", END)
    if author is not None:
        _add_author(graph, author, guards, concurrency)
    return graph


def _channels_of(state: type[Any]) -> type[Any]:
    """Return the state with what LangGraph counts: `state` itself is data that needs no LangGraph."""

    class Channels(state):
        remaining_steps: RemainingSteps

    Channels.__name__ = Channels.__qualname__ = state.__name__
    return Channels


def _check(name: str, guards: Sequence[Guard]) -> None:
    """Raise `BadGraph` for what is no guard; a class such as `Depth` in place of `Depth()` is a common slip."""
    must_be("a pattern", "name", name, str)
    must_be(name, "guards", guards, Sequence[Any])
    for given in cast("Sequence[object]", guards):
        if isinstance(given, type):
            raise BadGraph(f"`guards` holds the class {given.__name__}; make a guard of it: {given.__name__}(…)")
        try:
            fault = _fault_of(given)
        except Exception as error:
            raise BadGraph(
                f"`guards` holds a {type(given).__name__} that cannot be read: {error_text(error)}"
            ) from error
        if fault:
            raise BadGraph(fault)


def _fault_of(given: object) -> str | None:
    """Return what is wrong with a guard. All that is asked of one later is read here, where an error is clear."""
    if not isinstance(given, Guard) or not isinstance(cast("object", given.on_trip), OnTrip):
        return (
            f"`guards` holds {given!r}, which is no guard: a guard is a callable with `gates` and `on_trip`; "
            "`@guard(at=…)` makes one of a function"
        )
    name, _ = name_of(given), bool(getattr(given, "judges_failures", False))
    unknown = sorted(set(given.gates).difference(get_args(Gate)))
    if unknown:
        return f"guard {name!r} names gates that do not exist: {', '.join(map(repr, unknown))}"
    if isinstance(given.on_trip, Retry) and _ANSWERED.isdisjoint(given.gates):
        return (
            f"guard {name!r} has `on_trip=Retry(…)`, but judges only at {', '.join(sorted(given.gates))}, "
            "where nobody has answered yet; say `Finish()`, `Escalate()` or `Refuse()`"
        )
    return None


def _add_author(graph: Any, author: Agent, guards: Sequence[Guard], concurrency: int | None) -> None:
    judged = any("exit" in guard.gates for guard in guards) or author.attempts > 1 or author.fallback is not None
    for agent in author.line:
        node = agent_node(agent, writes=lambda result: {"draft": result}, concurrency=concurrency, concluding=True)
        graph.add_node(agent.name, node)
        graph.add_edge(agent.name, "guard_exit" if judged else "conclude")
    if judged:
        again = retried([author], guards, gate="exit")
        graph.add_node("guard_exit", exit_gate(guards, author=author), destinations=(*again, "conclude"))
