"""A limit on doing the same thing again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from guardgraph.guards.calls import ModelCall, ToolCall
from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.state import Gate, Result, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Repetition",)


@dataclass(frozen=True, slots=True)
class Repetition(Composable):
    """Stop an agent that does the same more than `times` times within its last `window` calls.

    The same is: a tool with the same arguments (whatever their order and white space), or the same answer
    of a model. `handovers` is how often the same two agents may hand over to each other, in either direction: within
    those calls, one making its calls after the other's have ended, or by messages of a swarm.

    With `Retry(n)` the model gets the reason as the answer of the tool, at most n times; then the attempt is stopped.
    Where the same answer calls tools, it is stopped `n` answers later, so that the model has read the reason. The calls
    of one attempt are counted (of one run of the agent, in a `GuardMiddleware`).
    """

    times: int = 3
    window: int = 50
    handovers: int = 20
    on_trip: OnTrip = Retry(1)
    gates = frozenset[Gate]({"model", "tool", "handoff"})

    def __post_init__(self) -> None:
        check_fields(self, at_least={"times": 1, "window": 2, "handovers": 1})

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where the subject would be one repetition too many."""
        subject, recent = context.subject, context.calls[-self.window :]
        if isinstance(subject, ToolCall):
            count = 1 + sum(isinstance(one, ToolCall) and one.signature == subject.signature for one in recent)
            reason = (
                f"the tool {subject.name!r} was called {count - 1} times with the same arguments; do something else"
            )
            return self._verdict(context, count, self.times, reason)
        if isinstance(subject, ModelCall):
            return self._of_model(context, subject, recent)
        if isinstance(subject, Result):
            count, pair = _sent_handovers(subject, context.state.get("results") or ())
            return self._verdict(context, count, self.handovers, _too_many_handovers(pair, count))
        return context.verdict(self, trips=False)

    def _of_model(self, context: GuardContext, subject: ModelCall, recent: Sequence[ModelCall | ToolCall]) -> Verdict:
        calls = [one for one in recent if isinstance(one, ModelCall)]
        last = next((one for one in reversed(calls) if one.agent == subject.agent and one.answer is not None), None)
        if last is not None:
            count = sum(one.answer == last.answer and one.agent == last.agent for one in calls)
            patience = self.on_trip.times if isinstance(self.on_trip, Retry) and last.calls_tools else 0
            if count > self.times + patience:
                reason = f"the model has given the same answer {count} times"
                return self._verdict(context, count, self.times + patience, reason)
        count, pair = _handovers([*calls, subject])
        return self._verdict(context, count, self.handovers, _too_many_handovers(pair, count))

    def _verdict(self, context: GuardContext, count: int, limit: int, reason: str) -> Verdict:
        return context.verdict(self, trips=count > limit, measured=count, limit=limit, reason=reason)


def _too_many_handovers(pair: Sequence[str], count: int) -> str:
    return f"{' and '.join(map(repr, pair))} have handed over to each other {count} times"


def _handovers(calls: Sequence[ModelCall]) -> tuple[int, tuple[str, ...]]:
    """Return how often the agents of the last handover have handed over to each other, and who they are.

    A handover is a call of another agent than the call before, which had ended: calls at the same time are none.
    """
    pairs = [
        tuple(sorted((one.agent, other.agent)))
        for one, other in pairwise(calls)
        if one.agent != other.agent and one.ended is not None and one.ended <= other.at
    ]
    return (pairs.count(pairs[-1]), pairs[-1]) if pairs and calls[-1].agent in pairs[-1] else (0, ())


def _sent_handovers(subject: Result, results: Iterable[Result]) -> tuple[int, tuple[str, ...]]:
    """Return how often the pair of agents that `subject` hands over between has done so by messages, most first."""
    wanted = set(_pairs(subject))
    known = [pair for one in results if one.id != subject.id for pair in _pairs(one) if pair in wanted]
    return max(((1 + known.count(pair), pair) for pair in wanted), default=(0, ()))


def _pairs(result: Result) -> list[tuple[str, ...]]:
    sender = result.fallback_for or result.agent
    sent = [name for one in result.messages if one.performative == "hand_off" for name in one.recipients]
    return [tuple(sorted((sender, name))) for name in (*sent, *result.handoff)]
