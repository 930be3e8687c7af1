"""Reads any LangGraph graph into a description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.draw.description import (
    ClusterDescription,
    EdgeDescription,
    EdgeKind,
    GraphDescription,
    NodeDescription,
)
from guardgraph.graphs.draw.direction import in_order
from guardgraph.graphs.draw.facts import facts_of_agent, facts_of_node, guards_of
from guardgraph.state import BadInput

__all__ = ("describe", "nested_graphs")


def describe(graph: Any, *, xray: bool | int = False) -> GraphDescription:
    """Return the nodes and edges of a graph; nothing of it is run.

    `graph` is a `StateGraph`, a compiled graph, or any Runnable. Of the first two, edges are read from their
    declaration, which is more exact than `get_graph()`: that stops after 250 supersteps, and draws a branch without
    declared destinations as an edge to the end. `xray` expands nested graphs, to this depth if it is a number.

    Raises:
        BadInput: `graph` is none of these.
    """
    read = _Reading()
    if isinstance(graph, StateGraph | CompiledStateGraph):
        read.state_graph(cast("Any", graph), prefix="", depth=1_000 if xray is True else int(xray))
    elif callable(getattr(graph, "get_graph", None)):
        read.drawable(graph.get_graph(xray=xray) if _takes_xray(graph) else graph.get_graph())
    else:
        raise BadInput(f"`graph` must be a LangGraph graph, compiled or not, got {type(graph).__name__}")
    return in_order(GraphDescription(tuple(read.nodes.values()), tuple(read.edges.values()), tuple(read.clusters)))


def _takes_xray(graph: Any) -> bool:
    return hasattr(graph, "get_subgraphs")


class _Reading:
    """What was read so far."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeDescription] = {}
        self.edges: dict[tuple[str, str], EdgeDescription] = {}
        self.clusters: list[ClusterDescription] = []

    def state_graph(self, graph: Any, *, prefix: str, depth: int) -> tuple[str, str]:
        """Read a graph whose ids begin with `prefix`; return the ids where it begins and where it ends."""
        builder = graph.builder if isinstance(graph, CompiledStateGraph) else graph
        nested = nested_graphs(graph) if depth > 0 else {}
        inside = _Level(builder)
        entries: dict[str, str] = {}
        exits: dict[str, str] = {}
        for name in inside.names(is_nested=bool(prefix)):
            if name in nested:
                spec = builder.nodes[name]
                cluster = ClusterDescription(prefix + name, name, prefix.removesuffix(":"), _facts(spec, graph, name))
                self.clusters.append(cluster)
                entries[name], exits[name] = self.state_graph(nested[name], prefix=f"{prefix}{name}:", depth=depth - 1)
            else:
                entries[name] = exits[name] = prefix + name
                self.nodes[prefix + name] = _node(builder, graph, name, prefix, is_open=name in inside.open)
        for edge in inside.edges.values():
            self.add(replace(edge, source=exits[edge.source], target=entries[edge.target]))
        return self._trimmed(prefix) if prefix else ("", "")

    def _trimmed(self, prefix: str) -> tuple[str, str]:
        """Drop a start and an end that show nothing: one edge, to a node that nothing else leads to."""
        first, last = prefix + START, prefix + END
        out = [edge for edge in self.edges.values() if edge.source == first]
        if len(out) == 1 and sum(edge.target == out[0].target for edge in self.edges.values()) == 1:
            first = self._without(first, out[0], out[0].target)
        into = [edge for edge in self.edges.values() if edge.target == last]
        if len(into) == 1 and sum(edge.source == into[0].source for edge in self.edges.values()) == 1:
            last = self._without(last, into[0], into[0].source)
        return first, last

    def _without(self, node: str, edge: EdgeDescription, other: str) -> str:
        del self.nodes[node], self.edges[edge.ends]
        return other

    def add(self, edge: EdgeDescription) -> None:
        """Add an edge; one that is taken always covers one by decision."""
        known = self.edges.get(edge.ends)
        if known is None or (known.kind != "always" and edge.kind == "always"):
            self.edges[edge.ends] = edge

    def drawable(self, graph: Any) -> None:
        """Read LangChain's drawable graph."""
        for id, node in graph.nodes.items():
            cluster, _, label = id.rpartition(":")
            for parent in _prefixes(cluster):
                if parent not in {one.id for one in self.clusters}:
                    above, _, name = parent.rpartition(":")
                    self.clusters.append(ClusterDescription(parent, name, above))
            known = NodeDescription(id, label or id, "start" if label == START else "end" if label == END else "node")
            facts = facts_of_node(node.data, node.metadata or {})
            self.nodes[id] = replace(known, cluster=cluster, facts=facts)
        for edge in graph.edges:
            kind: EdgeKind = "decision" if edge.conditional else "always"
            self.add(EdgeDescription(edge.source, edge.target, kind, str(edge.data) if edge.data else ""))


class _Level:
    """The edges of one graph, as declared; nested graphs are single nodes."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.edges: dict[tuple[str, str], EdgeDescription] = {}
        self.open: set[str] = set()
        for source, target in builder.edges:
            self._add(source, target, "always")
        for sources, target in builder.waiting_edges:
            for source in sources:
                self._add(source, target, "always")
        for source, branches in builder.branches.items():
            for branch in branches.values():
                if branch.ends is None:
                    self.open.add(source)
                for label, target in (branch.ends or {}).items():
                    self._add(source, target, "decision", str(label))
        for name, spec in builder.nodes.items():
            self._declared(name, spec)
        self._end_of_what_leads_nowhere()

    def names(self, *, is_nested: bool) -> list[str]:
        """Return the nodes in the order of their declaration, and the targets that do not exist."""
        used = dict.fromkeys(name for edge in self.edges.values() for name in edge.ends)
        ends = [END] if is_nested or END in used else []
        return [*dict.fromkeys([START, *self.builder.nodes, *(name for name in used if name != END), *ends])]

    def _declared(self, name: str, spec: Any) -> None:
        """Add the destinations of a node that returns LangGraph's `Command`, and the handler of its errors."""
        ends = spec.ends or ()
        for target in ends:
            self._add(name, target, "decision", str(ends[target]) if isinstance(ends, Mapping) else "")
        if spec.error_handler_node is not None:
            self._add(name, spec.error_handler_node, "error")

    def _end_of_what_leads_nowhere(self) -> None:
        leading = {edge.source for edge in self.edges.values() if edge.kind != "error"} | self.open
        reached = {edge.target for edge in self.edges.values() if edge.kind != "error"}
        for name, spec in self.builder.nodes.items():
            if name in reached and name not in leading and not spec.is_error_handler:
                self._add(name, END, "always")

    def _add(self, source: str, target: str, kind: EdgeKind, label: str = "") -> None:
        label = "" if label == target else label
        known = self.edges.get((source, target))
        if known is not None:
            kind = "always" if "always" in (known.kind, kind) else known.kind
            label = " / ".join(dict.fromkeys(filter(None, (known.label, label))))
        self.edges[source, target] = EdgeDescription(source, target, kind, label)


def nested_graphs(graph: Any) -> dict[str, Any]:
    """Return the nested graphs of a `StateGraph` by the names of their nodes, as LangGraph finds them."""
    try:
        compiled = graph if isinstance(graph, CompiledStateGraph) else graph.compile()
    except ValueError:  # what is wired wrongly is described all the same, without its nested graphs
        return {}
    return {name: nested for name, nested in compiled.get_subgraphs() if isinstance(nested, CompiledStateGraph)}


def _node(builder: Any, graph: Any, name: str, prefix: str, *, is_open: bool) -> NodeDescription:
    spec = builder.nodes.get(name)
    cluster = prefix.removesuffix(":")
    if spec is None:
        kind = "start" if name == START else "end" if name == END else "node"
        facts = () if kind != "node" else ("this node does not exist",)
        return NodeDescription(prefix + name, name, kind, cluster, facts=facts, is_open=is_open)
    guards = guards_of(spec.metadata)
    agent = _agent(spec)
    return NodeDescription(
        prefix + name,
        name,
        "gate" if guards is not None else "agent" if agent else "node",
        cluster,
        guards=guards or (),
        facts=_facts(spec, graph, name),
        is_open=is_open,
        agent=agent,
    )


def _agent(spec: Any) -> Agent | None:
    """Return the agent of a node that `agent_node` made."""
    agent = getattr(spec.runnable, "agent", None)
    return agent if isinstance(agent, Agent) else None


def _facts(spec: Any, graph: Any, name: str) -> tuple[str, ...]:
    agent = _agent(spec)
    own = facts_of_agent(agent, getattr(spec.runnable, "concurrency", None)) if agent else ()
    stops = [
        f"interrupt {when}"
        for when in ("before", "after")
        if name in (getattr(graph, f"interrupt_{when}_nodes", None) or ())
    ]
    return (*own, *facts_of_node(spec.runnable, spec.metadata or {}), *(["deferred"] if spec.defer else []), *stops)


def _prefixes(cluster: str) -> Iterable[str]:
    parts = cluster.split(":") if cluster else []
    return (":".join(parts[: count + 1]) for count in range(len(parts)))
