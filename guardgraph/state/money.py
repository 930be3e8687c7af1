"""How money is counted: exactly, whatever the decimal context of the thread."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ("exactly",)

_EXACT = Context(prec=120)  # the usual 28 digits would round, and sums would depend on their order
_P = ParamSpec("_P")
_T = TypeVar("_T")


def exactly(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have `function` calculate with 120 digits: sums of US dollars with 60 decimal places are exact."""

    @wraps(function)
    def counted(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with localcontext(_EXACT):
            return function(*args, **kwargs)

    return counted
