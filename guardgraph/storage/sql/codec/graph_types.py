"""Finding the classes that a graph may store: those of its schemas, and those that the code of its nodes can reach.

A function that works as an agent may call a graph which no schema names, and `create_agent` keeps the class of its
structured response in a closure. The search follows references; it calls nothing.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from gc import get_referents
from itertools import chain, islice
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, get_origin
from weakref import WeakSet

from langchain_core.runnables import Runnable
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.storage.sql.codec.records import missing_arguments, types_in
from guardgraph.storage.sql.codec.tags import LANGCHAIN, name_of_stored

__all__ = ("has_unstored_graph", "types_of_graph")

_MOST = 20_000
"""How many objects are visited at most, so that a graph over a large program is still built at once."""
_MOST_ITEMS = 1_000
"""How many references of one object are followed at most."""
_FRAMEWORKS = frozenset({"guardgraph", "langchain", "langchain_core", "langgraph", "langsmith", "pydantic"})
_CONTAINERS = frozenset(
    {dict, list, tuple, set, frozenset, deque, partial, MethodType, CellType, staticmethod, classmethod, property}
)
_OPAQUE = (str, bytes, bytearray, int, float, complex, type(None), ModuleType, CodeType)
_METHODS = (FunctionType, staticmethod, classmethod, property)
_unstored: WeakSet[StateGraph[Any, Any, Any, Any]] = WeakSet()
"""The graphs that hold one without a checkpointer, by the latest search in them."""


def types_of_graph(graph: StateGraph[Any, Any, Any, Any]) -> tuple[type[Any], ...]:
    """Return every class in the schemas of an uncompiled graph and of all graphs in it, and those that its code names.

    The first are the classes of its state, of its input and output, and of its nodes' inputs. The second are in the
    closures and globals of the functions of its nodes, such as the class of a `response_format`; one that cannot be
    stored, or shares its name with another one, is left out.
    """
    search = _Search(graph)
    (_unstored.add if search.has_unstored else _unstored.discard)(graph)
    declared = types_in(*chain.from_iterable(map(_schemas_of, search.graphs)))
    return (*declared, *_unambiguous(search.annotations, declared))


def has_unstored_graph(graph: StateGraph[Any, Any, Any, Any]) -> bool:
    """Return whether `types_of_graph` has found a graph in this one that was compiled with `checkpointer=False`."""
    return graph in _unstored


class _Search:
    """Breadth-first search for graphs, and for classes of users' own modules and annotations made of them.

    Closures are followed everywhere; the globals of a function only in the packages that the agents come from, and
    never in the standard library or in the frameworks. An object that is reached through a global does not make its
    package one of the agents'.
    """

    def __init__(self, graph: Any) -> None:
        self.seen: dict[int, Any] = {}  # keeps what it has seen alive, so that no id is used twice
        self.queue: deque[tuple[Any, bool]] = deque()
        self.packages: set[str] = set()
        self.graphs: list[Any] = []
        self.annotations: list[Any] = []
        self.has_unstored = False
        self.add([graph])
        while self.queue and len(self.seen) < _MOST:
            item, by_global = self.queue.popleft()
            self.visit(item, by_global=by_global)

    def add(self, items: Iterable[Any], *, by_global: bool = False) -> None:
        for item in islice(items, _MOST_ITEMS):
            if not isinstance(item, _OPAQUE) and id(item) not in self.seen:
                self.seen[id(item)] = item
                self.queue.append((item, by_global))

    def visit(self, item: Any, *, by_global: bool) -> None:
        if isinstance(item, StateGraph):
            self.graphs.append(item)
            self.add(node.runnable for node in item.nodes.values())
            self.add(branch.path for branches in item.branches.values() for branch in branches.values())
        elif isinstance(item, CompiledStateGraph):
            self.add([item.builder])
            self.has_unstored |= item.checkpointer is False
        elif isinstance(item, FunctionType):
            self.add([part for part in get_referents(item) if part is not item.__globals__], by_global=by_global)
            if self.is_agents(item.__module__, by_global=by_global):
                self.add(_globals_of(item), by_global=True)
        elif isinstance(item, type):
            self.visit_class(item, by_global=by_global)
        elif get_origin(item) is not None:
            self.annotations.append(item)
        else:
            package = _package(type(item).__module__)
            if type(item) in _CONTAINERS or package in _FRAMEWORKS or self.is_agents(package, by_global=by_global):
                self.add(get_referents(item), by_global=by_global)

    def visit_class(self, item: type[Any], *, by_global: bool) -> None:
        if _package(item.__module__) in _FRAMEWORKS:
            return
        if not issubclass(item, Runnable):  # a model or a tool is not data
            self.annotations.append(item)
        if self.is_agents(item.__module__, by_global=by_global):
            members = chain.from_iterable(vars(base).values() for base in item.__mro__)
            self.add((member for member in members if isinstance(member, _METHODS)), by_global=True)

    def is_agents(self, module: str | None, *, by_global: bool) -> bool:
        """Return whether a module is of a package that the agents come from."""
        package = _package(module)
        if package in _FRAMEWORKS or package in sys.stdlib_module_names - {"__main__"}:
            return False
        if not by_global:
            self.packages.add(package)
        return package in self.packages


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _globals_of(item: FunctionType) -> Iterator[Any]:
    """Yield the globals that a function names, and what it names of modules."""
    names = _names_in(item.__code__)
    for name in names:
        value = item.__globals__.get(name, sys.modules.get(name))
        if isinstance(value, ModuleType):
            yield from (vars(value)[other] for other in names if other in vars(value))
        else:
            yield value


def _names_in(code: CodeType) -> set[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names_in, nested))


def _schemas_of(graph: Any) -> list[Any]:
    inputs = (node.input_schema for node in graph.nodes.values())
    return [graph.state_schema, graph.input_schema, graph.output_schema, *inputs]


def _unambiguous(annotations: Iterable[Any], declared: Collection[type[Any]]) -> list[type[Any]]:
    """Return the storable classes in `annotations`, with those of their fields, except those that share a name."""
    found = [_storable_in(annotation) for annotation in annotations]
    tags: dict[str, set[type[Any]]] = {}
    for kind in (*LANGCHAIN.values(), *declared, *chain.from_iterable(found)):
        tags.setdefault(name_of_stored(kind).tag, set()).add(kind)
    sound = (kinds for kinds in found if all(len(tags[name_of_stored(kind).tag]) == 1 for kind in kinds))
    return list(dict.fromkeys(chain.from_iterable(sound)))


def _storable_in(annotation: Any) -> tuple[type[Any], ...]:
    """Return the classes that an annotation registers; none where one of them cannot be stored."""
    try:
        kinds = types_in(annotation)
        return () if any(map(missing_arguments, kinds)) else kinds
    except Exception:  # whatever a class that is not meant to be stored raises when it is inspected
        return ()
