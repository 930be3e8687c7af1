"""What is known of a run while it works, kept up to date by its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

from guardgraph.nodes import Event
from guardgraph.state import Usage

__all__ = ("Board", "Caps", "Standing", "line_of")


class Caps(NamedTuple):
    """What the run may spend, as far as the command knows."""

    tokens: int | None = None
    usd: Decimal | None = None
    before: Usage = Usage()
    """What earlier attempts of the run have spent."""


class Standing(NamedTuple):
    """How a run stands at one moment."""

    at_work: tuple[tuple[str, str, float], ...]
    """Agent, goal, and seconds since it began; the oldest first."""
    finished: int
    tokens: int
    usd: Decimal | None
    """`None` when a price is unknown."""
    spent: float | None
    """The part of the tightest limit that is spent; `None` without a limit."""
    seconds: float


@dataclass(slots=True)
class Board:
    """Adds events up; safe to use from many threads."""

    limits: Caps = field(default_factory=Caps)
    began: float = field(default_factory=monotonic)
    _at_work: dict[tuple[str, ...], tuple[str, str, float]] = field(
        default_factory=dict[tuple[str, ...], tuple[str, str, float]]
    )
    _finished: int = 0
    _tokens: int = 0
    _usd: Decimal | None = Decimal(0)
    _lock: Lock = field(default_factory=Lock)

    def tell(self, event: Event) -> None:
        """Take one event into account."""
        with self._lock:
            match event.kind:
                case "agent_started":
                    key = _key(event)
                    self._at_work[key] = (event.path[-1], str(event.data.get("goal", "")), monotonic())
                case "agent_finished":
                    self._at_work.pop(_key_of_finished(event, self._at_work), None)
                    self._finished += 1
                    self._pay(event)
                case "model_called":
                    self._tokens += _whole(event.data.get("tokens"))
                case _:
                    pass

    def standing(self) -> Standing:
        """Return how the run stands now."""
        now = monotonic()
        with self._lock:
            at_work = tuple((agent, goal, now - since) for agent, goal, since in self._at_work.values())
            before = self.limits.before
            tokens = before.tokens + self._tokens
            usd = None if before.usd is None or self._usd is None else before.usd + self._usd
            return Standing(at_work, self._finished, tokens, usd, _part(tokens, usd, self.limits), now - self.began)

    def _pay(self, event: Event) -> None:
        if len(event.path) != 2:  # what a nested agent costs is in what its team costs
            return
        usd: Any = event.data.get("usd")
        self._usd = None if usd is None or self._usd is None else self._usd + Decimal(str(usd))


def line_of(event: Event, seconds: float) -> str | None:
    """Return an event as one line for a log, or `None` for one that says too little."""
    data = event.data
    who = "/".join(event.path[1:]) or "team"
    again = f" (attempt {data['attempt']})" if _whole(data.get("attempt")) > 1 else ""
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
        case _:
            return None
    return f"[{seconds:6.1f} s] {said}"


def _key(event: Event) -> tuple[str, ...]:
    return (*event.path, str(event.data.get("goal", "")), str(event.data.get("attempt", "")))


def _key_of_finished(event: Event, at_work: dict[tuple[str, ...], Any]) -> tuple[str, ...]:
    """Return the oldest attempt of the agent; its end does not tell its goal."""
    mine = (key for key in at_work if key[:-2] == event.path and key[-1] == str(event.data.get("attempt", "")))
    return next(mine, ())


def _part(tokens: int, usd: Decimal | None, limits: Caps) -> float | None:
    parts = [tokens / limits.tokens] if limits.tokens else []
    if limits.usd and usd is not None:
        parts.append(float(usd / limits.usd))
    return max(parts) if parts else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _short(value: Any, limit: int = 200) -> str:
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value or "")).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
