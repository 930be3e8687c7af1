"""The accounts of a run: a tree, in which everything that is spent is reserved first.

An account is named by its path: `run/work/researcher:s1#1` lies under `run/work`, which lies under `run`. A spending
counts against its own account and every account above it, atomically: so a parallel tree cannot overspend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from guardgraph.state.allowance import COUNTS, Allowance
from guardgraph.state.usage import Amount, Usage, exact_decimal

__all__ = (
    "Balance",
    "ReservationDenied",
    "account_chain",
    "amount_text",
    "check_caps",
    "full_usage",
    "remaining_allowance",
    "tightest_label",
)


@dataclass(frozen=True, slots=True)
class Balance:
    """One account at one moment; `spent` and `reserved` include every account below it."""

    account: str
    cap: Allowance
    spent: Amount
    reserved: Amount
    label: str = ""
    """What a side account is called in a message; empty for the accounts of the tree."""
    alerted: float = 0.0
    """The highest threshold, as a part of its cap, of which an alert was emitted."""
    kind: str = ""
    """Of a side account: what it counts together and in which window, as `agent` or `tenant@day`."""
    key: bytes = b""
    """The key of a shared account in this period; empty for the accounts of a run."""

    def denied(
        self, what: str, wanted: int | Decimal | None, left: int | Decimal | None, *, retryable: bool = False
    ) -> ReservationDenied:
        """Return that it has too little."""
        return ReservationDenied(self.account, what, wanted, left, retryable, self.label)


@dataclass(frozen=True, slots=True)
class ReservationDenied:
    """Why a reservation was refused; nothing was reserved."""

    account: str
    """The account that has too little."""
    what: str
    """`tokens`, `usd`, `calls`, `subtasks`, `messages`, `price` (unknown, and money is limited) or `closed`."""
    wanted: int | Decimal | None = None
    left: int | Decimal | None = None
    retryable: bool = False
    """Whether it could still go through when reservations that are open now settle for less."""
    label: str = ""
    """What the account is called in a message, where it is a side account."""
    model: str = ""
    """The model whose price is unknown, as `Budget(prices=…)` names it."""

    def __str__(self) -> str:
        """Describe it in one sentence."""
        if self.what == "closed":
            return f"account {self.account!r} is closed"
        if self.what == "price":
            named = f" {self.model!r}" if self.model else ""
            what = f"Budget(prices={{{self.model or 'name'!r}: Price(…)}})"
            return (
                f"the price of the model{named} is unknown, so money cannot be limited; give it by `{what}`, or limit "
                "tokens instead"
            )
        wanted, left = amount_text(self.wanted), amount_text(self.left)
        return f"{wanted} {self.what} wanted, {left} left{self.label and f' of {self.label}'}"


def amount_text(amount: int | Decimal | None) -> str:
    """Return an amount as people write it, also one of less than a millionth.

    >>> amount_text(Decimal("3E-7"))
    '0.0000003'
    """
    return f"{amount:f}" if isinstance(amount, Decimal) else str(amount)


@lru_cache(maxsize=4_096)
def account_chain(account: str) -> tuple[str, ...]:
    """Return `account` and the accounts above it, outermost first.

    >>> account_chain("r/work/a")
    ('r', 'r/work', 'r/work/a')
    """
    parts = account.split("/")
    return tuple("/".join(parts[: n + 1]) for n in range(len(parts)))


def full_usage(amount: Amount) -> Usage:
    """Return the usage of a reservation whose usage was not reported: all of it, as input tokens."""
    return Usage(input_tokens=amount.tokens, usd=amount.usd, calls=amount.calls)


def remaining_allowance(balances: tuple[Balance, ...]) -> Allowance:
    """Return what is not spent under every account of the chain.

    What is reserved for running calls counts as left: they may use less, and a decision that is final, such as the
    end of a run, must not depend on who happens to be in a call at that moment. `Ledger.reserve` sees to it that
    nothing is given out twice.
    """
    left = Allowance()
    for balance in balances:
        left = left.narrow(balance.cap.minus(balance.spent))
    return left


@exact_decimal
def tightest_label(balances: Sequence[Balance], what: str) -> str:
    """Return of which side account least is left, as ` of agent press`; empty where that is an account of the tree."""
    limited = [balance for balance in balances if getattr(balance.cap, what) is not None]
    if not limited:
        return ""
    least = min(limited, key=lambda balance: getattr(balance.cap.minus(balance.spent), what))
    return least.label and f" of {least.label}"


def check_caps(balances: Sequence[Balance], amount: Amount) -> ReservationDenied | None:
    """Return why `amount` does not fit under these balances; `None` if it fits.

    Where money is limited, an unknown price fits nowhere, and nothing that costs fits beside one.
    """
    capped = [balance for balance in balances if balance.cap.is_counted]
    return _check_capped(capped, amount) if capped else None


@exact_decimal
def _check_capped(balances: Sequence[Balance], amount: Amount) -> ReservationDenied | None:
    for balance in balances:
        if balance.cap.usd is not None and amount.usd is None:
            return balance.denied("price", None, None)
        if balance.cap.usd is not None and amount.usd and None in (balance.spent.usd, balance.reserved.usd):
            return balance.denied("price", amount.usd, Decimal(0), retryable=balance.spent.usd is not None)
        for what in COUNTS:
            cap, wanted = getattr(balance.cap, what), getattr(amount, what)
            if cap is None or not wanted:
                continue
            spent, held = getattr(balance.spent, what) or 0, getattr(balance.reserved, what) or 0
            if spent + held + wanted > cap:
                fits_later = spent + wanted <= cap
                return balance.denied(what, wanted, max(cap - spent - held, type(cap)(0)), retryable=fits_later)
    return None
