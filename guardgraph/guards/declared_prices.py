"""The prices that budgets declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from guardgraph.state import BadGraph, Price
from guardgraph.state.argument_checks import shown

__all__ = ("check_prices", "merged_prices")


def check_prices(prices: object) -> None:
    """Raise `BadGraph` for anything but a mapping of names of models to prices."""
    rule = "`prices` must map names of models to prices, as {'my-model': Price(input='0.25', output='2')}"
    if not isinstance(prices, Mapping):
        raise BadGraph(f"Budget: {rule}; got {shown(prices)}")
    for name, price in cast("Mapping[Any, object]", prices).items():
        if not isinstance(name, str) or not all(name.split(":", 1)) or name != name.strip():
            raise BadGraph(f"Budget: {rule}: a name is that of a model, or `provider:model`; got {shown(name)}")
        if not isinstance(price, Price):
            raise BadGraph(f"Budget: {rule}; what {name!r} has is no `Price`: {shown(price)}")


def merged_prices(several: Iterable[Mapping[str, Price]]) -> dict[str, Price]:
    """Return all prices together. Raises `BadGraph` where one model has two."""
    found: dict[str, Price] = {}
    for name, price in (pair for prices in several for pair in prices.items()):
        if found.setdefault(name, price) != price:
            raise BadGraph(f"`prices` of two Budgets give {name!r} different prices: {found[name]} and {price}")
    return found
