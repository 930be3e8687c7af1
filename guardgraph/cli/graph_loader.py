"""Graphs that users name as `MODULE:GRAPH`."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.cli.output import prints_apart
from guardgraph.research.graph import research
from guardgraph.state import BadGraph, BadInput, GuardgraphError, error_text

__all__ = ("builder_of", "graph_at")


def builder_of(name: str) -> dict[str, Callable[..., Any]]:
    """Return the builder of a graph by its name, for a runner; nothing for a name that is not known here.

    A graph of `MODULE:GRAPH` is built with `folder`, the working directory from which it was first run.
    """
    if name == "research":
        return {name: research}
    return {name: partial(graph_at, name)} if ":" in name else {}


@prints_apart()
def graph_at(name: str, folder: str | None = None) -> StateGraph[Any, Any, Any, Any]:
    """Import `MODULE:GRAPH`, with `folder` (the working directory) importable, and return the graph.

    GRAPH is a `StateGraph`, a function without arguments that returns one, or a compiled graph, of which the graph
    is taken.

    Raises:
        BadInput: the name has another form, the module cannot be imported, or it holds no such graph.
        BadGraph: the graph cannot be built, or a route that it declares goes to a node that does not exist.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise BadInput(f"a graph is named as MODULE:GRAPH (as in my_teams:vendors), got {name!r}")
    if module_name.endswith(".py") or "/" in module_name:
        raise BadInput(_by_file(Path(module_name), attribute))
    module = _imported(module_name, folder or str(Path.cwd()))
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise BadInput(f"{module_name!r} has no {attribute!r}; {_hint(attribute, module)}")
        found = getattr(found, part)
    return _checked(_graph_of(found, name), name)


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
        raise BadInput(f"cannot import {name!r}: it needs the module {error.name!r}, which is not there") from error
    except (Exception, SystemExit) as error:
        raise BadInput(f"cannot import {name!r}: {_told(error)}") from error


def _graph_of(found: Any, name: str) -> StateGraph[Any, Any, Any, Any]:
    if isinstance(found, CompiledStateGraph):
        found = found.builder
    elif callable(found) and not isinstance(found, StateGraph):
        found = _called(found, name)
    if isinstance(found, CompiledStateGraph):
        found = found.builder
    if not isinstance(found, StateGraph):
        raise BadInput(
            f"{name!r} is no graph, but of type {type(found).__name__}; name a graph, or a function that returns one"
        )
    return found


def _called(build: Callable[..., Any], name: str) -> Any:
    try:
        inspect.signature(build).bind()
    except TypeError as error:
        raise BadInput(f"{name!r} cannot be called without arguments: {error}") from error
    except ValueError:  # some builtins tell no signature
        pass
    try:
        return build()
    except GuardgraphError:
        raise
    except (Exception, SystemExit) as error:
        raise BadGraph(f"{name!r} cannot be built: {_told(error)}") from error


def _checked(graph: StateGraph[Any, Any, Any, Any], name: str) -> StateGraph[Any, Any, Any, Any]:
    try:
        graph.validate()
    except ValueError as error:
        raise BadGraph(f"{name!r} is wired wrongly: {error}") from error
    return graph


def _told(error: BaseException) -> str:
    """Return an error with the line of code that raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return error_text(error) + ("" if isinstance(error, SyntaxError) else place)


def _by_file(path: Path, attribute: str) -> str:
    """Return what to write in place of a file's path."""
    folder = "" if path.parent == Path() else f" in the folder {str(path.parent)!r}"
    return f"a graph is named by its module, not by its file; write {path.stem}:{attribute}{folder}"


def _hint(wanted: str, module: Any) -> str:
    """Return the names that are meant perhaps: graphs of a module, and its functions that may build one."""
    kinds = (StateGraph, CompiledStateGraph)
    names = [name for name, value in vars(module).items() if isinstance(value, kinds) or _is_builder(value, module)]
    names = [name for name in names if not name.startswith("_")]
    near = get_close_matches(wanted, names, n=1)
    if near:
        return f"is {module.__name__}:{near[0]} meant?"
    return (
        f"it has {', '.join(names)}" if names else "it has no graph, and no function without arguments that returns one"
    )


def _is_builder(value: Any, module: Any) -> bool:
    """Tell whether `value` is a function of the module that can be called without arguments."""
    if not inspect.isfunction(value) or value.__module__ != module.__name__:
        return False
    try:
        inspect.signature(value).bind()
    except TypeError:
        return False
    return True
