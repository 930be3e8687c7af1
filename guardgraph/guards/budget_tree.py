"""The budgets of one team, of which some are parts of others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import permutations, product

from guardgraph.guards.budget import Budget
from guardgraph.state import BadGraph

__all__ = ("check_budgets",)

_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=28),
}


def check_budgets(budgets: Sequence[Budget], *, for_some: Sequence[Budget] = ()) -> None:
    """Raise `BadGraph` for a budget that is part of another one and larger than it: it would never hold.

    Those of `for_some` count some agents alone, and are part of what counts all.
    """
    pairs = [pair for pair in permutations(budgets, 2) if _is_part(*pair)]
    for part, whole in (*pairs, *(pair for pair in product(for_some, budgets) if _is_part_of_some(*pair))):
        for what, own, above in zip(("usd", "tokens", "calls"), _limits(part), _limits(whole), strict=True):
            if own is not None and above is not None and own > above:
                raise BadGraph(
                    f"`{what}` of {_named(part)} is {own}, more than the {above} of {_named(whole)}, of which it is a "
                    "part; lower the first, or raise the second"
                )


def _is_part(part: Budget, whole: Budget) -> bool:
    if whole.per == "run" and whole.window is None and part.per in ("agent", "task"):
        return True
    shorter, longer = _length(part), _length(whole)
    return part.per == whole.per and shorter is not None and (longer is None or shorter < longer)


def _is_part_of_some(part: Budget, whole: Budget) -> bool:
    return _is_part(part, whole) or (part.per, part.window) == (whole.per, whole.window)


def _length(budget: Budget) -> timedelta | None:
    """Return how long a window is at least; `None` without one."""
    window = budget.window
    return window if window is None or isinstance(window, timedelta) else _LENGTHS[window]


def _limits(budget: Budget) -> tuple[Decimal | int | None, ...]:
    cap = budget.cap
    return cap.usd, cap.tokens, cap.calls


def _named(budget: Budget) -> str:
    window = "" if budget.window is None else f", window={budget.window!r}"
    return f"Budget(per={budget.per!r}{window})"
