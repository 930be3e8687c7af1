"""What a guard is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from typing_extensions import TypeIs

from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip
from guardgraph.state import Allowance, BadGraph, Evidence, Gate, SideBudget, Verdict

__all__ = (
    "AccountLimiter",
    "AllowanceLimiter",
    "Guard",
    "SourceReader",
    "caps_accounts",
    "check_compensate",
    "narrows_allowance",
    "reads_sources",
)


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
class AccountLimiter(Protocol):
    """A guard that caps accounts beside the tree of a run, such as that of a tenant."""

    def side_budget(self, account: str, /) -> SideBudget | None:
        """Return what it caps beside the tree, where the team with this account declares it; `None` if nothing."""
        ...

    def alert(self, context: GuardContext, /) -> Verdict:
        """Return an alert of the first of its accounts that has passed a threshold of which none was emitted.

        It passes where there is none. It is called again until it does, and once more at the end of a run.
        """
        ...


@runtime_checkable
class SourceReader(Protocol):
    """A guard that judges by the text of sources, which the gate reads for it."""

    def read(self, evidence: Evidence) -> str | None:
        """Return the text of the evidence's source, or `None` if there is no such source.

        The evidence is that of a result, and that of the claims in its value.
        """
        ...


# A check of a protocol by `isinstance` takes 20 times as long, and gates ask this of every guard.


def narrows_allowance(guard: object) -> TypeIs[AllowanceLimiter]:
    """Return whether a guard is an `AllowanceLimiter`."""
    return hasattr(guard, "narrow")


def caps_accounts(guard: object) -> TypeIs[AccountLimiter]:
    """Return whether a guard is an `AccountLimiter`."""
    return hasattr(guard, "side_budget") and hasattr(guard, "alert")


def reads_sources(guard: object) -> TypeIs[SourceReader]:
    """Return whether a guard is a `SourceReader`."""
    return hasattr(guard, "read")


def check_compensate(name: str | None) -> None:
    """Raise `BadGraph` for an attribute `compensate` that is empty."""
    if name is not None and not name.strip():
        raise BadGraph("`compensate` is empty; name an agent of the team")
