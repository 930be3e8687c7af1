"""Finding the classes that a graph's state may hold, so that they can be registered with a codec."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any, get_args, get_origin, get_type_hints

from langgraph.graph import StateGraph
from pydantic import BaseModel
from typing_extensions import TypeAliasType, is_typeddict

from guardgraph.storage.sql.codec.named_in_code import named_in_code
from guardgraph.storage.sql.codec.records import default_types, is_registrable, is_storable
from guardgraph.storage.sql.codec.tags import name_of_stored

__all__ = ("named_types", "types_in", "types_of_graph")


def types_in(*schemas: Any) -> tuple[type[Any], ...]:
    """Return every class in `schemas` and in their fields that can be registered, however deep.

    A schema is a `TypedDict`, a pydantic model, a dataclass, an enum, or any annotation made of them.
    """
    found: dict[Any, None] = {}
    for schema in schemas:
        _walk(schema, found)
    return tuple(kind for kind in found if is_registrable(kind))


def types_of_graph(graph: StateGraph[Any, Any, Any, Any]) -> tuple[type[Any], ...]:
    """Return every class in the schemas of an uncompiled graph and of all graphs in it, and those that its code names.

    The first are the classes of its state, of its input and output, and of its nodes' inputs. The second are in the
    closures and globals of the functions that work in it, as the class of a `response_format` is; one that cannot be
    stored, or shares its name with another one, is left out.
    """
    named = named_in_code(graph)
    declared = types_in(*(schema for one in named.graphs for schema in _schemas_of(one)))
    return (*declared, *_unambiguous(named.annotations, declared))


def named_types(names: Collection[tuple[str, ...]]) -> tuple[type[Any], ...]:
    """Return the registrable classes among `(module, name)` pairs; only imported modules are looked at."""
    found = (getattr(sys.modules.get(module), name, None) for module, name, *_ in names)
    return tuple(kind for kind in found if isinstance(kind, type) and is_registrable(kind))


def _unambiguous(annotations: Iterable[Any], declared: Collection[type[Any]]) -> list[type[Any]]:
    """Return the classes in `annotations` that can be stored, with all that their fields hold, under one name each."""
    found = [_storable_in(annotation) for annotation in annotations]
    tags: dict[str, set[type[Any]]] = {}
    for kind in (*default_types(), *declared, *chain.from_iterable(found)):
        tags.setdefault(name_of_stored(kind).tag, set()).add(kind)
    sound = (kinds for kinds in found if all(len(tags[name_of_stored(kind).tag]) == 1 for kind in kinds))
    return list(dict.fromkeys(chain.from_iterable(sound)))


def _storable_in(annotation: Any) -> tuple[type[Any], ...]:
    """Return the classes that an annotation registers; none where one of them cannot be stored."""
    try:
        kinds = types_in(annotation)
    except Exception:  # whatever a class that nobody meant to store does when it is looked at
        return ()
    return kinds if all(map(is_storable, kinds)) else ()


def _schemas_of(graph: StateGraph[Any, Any, Any, Any]) -> list[Any]:
    inputs = (node.input_schema for node in graph.nodes.values())
    return [graph.state_schema, graph.input_schema, graph.output_schema, *inputs]


def _walk(annotation: Any, found: dict[Any, None]) -> None:
    annotation = getattr(annotation, "__supertype__", annotation)  # what a NewType stands for
    if isinstance(annotation, TypeAliasType) and annotation not in found:
        found[annotation] = None
        _walk(annotation.__value__, found)
    for argument in get_args(annotation):
        _walk(argument, found)
    if isinstance(annotation, type) and get_origin(annotation) is None and annotation not in found:
        found[annotation] = None
        for field in _fields_of(annotation):
            _walk(field, found)


def _fields_of(kind: type[Any]) -> tuple[Any, ...]:
    if issubclass(kind, BaseModel):
        kind.model_rebuild(raise_errors=False)  # names of classes that were defined after it
        return tuple(field.annotation for field in kind.model_fields.values())
    if not (is_typeddict(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        return ()
    try:
        return tuple(get_type_hints(kind, include_extras=True).values())
    except (
        NameError
    ):  # a name that only the type checker sees; a value of it is refused when it is written, by its path
        return ()
