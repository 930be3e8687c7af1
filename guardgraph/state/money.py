"""How money is counted: exactly, whatever the decimal context of the thread."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal, getcontext, setcontext
from functools import wraps
from threading import local
from typing import ParamSpec, TypeVar

__all__ = ("add_usd", "exact_decimal")


class _Exact(local):
    """A context for each thread: the usual 28 digits would round, and sums would depend on their order."""

    def __init__(self) -> None:
        self.context = Context(prec=120)


_exact = _Exact()
_P = ParamSpec("_P")
_T = TypeVar("_T")


def exact_decimal(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have `function` calculate with 120 digits: sums of US dollars with 60 decimal places are exact."""

    @wraps(function)
    def counted(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        before = getcontext()
        if before is _exact.context:  # within another such function
            return function(*args, **kwargs)
        setcontext(_exact.context)
        try:
            return function(*args, **kwargs)
        finally:
            setcontext(before)

    return counted


def add_usd(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    """Return the exact sum of two amounts of US dollars; one that is unknown (`None`) leaves the sum unknown."""
    if first is None or second is None:
        return None
    if not first or not second:
        return first or second
    return _exact.context.add(first, second)
