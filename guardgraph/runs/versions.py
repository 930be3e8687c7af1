"""The versions of a registered graph, and the migrations between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from langgraph.graph import StateGraph

from guardgraph.state import BadGraph

__all__ = ("Builder", "GraphVersion", "Migration", "former_names")

Builder: TypeAlias = Callable[..., Any] | StateGraph[Any, Any, Any, Any]
"""An uncompiled graph, or a function that returns one."""

_LONGEST = 100
"""Characters of a version."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What becomes of a thread that was stored by one version of a graph when the next one goes on with it.

    `Migration("1", "2", values=in_points, nodes={"worker": "clerk"})`
    """

    start: str | None
    """The version that the thread was stored by; `None` for those from before the graph had one."""
    to: str
    """The version that the thread has afterwards."""
    values: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None
    """Is given the stored values of the channels that were added to the state (`Team(state=…)`), and returns those of
    the next version, all of them. It must not have side effects: it may be called again. `None` keeps them."""
    nodes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The new names of nodes and agents of the outermost team, by those that they had."""

    def __post_init__(self) -> None:
        for name in (self.to,) if self.start is None else (self.start, self.to):
            _check_version(name)
        if self.values is not None and not callable(cast("object", self.values)):
            raise BadGraph(f"{self} needs a function as `values`, which returns a dict; got {self.values!r}")
        names: Any = self.nodes
        if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in (*names, *names.values())):
            raise BadGraph(f"{self} needs a mapping as `nodes`, as {{'worker': 'clerk'}}; got {self.nodes!r}")

    def __str__(self) -> str:
        return f"Migration({self.start!r}, {self.to!r})"


@dataclass(frozen=True, slots=True)
class GraphVersion:
    """A graph with its version, to be registered as `Runner(url, graphs={"vendors": GraphVersion(build, "2")})`.

    The version is stored with every checkpoint. A thread that another version has stored goes on if it fits this one;
    `migrations` make it fit. They form one chain that ends in `version`.
    """

    build: Builder
    """An uncompiled graph, or a function that returns one."""
    version: str | None = None
    """Any name of at most 100 characters; `None` is the version of a graph that is registered without one."""
    migrations: Sequence[Migration] = ()

    def __post_init__(self) -> None:
        if self.version is not None:
            _check_version(self.version)
        given: Any = self.migrations
        if not isinstance(given, Sequence) or not all(isinstance(one, Migration) for one in given):
            raise BadGraph(f"`migrations` is a list of Migration, got {given!r}")
        self._check_chain()

    def path_from(self, stored: str | None) -> tuple[Migration, ...]:
        """Return the migrations of a thread that was stored by a version, in order; none where there is none for it."""
        steps, next_ = list[Migration](), {one.start: one for one in self.migrations}
        while stored != self.version and stored in next_:
            steps.append(next_[stored])
            stored = steps[-1].to
        return tuple(steps)

    def in_order(self) -> list[Migration]:
        """Return all migrations, each after those that lead to it."""
        return sorted(self.migrations, key=lambda one: len(self.path_from(one.start)), reverse=True)

    def _check_chain(self) -> None:
        """Raise where two migrations begin at one version, or one does not lead to `version`."""
        next_ = dict[str | None, Migration]()
        for one in self.migrations:
            if one.start in next_:
                raise BadGraph(f"{next_[one.start]} and {one} begin at the same version; keep one of them")
            next_[one.start] = one
        if self.version in next_:
            raise BadGraph(f"{next_[self.version]} begins at the version that the graph has; raise `version`")
        for one in self.migrations:
            seen = [one]
            while (at := seen[-1].to) != self.version:
                if at not in next_:
                    what = f"nothing leads from {at!r}, where {seen[-1]} ends, to {self.version!r}"
                    raise BadGraph(f"{what}, the version of the graph; add Migration({at!r}, …)")
                if next_[at] in seen:
                    raise BadGraph(f"the migrations go in a cycle: {', '.join(map(str, seen))}; they end in `version`")
                seen.append(next_[at])


def former_names(steps: Sequence[Migration]) -> dict[str, str]:
    """Return the names of nodes after some migrations by those that they had before, or in between."""
    found = dict[str, str]()
    for step in steps:
        found = {old: step.nodes.get(new, new) for old, new in found.items()} | dict(step.nodes)
    return found


def _check_version(name: object) -> None:
    if not (isinstance(name, str) and name.strip() and len(name) <= _LONGEST):
        raise BadGraph(f"a version is a text of 1 to {_LONGEST} characters, as '2'; got {name!r}")
