"""Which rate limits an attempt of an agent waits for."""

from __future__ import annotations

from guardgraph.agents.agent import Agent
from guardgraph.agents.model_choice import model_names
from guardgraph.runtime.rates.attempt_turns import AttemptTurns
from guardgraph.runtime.services import Services
from guardgraph.state import DelegationScope

__all__ = ("turns_of",)


def turns_of(
    agent: Agent, services: Services, me: DelegationScope, role: str, until: float | None
) -> AttemptTurns | None:
    """Return the turns of an attempt; `None` where no rate limit can concern it.

    `role` is the key of the agent's learned costs, which also names its limit; `until` is when the attempt has to end,
    on the monotonic clock.
    """
    if agent.rate_limit is None and not services.turns.limits:
        return None
    own = {} if agent.rate_limit is None else {f"agent {role}": agent.rate_limit}
    models = services.turns.of_model(*model_names(agent)) if agent.kind == "model" else {}
    first = {**own, **models}
    expected = agent.expected_amount or services.costs.expected(role)
    tokens = 0 if expected is None else expected.tokens // max(expected.calls, 1)
    return AttemptTurns(
        services=services,
        position=me,
        own=own,
        first=first,
        role=role,
        counts_calls=agent.calls_models,
        until=until,
        expected_tokens=tokens if any(limit.tokens is not None for limit in first.values()) else 0,
    )
