"""Whether a stored thread fits the graph that goes on with it, and what is written where a migration makes it fit."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.graph.state import CompiledStateGraph

from guardgraph.runs.channel_values import added_values, check_returned, misfits, written
from guardgraph.runs.former_names import NAMED, renamed
from guardgraph.runs.graph_facts import CHANNELS, FINGERPRINT, VERSION
from guardgraph.runs.head import NO_TASK, Head, outermost
from guardgraph.runs.versions import GraphVersion, Migration, former_names
from guardgraph.state import MigrationFailed, MigrationNeeded, error_text

__all__ = ("Migrated", "fits", "make_fit", "migrated", "migrated_to", "refusal")

_Graph = CompiledStateGraph[Any, Any, Any, Any]

_MIGRATED = "guardgraph_migrated"
"""The channel in which a migration is noted beside the checkpoint that it has changed."""
_TASK = str(UUID(int=1))
"""The id under which it is noted: that of no task, so that LangGraph does not apply it."""
_FACTS = (VERSION, FINGERPRINT, CHANNELS)


@dataclass(frozen=True, slots=True)
class Migrated:
    """What is written beside the latest checkpoint of a thread, so that it fits another version of its graph."""

    facts: Mapping[str, str]
    """Those of the graph that it fits then."""
    values: Mapping[str, Any]
    """The writes that replace the values of channels."""
    tasks: Mapping[str, Sequence[tuple[str, Any]]] = field(default_factory=dict[str, Sequence[tuple[str, Any]]])
    """What finished tasks have written, by their ids, where that changes."""


def _facts_at(head: Head, saver: Any) -> dict[str, str]:
    """Return the facts of the graph that a checkpoint fits: those of a migration, its own, or its ancestor's.

    LangGraph's own `update_state` makes checkpoints that have none.
    """
    noted = _noted(head)
    if noted is not None:
        return {key: noted[key] for key in _FACTS}
    at = head.checkpoint
    while FINGERPRINT not in at.metadata and at.parent_config is not None:
        at = saver.get_tuple(at.parent_config) or at._replace(parent_config=None)
    metadata: Mapping[str, Any] = at.metadata
    return {key: str(metadata.get(key) or "") for key in _FACTS}


def migrated_to(head: Head) -> str | None:
    """Return the version to which a thread was migrated at a checkpoint; `None` where it was not."""
    noted = _noted(head)
    return None if noted is None else noted[VERSION]


def _noted(head: Head) -> Mapping[str, str] | None:
    return next((value for _, channel, value in head.writes if channel == _MIGRATED), None)


def _facts_in(graph: _Graph) -> dict[str, str]:
    """Return the facts of a graph that the runner has compiled."""
    metadata = (graph.config or {}).get("metadata") or {}
    return {key: metadata.get(key, "") for key in _FACTS}


def fits(head: Head, graph: _Graph) -> bool:
    """Return whether a thread was stored by this very graph, or one of the same version and topology."""
    return _facts_at(head, graph.checkpointer) == _facts_in(graph)


def make_fit(graph: _Graph, version: GraphVersion | None, thread_id: str, gone: Sequence[str] = ()) -> None:
    """Store what makes the latest checkpoint of a thread fit a graph. Raises as `migrated` does."""
    saver: Any = graph.checkpointer
    head = Head(saver.get_tuple(outermost(thread_id)))
    change = migrated(graph, version, thread_id, head, gone)
    if change is not None:
        _store(saver, head, change, graph.channels)


def migrated(
    graph: _Graph, version: GraphVersion | None, thread_id: str, head: Head, gone: Sequence[str] = ()
) -> Migrated | None:
    """Return what makes a thread fit a graph; `None` where it fits. `gone` are the nodes at which it cannot go on.

    Raises:
        MigrationNeeded: it does not fit, and no migration changes that.
        MigrationFailed: a migration raises, or returns what does not fit either.
    """
    then, now = _facts_at(head, graph.checkpointer), _facts_in(graph)
    if then == now and not gone:
        return None
    steps = version.path_from(then[VERSION] or None) if version else ()
    before: dict[str, str] = json.loads(then[CHANNELS] or "{}")
    values, faults = added_values(head, before, graph)
    changed = any(step.values for step in steps)
    new = _applied(steps, values, thread_id)
    if changed:
        check_returned(new, values, graph, what=f"{', '.join(map(str, steps))} of thread {thread_id!r}")
    else:
        faults += misfits(before, values, json.loads(now[CHANNELS]), graph)
    if gone or faults:
        raise refusal(graph, thread_id, then[VERSION], gone, faults)
    if not steps:
        return None
    names = former_names(steps)
    own = {name: renamed(head.channels[name], names) for name in NAMED if head.channels.get(name)}
    own = {name: value for name, value in own.items() if value != head.channels[name]}
    writes = written(graph, {**own, **(new if changed else {})})
    return Migrated(now, writes, _renamed_writes(head, names))


def _store(saver: Any, head: Head, migrated: Migrated, channels: Collection[str]) -> None:
    """Store a migration beside the latest checkpoint of a thread, in one transaction.

    The checkpoint stays as it is, and so do the ids of its tasks, on which open questions, finished work and nested
    teams depend. LangGraph applies the writes when the thread goes on.
    """
    earlier = [(name, value) for task, name, value in head.writes if task == NO_TASK and name not in WRITES_IDX_MAP]
    kept = [(name, value) for name, value in earlier if name in channels and name not in migrated.values]
    rows = {_TASK: [(_MIGRATED, dict(migrated.facts))], **migrated.tasks}
    if kept or migrated.values:
        rows[NO_TASK] = [*kept, *migrated.values.items()]
    saver.replace_writes(head.checkpoint.config, rows)


def _applied(steps: Sequence[Migration], values: Mapping[str, Any], thread_id: str) -> dict[str, Any]:
    """Return the values after some migrations."""
    new = dict(values)
    for step in steps:
        if step.values is None:
            continue
        what = f"{step} of thread {thread_id!r}"
        try:
            returned: Any = step.values(new)
        except Exception as error:
            raise MigrationFailed(f"{what} raised {error_text(error)}", thread_id=thread_id) from error
        if not isinstance(returned, Mapping):
            raise MigrationFailed(
                f"{what} returned {type(returned).__name__}, and no dict of values by channel", thread_id=thread_id
            )
        new = dict(returned)
    return new


def _renamed_writes(head: Head, names: Mapping[str, str]) -> dict[str, list[tuple[str, Any]]]:
    """Return all writes of the tasks that have written results or gaps of agents with another name now."""
    found = dict[str, list[tuple[str, Any]]]()
    for task, channel, value in head.writes:
        if channel not in WRITES_IDX_MAP and task not in (NO_TASK, _TASK):
            found.setdefault(task, []).append((channel, value))
    new = {
        task: [(name, renamed(value, names) if name in NAMED else value) for name, value in written]
        for task, written in found.items()
    }
    return {task: written for task, written in new.items() if written != found[task]}


def refusal(
    graph: _Graph, thread_id: str, stored: str, gone: Sequence[str], faults: Sequence[str] = ()
) -> MigrationNeeded:
    """Return the error of a thread that a graph cannot go on with, since nodes are gone or channels do not fit."""
    now = _facts_in(graph)[VERSION]
    known = ", ".join(sorted(name for name in graph.nodes if not name.startswith("__")))
    nodes = [f"it was left at {', '.join(map(repr, gone))}, where that has no node ({known})"] if gone else []
    by, to = (f"version {one!r}" if one else "no version" for one in (stored, now))
    new = now if now not in ("", stored) else "…"
    hint = f"register GraphVersion(build, {new!r}, migrations=[Migration({stored or None!r}, {new!r}, …)])"
    return MigrationNeeded(
        f"thread {thread_id!r} does not fit graph {graph.name!r} (stored with {by}, now {to}): "
        f"{'; '.join([*nodes, *faults])}; {hint}, resume it with the graph that began it, or cancel it",
        thread_id=thread_id,
        found=stored,
        known=now,
        changed=(*gone, *faults),
    )
