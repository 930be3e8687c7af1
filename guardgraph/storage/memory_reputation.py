"""Settled awards in the memory of this process."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from threading import Lock

from guardgraph.storage.reputation import LATEST, Reputation, SettledAward

__all__ = ("MemoryReputation",)


class MemoryReputation:
    """Implements `ReputationStore` for one process; what it knows is gone with the process."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._latest: defaultdict[str, deque[SettledAward]] = defaultdict(lambda: deque(maxlen=LATEST))

    def record(self, awards: Sequence[SettledAward]) -> None:
        """See `ReputationStore.record`. A key is known as long as its award is one of the latest of its agent."""
        with self._guard:
            for award in awards:
                latest = self._latest[award.agent]
                if all(one.key != award.key for one in latest):
                    latest.append(award)

    def read(self, agents: Collection[str]) -> Mapping[str, Reputation]:
        """See `ReputationStore.read`."""
        with self._guard:
            return {name: _reputation(name, [*self._latest.get(name, ())]) for name in agents}


def _reputation(agent: str, awards: Sequence[SettledAward]) -> Reputation:
    if not awards:
        return Reputation(agent)
    overruns = [one.overrun for one in awards if one.overrun is not None]
    return Reputation(
        agent,
        awards=len(awards),
        done=sum(one.is_done for one in awards),
        known_costs=len(overruns),
        mean_overrun=fmean(overruns) if overruns else 1.0,
        mean_seconds=fmean(one.seconds for one in awards),
    )
