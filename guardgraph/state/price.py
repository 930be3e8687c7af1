"""What the tokens of a model cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Protocol, cast

from guardgraph.state.argument_checks import check_fields, shown
from guardgraph.state.errors import BadGraph
from guardgraph.state.usage import exact_decimal

__all__ = ("NO_PARTS", "ModelPrice", "Price")

NO_PARTS: Mapping[str, int] = MappingProxyType({})
_DEAREST = 1_000_000
_PLACES = 20
_PER = -6
"""Prices are per million tokens."""


class ModelPrice(Protocol):
    """What the calls of one model cost, whether from a table or declared."""

    @property
    def is_free(self) -> bool:
        """Whether every call costs nothing."""
        ...

    def usd(self, input_tokens: int, output_tokens: int, parts: Mapping[str, int] = NO_PARTS) -> Decimal:
        """Return US dollars for one call of that many tokens, of which `parts` may have prices of their own."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars per million tokens: `Price(input="0.25", output="2")`.

    What has no price of its own costs as much as other input or output. Amounts are `Decimal`, texts or whole numbers
    from 0 to 1,000,000 with at most 20 decimal places, never floats; `Price(0, 0)` is that of a model that costs
    nothing, such as a local one. Raises `BadGraph` for anything else.
    """

    input: Decimal | str | int
    """A token that it reads."""
    output: Decimal | str | int
    """A token that it writes."""
    cache_read: Decimal | str | int | None = None
    """A token of the input that was read from the provider's cache."""
    cache_write: Decimal | str | int | None = None
    """A token of the input that was written to the provider's cache, for whatever time."""
    reasoning: Decimal | str | int | None = None
    """A token of the output that was reasoning."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_write", "reasoning"):
            given = cast("object", getattr(self, name))
            if isinstance(given, float):
                raise BadGraph(f"Price: `{name}` must not be a float, got {given!r}, which is not exact: write a text")
            check_fields(self, name)
            if given is not None:
                object.__setattr__(self, name, _amount(name, given))

    @property
    def is_free(self) -> bool:
        """Whether every call costs nothing."""
        return not any((self.input, self.output, self.cache_read, self.cache_write, self.reasoning))

    @exact_decimal
    def usd(self, input_tokens: int, output_tokens: int, parts: Mapping[str, int] = NO_PARTS) -> Decimal:
        """Return US dollars for one call of that many tokens.

        Of `parts` it reads `cache_read_tokens`, `cache_write_tokens` and `output_reasoning_tokens`; where they are more
        than there are tokens in all, every token costs what a plain one does.
        """
        if input_tokens < 0 or output_tokens < 0:
            raise ValueError(f"tokens must not be negative, got {input_tokens!r} and {output_tokens!r}")
        read, written = parts.get("cache_read_tokens", 0), parts.get("cache_write_tokens", 0)
        thought = parts.get("output_reasoning_tokens", 0)
        if min(read, written, thought) < 0 or read + written > input_tokens or thought > output_tokens:
            read = written = thought = 0
        each = [Decimal(self.input), Decimal(self.output)]
        total = each[0] * (input_tokens - read - written) + each[1] * (output_tokens - thought)
        total += self._of(self.cache_read, each[0]) * read + self._of(self.cache_write, each[0]) * written
        return (total + self._of(self.reasoning, each[1]) * thought).scaleb(_PER)

    @staticmethod
    def _of(own: Decimal | str | int | None, plain: Decimal) -> Decimal:
        return plain if own is None else Decimal(own)


def _amount(name: str, given: object) -> Decimal:
    try:
        amount = Decimal(cast("str", given))
    except InvalidOperation:
        raise BadGraph(f"Price: `{name}` must be a number of US dollars, got {shown(given)}") from None
    if not (amount.is_finite() and 0 <= amount <= _DEAREST) or int(amount.as_tuple().exponent) < -_PLACES:
        raise BadGraph(
            f"Price: `{name}` must be from 0 to {_DEAREST:_} US dollars per million tokens, with at most {_PLACES} "
            f"decimal places, got {shown(given)}"
        )
    return amount
