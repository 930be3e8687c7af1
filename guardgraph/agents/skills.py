"""Skills and what each of them is a special case of: who can do the special can do the general."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from guardgraph.agents.agent import Agent
from guardgraph.state import BadGraph, nearest_text
from guardgraph.state.argument_checks import must_be

__all__ = ("Skills",)


class Skills:
    """A closed list of skills, each with its parents: the more general skills that whoever has it has too.

    `Skills({"laser printing": ["printing"], "printing": []})`: an agent that can do laser printing can do what needs
    printing, and not the other way round. Every skill is a key. Raises `BadGraph` for empty names, for parents that are
    no keys, and for cycles.
    """

    __slots__ = ("_general",)

    def __init__(self, parents: Mapping[str, Sequence[str]]) -> None:
        must_be("Skills", "parents", parents, Mapping[str, Sequence[str]])
        if not all(name.strip() for name in parents):
            raise BadGraph("Skills: a skill needs a name, got an empty one")
        for name, above in parents.items():
            _check_known(above, parents, f"the parents of {name!r} name ")
        try:
            order = [*TopologicalSorter(parents).static_order()]
        except CycleError as error:
            _, cycle = error.args
            raise BadGraph(f"Skills: a skill is its own parent: {' -> '.join(map(repr, reversed(cycle)))}") from error
        self._general: dict[str, frozenset[str]] = {}
        for name in order:  # parents first
            self._general[name] = frozenset([name]).union(*(self._general[one] for one in parents[name]))

    def general(self, skills: Iterable[str]) -> frozenset[str]:
        """Return `skills` and all that are more general. Raises `BadGraph` for one that is not listed."""
        names = [*skills]
        _check_known(names, self._general)
        return frozenset().union(*(self._general[name] for name in names))

    def expanded(self, agent: Agent) -> Agent:
        """Return an agent, and with it its fallbacks, that has all skills which its own ones include."""
        try:
            skills = self.general(agent.skills)
        except BadGraph as error:
            raise BadGraph(f"agent {agent.name!r}: {error}") from error
        fallback = None if agent.fallback is None else self.expanded(agent.fallback)
        return replace(agent, skills=skills, fallback=fallback)


def _check_known(skills: Iterable[str], known: Collection[str], where: str = "the skill ") -> None:
    unknown = next((name for name in skills if name not in known), None)
    if unknown is not None:
        raise BadGraph(f"Skills: {where}{unknown!r}, which is not listed{nearest_text(unknown, known)}")
