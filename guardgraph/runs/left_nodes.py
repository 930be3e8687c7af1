"""Whether a run was left at a node that its graph has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langgraph.graph.state import CompiledStateGraph
from langgraph.types import PregelTask, StateSnapshot

from guardgraph.runs.head import Head
from guardgraph.storage.sql.checkpoints.loading import namespaces_of

__all__ = ("gone_nodes",)

_LEVEL = "|"
"""The separator of the levels in LangGraph's namespaces."""
_FORMER_GATE = re.compile(r"guard_round|dispatch|collect(_\w+)?|conclude")
"""The gates of teams before the version in which all are called `guard_…` and exist whatever guards are given."""


def gone_nodes(head: Head | None, graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str) -> list[str]:
    """Return the nodes that do not exist any more and at which a run, or a team nested in it, was left.

    LangGraph would end such a graph without an outcome. A run in which another task is open goes on with that one.
    """
    if head is None:
        return []
    tasks = graph.get_state({"configurable": {"thread_id": thread_id}}, subgraphs=True).tasks
    open_tasks = [task for task in tasks if task.result is None]
    gone = [] if open_tasks else sorted(head.next_nodes() - set(graph.nodes))
    gone += [name for task in open_tasks for name in _stuck(task)]
    gone += _stuck_in_functions(graph.checkpointer, thread_id, dict(_calling(open_tasks)))
    return list(dict.fromkeys(gone))


def _stuck(task: PregelTask) -> list[str]:
    """Return the agents whose nested team has not ended and has nothing that comes next.

    Where all tasks have stored their writes, but no checkpoint followed, `next` is empty too: then there are `tasks`.
    """
    nested = task.state
    if not isinstance(nested, StateSnapshot):
        return []
    if _is_open(nested.values) and not nested.tasks:
        return [task.name]
    return [f"{task.name}/{name}" for one in nested.tasks if one.result is None for name in _stuck(one)]


def _calling(tasks: Iterable[PregelTask], above: str = "", path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each open task, at every level, whose graphs are not known: its namespace, and the names of its nodes."""
    for task in tasks:
        if task.result is not None:
            continue
        namespace, name = f"{above}{task.name}:{task.id}", f"{path}{task.name}"
        if isinstance(task.state, StateSnapshot):
            yield from _calling(task.state.tasks, f"{namespace}{_LEVEL}", f"{name}/")
        else:
            yield namespace, name


def _stuck_in_functions(saver: Any, thread_id: str, calling: Mapping[str, str]) -> list[str]:
    """Return where teams that the code of agents calls were left, as far as those are gates of an earlier version.

    LangGraph does not know these graphs, so their nodes cannot be compared.
    """
    found = list[str]()
    for namespace in namespaces_of(saver.engine, thread_id, tenant=saver.tenant) if calling else ():
        agent = next((calling[above] for above in _upwards(namespace) if above in calling), None)
        stored = agent and saver.get_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}})
        head = Head(stored) if stored else None
        if head is not None and _is_open(head.values()) and not head.interrupts():
            found += [f"{agent}/{node}" for node in sorted(head.next_nodes()) if _FORMER_GATE.fullmatch(node)]
    return found


def _upwards(namespace: str) -> Iterator[str]:
    """Yield a namespace and those above it, the innermost first."""
    parts = namespace.split(_LEVEL)
    return (_LEVEL.join(parts[:count]) for count in range(len(parts), 0, -1))


def _is_open(values: Mapping[str, Any]) -> bool:
    """Return whether a team was admitted and has no outcome."""
    return values.get("admitted") is not None and values.get("outcome") is None
