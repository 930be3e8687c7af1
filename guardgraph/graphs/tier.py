"""A lead and its members, as a hierarchy is built of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from math import ceil

from guardgraph.agents.agent import Agent
from guardgraph.guards import Guard
from guardgraph.state import BadGraph
from guardgraph.state.argument_checks import check_fields, must_be

__all__ = ("Tier",)


@dataclass(frozen=True, slots=True)
class Tier:
    """A lead and its members; for the tier above it is one worker, whose inside is hidden."""

    lead: Agent
    """Plans the work of the members, as the planner of a `supervisor` does."""
    members: Sequence[Agent | Tier]
    """Workers, and tiers below this one."""
    name: str = ""
    """Its name as a worker of the tier above; by default the name of the lead with `-tier`."""
    synthesizer: Agent | None = None
    """Writes the answer of the tier; without one it is the list of accepted results."""
    skills: Collection[str] = ()
    """What the tier above may ask it for; by default all skills of its members."""
    guards: Sequence[Guard] | None = None
    """The guards of this tier; `None` means those of the hierarchy."""
    budget_share: float | None = None
    """At most this part (0 to 1) of what the tier above still has may go into one of its subtasks."""
    attempts: int = 1
    """How many attempts the tier above makes with it."""

    def __post_init__(self) -> None:
        check_fields(self, at_least={"attempts": 1})
        if not self.members:
            raise BadGraph(f"the tier of {self.lead.name!r} needs at least one member")
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "name", self.name or f"{self.lead.name}-tier")
        offered = (skill for member in self.members for skill in member.skills)
        object.__setattr__(self, "skills", frozenset(self.skills or offered))

    @property
    def levels(self) -> int:
        """The number of tiers from this one down to the lowest, both included."""
        return 1 + max((member.levels for member in self.members if isinstance(member, Tier)), default=0)

    def tiers(self) -> Iterator[Tier]:
        """Yield this tier and all below it."""
        yield self
        for member in self.members:
            if isinstance(member, Tier):
                yield from member.tiers()

    def names(self, *, below: bool = True) -> Iterator[str]:
        """Yield the names of the agents of this tier, those of the tiers in it, and with `below` all below."""
        for member in (self.lead, *self.members, *([self.synthesizer] if self.synthesizer else [])):
            if isinstance(member, Agent):
                yield from (agent.name for agent in member.fallback_chain)
            else:
                yield member.name
                yield from member.names() if below else ()

    @classmethod
    def of_workers(cls, workers: Sequence[Agent], *, lead: Agent, span: int = 5) -> Tier:
        """Return tiers over `workers` in which no lead has more than `span` members.

        Neighbours in the list get the same lead. Each lead is a copy of `lead` with a number behind its name; the top
        one keeps the name. Raises `BadGraph` for a `span` below 2 and for no workers.
        """
        must_be("Tier.of_workers", "workers", workers, Sequence[Agent])
        must_be("Tier.of_workers", "lead", lead, Agent)
        must_be("Tier.of_workers", "span", span, int)
        if span < 2:
            raise BadGraph(f"`span` must be at least 2, got {span}")
        members: Sequence[Agent | Tier] = workers
        names = (f"{lead.name}-{number}" for number in count(1))
        while len(members) > span:
            members = [
                group[0] if len(group) == 1 else cls(replace(lead, name=next(names)), group)
                for group in _groups(members, ceil(len(members) / span))
            ]
        return cls(lead, members)


def _groups(members: Sequence[Agent | Tier], number: int) -> list[Sequence[Agent | Tier]]:
    """Return so many groups of neighbours, whose sizes differ by one at most."""
    ends = [len(members) * group // number for group in range(number + 1)]
    return [members[start:end] for start, end in pairwise(ends)]
