"""Accounts beside the tree of a run: of an agent, a task, a thread or a tenant, and any of them per window of time.

A reservation names a *set* of accounts: those of its chain in the tree, and the side accounts on which these draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import quote

from guardgraph.state.accounts import account_chain
from guardgraph.state.allowance import Allowance
from guardgraph.state.frozen_model import FrozenModel

__all__ = (
    "NO_SIDES",
    "Per",
    "Period",
    "SideAccount",
    "SideBudget",
    "Sides",
    "Window",
    "attempt_sides",
    "counts_in",
    "merged_sides",
    "period_at",
    "team_sides",
)

Per = Literal["run", "agent", "task", "thread", "tenant"]
"""What is counted together: all of a team's run, all attempts of one agent or at one subtask in it, all runs of a
thread, or all runs of a tenant."""

Window = Literal["minute", "hour", "day", "month"] | int
"""How long is counted together: a calendar window in UTC, or so many seconds, counted from 1970-01-01 in UTC."""

Sides = Mapping[str, frozenset[str]]
"""The names of the side accounts on which accounts draw, by the account."""

NO_SIDES: Sides = MappingProxyType({})
"""No account draws on a side account."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF = " of "
_FORMATS = {"minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}


class Period(NamedTuple):
    """One window of time: from `start` until just before `end`."""

    start: datetime
    end: datetime
    name: str
    """Its name for users, in UTC: `day 2026-11-23`."""


class SideBudget(FrozenModel):
    """What a `Budget` caps beside the tree of a run."""

    per: Per
    """What is counted together."""
    window: Literal["minute", "hour", "day", "month"] | int | None = None
    """How long is counted together; `None` sets no end."""
    cap: Allowance
    """How much of tokens, US dollars and calls."""
    account: str
    """The account of the team that declares it."""
    agents: tuple[str, ...] | None = None
    """The agents whose attempts count, with their fallbacks, in alphabetical order; `None` is all."""

    @property
    def kind(self) -> str:
        """What it counts together, and in which window: `agent`, `tenant@day`."""
        return self.per if self.window is None else f"{self.per}@{self.window}"

    @property
    def is_shared(self) -> bool:
        """Whether it is counted over runs and processes, or per window: in a database."""
        return self.window is not None or self.per in ("thread", "tenant")


@dataclass(frozen=True, slots=True)
class SideAccount:
    """An account beside the tree, on which the accounts of a run draw."""

    name: str
    """Its name in the ledger of the run; that of an account per window is the same in every period."""
    per: Per
    cap: Allowance
    window: Window | None = None
    who: str = ""
    """The agent or the subtask; empty for the task as a whole, and where `per` names it."""

    @property
    def is_shared(self) -> bool:
        """Whether it is counted in a database, over runs and processes or per window."""
        return self.window is not None or self.per in ("thread", "tenant")

    @property
    def kind(self) -> str:
        """What it counts together, and in which window: `agent`, `tenant@day`."""
        return self.per if self.window is None else f"{self.per}@{self.window}"

    def label(self, *, who: str | None = None, period: Period | None = None) -> str:
        """Return what it is called in a message: `agent press`, `tenant acme's day 2026-11-23`."""
        named = self.who if who is None else who
        is_named = named and not named.startswith(_OF)  # else `who` has the agents alone that work on it
        owner = f"{_NOUNS[self.per]} {named}" if is_named else f"{_WHOLE[self.per]}{named}"
        return owner if period is None else f"{owner}'s {period.name}"


_NOUNS = {"run": "team", "agent": "agent", "task": "subtask", "thread": "thread", "tenant": "tenant"}
_WHOLE = {
    "run": "the run",
    "agent": "the agent",
    "task": "the task as a whole",
    "thread": "the thread",
    "tenant": "the tenant",
}


def counts_in(account: str, other: str, sides: Sides) -> bool:
    """Return whether what is spent in the account `other` counts in `account`: above it in the tree, or beside it."""
    if other.startswith(f"{account}/"):
        return True
    return bool(sides) and any(account in sides.get(name, ()) for name in account_chain(other))


def period_at(window: Window, now: datetime) -> Period:
    """Return the period of `window` in which `now` lies.

    >>> period_at("day", datetime(2026, 11, 23, 14, 5, tzinfo=UTC)).name
    'day 2026-11-23'
    >>> period_at(5_400, datetime(2026, 11, 23, 14, 5, tzinfo=UTC)).name
    'window of 1:30:00 from 2026-11-23 13:30:00'
    """
    now = now.astimezone(UTC)
    if isinstance(window, int):
        length = timedelta(seconds=window)
        start = _EPOCH + (now - _EPOCH) // length * length
        return Period(start, start + length, f"window of {length} from {start:%Y-%m-%d %H:%M:%S}")
    start = now.replace(second=0, microsecond=0)
    if window == "minute":
        end = start + timedelta(minutes=1)
    elif window == "hour":
        start = start.replace(minute=0)
        end = start + timedelta(hours=1)
    else:
        start = start.replace(minute=0, hour=0, day=start.day if window == "day" else 1)
        end = start + timedelta(days=1) if window == "day" else (start + timedelta(days=32)).replace(day=1)
    return Period(start, end, f"{window} {start.strftime(_FORMATS[window])}")


def team_sides(budgets: Iterable[SideBudget], account: str) -> tuple[SideAccount, ...]:
    """Return the side accounts on which the account of a team draws: those of budgets that it declares itself."""
    own = [one for one in budgets if one.account == account and one.per in ("run", "thread", "tenant")]
    return merged_sides(SideAccount(_named(one, f"={one.per}"), one.per, one.cap, one.window) for one in own)


def attempt_sides(
    budgets: Iterable[SideBudget], *, team: str, agent: str, subtask: str | None, fallback_for: str | None = None
) -> tuple[SideAccount, ...]:
    """Return the side accounts on which an attempt draws: of its agent in every team above, of its subtask in its own.

    `team` is the account of its team. Without a `subtask` it works on the task as a whole. What counts some agents
    counts their fallbacks too: `fallback_for` is the agent in whose place it works.
    """
    found = list[SideAccount]()
    for one in budgets:
        if one.agents is not None and {agent, fallback_for}.isdisjoint(one.agents):
            continue
        if one.per == "agent" or (one.per == "task" and one.account == team):
            who = agent if one.per == "agent" else subtask or ""
            name = f"={one.per}:{quote(who, safe='')}"
            if one.per == "task" and one.agents is not None:  # it is not the account of all who work on it
                name += f"&{','.join(quote(each, safe='') for each in one.agents)}"
                who += f"{_OF}{', '.join(one.agents)}"
            found.append(SideAccount(_named(one, name), one.per, one.cap, one.window, who))
    return merged_sides(found)


def _named(budget: SideBudget, name: str) -> str:
    """Return the name of a side account; `quote` leaves no `=`, so it is that of no team and no attempt."""
    window = "" if budget.window is None else f"@{budget.window}"
    shared = budget.per in ("thread", "tenant")
    return f"{name}{window}" if shared else f"{budget.account}/{name}{window}"


def merged_sides(sides: Iterable[SideAccount]) -> tuple[SideAccount, ...]:
    """Return the accounts, each once: where it is capped twice, by the tighter cap."""
    found = dict[str, SideAccount]()
    for side in sides:
        known = found.get(side.name)
        found[side.name] = side if known is None else replace(known, cap=known.cap.narrow(side.cap))
    return tuple(found.values())
