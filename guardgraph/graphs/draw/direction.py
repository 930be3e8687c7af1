"""Which edges lead back, and in which order nodes run."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter

from guardgraph.graphs.draw.description import EdgeDescription, GraphDescription
from guardgraph.graphs.draw.dominators import Dominators

__all__ = ("depths", "in_order", "layers")


def in_order(graph: GraphDescription) -> GraphDescription:
    """Return the graph with its nodes in the order in which they run, and its edges marked as forward or back.

    Edges are added one by one, and one that would close a cycle leads back. First come edges to a node that every path
    from their source to the end goes through, such as one exit of many gates; last come those to a node that every path
    from the start to their source goes through: they close a loop. Among others those that are always taken come first,
    then those closer to the start.
    """
    place = {node.id: number for number, node in enumerate(graph.nodes)}
    depth = depths(graph)
    far = len(place)
    before, behind = _dominators(graph)

    def rank(edge: EdgeDescription) -> tuple[int, bool, int, int, int]:
        closes = before.on_every_path(edge.target, to=edge.source)
        order = 2 if closes else 1 - behind.on_every_path(edge.target, to=edge.source)
        known = depth.get(edge.source, far)
        return order, edge.kind != "always", known, place[edge.source], place[edge.target]

    after: dict[str, set[str]] = defaultdict(set)
    back: set[tuple[str, str]] = set()
    for edge in sorted(graph.edges, key=rank):
        if _leads_to(after, edge.target, edge.source):
            back.add(edge.ends)
        else:
            after[edge.source].add(edge.target)
    order = _order(after, sorted(place, key=lambda id: (depth.get(id, far), place[id])))
    nodes = sorted(graph.nodes, key=lambda node: order[node.id])
    edges = sorted(graph.edges, key=lambda edge: (order[edge.source], order[edge.target]))
    return replace(graph, nodes=tuple(nodes), edges=tuple(replace(edge, is_back=edge.ends in back) for edge in edges))


def depths(graph: GraphDescription) -> dict[str, int]:
    """Return how many edges each node is from the start at least; a node that is not reached has no entry.

    A graph without a start, such as a chain of Runnables, begins at the nodes to which nothing leads.
    """
    targets: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        targets[edge.source].append(edge.target)
    found = {node.id: 0 for node in graph.nodes if node.kind == "start" and not node.cluster}
    if not found:
        found = dict.fromkeys({node.id for node in graph.nodes} - {edge.target for edge in graph.edges}, 0)
    waiting = deque(found)
    while waiting:
        source = waiting.popleft()
        for target in targets[source]:
            if target not in found:
                found[target] = found[source] + 1
                waiting.append(target)
    return found


def layers(graph: GraphDescription) -> dict[str, int]:
    """Return the most forward edges by which each node is reached; the nodes have to be in their order."""
    found = {node.id: 0 for node in graph.nodes}
    for edge in graph.edges:  # in the order of their sources
        if not edge.is_back:
            found[edge.target] = max(found[edge.target], found[edge.source] + 1)
    return found


def _dominators(graph: GraphDescription) -> tuple[Dominators, Dominators]:
    """Return what lies on every path from the start, and on every path to the end."""
    targets: dict[str, list[str]] = defaultdict(list)
    sources: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        targets[edge.source].append(edge.target)
        sources[edge.target].append(edge.source)
    top = [node for node in graph.nodes if not node.cluster]
    start = next((node.id for node in top if node.kind == "start"), "")
    end = next((node.id for node in top if node.kind == "end"), "")
    return Dominators(targets, start), Dominators(sources, end)


def _leads_to(after: Mapping[str, Iterable[str]], source: str, wanted: str) -> bool:
    seen, waiting = {source}, [source]
    while waiting:
        node = waiting.pop()
        if node == wanted:
            return True
        new = set(after.get(node, ())) - seen
        seen |= new
        waiting.extend(new)
    return False


def _order(after: Mapping[str, Iterable[str]], preferred: Iterable[str]) -> dict[str, int]:
    """Return the place of each node: forward edges point to later places, ties are in the preferred order."""
    wanted = {id: number for number, id in enumerate(preferred)}
    sorter = TopologicalSorter[str](dict.fromkeys(wanted, ()))
    for source, targets in after.items():
        for target in targets:
            sorter.add(target, source)
    sorter.prepare()
    order: dict[str, int] = {}
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=wanted.__getitem__)
        for id in ready:
            order[id] = len(order)
        sorter.done(*ready)
    return order
