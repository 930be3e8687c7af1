"""What a caller may configure of a run, beside what the runner sets itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore

from guardgraph.state import BadInput

__all__ = ("asked_config", "asked_store", "merged_config", "thread_in")

_LOG = logging.getLogger(__name__)
_KEYS = frozenset(RunnableConfig.__annotations__)
_PLACES = frozenset({"checkpoint_id", "checkpoint_ns", "checkpoint_map"})


def asked_config(config: object) -> RunnableConfig:
    """Return a caller's config. Raises `BadInput` for what is none, and for what would run another checkpoint."""
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise BadInput(f"`config` is a RunnableConfig, as {{'tags': ['nightly']}}; got {config!r}")
    given = dict(cast("Mapping[str, Any]", config))
    unknown = sorted(map(repr, set(given) - _KEYS))
    if unknown:
        raise BadInput(f"`config` holds {', '.join(unknown)}; its keys are {', '.join(sorted(_KEYS))}")
    for name in ("configurable", "metadata"):
        if not isinstance(given.get(name, {}), Mapping):
            raise BadInput(f"`config[{name!r}]` is a mapping; got {given[name]!r}")
    places = sorted(map(repr, _PLACES.intersection(given.get("configurable", {}))))
    if places:
        raise BadInput(f"`config` holds {', '.join(places)}; a runner goes on from the latest checkpoint of a thread")
    _check_numbers(given)
    return cast("RunnableConfig", given)


def _check_numbers(given: Mapping[str, Any]) -> None:
    for name in ("max_concurrency", "recursion_limit"):
        number: Any = given.get(name)
        if number is not None and (not isinstance(number, int) or number < 1):
            raise BadInput(f"`config[{name!r}]` must be a whole number of at least 1, got {number!r}")


def asked_store(store: object) -> BaseStore | None:
    """Return the store that agents find with `get_store()`, if any. Raises `BadInput` for what is none."""
    if store is not None and not isinstance(store, BaseStore):
        raise BadInput(f"`store` is a LangGraph store, as InMemoryStore(); got {store!r}")
    return store


def thread_in(config: RunnableConfig, thread_id: str | None) -> str | None:
    """Return the thread that is named, as an argument or in a config. Raises `BadInput` where both name one."""
    named = config.get("configurable", {}).get("thread_id")
    if named is None or named == thread_id:
        return thread_id
    if thread_id is not None:
        raise BadInput(f"`thread_id` is {thread_id!r}, but `config` names the thread {named!r}; name one of them")
    return str(named)


def merged_config(given: RunnableConfig, own: RunnableConfig) -> RunnableConfig:
    """Return a caller's config with the runner's own entries, which win; a warning is logged where one does."""
    merged: dict[str, Any] = {**own, **{name: value for name, value in given.items() if value is not None}}
    for name in ("configurable", "metadata"):
        theirs, ours = cast("Mapping[str, Any]", given.get(name) or {}), cast("Mapping[str, Any]", own.get(name) or {})
        lost = sorted(key for key, value in ours.items() if key in theirs and theirs[key] != value)
        if lost:
            _LOG.warning("config[%r]: the runner sets %s itself; what was given is not used", name, ", ".join(lost))
        merged[name] = {**theirs, **ours}
    return cast("RunnableConfig", merged)
