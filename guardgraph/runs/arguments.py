"""Checks of the arguments of a `Runner`, before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, cast, get_args

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import StreamMode
from pydantic import ValidationError

from guardgraph.models.prices import price_of
from guardgraph.nodes.admission import task_of
from guardgraph.nodes.messages import run_input
from guardgraph.runs.versions import GraphVersion
from guardgraph.runtime.rates.rate_limit import RateLimit
from guardgraph.state import Allowance, BadGraph, BadInput, Task, TeamOutput, merge_messages

__all__ = (
    "IfBusy",
    "check_constructor",
    "check_leases",
    "check_seconds",
    "checked_allowance",
    "checked_answers",
    "checked_arguments",
    "checked_config",
    "checked_graphs",
    "checked_input",
    "checked_modes",
    "checked_rate_limits",
    "fitting_input",
    "require",
    "thread_of",
)

IfBusy = Literal["refuse", "wait"]
"""What a runner does where another one works on the thread."""

_LONGEST = 366 * 86_400
_PROVIDERS = (
    "amazon_bedrock", "anthropic", "anthropic_bedrock", "azure", "azure_ai", "azure_openai", "baseten",
    "bedrock", "bedrock_converse", "cerebras", "cohere", "deepseek", "fireworks", "google_anthropic_vertex",
    "google_genai", "google_vertexai", "groq", "huggingface", "ibm", "litellm", "mistral", "mistralai",
    "nvidia", "offline", "ollama", "openai", "openrouter", "perplexity", "sambanova", "together", "upstage",
    "writer", "xai",
)  # fmt: skip
"""Providers, as LangChain's clients name themselves; others are taken too, unless their name is nearly one of these."""
_ALIKE = 0.8
_CONFIG_KEYS = frozenset(RunnableConfig.__annotations__)
_POSITION_KEYS = frozenset({"checkpoint_id", "checkpoint_ns", "checkpoint_map"})


def require(fits: object, rule: str, value: object) -> None:
    """Raise `BadInput` with the rule and the value where it does not fit."""
    if not fits:
        raise BadInput(f"{rule}; got {value!r}")


def _mapping(value: object, rule: str) -> dict[str, Any]:
    """Return a mapping as a dict, an empty one for `None`. Raises `BadInput` for anything else."""
    require(value is None or isinstance(value, Mapping), rule, value)
    return dict(cast("Mapping[str, Any]", value or {}))


def check_constructor(*, on_event: object, store: object) -> None:
    """Raise `BadInput` for a callback or a store of another type."""
    rule = "`on_event` is a function that is given every event, as events.append"
    require(on_event is None or callable(on_event), rule, on_event)
    rule = "`store` is a LangGraph store, as InMemoryStore()"
    require(store is None or isinstance(store, BaseStore), rule, store)


def checked_rate_limits(limits: object) -> dict[str, RateLimit]:
    """Return rate limits by the names of providers and models. Raises `BadInput` for anything else."""
    rule = "`rate_limits` maps providers and models to limits, as {'openai:gpt-5': RateLimit(calls=60, per=60)}"
    found = _mapping(limits, rule)
    for name, limit in found.items():
        is_name = isinstance(cast("object", name), str) and all(name.split(":", 1)) and name == name.strip()
        require(is_name, f"{rule}: a name is that of a provider, or `provider:model`", name)
        is_model = ":" not in name and price_of(None, name) is not None
        require(not is_model, f"{rule}: a model is named with its provider, as 'openai:{name}'", name)
        require(isinstance(limit, RateLimit), f"{rule}: what {name!r} has is no `RateLimit`", limit)
        provider = name.partition(":")[0]
        nearest = get_close_matches(provider.casefold(), _PROVIDERS, 1, _ALIKE) or [provider]
        is_mistyped = provider not in _PROVIDERS and nearest != [provider]
        require(
            not is_mistyped, f"`rate_limits` names a provider that is not known; did you mean {nearest[0]!r}", provider
        )
    return found


def check_leases(if_busy: object, *, wait_seconds: float, lease_seconds: float) -> None:
    """Raise `BadInput` for an unknown way to meet a busy thread, or for times that are not positive."""
    rule = f"`if_busy` is one of {', '.join(map(repr, get_args(IfBusy)))}"
    require(if_busy in get_args(IfBusy), rule, if_busy)
    check_seconds("wait_seconds", wait_seconds)
    check_seconds("lease_seconds", lease_seconds)


def check_seconds(name: str, seconds: object, *, may_be_zero: bool = False) -> None:
    """Raise `BadInput` for what is no number of seconds above 0 (or from 0 on), up to 366 days."""
    number = seconds if isinstance(seconds, int | float) and not isinstance(seconds, bool) else -1
    fits = 0 < number <= _LONGEST or (may_be_zero and number == 0)
    rule = f"`{name}` must be a number of seconds {'from' if may_be_zero else 'above'} 0, at most {_LONGEST}"
    require(fits, rule, seconds)


def checked_graphs(graphs: object) -> dict[str, GraphVersion]:
    """Return what is registered by its name; a builder or a graph alone has no version.

    Raises:
        BadInput: it is not a mapping, or a name is not a text or empty.
        BadGraph: a value is compiled, or neither a graph nor a function that could return one.
    """
    found = _mapping(graphs, "`graphs` maps names to builders, as {'vendors': build}")
    registered = {name: one if isinstance(one, GraphVersion) else GraphVersion(one) for name, one in found.items()}
    builds: dict[str, Any] = {name: one.build for name, one in registered.items()}
    for name, build in builds.items():
        is_name = isinstance(cast("object", name), str) and name.strip()
        require(is_name, "the name of a graph is a text, as in {'vendors': build}", name)
        if not (callable(build) or isinstance(build, StateGraph)):
            raise BadGraph(
                f"graph {name!r} must be an uncompiled StateGraph or a function that returns one, got {build!r}"
            )
    return registered


def checked_config(config: object) -> RunnableConfig:
    """Return a caller's config. Raises `BadInput` for unknown keys, and for what would run another checkpoint."""
    given = _mapping(config, "`config` is a RunnableConfig, as {'tags': ['nightly']}")
    unknown = sorted(map(repr, given.keys() - _CONFIG_KEYS))
    if unknown:
        raise BadInput(f"`config` holds {', '.join(unknown)}; its keys are {', '.join(sorted(_CONFIG_KEYS))}")
    for name in ("configurable", "metadata"):
        require(isinstance(given.get(name, {}), Mapping), f"`config[{name!r}]` is a mapping", given.get(name))
    keys = sorted(map(repr, _POSITION_KEYS.intersection(given.get("configurable", {}))))
    if keys:
        raise BadInput(f"`config` holds {', '.join(keys)}; a runner goes on from the latest checkpoint of a thread")
    for name in ("max_concurrency", "recursion_limit"):
        number: Any = given.get(name)
        fits = number is None or (isinstance(number, int) and number >= 1)
        require(fits, f"`config[{name!r}]` must be a whole number of at least 1", number)
    return cast("RunnableConfig", given)


def thread_of(config: RunnableConfig, thread_id: str | None) -> str | None:
    """Return the thread that is named, as an argument or in a config. Raises `BadInput` where both name one."""
    named = config.get("configurable", {}).get("thread_id")
    if named is None or named == thread_id:
        return thread_id
    if thread_id is not None:
        raise BadInput(f"`thread_id` is {thread_id!r}, but `config` names the thread {named!r}; name one of them")
    return str(named)


def checked_input(given: object) -> tuple[Task, dict[str, Any]]:
    """Return the task that is given, and the input of the graph.

    It is a text, a `Task`, the fields of one, or `{"task": …}`; or `{"messages": […]}`, where the last message of a
    human is the goal; or both. Raises `BadInput` for anything else.
    """
    if not isinstance(given, Mapping) or not {"task", "messages"} & set(cast("Mapping[str, Any]", given)):
        task = task_of(given)
        return task, {"task": task}
    fields = cast("Mapping[str, Any]", given)
    unknown = sorted(map(repr, set(fields) - {"task", "messages"}))
    if unknown:
        raise BadInput(f"unknown fields {', '.join(unknown)} beside `task` and `messages`")
    messages = merge_messages(None, fields.get("messages"))
    task = task_of(run_input({"task": fields.get("task"), "messages": messages}).task)
    return task, {"task": task, **({"messages": messages} if messages else {})}


def fitting_input(graph: Any, task: Task, given: dict[str, Any]) -> dict[str, Any]:
    """Return the input for a graph: of one that `guarded` has made, `task` or `messages` get the goal as a text.

    Raises `BadInput` for a graph that takes neither.
    """
    if graph.builder.output_schema is TeamOutput:
        return given
    keys = graph.builder.schemas[graph.builder.input_schema]
    if "messages" in keys:
        return {"messages": given.get("messages") or [HumanMessage(task.goal)]}
    if "task" in keys:
        return {"task": task.goal}
    known = ", ".join(map(repr, sorted(keys)))
    raise BadInput(f"the graph takes neither `task` nor `messages` but {known}; run it with `compile().invoke(…)`")


def checked_answers(answers: object) -> dict[str, Any]:
    """Return answers by the ids of their interrupts. Raises `BadInput` for anything but a mapping."""
    return _mapping(answers, "`answers` maps the id of each question of `run.waiting` to its answer, as {'id': 1}")


def checked_arguments(arguments: object) -> dict[str, Any]:
    """Return the arguments of a builder by name. Raises `BadInput` for anything but a mapping."""
    return _mapping(arguments, "`arguments` maps the names of a builder's arguments, as {'workers': 3}")


def checked_modes(modes: object) -> tuple[StreamMode, ...]:
    """Return the stream modes, given as one or several. Raises `BadInput` for unknown ones."""
    several = isinstance(modes, Sequence) and not isinstance(modes, str)
    given = tuple(cast("Sequence[object]", modes)) if several else (modes,)
    known: tuple[StreamMode, ...] = get_args(StreamMode)
    unknown = ", ".join(repr(mode) for mode in given if mode not in known)
    if unknown:
        raise BadInput(f"`stream_mode` is one or several of {', '.join(map(repr, known))}; got {unknown}")
    return cast("tuple[StreamMode, ...]", given)


def checked_allowance(add: object) -> Allowance | None:
    """Return what is to be added, given as an `Allowance` or its fields. Raises `BadInput` for anything else."""
    if add is None or isinstance(add, Allowance):
        return add
    fields = _mapping(add, "`add` is an Allowance, as Allowance(usd='1.00') or {'usd': '1.00'}")
    try:
        return Allowance.model_validate(fields)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        known = ", ".join(Allowance.model_fields)
        raise BadInput(f"`add` is no Allowance: {faults}; its fields are {known}") from error
