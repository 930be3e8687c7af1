"""What is known of bidders from their settled awards: the protocol of a store of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

__all__ = ("HIGHEST_OVERRUN", "LATEST", "Reputation", "ReputationStore", "SettledAward")

LATEST = 100
"""How many of the latest awards of a bidder its reputation rests on."""
HIGHEST_OVERRUN = 100.0
"""The overrun that counts at most for one award, so that a single one does not decide for ever."""


class SettledAward(NamedTuple):
    """What came of one award."""

    key: str
    """Names the attempt that ended it, among all runs."""
    agent: str
    """The worker that it was awarded to."""
    is_done: bool
    """Whether its result was accepted."""
    bid: float
    """What the bidder has bid, in the unit of the auction."""
    actual: float | None
    """What it has cost in that unit; `None` where that is unknown."""
    seconds: float
    """How long it has taken."""

    @property
    def overrun(self) -> float | None:
        """Actual cost by bid; `None` where one of them is unknown, or the award has failed: that is no saving."""
        if not self.is_done or self.actual is None or self.bid <= 0:
            return None
        return min(self.actual / self.bid, HIGHEST_OVERRUN)


class Reputation(NamedTuple):
    """What the latest awards of an agent (at most `LATEST`) show of it."""

    agent: str
    awards: int = 0
    """How many there are."""
    done: int = 0
    """How many of them were accepted."""
    known_costs: int = 0
    """For how many of these both the bid and the actual cost are known."""
    mean_overrun: float = 1.0
    """The mean of actual cost by bid of those; 1 where there are none."""
    mean_seconds: float | None = None
    """How long an award takes."""

    @property
    def reliability(self) -> float:
        """How likely an award succeeds: one success is assumed beside what is known."""
        return (self.done + 1) / (self.awards + 1)

    @property
    def overrun(self) -> float:
        """How many times the bid an award costs: one that costs what was bid is assumed beside what is known."""
        return (self.mean_overrun * self.known_costs + 1) / (self.known_costs + 1)


class ReputationStore(Protocol):
    """Keeps settled awards. Every method is atomic and may be called from any thread."""

    def record(self, awards: Sequence[SettledAward]) -> None:
        """Store awards, each once: a key that is stored already changes nothing."""
        ...

    def read(self, agents: Collection[str]) -> Mapping[str, Reputation]:
        """Return the reputation of each agent; of one without awards a neutral one."""
        ...
