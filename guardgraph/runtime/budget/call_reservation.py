"""One model call: what is known of it before, what it may take at worst, and what it has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

from guardgraph.models.prices import NO_PRICES, own_price, price_of
from guardgraph.runtime.budget.cost_estimates import CostEstimator
from guardgraph.runtime.budget.open_calls import Risk
from guardgraph.runtime.budget.reported_usage import CACHED, UsageReport
from guardgraph.state import Amount, ModelPrice, Price, ReservationDenied, Usage

__all__ = ("Call", "bound_of", "cost_of", "generations_of", "names_of", "risk_of", "schema_tokens")

_BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "ls_max_tokens")
_MOST = 10**12
_GENERATIONS = ("n", "candidate_count")


@dataclass(frozen=True, slots=True)
class Call:
    """A model call that is reserved for."""

    account: str
    """The account of its attempt."""
    role: str
    """The key under which its costs are learned."""
    entry: str
    """The id of its reservation."""
    counted: int
    """Tokens that were counted before it."""
    read: int
    """Input tokens that it is expected to report."""
    provider: str | None
    """The provider of the model."""
    model: str | None
    """The name of the model."""
    price: ModelPrice | None
    """Its price, where that is known."""
    is_bounded: bool
    """Whether it is known how much it may write."""
    short: ReservationDenied | None = None
    """How many output tokens it wanted and how many it may write, where that is less."""


def risk_of(call: Call, total: int, *, costs: CostEstimator, declared: Amount | None) -> Risk:
    """Return how much more than `total` tokens a call may take at worst: what is `declared`, at least.

    What is declared is ignored once a call of its size was measured.
    """
    expected = Amount() if declared is None or costs.has_measured(call.role, call.counted) else declared
    doubt = costs.doubt(call.role, call.counted, is_declared=expected.tokens > 0)
    if doubt is None:
        return Risk(call.account, None, None)
    written = total - call.read
    read, most = ceil(call.read * doubt), 0 if call.is_bounded else ceil(written * doubt)
    tokens = max(read + most, expected.tokens - total)
    if call.price is None:
        return Risk(call.account, tokens)
    usd = call.price.usd(call.read + read, written + most) * costs.price_factor(call.role)
    return Risk(call.account, tokens, max(usd, expected.usd or Decimal(0)) - call.price.usd(call.read, written))


def cost_of(
    call: Call, report: UsageReport | None, *, costs: CostEstimator, prices: Mapping[str, Price] = NO_PRICES
) -> Usage | None:
    """Return what a call has cost, and let `costs` learn from it; `None` if it does not report that.

    `prices` are those that its teams declare, for the model that has answered or the one that was called.
    """
    if report is None:
        costs.learn_silent_call(call.role, call.counted)
        return None
    if report is CACHED:
        return Usage(calls=1)
    read, written = report.read, report.written
    declared = own_price(prices, call.provider, report.model, call.model)
    price = declared or price_of(call.provider, report.model or call.model) or price_of(call.provider, call.model)
    usd = price.usd(read, written, report.parts) if price else None
    plain = price.usd(read, written) if price else None
    factor = usd / plain if usd and plain else Decimal(1)
    costs.learn_call(call.role, counted=call.counted, read=read, written=written, price_factor=factor)
    return Usage(input_tokens=read, output_tokens=written, usd=usd, calls=1)


def bound_of(facts: Mapping[str, Any]) -> int | None:
    """Return how many tokens a call may write in all its generations, where that is known.

    Zero, a negative and a huge number set no bound: clients have -1, or the largest integer, for an output without end.
    """
    bounds = (facts.get(name) for name in _BOUNDS)
    bound = next((one for one in bounds if type(one) is int and 0 < one <= _MOST), None)
    return None if bound is None else bound * generations_of(facts)


def generations_of(facts: Mapping[str, Any]) -> int:
    """Return how many answers are requested at once."""
    return max([1, *(facts[name] for name in _GENERATIONS if isinstance(facts.get(name), int))])


def names_of(facts: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the names of provider and model."""
    return _text(facts.get("ls_provider")), _text(facts.get("ls_model_name"))


def schema_tokens(facts: Mapping[str, Any]) -> int:
    """Return how many tokens the tools and the schema of an answer take, approximately."""
    return sum(len(str(facts[name])) // 4 for name in ("tools", "response_format") if facts.get(name))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
