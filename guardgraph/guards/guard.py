"""What a guard is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip
from guardgraph.state import Allowance, Evidence, Gate, Verdict

__all__ = ("AllowanceLimiter", "Guard", "SourceReader")


@runtime_checkable
class Guard(Protocol):
    """A pure policy: it judges one subject at one of its gates. Its limits are its fields.

    At `handoff` a guard sees results that have a value; one with a true attribute `judges_failures` sees all. One with
    an attribute `compensate` names the agent that is to put right what it has refused; see `Schema`.
    """

    @property
    def gates(self) -> frozenset[Gate]:
        """The gates at which it judges."""
        ...

    @property
    def on_trip(self) -> OnTrip:
        """What happens to the subject (or the run) when it trips."""
        ...

    def __call__(self, context: GuardContext, /) -> Verdict:
        """Judge the subject of `context`. An exception counts as a trip."""
        ...


@runtime_checkable
class AllowanceLimiter(Protocol):
    """A guard that narrows the allowance of its team at admission."""

    def narrow(self, context: GuardContext, /) -> Allowance:
        """Return the allowance that the team may have at most."""
        ...


@runtime_checkable
class SourceReader(Protocol):
    """A guard that judges by the text of sources, which the gate reads for it."""

    def read(self, evidence: Evidence) -> str | None:
        """Return the text of the evidence's source, or `None` if there is no such source.

        The evidence is that of a result, and that of the claims in its value.
        """
        ...
