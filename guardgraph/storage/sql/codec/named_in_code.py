"""Finding the graphs and classes that the code of a graph names: in closures, globals, partials, methods and objects.

A function that works as an agent may call a graph which no schema tells of, and `create_agent` keeps the class of its
structured response in a closure. What is found here is what such code can reach by name; nothing is called.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple, cast, get_origin

from langchain_core.runnables import Runnable
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

__all__ = ("Named", "named_in_code")

_MOST = 20_000
"""So many objects are looked at, so that a graph over a large program is still built at once."""
_MOST_ITEMS = 1_000
"""So many items of one collection."""
_FRAMEWORKS = frozenset({"guardgraph", "langchain", "langchain_core", "langgraph", "langsmith", "pydantic"})
_OPAQUE = (str, bytes, bytearray, int, float, complex, type(None), ModuleType)
_COLLECTIONS = (list, tuple, set, frozenset, deque)


class Named(NamedTuple):
    """What the code of a graph names."""

    graphs: list[StateGraph[Any, Any, Any, Any]]
    """The graph itself and all others, however deep."""
    annotations: list[Any]
    """Classes, and annotations made of them, of users' own modules."""


def named_in_code(graph: StateGraph[Any, Any, Any, Any]) -> Named:
    """Return the graphs and the classes that the nodes of `graph` can reach by name.

    Closures are followed everywhere; the globals of a function only in the packages that the agents come from, and
    never in the standard library or in the frameworks.
    """
    return _Search().of(graph)


class _Search:
    """One search, breadth first; what is met through a global does not make its package one of the agents'."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}  # holds what it has seen, so that no id is used twice
        self.queue: deque[tuple[Any, bool]] = deque()
        self.packages: set[str] = set()
        self.found = Named([], [])

    def of(self, graph: Any) -> Named:
        self.add([graph])
        while self.queue and len(self.seen) < _MOST:
            item, by_global = self.queue.popleft()
            self.visit(item, by_global=by_global)
        return self.found

    def add(self, items: Iterable[Any], *, by_global: bool = False) -> None:
        for item in items:
            if not isinstance(item, _OPAQUE) and id(item) not in self.seen:
                self.seen[id(item)] = item
                self.queue.append((item, by_global))

    def visit(self, item: Any, *, by_global: bool) -> None:
        if isinstance(item, StateGraph):
            self.found.graphs.append(cast("StateGraph[Any, Any, Any, Any]", item))
            self.add(_code_of(item))
        elif isinstance(item, Pregel):
            self.add(_inside_compiled(item))
        elif isinstance(item, FunctionType):
            self.function(item, by_global=by_global)
        elif isinstance(item, type):
            self.kind(item, by_global=by_global)
        elif get_origin(item) is not None:
            self.found.annotations.append(item)
        else:
            self.add(_collected(item), by_global=by_global)
            self.instance(item, by_global=by_global)

    def function(self, item: FunctionType, *, by_global: bool) -> None:
        self.add(_enclosed(item))
        self.add([*(item.__defaults__ or ()), *(item.__kwdefaults__ or {}).values()], by_global=by_global)
        if self.is_agents(item.__module__, by_global=by_global):
            self.add(_globals_of(item), by_global=True)

    def kind(self, item: type[Any], *, by_global: bool) -> None:
        """Take a class: what a state may hold, and its methods."""
        if _package(item.__module__) in _FRAMEWORKS:
            return
        if not issubclass(item, Runnable):  # a model or a tool is no data
            self.found.annotations.append(item)
        if self.is_agents(item.__module__, by_global=by_global):
            self.add(_methods_of(item), by_global=True)

    def instance(self, item: Any, *, by_global: bool) -> None:
        """Take an object: what it holds, if it is an agents' own, or a framework's; and its methods."""
        kind: type[Any] = type(item)
        own = self.is_agents(kind.__module__, by_global=by_global)
        if own or _package(kind.__module__) in _FRAMEWORKS:
            self.add(_held_by(item), by_global=by_global)
        if own:
            self.add(_methods_of(kind), by_global=True)

    def is_agents(self, module: str | None, *, by_global: bool) -> bool:
        """Tell whether a module is of a package that the agents come from."""
        package = _package(module)
        if package in _FRAMEWORKS or package in sys.stdlib_module_names - {"__main__"}:
            return False
        if not by_global:
            self.packages.add(package)
        return package in self.packages


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _code_of(graph: Any) -> Iterator[Any]:
    """Yield what the nodes and the conditional edges of a graph run."""
    for node in graph.nodes.values():
        yield node.runnable
    for branches in graph.branches.values():
        for branch in branches.values():
            yield branch.path


def _inside_compiled(graph: Any) -> Iterator[Any]:
    if isinstance(graph, CompiledStateGraph):
        yield cast("Any", graph).builder
        return
    for node in graph.nodes.values():  # of the functional API
        yield node.bound
    for channel in graph.channels.values():
        yield getattr(channel, "typ", None)


def _collected(item: Any) -> Iterable[Any]:
    """Return what a collection, a partial or a bound method consists of."""
    if isinstance(item, Mapping):
        return [*islice(cast("Mapping[Any, Any]", item).values(), _MOST_ITEMS)] if type(item) is dict else []
    if isinstance(item, _COLLECTIONS):
        return [*islice(cast("Iterable[Any]", item), _MOST_ITEMS)]
    if isinstance(item, functools.partial):
        made = cast("functools.partial[Any]", item)
        return [made.func, *made.args, *made.keywords.values()]
    if isinstance(item, MethodType):
        return [item.__self__, item.__func__]
    if isinstance(item, staticmethod | classmethod):
        return [cast("Any", item).__func__]
    return [item.fget] if isinstance(item, property) else []


def _held_by(item: Any) -> list[Any]:
    held = [*vars(item).values()] if hasattr(item, "__dict__") else []
    if dataclasses.is_dataclass(item):  # with slots, it has no __dict__
        held += [getattr(item, field.name, None) for field in dataclasses.fields(item)]
    return held


def _methods_of(kind: type[Any]) -> list[Any]:
    methods = (FunctionType, staticmethod, classmethod, property)
    return [value for base in kind.__mro__ for value in vars(base).values() if isinstance(value, methods)]


def _enclosed(item: FunctionType) -> Iterator[Any]:
    yield getattr(item, "__wrapped__", None)
    for cell in item.__closure__ or ():
        with suppress(ValueError):  # not filled yet
            yield cell.cell_contents


def _globals_of(item: FunctionType) -> Iterator[Any]:
    """Yield the globals that a function names, and what it names of modules."""
    names = _names_in(item.__code__)
    for name in names:
        value = item.__globals__.get(name, sys.modules.get(name))
        if isinstance(value, ModuleType):
            known = vars(value)
            yield from (known[other] for other in names if other in known)
        else:
            yield value


def _names_in(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_in(constant)
    return names
