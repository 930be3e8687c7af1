"""The books of a run: a tree of accounts, in which every spending is reserved before it happens.

An account is named by its path: `run/work/researcher:s1#1` lies under `run/work`, which lies under `run`. A spending
counts against its own account and every account above it, atomically: so a parallel tree cannot overspend.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Lock
from typing import Literal, Protocol

from guardgraph.state.allowance import Allowance
from guardgraph.state.money import exactly
from guardgraph.state.usage import Usage

__all__ = ("Amount", "Balance", "Ledger", "MemoryLedger", "Refusal", "chain_of", "in_full", "left_of", "shortage")


@dataclass(frozen=True, slots=True)
class Amount:
    """What is to be spent, or was: a vector of everything that is counted."""

    tokens: int = 0
    usd: Decimal | None = Decimal(0)
    """US dollars; `None` is an unknown price."""
    calls: int = 0
    subtasks: int = 0
    messages: int = 0

    @exactly
    def __add__(self, other: Amount) -> Amount:
        """Return the sum; unknown money stays unknown."""
        return Amount(
            tokens=self.tokens + other.tokens,
            usd=None if self.usd is None or other.usd is None else self.usd + other.usd,
            calls=self.calls + other.calls,
            subtasks=self.subtasks + other.subtasks,
            messages=self.messages + other.messages,
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """One account at one moment; `spent` and `reserved` include every account below it."""

    account: str
    cap: Allowance
    spent: Amount
    reserved: Amount


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a spending was refused; nothing was booked."""

    account: str
    """The account that has too little."""
    what: str
    """`tokens`, `usd`, `calls`, `subtasks`, `messages`, `price` (unknown, and money is limited) or `closed`."""
    wanted: int | Decimal | None = None
    left: int | Decimal | None = None
    waits: bool = False
    """Whether it could still go through when reservations that are open now settle for less."""

    def __str__(self) -> str:
        """Say it in words."""
        if self.what == "closed":
            return f"account {self.account!r} is closed"
        if self.what == "price":
            return "the price of the model is unknown, so money cannot be limited; limit tokens instead"
        return f"{self.wanted} {self.what} wanted, {self.left} left"


class Ledger(Protocol):
    """Keeps the books of one or many runs. Every method is atomic and may be called from any thread.

    What is booked in an account counts in every account above it, also in one that is opened only later.
    """

    @property
    def blocks(self) -> bool:
        """Whether a call may take long, so that it must not be made on an event loop."""
        ...

    def open(self, account: str, cap: Allowance) -> int:
        """Open or reopen `account` and return its epoch; what an earlier epoch left reserved is settled in full."""
        ...

    def reopen(self, account: str, at_least: Allowance) -> int:
        """Do as `open`, but keep every limit of the account that is wider, such as one that was raised since."""
        ...

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> Refusal | None:
        """Book `amount` as reserved under the id `entry`, or say why not. Repeating an entry books nothing."""
        ...

    def settle(self, entry: str, usage: Usage | None) -> None:
        """Replace the reservation by what was really used; `None` settles it in full. Unknown entries are ignored."""
        ...

    def close(self, account: str, epoch: int) -> None:
        """Settle in full what is reserved in `account` itself, and refuse what comes later under this epoch."""
        ...

    def balances(self, account: str) -> tuple[Balance, ...]:
        """Return the balances of the opened accounts from the outermost down to `account`."""
        ...

    def usage(self, account: str) -> Usage:
        """Return what was spent in `account` and below it; `Usage()` if it was never opened."""
        ...


def chain_of(account: str) -> tuple[str, ...]:
    """Return `account` and the accounts above it, outermost first.

    >>> chain_of("r/work/a")
    ('r', 'r/work', 'r/work/a')
    """
    parts = account.split("/")
    return tuple("/".join(parts[: n + 1]) for n in range(len(parts)))


def in_full(amount: Amount) -> Usage:
    """Return the usage of a reservation that nobody can account for: all of it, as input, for no output was seen."""
    return Usage(input_tokens=amount.tokens, usd=amount.usd, calls=amount.calls)


@exactly
def left_of(balances: tuple[Balance, ...]) -> Allowance:
    """Return what is not spent under every account of the chain.

    What is reserved for calls in flight counts as left: they may take less, and a decision that is final, such as the
    end of a run, must not depend on who happens to be in a call at that moment. `Ledger.reserve` sees to it that
    nothing is given out twice.
    """
    left = Allowance()
    for balance in balances:
        left = left.narrow(_rest(balance))
    return left


@exactly
def shortage(balances: tuple[Balance, ...], amount: Amount) -> Refusal | None:
    """Say why `amount` does not fit under these balances; `None` if it fits.

    Where money is limited, an unknown price fits nowhere, and nothing that costs fits beside one.
    """
    for balance in balances:
        if balance.cap.usd is not None and amount.usd is None:
            return Refusal(balance.account, "price")
        if balance.cap.usd is not None and amount.usd and None in (balance.spent.usd, balance.reserved.usd):
            return Refusal(balance.account, "price", amount.usd, Decimal(0), waits=balance.spent.usd is not None)
        for what in ("tokens", "usd", "calls", "subtasks", "messages"):
            cap = getattr(balance.cap, what)
            if cap is None:
                continue
            wanted, spent, held = (getattr(part, what) or 0 for part in (amount, balance.spent, balance.reserved))
            if wanted and spent + held + wanted > cap:
                fits_later = spent + wanted <= cap
                return Refusal(balance.account, what, wanted, max(cap - spent - held, type(cap)(0)), waits=fits_later)
    return None


def _rest(balance: Balance) -> Allowance:
    def less(what: str) -> int | Decimal | None:
        cap = getattr(balance.cap, what)
        if cap is None:
            return None
        spent = getattr(balance.spent, what)
        return type(cap)(0) if spent is None else max(type(cap)(0), cap - spent)  # an unknown price leaves no money

    counts = {what: less(what) for what in ("tokens", "usd", "calls", "subtasks", "messages")}
    return balance.cap.model_copy(update=counts)


@dataclass(slots=True)
class _Account:
    cap: Allowance = field(default_factory=Allowance)
    epoch: int = 0
    """How often it was opened; one that only stands above an opened account has 0."""
    closed: bool = True
    spent: Amount = field(default_factory=Amount)
    priced: Amount = field(default_factory=Amount)
    """What is reserved; unknown prices are not in its money."""
    unpriced: int = 0
    """How many open reservations have an unknown price."""
    usage: Usage = field(default_factory=Usage)
    entries: dict[str, Amount] = field(default_factory=dict[str, Amount])

    @property
    def reserved(self) -> Amount:
        return replace(self.priced, usd=None) if self.unpriced else self.priced

    @exactly
    def hold(self, amount: Amount, *, times: Literal[1, -1]) -> None:
        """Add a reservation, or take it back."""
        self.unpriced += times if amount.usd is None else 0
        self.priced = Amount(
            tokens=self.priced.tokens + times * amount.tokens,
            usd=(self.priced.usd or Decimal(0)) + times * (amount.usd or Decimal(0)),
            calls=self.priced.calls + times * amount.calls,
            subtasks=self.priced.subtasks + times * amount.subtasks,
            messages=self.priced.messages + times * amount.messages,
        )


class MemoryLedger:
    """A ledger in the memory of this process; it is gone when the process ends."""

    blocks = False

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._entries: dict[str, str] = {}
        self._lock = Lock()

    def open(self, account: str, cap: Allowance) -> int:
        """See `Ledger.open`."""
        with self._lock:
            return self._open(account, cap)

    def reopen(self, account: str, at_least: Allowance) -> int:
        """See `Ledger.reopen`."""
        with self._lock:
            known = self._accounts.get(account)
            return self._open(account, at_least.widen(known.cap) if known and known.epoch else at_least)

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> Refusal | None:
        """See `Ledger.reserve`."""
        with self._lock:
            if entry in self._entries:
                return None
            held = self._accounts.get(account)
            if held is None or not epoch or held.epoch != epoch or any(map(self._is_closed, chain_of(account))):
                return Refusal(account, "closed")
            refusal = shortage(self._balances(account), amount)
            if refusal is None:
                self._entries[entry] = account
                held.entries[entry] = amount
                for name in chain_of(account):
                    self._accounts[name].hold(amount, times=1)
            return refusal

    def settle(self, entry: str, usage: Usage | None) -> None:
        """See `Ledger.settle`."""
        with self._lock:
            account = self._entries.get(entry)
            if account is not None and entry in self._accounts[account].entries:
                self._settle(entry, account, usage)

    def close(self, account: str, epoch: int) -> None:
        """See `Ledger.close`."""
        with self._lock:
            held = self._accounts.get(account)
            if held is not None and held.epoch == epoch:
                self._settle_all(account)
                held.closed = True

    def balances(self, account: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        with self._lock:
            return self._balances(account)

    def usage(self, account: str) -> Usage:
        """See `Ledger.usage`."""
        with self._lock:
            held = self._accounts.get(account)
            return held.usage if held and held.epoch else Usage()

    def _open(self, account: str, cap: Allowance) -> int:
        for name in chain_of(account):
            self._accounts.setdefault(name, _Account())
        held = self._accounts[account]
        self._settle_all(account)
        held.cap, held.closed, held.epoch = cap, False, held.epoch + 1
        return held.epoch

    def _balances(self, account: str) -> tuple[Balance, ...]:
        found = ((name, self._accounts.get(name)) for name in chain_of(account))
        return tuple(Balance(name, held.cap, held.spent, held.reserved) for name, held in found if held and held.epoch)

    def _is_closed(self, account: str) -> bool:
        held = self._accounts[account]
        return held.closed and held.epoch > 0

    def _settle_all(self, account: str) -> None:
        for entry in list(self._accounts[account].entries):
            self._settle(entry, account, None)

    def _settle(self, entry: str, account: str, usage: Usage | None) -> None:
        amount = self._accounts[account].entries.pop(entry)
        used = in_full(amount) if usage is None else usage
        spent = Amount(used.tokens, used.usd, used.calls, amount.subtasks, amount.messages)
        for name in chain_of(account):
            above = self._accounts[name]
            above.hold(amount, times=-1)
            above.spent = above.spent + spent
            above.usage = above.usage + used
