"""What a run of a graph takes: calls, tokens, money, time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.models.prices import NO_PRICES, price_of
from guardgraph.state import BadGraph, Price
from guardgraph.state.argument_checks import check_fields, shown

__all__ = ("Assumptions", "Load", "load_of_calls", "worst_of")

_LONGEST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the topology of a graph does not show."""

    rounds: int | None = None
    """Passes of every loop; by default `Convergence(rounds=)` for a planner, else 1, and at worst `Limits(visits=)`."""
    subtasks: int | None = None
    """Subtasks of a planner in each round; by default one for each worker."""
    passes: int = 5
    """Passes of a loop in a foreign graph, and model calls of an agent with tools in one attempt."""
    calls_per_node: int = 1
    """Model calls of a node of a foreign graph that is no tool node."""
    calls_per_function: int = 0
    """Model calls of an attempt of an agent that is a function or a Runnable."""
    input_tokens: int = 2_000
    """Tokens that a model call reads."""
    output_tokens: int = 500
    """Tokens that a model call writes, where the agent has no `max_tokens`."""
    seconds: float = 3.5
    """Seconds of a model call that are expected."""
    slowest_seconds: float = 5.0
    """Seconds of a model call at worst."""
    model: str = ""
    """The model whose price holds where the model of an agent is unknown, as `openai:gpt-5-mini`."""

    def __post_init__(self) -> None:
        whole = dict.fromkeys(("calls_per_node", "calls_per_function", "input_tokens", "output_tokens"), 0)
        check_fields(self, at_least={"rounds": 1, "subtasks": 1, "passes": 1, **whole})
        for name in ("seconds", "slowest_seconds"):
            if not 0 <= getattr(self, name) <= _LONGEST:
                raise BadGraph(f"`{name}` must be from 0 to {_LONGEST:_}, got {shown(getattr(self, name))}")


@dataclass(frozen=True, slots=True)
class Load:
    """What a run takes."""

    supersteps: int = 0
    """Supersteps of the outermost graph."""
    attempts: int = 0
    """Attempts of agents, those of nested teams included."""
    calls: int = 0
    """Model calls."""
    tokens: int = 0
    """Tokens read and written."""
    usd: Decimal | None = Decimal(0)
    """US dollars; `None` where the price of a model is unknown."""
    seconds: float = 0.0
    """From the beginning to the outcome, for model calls alone: other code is assumed to take no time."""

    def __add__(self, other: Load) -> Load:
        """Return both, one after the other."""
        return Load(
            supersteps=self.supersteps + other.supersteps,
            attempts=self.attempts + other.attempts,
            calls=self.calls + other.calls,
            tokens=self.tokens + other.tokens,
            usd=None if self.usd is None or other.usd is None else self.usd + other.usd,
            seconds=self.seconds + other.seconds,
        )

    def times(self, count: int) -> Load:
        """Return this load `count` times, one after the other."""
        return Load(
            supersteps=self.supersteps * count,
            attempts=self.attempts * count,
            calls=self.calls * count,
            tokens=self.tokens * count,
            usd=Decimal(0) if count == 0 else None if self.usd is None else self.usd * count,
            seconds=self.seconds * count,
        )

    def within(self, *, calls: int | None, tokens: int | None, usd: Decimal | None, seconds: float | None) -> Load:
        """Return this load under caps; `None` is no cap."""
        return replace(
            self,
            calls=self.calls if calls is None else min(self.calls, calls),
            tokens=self.tokens if tokens is None else min(self.tokens, tokens),
            usd=self.usd if usd is None else usd if self.usd is None else min(self.usd, usd),
            seconds=self.seconds if seconds is None else min(self.seconds, seconds),
        )


def load_of_calls(
    calls: int,
    agent: Agent | None,
    given: Assumptions,
    *,
    seconds: float,
    prices: Mapping[str, Price] = NO_PRICES,
) -> Load:
    """Return what model calls take, each of so many seconds; `agent` makes them, `None` is a foreign node.

    Of several models of an agent the most expensive one counts. `prices` are those that its teams declare.
    """
    written = agent.max_tokens if agent is not None and agent.max_tokens else given.output_tokens
    models = _models(agent, given) if calls else []
    found = [price_of(provider or None, name or None, prices) for provider, name in models]
    known = [price.usd(given.input_tokens, written) * calls for price in found if price is not None]
    usd = None if len(known) < len(found) else max(known, default=Decimal(0))
    return Load(calls=calls, tokens=calls * (given.input_tokens + written), usd=usd, seconds=calls * seconds)


def _models(agent: Agent | None, given: Assumptions) -> list[tuple[str, str]]:
    """Return provider and name of each model of an agent, or else of the assumed one."""
    if agent is None or agent.kind != "model":
        return [_origin(given.model)]
    return [_origin(model) for model in (agent.models.values() if agent.models else (agent.model,))]


def _origin(model: Any) -> tuple[str, str]:
    if isinstance(model, str):
        provider, colon, name = model.partition(":")
        return (provider, name) if colon else ("", model)
    from guardgraph.models.identity import origin_of

    origin = origin_of(model)
    return origin.get("ls_provider") or "", origin.get("ls_model_name") or ""


def worst_of(loads: Iterable[Load]) -> Load:
    """Return the largest of each part of several loads."""
    found = [*loads]
    prices = [one.usd for one in found]
    return Load(
        supersteps=max(one.supersteps for one in found),
        attempts=max(one.attempts for one in found),
        calls=max(one.calls for one in found),
        tokens=max(one.tokens for one in found),
        usd=None if None in prices else max(price for price in prices if price is not None),
        seconds=max(one.seconds for one in found),
    )
