"""A limit on how fast a run spends, measured by its own pace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Literal

from guardgraph.guards.calls import ModelCall, ToolCall
from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import BadGraph, Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Velocity",)

_MOST = 1_000_000_000
_KNOWN = 3
"""How many earlier windows a median needs."""


@dataclass(frozen=True, slots=True)
class Velocity(Composable):
    """Stop an agent once its run makes calls, or takes tokens, `factor` times as fast as it usually does.

    The time before the call is cut into windows of `per` seconds, counted back from now. The run's own pace is the
    median of the windows before the last one, without those in which nothing happened; the call trips where the last
    window, the call included, has more than `factor` times the median, of calls or of tokens. Tokens count where a
    model call has ended. Nothing is judged before three windows are known, or where the last one has fewer than `least`
    calls. Models and tools count; of a run the last 2,000 calls in this process are known. In another process its pace
    begins anew, with the calls of attempts that have not ended.
    """

    factor: float = 10
    per: float = 60
    least: int = 20
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"model", "tool"})

    def __post_init__(self) -> None:
        check_fields(self, at_least={"least": 1})
        for name, value, least in (("factor", self.factor, 1), ("per", self.per, 0)):
            if not least < value <= _MOST:
                raise BadGraph(f"`{name}` must be more than {least} and at most {_MOST:_}, got {value!r:.80}")

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where the last window is far over the median."""
        subject, window = context.subject, timedelta(seconds=self.per)
        if not isinstance(subject, ModelCall | ToolCall):
            return context.verdict(self, trips=False)
        known = context.run_calls or context.calls
        started = _counts(((context.now - one.at) / window, 1) for one in (*known, subject))
        taken = _counts(
            ((context.now - one.ended) / window, one.tokens)
            for one in known
            if isinstance(one, ModelCall) and one.ended is not None and one.tokens
        )
        if started.get(0, 0) < self.least:
            return context.verdict(self, trips=False)
        return self._of("calls", started, context) or self._of("tokens", taken, context) or context.verdict(
            self, trips=False, measured=started[0]
        )  # fmt: skip

    def _of(self, what: Literal["calls", "tokens"], counts: dict[int, int], context: GuardContext) -> Verdict | None:
        """Return a trip where the last window is too fast."""
        now, before = counts.get(0, 0), [count for window, count in counts.items() if window > 0]
        if len(before) < _KNOWN or now <= self.factor * median(before):
            return None
        limit = self.factor * median(before)
        reason = f"{now} {what} in {self.per:g} s; the median of the run is {median(before):g}"
        return context.verdict(self, trips=True, measured=now, limit=limit, reason=reason)


def _counts(ages: Iterable[tuple[float, int]]) -> dict[int, int]:
    """Return the sum of each window, by its age in windows; what is exactly a window old belongs to the one before.

    What lies a window or more ahead is left out: the clock was set back since.
    """
    counts: dict[int, int] = {}
    for age, count in ages:
        if age <= -1:
            continue
        window = max(int(age), 0)
        counts[window] = counts.get(window, 0) + count
    return counts
