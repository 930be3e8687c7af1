"""The graph of a run, and its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.graphs.guarded import is_guarded
from guardgraph.runs.versions import GraphVersion
from guardgraph.state import BadGraph, BadInput, TeamOutput, UnknownGraph

__all__ = ("named_graph", "unfit_arguments")


def named_graph(
    graph: Any,
    arguments: Mapping[str, Any],
    builders: Mapping[str, GraphVersion],
) -> tuple[str, StateGraph[Any, Any, Any, Any]]:
    """Return the name of a graph and the graph itself; one of the `builders` is called with `arguments`.

    A graph that is given itself is called `unregistered`, unless it is one of the `builders`.

    Raises:
        UnknownGraph: no builder has this name.
        BadInput: the builder does not take these arguments. Its own exceptions are raised unchanged.
        BadGraph: it is compiled, is no `StateGraph`, or has no outcome in its output.
    """
    name = (
        graph if isinstance(graph, str) else next((name for name, one in builders.items() if one.build is graph), None)
    )
    if name is None:
        return "unregistered", _checked(graph, "unregistered")
    if name not in builders:
        raise UnknownGraph(name, registered=builders)
    build = builders[name].build
    if not isinstance(build, StateGraph):
        unfit = unfit_arguments(build, arguments)
        if unfit is not None:
            raise BadInput(f"graph {name!r} cannot be built with {sorted(map(str, arguments))}: {unfit}") from unfit
        build = build(**arguments)
    return name, _checked(build, name)


def unfit_arguments(build: Callable[..., Any], arguments: Mapping[str, Any]) -> TypeError | None:
    """Return why a function does not take these arguments; `None` if it does, or if that is not known."""
    try:
        signature(build).bind(**arguments)
    except TypeError as error:
        return error
    except ValueError:  # some builtins have no signature
        pass
    return None


def _checked(graph: Any, name: str) -> StateGraph[Any, Any, Any, Any]:
    if isinstance(graph, CompiledStateGraph):
        raise BadGraph(
            f"graph {name!r} is compiled; give the runner the graph itself, it brings its own checkpointer; what there "
            "is only compiled, such as an agent of `create_agent`, goes into `guarded(graph, guards)`"
        )
    if not isinstance(graph, StateGraph):
        hint = "call it, or register it under a name" if callable(graph) else "a builder must return a StateGraph"
        raise BadGraph(f"graph {name!r} is no StateGraph but of type {type(graph).__name__}; {hint}")
    if graph.output_schema is not TeamOutput and not is_guarded(graph):
        raise BadGraph(
            f"graph {name!r} has no outcome; make it with a pattern, with `guardgraph.graphs.Team` or with `guarded`"
        )
    return graph
