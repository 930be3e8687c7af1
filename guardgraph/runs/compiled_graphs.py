"""Compiled graphs, kept for the next run on the same graph."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any, cast

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.codec.graph_types import types_of_graph

__all__ = ("CompiledGraphs", "saver_of")

_KEPT = 16
"""How many graphs are kept: those that were used last."""
_Compiled = CompiledStateGraph[Any, Any, Any, Any]


class CompiledGraphs:
    """Compiles graphs with a saver that stores their types; a graph that was changed since is compiled again."""

    def __init__(self, saver: SQLSaver, store: BaseStore | None) -> None:
        """Use a saver and LangGraph's store for all of them."""
        self._saver, self._store = saver, store
        self._kept: OrderedDict[tuple[str, int], tuple[object, _Compiled]] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str, graph: StateGraph[Any, Any, Any, Any], *, is_kept: bool = True) -> _Compiled:
        """Return a compiled graph of the caller's own, so that its checkpointer can be replaced.

        A graph that was built for one run alone is not kept.
        """
        key, version = (name, id(graph)), _version(graph)
        with self._lock:
            found, compiled = self._kept.get(key, (None, None))
        if compiled is None or found != version:
            saver = self._saver.with_types(*types_of_graph(graph))
            compiled = graph.compile(checkpointer=saver, store=self._store, name=name)
        if is_kept:
            with self._lock:
                self._kept[key] = (version, compiled)
                self._kept.move_to_end(key)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return compiled.copy()


def _version(graph: StateGraph[Any, Any, Any, Any]) -> object:
    """Return what changes with the nodes, edges and branches of a graph."""
    nodes = tuple((name, id(node)) for name, node in graph.nodes.items())
    branches = tuple((name, tuple(map(id, named.values()))) for name, named in graph.branches.items())
    return nodes, frozenset(graph.edges), frozenset(graph.waiting_edges), branches


def saver_of(graph: CompiledStateGraph[Any, Any, Any, Any]) -> SQLSaver:
    """Return the checkpointer with which the runner has compiled a graph."""
    return cast("SQLSaver", graph.checkpointer)
