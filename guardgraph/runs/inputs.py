"""What a caller has asked of a runner, made sure of before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import StreamMode
from pydantic import ValidationError

from guardgraph.nodes.admission import task_of
from guardgraph.nodes.messages import asked_in
from guardgraph.state import Allowance, BadGraph, BadInput, RunEvent, Task, merge_messages

__all__ = (
    "asked_allowance",
    "asked_answers",
    "asked_arguments",
    "asked_input",
    "asked_listener",
    "asked_modes",
    "asked_task",
    "registered",
)


def asked_task(asked: object) -> Task:
    """Return what is asked as a task; see `asked_input`."""
    return asked_input(asked)[0]


def asked_input(asked: object) -> tuple[Task, dict[str, Any]]:
    """Return what is asked as a task, and the input of the graph that asks it.

    It is a text, a `Task`, the fields of one, or `{"task": …}`; or `{"messages": […]}`, where the last message of a
    human is the goal; or both. Raises `BadInput` for anything else.
    """
    if not isinstance(asked, Mapping) or not {"task", "messages"} & set(cast(Mapping[str, Any], asked)):
        task = task_of(asked)
        return task, {"task": task}
    fields = cast(Mapping[str, Any], asked)
    unknown = sorted(map(repr, set(fields) - {"task", "messages"}))
    if unknown:
        raise BadInput(f"unknown fields {', '.join(unknown)} beside `task` and `messages`")
    messages = merge_messages(None, fields.get("messages"))
    given = asked_in({"task": fields.get("task"), "messages": messages})
    task = task_of(given.task)
    if not messages:
        return task, {"task": task}
    return task, {"task": task, "messages": messages}


def asked_answers(answers: object) -> dict[str, Any]:
    """Return answers by the ids of their questions. Raises `BadInput` for what is no mapping."""
    if answers is None:
        return {}
    if not isinstance(answers, Mapping):
        raise BadInput(
            f"`answers` maps the id of each question of `run.waiting` to its answer, as {{'id': 1}}; got {answers!r}"
        )
    return dict(cast(Mapping[str, Any], answers))


def asked_arguments(arguments: object) -> dict[str, Any]:
    """Return what a graph is built with, by name. Raises `BadInput` for what is no mapping."""
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise BadInput(f"`arguments` maps the names of a builder's arguments, as {{'workers': 3}}; got {arguments!r}")
    return dict(cast(Mapping[str, Any], arguments))


def asked_listener(on_event: object) -> Callable[[RunEvent], None] | None:
    """Return the function that is to be told every event, if any. Raises `BadInput` for what cannot be called."""
    if on_event is not None and not callable(on_event):
        raise BadInput(f"`on_event` is a function that is given every event, as events.append; got {on_event!r}")
    return cast("Callable[[RunEvent], None] | None", on_event)


def asked_modes(modes: object) -> tuple[StreamMode, ...]:
    """Return what is to be streamed, given as one mode or several. Raises `BadInput` for what is no mode."""
    given: tuple[object, ...] = (modes,)
    if isinstance(modes, Sequence) and not isinstance(modes, str):
        given = tuple(cast("Sequence[object]", modes))
    known: tuple[StreamMode, ...] = get_args(StreamMode)
    unknown = [mode for mode in given if mode not in known]
    if unknown:
        told = ", ".join(map(repr, unknown))
        raise BadInput(f"`stream_mode` is one or several of {', '.join(map(repr, known))}; got {told}")
    return cast("tuple[StreamMode, ...]", given)


def asked_allowance(add: object) -> Allowance | None:
    """Return what is to be added, given as an `Allowance` or its fields. Raises `BadInput` for what is neither."""
    if add is None or isinstance(add, Allowance):
        return add
    if not isinstance(add, Mapping):
        raise BadInput(f"`add` is an Allowance, as Allowance(usd='1.00') or {{'usd': '1.00'}}; got {add!r}")
    try:
        return Allowance.model_validate(dict(cast(Mapping[str, Any], add)))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise BadInput(f"`add` is no Allowance: {told}; its fields are {', '.join(Allowance.model_fields)}") from error


def registered(graphs: object) -> dict[str, Callable[..., Any] | StateGraph[Any, Any, Any, Any]]:
    """Return builders and graphs by their names.

    Raises:
        BadInput: it is no mapping, or a name is no text or empty.
        BadGraph: what is registered is compiled, or neither a graph nor a function that could return one.
    """
    if not isinstance(graphs, Mapping):
        raise BadInput(f"`graphs` maps names to builders, as {{'vendors': build}}; got {graphs!r}")
    found = dict(cast(Mapping[Any, Any], graphs))
    for name, build in found.items():
        if not isinstance(name, str) or not name.strip():
            raise BadInput(f"the name of a graph is a text, as in {{'vendors': build}}; got {name!r}")
        if isinstance(build, CompiledStateGraph):
            raise BadGraph(f"graph {name!r} is compiled; register the StateGraph itself, or a function that returns it")
        if not (callable(build) or isinstance(build, StateGraph)):
            raise BadGraph(f"graph {name!r} must be a StateGraph or a function that returns one, got {build!r}")
    return found
