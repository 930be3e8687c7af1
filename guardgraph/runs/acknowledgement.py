"""Which stored rows each part of a stream reports, so that it is handed over only when they are committed.

Nothing here waits or stores: `HeldParts` is given LangGraph's parts (v2, with `tasks` and `checkpoints`) one after the
other, and the ids of the rows that are committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, cast

from guardgraph.runs.streamed_graph import HeldPart, Part, StreamedGraph

__all__ = ("HeldParts",)

_PROVISIONAL = frozenset({"messages", "custom"})


@dataclass(slots=True, eq=False)
class HeldParts:
    """The parts of one stream that wait for their rows; those of one namespace keep their order.

    Parts of `messages` and `custom` report unfinished work: they are marked `provisional` and do not wait. Without
    `provisional` they wait for that work too, and what it never stores is dropped.
    """

    modes: Collection[str]
    """Those that the caller has asked for; parts of others are not handed over."""
    provisional: bool = True
    _outermost: StreamedGraph = field(default_factory=StreamedGraph)
    _queues: dict[tuple[object, bool], deque[HeldPart]] = field(
        default_factory=dict[tuple[object, bool], deque[HeldPart]]
    )
    _announced: set[str] = field(default_factory=set[str])
    _awaited: set[str] = field(default_factory=set[str])
    _count: int = 0

    def add(self, part: Part) -> None:
        """Take the next part of the stream."""
        self._count += 1
        held, graph, apart = HeldPart(part, self._count), self._outermost.at(part["ns"]), part["type"] in _PROVISIONAL
        if apart and self.provisional:
            held.mark()
            held.rows = frozenset()
        elif part["type"] == "messages":
            _await_task_of(part, graph, held)
        elif part["type"] == "custom":
            graph.await_checkpoint(held)
        elif part["type"] == "debug":  # the part of another mode, once more
            payload = part["data"]["payload"]
            graph.await_rows(held, {payload["id"]} if "result" in payload else set())
        else:
            self._add_stored(held, graph, part["type"], part["data"])
        if part["type"] in self.modes:
            self._queues.setdefault((part["ns"], apart), deque()).append(held)

    def take(self, committed: AbstractSet[str]) -> Iterator[Part]:
        """Remove and yield the parts whose rows are all among the `committed` ones, in the order of their arrival."""
        ready: list[HeldPart] = []
        for key, queue in tuple(self._queues.items()):
            while queue and queue[0].rows is not None and queue[0].rows <= committed:
                ready.append(queue.popleft())
            if not queue:
                del self._queues[key]
        yield from self._wanted(ready)

    def rest(self, committed: AbstractSet[str]) -> Iterator[Part]:
        """Remove and yield all that is left when the graph has ended and all its rows are committed.

        What reports work that did not come to its end, and runs again, is marked.
        """
        left = [held for queue in self._queues.values() for held in queue]
        self._queues.clear()
        for held in left:
            is_stored = held.part["type"] not in _PROVISIONAL if held.rows is None else held.rows <= committed
            if not is_stored:
                held.mark()
        yield from self._wanted(left)

    def newly_announced(self, committed: AbstractSet[str]) -> frozenset[str]:
        """Return the rows that are being stored and are not committed yet; each is returned once."""
        rows = self.missing(committed) - self._awaited
        self._awaited |= rows
        return rows

    def missing(self, committed: AbstractSet[str]) -> frozenset[str]:
        """Return all rows that are being stored, by what came so far, and are not committed yet."""
        self._announced = {row for row in self._announced if row not in committed}
        self._awaited &= self._announced
        return frozenset(self._announced)

    def _add_stored(self, held: HeldPart, graph: StreamedGraph, kind: str, data: Mapping[str, Any]) -> None:
        """Hand a part to its graph, which decides for what the part waits."""
        if kind == "checkpoints":
            self._announce(graph, graph.add_checkpoint(held, data["config"]["configurable"]["checkpoint_id"]))
        elif kind == "tasks" and "result" not in data:
            graph.add_start(held, data["name"], data["id"])
        elif kind == "tasks":
            interrupts, failed = frozenset(one["id"] for one in data["interrupts"]), data["error"] is not None
            if interrupts or failed:
                self._mark_inside(data["id"])
            self._announce(graph, graph.add_result(held, data["name"], data["id"], interrupts, failed=failed))
        elif kind == "updates" and "__interrupt__" not in data:
            name = next(key for key in data if key != "__metadata__")
            self._announce(graph, graph.add_update(held, name, cached="__metadata__" in data))
        else:
            interrupts = data["__interrupt__"] if kind == "updates" else held.part.get("interrupts", ())
            graph.add_state(held, frozenset(one.id for one in interrupts), is_new=kind == "values")

    def _announce(self, graph: StreamedGraph, rows: Collection[str]) -> None:
        if graph.runs_again_with() is None:
            self._announced.update(rows)

    def _mark_inside(self, task: str) -> None:
        """Mark what waits for a task that did not come to its end: all of it runs again."""
        for queue in self._queues.values():
            for held in queue:
                if held.inside == task:
                    held.mark()

    def _wanted(self, parts: list[HeldPart]) -> Iterator[Part]:
        for held in sorted(parts, key=lambda one: one.number):
            if self.provisional or not held.is_marked:
                yield held.part


def _await_task_of(part: Part, graph: StreamedGraph, held: HeldPart) -> None:
    """Let a part of `messages` wait for the task that it comes from."""
    _, metadata = cast("Sequence[Mapping[str, Any]]", part["data"])
    *_, task = ("", *(step for step in str(metadata.get("langgraph_checkpoint_ns", "")).split("|") if ":" in step))
    graph.await_task(held, task.partition(":")[2])
