"""Compiled graphs, kept for the next run on the same graph."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, NamedTuple, cast

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from guardgraph.runs.former_names import with_former_names
from guardgraph.runs.graph_facts import facts_of
from guardgraph.runs.versions import GraphVersion, former_names
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.codec.graph_types import types_of_graph

__all__ = ("CompiledGraphs", "saver_of")

_KEPT = 16
"""How many graphs are kept: those that were used last."""
_Compiled = CompiledStateGraph[Any, Any, Any, Any]


class _Parts(NamedTuple):
    """What a graph consisted of when it was compiled: it is kept, so that no other part takes its identity."""

    named: Mapping[str, object]
    """The nodes and branches, which are compared by identity."""
    edges: frozenset[object]

    @classmethod
    def of(cls, graph: StateGraph[Any, Any, Any, Any]) -> _Parts:
        """Return the parts of a graph as it is now."""
        branches = {f"{node} {name}": one for node, named in graph.branches.items() for name, one in named.items()}
        return cls({**graph.nodes, **branches}, frozenset([*graph.edges, *graph.waiting_edges]))

    def are(self, others: _Parts) -> bool:
        """Return whether no node, edge or branch was added, removed or replaced."""
        is_same = self.edges == others.edges and [*self.named] == [*others.named]
        return is_same and all(one is others.named[name] for name, one in self.named.items())


class CompiledGraphs:
    """Compiles graphs with a saver that stores their types; a graph that was changed since is compiled again."""

    def __init__(self, saver: SQLSaver, store: BaseStore | None) -> None:
        """Use a saver and LangGraph's store for all of them."""
        self._saver, self._store = saver, store
        self._kept: OrderedDict[tuple[str, int], tuple[_Parts, _Compiled]] = OrderedDict()
        self._lock = Lock()

    def get(
        self,
        name: str,
        graph: StateGraph[Any, Any, Any, Any],
        version: GraphVersion | None = None,
        *,
        is_kept: bool = True,
    ) -> _Compiled:
        """Return a compiled graph of the caller's own, so that its checkpointer can be replaced.

        What is stored about it with every checkpoint is in its config. A graph that was built for one run alone is not
        kept.
        """
        key, parts = (name, id(graph)), _Parts.of(graph)
        with self._lock:
            found, compiled = self._kept.get(key, (None, None))
        if compiled is None or found is None or not found.are(parts):
            compiled = self._compile(name, graph, version or GraphVersion(graph))
        if is_kept:
            with self._lock:
                self._kept[key] = (parts, compiled)
                self._kept.move_to_end(key)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return compiled.copy()

    def _compile(self, name: str, graph: StateGraph[Any, Any, Any, Any], version: GraphVersion) -> _Compiled:
        whole = with_former_names(graph, former_names(version.in_order()))
        saver = self._saver.with_types(*types_of_graph(whole))
        compiled = whole.compile(checkpointer=saver, store=self._store, name=name)
        return compiled.with_config(metadata=facts_of(graph, compiled, version.version))


def saver_of(graph: CompiledStateGraph[Any, Any, Any, Any]) -> SQLSaver:
    """Return the checkpointer with which the runner has compiled a graph."""
    return cast("SQLSaver", graph.checkpointer)
