"""The declaration of a board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from guardgraph.state import EVERYONE, BadGraph, BadInput, checked_board
from guardgraph.state.argument_checks import check_fields

__all__ = ("Board", "BoardAction")

BoardAction = Literal["read", "write"]

_Grants = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Board:
    """Entries by key that the agents of a team share, each with versions; see `guardgraph.runs.boards`.

    Its decisions and constraints are part of every request of the team, and of the teams in it.
    """

    name: str
    """What it is found by in its thread, or in all threads: a board of the same name is the same board."""
    _: KW_ONLY
    shared: bool = False
    """Whether all threads of the tenant share it by its name; else each thread has one of its own."""
    write: _Grants = field(default_factory=dict[str, "Sequence[str]"], hash=False)
    """Which keys an agent may write, by its name: patterns as those of `fnmatch`. `"*"` as a name means every agent.

    What is granted to a nested team holds for its agents.
    """
    read: _Grants | None = field(default=None, hash=False)
    """Which keys an agent may read besides, in the same form; `None` lets everyone read everything."""

    def __post_init__(self) -> None:
        check_fields(self, "name", "shared", "write", "read")
        try:
            checked_board(self.name)
        except BadInput as error:
            raise BadGraph(str(error)) from None

    def allows(self, action: BoardAction, agent: str, key: str) -> bool:
        """Return whether an agent may read or write the entry of a key."""
        grants = self.write if action == "write" else self.read
        if grants is None:
            return True
        return any(fnmatchcase(key, pattern) for name in (agent, EVERYONE) for pattern in grants.get(name, ()))

    def check_agents(self, known: Iterable[str]) -> None:
        """Raise `BadGraph` where a grant names an agent that does not exist."""
        names = sorted({*self.write, *(self.read or ())} - {*known, EVERYONE})
        if names:
            raise BadGraph(
                f"board {self.name!r} grants keys to {', '.join(map(repr, names))}, which is no agent of the team; its "
                f"agents are {', '.join(map(repr, sorted(known)))}"
            )
