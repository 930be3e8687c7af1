"""What attempts have cost in all runs of a database: mean and spread, by agent and model."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from functools import partial
from math import ceil, sqrt
from threading import Lock
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from guardgraph.state import Amount, StorageCorrupt, Usage
from guardgraph.storage.shared_values import SharedValues, decoded

__all__ = ("LATEST", "LearnedCost", "LearnedCosts", "Statistic", "expected_costs")

LATEST = 200
"""So many attempts a mean rests on, about: an older one counts less with each later one."""
_KIND = "cost"
_LOG = logging.getLogger(__name__)
_CENT = Decimal("0.000001")


class Statistic(NamedTuple):
    """Mean and variance of what was observed, without the observations.

    Each new value has the weight 1/n, and from `LATEST` on 1/`LATEST`: T. Finch, Incremental calculation of weighted
    mean and variance (2009), equations 4, 124 and 143. Up to there these are the plain mean and variance.
    """

    known: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def plus(self, value: float) -> Statistic:
        """Return it with one more value."""
        count = self.known + 1
        weight = 1 / min(count, LATEST)
        off = value - self.mean
        return Statistic(count, self.mean + weight * off, (1 - weight) * (self.variance + weight * off * off))

    @property
    def spread(self) -> float | None:
        """The standard deviation of one attempt; `None` below two."""
        if self.known < 2:
            return None
        known = min(self.known, LATEST)
        return sqrt(self.variance * known / (known - 1))


class LearnedCost(NamedTuple):
    """What the attempts of an agent with a model have cost."""

    agent: str
    """The agent, after the names of its teams, as `supervisor/researcher`."""
    model: str
    """The model as `provider:name`; several, where an attempt has called several, are separated by a comma."""
    runs: int
    """How many attempts have given an answer."""
    tokens: float
    """How many tokens one takes on average."""
    spread: float | None
    """The standard deviation of the tokens; `None` below two attempts."""
    usd: float | None
    """How many US dollars one takes on average; `None` where the price is unknown."""
    usd_spread: float | None
    """The standard deviation of that; `None` where it is unknown, or below two attempts."""
    calls: float
    """How many model calls one takes on average."""


class _Known(NamedTuple):
    tokens: Statistic = Statistic()
    calls: Statistic = Statistic()
    usd: Statistic | None = Statistic()

    @classmethod
    def of(cls, stored: JsonValue) -> _Known:
        if stored is None:
            return cls()
        data = cast("dict[str, Any]", stored)
        return cls(*(None if data[name] is None else Statistic(*data[name]) for name in cls._fields))  # type: ignore[arg-type]

    def stored(self) -> dict[str, JsonValue]:
        return {name: None if one is None else [*one] for name, one in self._asdict().items()}

    def plus(self, usage: Usage) -> _Known:
        """Return it with the usage of one more attempt; an unknown price makes the mean unknown, until the next one."""
        usd = None if usage.usd is None else (self.usd or Statistic()).plus(float(usage.usd))
        return _Known(self.tokens.plus(usage.tokens), self.calls.plus(usage.calls), usd)


@dataclass(slots=True)
class LearnedCosts:
    """Notes what the attempts of one run cost; `store` adds that to what the store knows, in one transaction."""

    values: SharedValues
    damaged: dict[str, StorageCorrupt] = field(default_factory=dict[str, StorageCorrupt])
    """What could not be read when they were listed, by agent and model; it is learned anew."""
    _noted: defaultdict[str, list[Usage]] = field(default_factory=lambda: defaultdict[str, list[Usage]](list))
    _lock: Lock = field(default_factory=Lock)

    def note(self, agent: str, models: Iterable[str], usage: Usage) -> None:
        """Note what an attempt has cost that gave an answer; one without model calls shows nothing."""
        if usage.calls or usage.tokens:
            with self._lock:
                self._noted[f"{agent}\n{', '.join(sorted(models))}"].append(usage)

    def store(self) -> None:
        """Add what was noted to the store. Blocks where that does; where it fails, it is noted still."""
        with self._lock:
            noted, self._noted = self._noted, defaultdict(list)
            anew = [name for name in noted if self.damaged.pop(name, None) is not None]

        def change(there: Mapping[str, JsonValue], now: float) -> dict[str, JsonValue]:
            found = dict[str, JsonValue]()
            for name, usages in noted.items():
                known = decoded(_Known.of, name, there.get(name))
                for usage in usages:
                    known = known.plus(usage)
                found[name] = known.stored()
            return found

        try:
            for name in anew:
                self.values.forget(_KIND, name)
            self.values.update(_KIND, noted, change)
        except BaseException:
            with self._lock:
                for name, usages in noted.items():
                    self._noted[name][:0] = usages
            raise

    def listed(self, limit: int = 1_000) -> list[LearnedCost]:
        """Return what is known, by agent and model; of more than `limit` of them those that were used last.

        What is damaged is left out, logged as a warning, and added to `damaged`: a budget is kept without it.
        """
        found = list[LearnedCost]()
        for name, value in self.values.read(_KIND, limit=limit, damaged=self.damaged).items():
            try:
                found.append(decoded(partial(_read, name), name, value))
            except StorageCorrupt as error:
                self.damaged[name] = error
        for error in self.damaged.values():
            _LOG.warning("%s; it is left out, and learned anew", error)
        return sorted(found)


def expected_costs(known: Iterable[LearnedCost]) -> dict[str, Amount]:
    """Return the expected cost of an attempt of each agent: the mean over its models, by how often each was used."""
    by_agent = defaultdict[str, list[LearnedCost]](list)
    for one in known:
        by_agent[one.agent].append(one)
    return {agent: _mean(costs) for agent, costs in by_agent.items()}


def _mean(costs: list[LearnedCost]) -> Amount:
    runs = sum(one.runs for one in costs)
    tokens = ceil(round(sum(one.tokens * one.runs for one in costs) / runs, 6))
    calls = ceil(round(sum(one.calls * one.runs for one in costs) / runs, 6))
    prices = [(one.usd, one.runs) for one in costs if one.usd is not None]
    usd = None
    if len(prices) == len(costs):
        mean = round(sum(price * n for price, n in prices) / runs, 9)  # without the error of binary fractions
        usd = Decimal(str(mean)).quantize(_CENT, ROUND_CEILING)
    return Amount(tokens=tokens, usd=usd, calls=calls)


def _read(name: str, stored: JsonValue) -> LearnedCost:
    return _learned(name, _Known.of(stored))


def _learned(name: str, known: _Known) -> LearnedCost:
    agent, _, model = name.partition("\n")
    tokens, usd = known.tokens, known.usd
    return LearnedCost(
        agent,
        model,
        tokens.known,
        round(tokens.mean, 3),
        None if tokens.spread is None else round(tokens.spread, 3),
        None if usd is None else round(usd.mean, 9),
        None if usd is None or usd.spread is None else round(usd.spread, 9),
        round(known.calls.mean, 3),
    )
