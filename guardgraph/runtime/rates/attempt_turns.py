"""The turns of one attempt under the rate limits of its agent, of models and of providers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event, Lock
from time import monotonic
from typing import Any
from uuid import UUID

from guardgraph.runtime.budget.call_reservation import bound_of, names_of
from guardgraph.runtime.concurrency.isolation import run_shielded
from guardgraph.runtime.rates.rate_limit import RateLimit
from guardgraph.runtime.rates.turns import Turn
from guardgraph.runtime.services import Services
from guardgraph.state import DelegationScope

__all__ = ("AttemptTurns", "apause", "pause")

_OUTPUT = 4_096
"""How many tokens a call is presumed to write before any has ended."""
_SLICE = 0.25
"""Seconds after which who waits looks whether it still has to."""


@dataclass(slots=True)
class AttemptTurns:
    """Takes the turn of the first call before the attempt holds a slot, and those of later calls as they come.

    Where `own` limits model calls, the first of them uses the turn that was taken before; else the attempt does.
    """

    services: Services
    position: DelegationScope
    own: Mapping[str, RateLimit]
    """The limit of the agent, by its name."""
    first: Mapping[str, RateLimit]
    """The limits of its first call, as far as they are known before: its own, and those of its model."""
    role: str
    """The key under which its costs are learned."""
    counts_calls: bool
    """Whether each model call counts under `own`; else each attempt does."""
    until: float | None
    """When it has to end, on the monotonic clock."""
    expected_tokens: int = 0
    """How many tokens the first call is expected to take."""
    _turn: Turn | None = None
    _calls: dict[UUID, tuple[Turn, ...]] = field(default_factory=dict[UUID, tuple[Turn, ...]])
    _lock: Lock = field(default_factory=Lock)

    @property
    def blocks(self) -> bool:
        """Whether its methods wait for a database."""
        return self.services.turns.values.blocks

    def seconds_to_wait(self) -> float:
        """Return how long the attempt has to wait; 0 where it may begin. Called when it could begin at once.

        Its turn is taken at the first call, and again where it came so late that the turn has passed.
        """
        if not self.first:
            return 0.0
        if self._turn is not None and self._turn.is_stale:
            self.drop()
        if self._turn is None:
            self._turn = self.services.turns.take(self.first, tokens=self.expected_tokens, within=self._rest)
            self._emit([self._turn])
        return self._turn.rest

    def drop(self) -> None:
        """Take a turn back that was not used."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self.services.turns.give_back(turn)

    def begin(self) -> None:
        """Note that the attempt begins: its turn is used, or kept for its first model call."""
        if not self.counts_calls:
            self._turn = None

    def take(self, run_id: UUID, counted: int, facts: Mapping[str, Any]) -> float:
        """Take the turns of a model call, and return how many seconds it has to wait.

        `counted` are the tokens of its input, `facts` what is known of it. Raises `RateLimitExceeded` where it would
        have to wait beyond the deadline.
        """
        models = self.services.turns.of_model(*names_of(facts))
        limits, tokens = {**(self.own if self.counts_calls else {}), **models}, self._tokens(counted, facts)
        with self._lock:
            before, self._turn = self._turn, None
        turns, needed = list[Turn](), limits
        if before is not None:
            turns.append(before)
            needed = {name: limit for name, limit in limits.items() if name not in before.limits}
            more = {
                name: RateLimit(tokens=limit.tokens, per=limit.per)
                for name, limit in before.limits.items()
                if limit.tokens is not None and name in limits
            }
            if more and tokens > before.tokens:
                extra = self.services.turns.take(more, tokens=tokens - before.tokens, within=self._rest)
                turns.append(extra)
        if needed:
            turns.append(self.services.turns.take(needed, tokens=tokens, within=self._rest))
        if turns:
            self._calls[run_id] = tuple(turns)
            self._emit(turns if before is None else turns[1:])
        return max((turn.rest for turn in turns), default=0.0)

    def settle(self, run_id: UUID, tokens: int | None) -> None:
        """Note how many tokens a call has taken; `None` leaves what was counted."""
        turns = self._calls.pop(run_id, None)
        if turns and tokens is not None:
            self.services.turns.settle(turns, tokens)

    async def off_loop(self, work: Callable[[], float]) -> float:
        """Do `work` without blocking the event loop."""
        return await run_shielded(work) if self.blocks else work()

    def _tokens(self, counted: int, facts: Mapping[str, Any]) -> int:
        """Return how many tokens a call is expected to take."""
        costs, bound = self.services.costs, bound_of(facts)
        written = costs.largest_output(self.role) or _OUTPUT
        return costs.input_of(self.role, counted) + (written if bound is None else min(written, bound))

    @property
    def _rest(self) -> float | None:
        return None if self.until is None else max(self.until - monotonic(), 0.0)

    def _emit(self, turns: list[Turn]) -> None:
        waits = [turn for turn in turns if turn.wait > 0]
        if waits:
            names = sorted({name for turn in waits for name in turn.limits})
            seconds = round(max(turn.wait for turn in waits), 3)
            self.services.emit(
                "agent_waiting", self.position, reason=f"rate limit of {', '.join(names)}", seconds=seconds
            )


def pause(seconds: float, is_over: Callable[[], bool] = lambda: False) -> None:
    """Wait so many seconds, or until `is_over`, which is looked at four times a second."""
    until, never = monotonic() + seconds, Event()
    while (rest := until - monotonic()) > 0 and not is_over():
        never.wait(min(rest, _SLICE))


async def apause(seconds: float, is_over: Callable[[], bool] = lambda: False) -> None:
    """Do as `pause` without blocking the event loop."""
    until = monotonic() + seconds
    while (rest := until - monotonic()) > 0 and not is_over():
        await asyncio.sleep(min(rest, _SLICE))
