"""What a model call costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

from guardgraph.state import NO_PARTS, ModelPrice, Price

__all__ = ("NO_PRICES", "ListedPrice", "own_price", "price_key", "price_of")

NO_PRICES: Mapping[str, Price] = MappingProxyType({})
_FREE = ":free"
"""How the names of models end that providers give away."""


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """The price of one model, from a table that is part of an installed package: never a look-up over the network."""

    provider: str
    """The provider, as the caller named it."""
    model: str
    """The model, as the caller named it."""
    is_free: bool = False
    """Whether every call costs nothing, as with the offline models."""

    def usd(self, input_tokens: int, output_tokens: int, parts: Mapping[str, int] = NO_PARTS) -> Decimal:
        """Return US dollars for one call of that many tokens (tiers count; discounts do not).

        `parts` are those among them that may have prices of their own, by the names of the table: `cache_read_tokens`,
        `cache_write_tokens`, `output_reasoning_tokens` and so on. Where they cannot be, such as more of them than there
        are in all, every token costs what a plain one does. Raises `ValueError` for a negative number of tokens.
        """
        if input_tokens < 0 or output_tokens < 0:
            raise ValueError(f"tokens must not be negative, got {input_tokens!r} and {output_tokens!r}")
        if self.is_free:
            return Decimal(0)
        try:
            return _calculate(self.provider, self.model, input_tokens, output_tokens, parts)
        except ValueError:
            return _calculate(self.provider, self.model, input_tokens, output_tokens, NO_PARTS)


def price_of(provider: str | None, model: str | None, own: Mapping[str, Price] = NO_PRICES) -> ModelPrice | None:
    """Return the price of `model` at `provider`, or `None` where it is unknown: an unknown price is never zero.

    That in `own` comes first, by the names that `price_key` and `own_price` have; else the table decides. Without a
    provider the model's own maker is assumed. The provider `offline` is free, and so is a model of the table whose name
    ends in `:free`; any other for which the table has no price of a token is unknown. Answers are remembered.
    """
    return own_price(own, provider, model) or _listed(provider, model)


def own_price(own: Mapping[str, Price], provider: str | None, *models: str | None) -> Price | None:
    """Return the declared price of the first of `models` that has one.

    It is declared for `provider:model`, for a `model` of any provider, or, after those, for all others of a provider,
    as `ollama:*`.
    """
    if not own:
        return None
    exact = (key for model in models if model for key in (f"{provider}:{model}", model))
    return next((own[key] for key in (*exact, f"{provider}:*") if key in own), None)


def price_key(provider: str | None, model: str | None) -> str:
    """Return under which name the price of a model is declared: `provider:model`; `provider:*` where it has no name."""
    return f"{provider}:{model or '*'}" if provider else model or ""


@lru_cache(maxsize=1_024)
def _listed(provider: str | None, model: str | None) -> ListedPrice | None:
    if provider == "offline":
        return ListedPrice(provider, model or "", is_free=True)
    if not model:
        return None
    try:
        costs_something = _calculate(provider or "", model, 1_000, 1_000, NO_PARTS) > 0
    except LookupError:
        return None
    is_free = not costs_something and model.endswith(_FREE)
    return ListedPrice(provider or "", model, is_free=is_free) if costs_something or is_free else None


def _calculate(provider: str, model: str, input_tokens: int, output_tokens: int, parts: Mapping[str, int]) -> Decimal:
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, **parts)
    return calc_price(usage, model, provider_id=provider or None).total_price
