"""What is stored with every checkpoint about the graph that has made it: its version and its topology."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import chain
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from langgraph.channels import BinaryOperatorAggregate, DeltaChannel
from langgraph.channels.base import BaseChannel
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import ReadOnly

from guardgraph.graphs.draw.reading import nested_graphs
from guardgraph.state import AgentInput, RunState, TeamInput

__all__ = ("CHANNELS", "FINGERPRINT", "OWN", "VERSION", "facts_of", "kind_of", "signature_of")

VERSION, FINGERPRINT, CHANNELS = "graph_version", "graph_fingerprint", "graph_channels"
"""The keys in the metadata of a checkpoint."""
OWN = frozenset(chain.from_iterable(map(get_type_hints, (RunState, TeamInput, AgentInput))))
"""The channels of guardgraph itself."""
_WRAPPERS = (Annotated, Required, NotRequired, ReadOnly)


def facts_of(graph: StateGraph[Any, Any, Any, Any], compiled: Any, version: str | None) -> dict[str, str]:
    """Return what every checkpoint of a graph has in its metadata: texts, since LangGraph stores no others.

    The fingerprint is a digest of nodes, edges, declared destinations and channels, at every level that LangGraph
    shows; not of code, prompts or guards. It is the same in every process and on every version of Python.
    """
    topology = sorted(map(list, _topology(graph, nested_graphs(compiled))))
    digest = blake2b(json.dumps(topology, ensure_ascii=True).encode(), digest_size=16)
    added = {name: signature_of(one) for name, one in graph.channels.items() if name not in OWN}
    return {VERSION: version or "", FINGERPRINT: digest.hexdigest(), CHANNELS: json.dumps(added, sort_keys=True)}


def signature_of(channel: BaseChannel[Any, Any, Any]) -> str:
    """Return the kind of a channel and the type of its values, as `last[int]`."""
    if isinstance(channel, DeltaChannel):
        kind = "delta"
    elif isinstance(channel, BinaryOperatorAggregate):
        kind = "reduced"
    else:
        kind = {"LastValue": "last"}.get(type(channel).__name__, type(channel).__name__)
    return f"{kind}[{_name(channel.typ)}]"


def kind_of(signature: str) -> str:
    """Return the kind of a channel by its signature."""
    return signature.partition("[")[0]


def _topology(
    graph: Any, nested: Mapping[str, CompiledStateGraph[Any, Any, Any, Any]], level: str = ""
) -> Iterator[tuple[str, ...]]:
    """Yield every part of a graph, and of those within it."""
    for name, node in graph.nodes.items():
        yield (level, "node", name)
        yield from ((level, "destination", name, str(end)) for end in node.ends or ())
        if node.error_handler_node is not None:
            yield (level, "error", name, node.error_handler_node)
    yield from ((level, "edge", source, target) for source, target in graph.edges)
    yield from ((level, "join", *sorted(sources), target) for sources, target in graph.waiting_edges)
    for source, branches in graph.branches.items():
        ends = chain.from_iterable((branch.ends or {"?": "?"}).values() for branch in branches.values())
        yield from ((level, "destination", source, str(end)) for end in ends)
    yield from _channels(graph, level)
    for name, inner in nested.items():
        if name in graph.nodes:  # and not a former name
            yield from _topology(inner.builder, nested_graphs(inner), f"{level}{name}/")


def _channels(graph: Any, level: str) -> Iterator[tuple[str, ...]]:
    for name, channel in graph.channels.items():
        reducer = getattr(channel, "operator", getattr(channel, "reducer", None))
        yield (level, "channel", name, signature_of(channel), getattr(reducer, "__qualname__", type(reducer).__name__))


def _name(annotation: Any) -> str:
    """Return the name of a type. The `repr` of some differs with the version of Python or has an address in it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in _WRAPPERS:
        return _name(arguments[0])
    if origin in (Union, UnionType):
        return "|".join(sorted(map(_name, arguments)))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is not None:
        return f"{_name(origin)}[{', '.join(map(_name, arguments))}]"
    if isinstance(annotation, list):  # the parameters of a callable
        return f"[{', '.join(map(_name, annotation))}]"
    if annotation in (None, NoneType):
        return "None"
    if annotation is ...:
        return "..."
    return str(getattr(annotation, "__qualname__", getattr(annotation, "__name__", type(annotation).__name__)))
