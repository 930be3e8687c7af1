"""What a model call costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

__all__ = ("Price", "price_of")

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model, from a table that is part of an installed package: never a look-up over the network."""

    provider: str
    """The provider, as the caller named it."""
    model: str
    """The model, as the caller named it."""
    is_free: bool = False
    """Whether every call costs nothing, as with the offline models."""

    def usd(self, input_tokens: int, output_tokens: int, parts: Mapping[str, int] = _NOTHING) -> Decimal:
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
            return _calculate(self.provider, self.model, input_tokens, output_tokens, _NOTHING)


@lru_cache(maxsize=1_024)
def price_of(provider: str | None, model: str | None) -> Price | None:
    """Return the price of `model` at `provider`, or `None` where it is unknown: an unknown price is never zero.

    Without a provider the model's own maker is assumed. The provider `offline` is free. Answers are remembered.
    """
    if provider == "offline":
        return Price(provider, model or "", is_free=True)
    if not model:
        return None
    try:
        _calculate(provider or "", model, 1, 1, _NOTHING)
    except LookupError:
        return None
    return Price(provider or "", model)


def _calculate(provider: str, model: str, input_tokens: int, output_tokens: int, parts: Mapping[str, int]) -> Decimal:
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, **parts)
    return calc_price(usage, model, provider_id=provider or None).total_price
