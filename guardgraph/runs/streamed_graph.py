"""One running graph of a stream: its superstep, and which of its parts wait for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

__all__ = ("HeldPart", "Part", "StreamedGraph")

Part = dict[str, Any]
"""One of LangGraph's stream parts: `type`, `ns` and `data`."""


@dataclass(slots=True, eq=False)
class HeldPart:
    """A part and the ids of the rows that it waits for."""

    part: Part
    number: int
    """By order of arrival."""
    rows: AbstractSet[str] | None = None
    """`None` as long as a later part has to name them."""
    inside: str | None = None
    """The task that has to come to its end, since it runs again as a whole."""

    @property
    def is_marked(self) -> bool:
        """Whether the part reports unfinished work."""
        return "provisional" in self.part

    def mark(self) -> None:
        """Mark the part: what it reports may happen again."""
        self.part = {**self.part, "provisional": True}


@dataclass(slots=True, eq=False)
class StreamedGraph:
    """A graph that runs: the outermost one, or one within a task of another.

    A part waits for its own row, and for the newest checkpoint of its graph and of all graphs above.
    """

    above: StreamedGraph | None = None
    task: str = ""
    """The task of the graph above in which it runs."""
    is_numbered: bool = False
    """Whether it is not the first that its task runs. LangGraph counts these anew when the task runs again."""
    checkpoint: str | None = None
    """The newest."""
    inner: dict[Any, StreamedGraph] = field(default_factory=dict[Any, "StreamedGraph"])
    started: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))
    """The tasks of this superstep by the names of their nodes."""
    updates: defaultdict[str, list[HeldPart]] = field(default_factory=lambda: defaultdict[str, list[HeldPart]](list))
    """Those whose tasks have not reported their results; they carry no id of a task."""
    cached: defaultdict[str, list[HeldPart]] = field(default_factory=lambda: defaultdict[str, list[HeldPart]](list))
    """Updates of which no result is reported."""
    results: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))
    """The tasks that have reported a result for one of the `updates`."""
    questions: list[tuple[frozenset[str], HeldPart]] = field(
        default_factory=list[tuple[frozenset[str], HeldPart]],
    )
    """Parts that report interrupts, with their ids."""
    unsettled: list[HeldPart] = field(default_factory=list[HeldPart])
    """Parts that wait for the next checkpoint."""

    def at(self, namespace: Sequence[str]) -> StreamedGraph:
        """Return the graph in a namespace, below this one."""
        if not namespace:
            return self
        step, *rest = namespace
        numbered = bool(rest) and rest[0].isdigit()
        key = (step, rest[0]) if numbered else step
        if key not in self.inner:
            self.inner[key] = StreamedGraph(self, step.partition(":")[2], is_numbered=numbered)
        return self.inner[key].at(rest[1:] if numbered else rest)

    def runs_again_with(self) -> tuple[StreamedGraph, str] | None:
        """Return the outermost task that runs again as a whole after a crash, with this graph in it, and its graph."""
        found, graph = None, self
        while graph.above is not None:
            is_stored = graph.checkpoint is not None or not graph.started
            if graph.is_numbered or not is_stored:
                found = graph.above, graph.task
            graph = graph.above
        return found

    def add_checkpoint(self, held: HeldPart, checkpoint: str) -> set[str]:
        """Begin the next superstep; all that was reported of the one before is stored with this checkpoint."""
        self.checkpoint = checkpoint
        self._settle(self)
        self.started.clear()
        self.await_rows(held, set())
        return {checkpoint}

    def add_start(self, held: HeldPart, name: str, task: str) -> None:
        """Note that a task begins."""
        self.started[name].add(task)
        self.await_rows(held, set())

    def add_result(self, held: HeldPart, name: str, task: str, interrupts: frozenset[str], *, failed: bool) -> set[str]:
        """Note that a task has ended, or has raised `interrupts`; updates go when all of their name have one."""
        rows = {task}
        self.await_rows(held, rows)
        for question in [one for one in self.questions if interrupts and one[0] == interrupts]:
            self.questions.remove(question)
            self.await_rows(question[1], rows)
        if not interrupts and not failed:
            self.results[name].add(task)
            if len(self.results[name]) == len(self.updates[name]):
                for update in self.updates.pop(name):
                    self.await_rows(update, self.results[name])
                del self.results[name]
        return rows

    def add_update(self, held: HeldPart, name: str, *, cached: bool) -> set[str]:
        """Keep an update until it is known which task has made it; return the tasks, if they are known."""
        if self.runs_again_with() is not None:
            self.await_rows(held, set())
            return set()
        kept, tasks = (self.cached if cached else self.updates)[name], {*self.started[name]}
        kept.append(held)
        if not cached or len(kept) < len(tasks):
            return set()
        for update in self.cached.pop(name):  # every task of the name was in the cache, and none reports a result
            self.await_rows(update, tasks)
        return tasks

    def add_state(self, held: HeldPart, interrupts: frozenset[str], *, is_new: bool) -> None:
        """Keep a part that reports interrupts, until they are stored, or a state, until its checkpoint is."""
        if self.runs_again_with() is None and interrupts:
            self.questions.append((interrupts, held))
        elif is_new:
            self.await_checkpoint(held)
        else:
            self.await_rows(held, set())

    def await_checkpoint(self, held: HeldPart) -> None:
        """Let a part wait for the next checkpoint."""
        if self.runs_again_with() is None:
            self.unsettled.append(held)
        else:
            self.await_rows(held, set())

    def await_task(self, held: HeldPart, task: str) -> None:
        """Let a part wait for a task that is still at work."""
        held.inside = task
        self.await_rows(held, {task})

    def await_rows(self, held: HeldPart, rows: AbstractSet[str]) -> None:
        """Let a part wait for rows, and for the checkpoints below them."""
        outer = self.runs_again_with()
        if outer is None:
            held.rows = rows | self._checkpoints()
        else:
            graph, held.inside = outer
            held.rows = {held.inside} | graph._checkpoints()

    def _checkpoints(self) -> set[str]:
        graph, rows = self, set[str]()
        while graph is not None:
            if graph.checkpoint is not None:
                rows.add(graph.checkpoint)
            graph = graph.above
        return rows

    def _settle(self, at: StreamedGraph) -> None:
        """Let all that is not decided wait for the checkpoint of `at`, this graph or one above it."""
        by_name = (*self.updates.values(), *self.cached.values())
        for held in (
            *self.unsettled,
            *(held for _, held in self.questions),
            *(one for some in by_name for one in some),
        ):
            at.await_rows(held, set())
        for undecided in (self.unsettled, self.questions, self.updates, self.cached, self.results):
            undecided.clear()
        for graph in self.inner.values():  # they have ended
            graph._settle(at)
        self.inner.clear()
