"""Lets a notebook show graphs by themselves."""

from __future__ import annotations

from typing import Any

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.graphs.draw.picture import draw

__all__ = ("load_ipython_extension", "unload_ipython_extension")


def load_ipython_extension(ipython: Any) -> None:
    """Show each graph that is the value of a cell as its picture; called by `%load_ext guardgraph.graphs.draw`."""
    for kind in (StateGraph, CompiledStateGraph):
        ipython.display_formatter.mimebundle_formatter.for_type(kind, _bundle)


def unload_ipython_extension(ipython: Any) -> None:
    """Undo it; called by `%unload_ext guardgraph.graphs.draw`."""
    for kind in (StateGraph, CompiledStateGraph):
        ipython.display_formatter.mimebundle_formatter.pop(kind, None)


def _bundle(graph: Any, include: Any = None, exclude: Any = None) -> Any:
    return draw(graph)._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage] - the name is IPython's
