"""What is known of a run while it works: its events tell who works, its books what was spent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

from guardgraph.state import Allowance, Amount, Balance, RunEvent

__all__ = ("RunMonitor", "RunProgress", "line_of")

_NOTHING = Balance("", Allowance(), Amount(), Amount())


class RunProgress(NamedTuple):
    """How a run stands at one moment."""

    at_work: tuple[tuple[str, str, float], ...]
    """Agent, goal, and seconds since it began; the oldest first."""
    finished: int
    tokens: int
    usd: Decimal | None
    """`None` when a price is unknown."""
    cap: Allowance
    """What the run may spend, with what earlier attempts of it have spent."""
    spent: float | None
    """The part of the tightest limit on tokens, money or calls that is spent; `None` without one."""
    seconds: float


@dataclass(slots=True)
class RunMonitor:
    """Follows a run by its events; safe to use from many threads.

    `books` returns the balances down to an account, as a ledger does; the first is that of the whole run, with what
    earlier attempts have spent. `finished` is how many agents had finished before.
    """

    books: Callable[[str], Sequence[Balance]]
    finished: int = 0
    began: float = field(default_factory=monotonic)
    _at_work: dict[tuple[str, ...], tuple[str, str, float]] = field(
        default_factory=dict[tuple[str, ...], tuple[str, str, float]]
    )
    _balance: Balance = _NOTHING
    _lock: Lock = field(default_factory=Lock)

    def tell(self, event: RunEvent) -> None:
        """Take one event into account."""
        with self._lock:
            match event.kind:
                case "agent_started":
                    self._at_work[_key(event)] = (event.path[-1], str(event.data.get("goal", "")), monotonic())
                case "agent_finished":
                    self._at_work.pop(_key(event), None)
                    self.finished += 1
                case _:
                    pass
            self._balance = next(iter(self.books(event.run_id)), self._balance)

    def standing(self) -> RunProgress:
        """Return how the run stands now."""
        now = monotonic()
        with self._lock:
            at_work = tuple((agent, goal, now - since) for agent, goal, since in self._at_work.values())
            spent, cap = self._balance.spent, self._balance.cap
            part = _part(self._balance)
            return RunProgress(at_work, self.finished, spent.tokens, spent.usd, cap, part, now - self.began)


def line_of(event: RunEvent, seconds: float) -> str | None:
    """Return an event as one line for a log, or `None` for one that says too little."""
    data = event.data
    who = "/".join(event.path[1:]) or "team"
    counts = [f"{what} {data[what]}" for what in ("round", "attempt") if _whole(data.get(what)) > 1]
    again = f" ({', '.join(counts)})" if counts else ""
    match event.kind:
        case "agent_started":
            said = f"{who} starts{again}: {_short(data.get('goal'))}"
        case "agent_finished":
            error = f": {_short(data['error'])}" if data.get("error") else ""
            tokens = f", {_whole(data.get('tokens')):,} tokens" if data.get("tokens") else ""
            said = f"{who} {data.get('status')}{again}{tokens}{error}"
        case "verdict":
            verb = "trips" if data.get("action") == "trip" else "alerts"
            said = f"guard {data.get('guard')} {verb} at {data.get('gate')}: {_short(data.get('reason'))}"
        case "run_waiting":
            said = f"waits for an answer to {', '.join(map(str, _listed(data.get('questions'))))}"
        case _:
            return None
    return f"[{seconds:6.1f} s] {said}"


def _key(event: RunEvent) -> tuple[str, ...]:
    return (*event.path, str(event.data.get("goal", "")), str(event.data.get("attempt", "")))


def _part(balance: Balance) -> float | None:
    cap, spent = balance.cap, balance.spent
    pairs = ((spent.tokens, cap.tokens), (spent.usd, cap.usd), (spent.calls, cap.calls))
    return max((float(used / limit) for used, limit in pairs if limit and used is not None), default=None)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _short(value: Any, limit: int = 200) -> str:
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value or "")).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
