"""Loads graphs and classes that users name as `MODULE:NAME`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.cli.output import prints_to_stderr
from guardgraph.research.graph import research
from guardgraph.runs.named_graph import unfit_arguments
from guardgraph.state import BadGraph, BadInput, GuardgraphError, error_place, error_text

__all__ = ("builder_of", "class_at", "graph_at")


def builder_of(name: str) -> dict[str, Callable[..., Any]]:
    """Return the builder of a graph by its name, for a runner; nothing for an unknown name.

    A graph of `MODULE:GRAPH` is built with `folder`, the working directory from which it was first run.
    """
    if name == "research":
        return {name: research}
    return {name: partial(graph_at, name)} if ":" in name else {}


@prints_to_stderr()
def graph_at(name: str, folder: str | None = None, *, validate: bool = True) -> StateGraph[Any, Any, Any, Any]:
    """Import `MODULE:GRAPH`, with `folder` (the working directory) importable, and return the graph.

    GRAPH is a `StateGraph`, a function without arguments that returns one, or a compiled graph, of which the graph
    is taken. With `validate=False` its routes may go to nodes that do not exist.

    Raises:
        BadInput: the name has another form, the module cannot be imported, or it holds no such graph.
        BadGraph: the graph cannot be built, or a route that it declares goes to a node that does not exist.
    """
    found = _named(name, "a graph", "MODULE:GRAPH (as in my_teams:vendors)", folder or str(Path.cwd()), _hint)
    return _graph_of(found, name, validate=validate)


@prints_to_stderr()
def class_at(name: str) -> type[Any]:
    """Import `MODULE:CLASS`, with the working directory importable, and return the class.

    Raises:
        BadInput: the name has another form, the module cannot be imported, or it holds no such class.
    """
    found = _named(name, "a class", "MODULE:CLASS (as in my_teams:Report)", str(Path.cwd()), _classes)
    if not isinstance(found, type):
        raise BadInput(f"{name!r} is no class, but of type {type(found).__name__}")
    return found


def _named(name: str, what: str, form: str, folder: str, hint: Callable[[Any], str]) -> Any:
    """Import a module and return something in it, both as they are in `name`."""
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise BadInput(f"{what} is named as {form}, got {name!r}")
    if module_name.endswith(".py") or "/" in module_name:
        path = Path(module_name)
        parent = "" if path.parent == Path() else f" in the folder {str(path.parent)!r}"
        raise BadInput(f"{what} is named by its module, not by its file; write {path.stem}:{attribute}{parent}")
    module: Any = _imported(module_name, folder)
    try:
        return attrgetter(attribute)(module)
    except AttributeError as error:
        raise BadInput(f"{module_name!r} has no {attribute!r}; {hint(module)}") from error


def _imported(name: str, folder: str) -> Any:
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return import_module(name)
    except GuardgraphError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise BadInput(
                f"there is no module {name!r}; it is looked for in {folder!r} and in Python's path"
            ) from error
        raise BadInput(f"cannot import {name!r}: it needs the module {error.name!r}, which is missing") from error
    except SyntaxError as error:  # its text names the file and the line
        raise BadInput(f"cannot import {name!r}: {error_text(error)}") from error
    except (Exception, SystemExit) as error:
        raise BadInput(f"cannot import {name!r}: {error_text(error)} ({error_place(error)})") from error


def _graph_of(found: Any, name: str, *, validate: bool) -> StateGraph[Any, Any, Any, Any]:
    if callable(found) and not isinstance(found, StateGraph):
        found = _built(found, name)
    graph = found.builder if isinstance(found, CompiledStateGraph) else found
    if not isinstance(graph, StateGraph):
        kind = type(graph).__name__
        raise BadInput(f"{name!r} is no graph, but of type {kind}; name a graph, or a function that returns one")
    try:
        return graph.validate() if validate else graph
    except ValueError as error:
        raise BadGraph(f"{name!r} is wired wrongly: {error}") from error


def _built(build: Callable[..., Any], name: str) -> Any:
    unfit = unfit_arguments(build, {})
    if unfit is not None:
        raise BadInput(f"{name!r} cannot be called without arguments: {unfit}") from unfit
    try:
        return build()
    except GuardgraphError:
        raise
    except (Exception, SystemExit) as error:
        raise BadGraph(f"{name!r} cannot be built: {error_text(error)} ({error_place(error)})") from error


def _classes(module: Any) -> str:
    """Name the classes of a module."""
    names = [name for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]
    return f"its classes are {', '.join(names) or 'none'}"


def _hint(module: Any) -> str:
    """Name the graphs of a module, and its functions that may build one."""
    names = [name for name, value in vars(module).items() if not name.startswith("_") and _may_be_graph(value, module)]
    missing = "it has no graph, and no function without arguments that returns one"
    return f"it has {', '.join(names)}" if names else missing


def _may_be_graph(value: Any, module: Any) -> bool:
    is_own_function = inspect.isfunction(value) and value.__module__ == module.__name__
    return isinstance(value, StateGraph | CompiledStateGraph) or (
        is_own_function and unfit_arguments(value, {}) is None
    )
