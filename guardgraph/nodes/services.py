"""What a run has at hand in this process: ledger, clock, slots, listeners; and where in the tree it stands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig

from guardgraph.nodes.apart import outlast
from guardgraph.nodes.event import Event, EventKind
from guardgraph.nodes.flights import Costs, Flight, rivals_of
from guardgraph.nodes.notice import Notice
from guardgraph.nodes.slots import Slots, Ticket
from guardgraph.state import Amount, Ledger, MemoryLedger, Position

__all__ = ("KEY", "Here", "Services", "enter", "forget_run", "here_of", "services_of")

KEY = "guardgraph"
"""The key under `config["configurable"]` by which position and services travel; nested graphs inherit it."""

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Services:
    """What a run has at hand in this process."""

    ledger: Ledger = field(default_factory=MemoryLedger)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    listen: Callable[[Event], None] | None = None
    costs: Costs = field(default_factory=Costs)
    changed: Notice = field(default_factory=Notice)
    starting: Lock = field(default_factory=Lock)
    """Held while it is decided whether one more attempt can be paid for."""
    _slots: dict[str, Slots] = field(default_factory=dict[str, Slots])
    _flights: dict[str, Amount | None] = field(default_factory=dict[str, "Amount | None"])
    _epochs: dict[str, int] = field(default_factory=dict[str, int])
    _lock: Lock = field(default_factory=Lock)

    def slots(self, account: str, limit: int | None) -> Slots:
        """Return the slots of the team with this account, made at the first call."""
        with self._lock:
            return self._slots.setdefault(account, Slots(limit))

    def take_off(self, account: str, expects: Amount | None) -> None:
        """Note that an attempt is under way; `expects` is `None` where nobody knows what it costs."""
        with self._lock:
            self._flights[account] = expects

    def land(self, account: str) -> None:
        """Note that an attempt has ended."""
        with self._lock:
            self._flights.pop(account, None)
        self.changed.tell()

    def sharers(self, account: str, mine: str) -> int:
        """Return how many attempts under way draw on `account`, that of `mine` included."""
        with self._lock:
            return 1 + len(rivals_of(account, mine, self._flights))

    def flights(self) -> dict[str, Flight]:
        """Return the attempts under way, with what they have spent."""
        with self._lock:
            under_way = dict(self._flights)
        return {name: Flight(name, expects, self._spent(name)) for name, expects in under_way.items()}

    def ensure_open(self, position: Position) -> None:
        """Open the accounts of a team, if this process has not done so yet."""
        if position.work in self._epochs:
            return
        with self._lock:
            if position.work in self._epochs:
                return
            account, work, allowance = position.account, position.work, position.allowance
            self._epochs[account] = self.ledger.reopen(account, allowance)
            if work != account:
                self._epochs[work] = self.ledger.reopen(work, allowance.share(1 - position.reserve))

    def epoch_of(self, account: str) -> int:
        """Return the epoch under which this process has opened a team's account."""
        return self._epochs[account]

    async def off_loop(self, work: Callable[[], _T]) -> _T:
        """Do `work`, which asks the ledger, without blocking the event loop; it is done even if its task is cancelled.

        It has the caller's context.
        """
        return await outlast(work) if self.ledger.blocks else work()

    def tell(self, kind: EventKind, position: Position, **data: Any) -> None:
        """Tell the listener, if there is one. One that raises does not disturb the run; it is told no more."""
        if self.listen is not None:
            event = Event(kind=kind, run_id=position.run_id, at=self.clock(), path=position.path, data=data)
            try:
                self.listen(event)
            except Exception:  # the listener's own trouble; the run goes on
                self.listen = None
                _LOG.warning("the listener of run %s raised and is told no more", position.run_id, exc_info=True)

    def _spent(self, account: str) -> Amount:
        balances = self.ledger.balances(account)
        return balances[-1].spent if balances and balances[-1].account == account else Amount()


@dataclass(frozen=True, slots=True)
class Here:
    """Where in the tree something runs, and what it has at hand. Travels in the config; never stored."""

    services: Services
    position: Position | None = None
    """The agent that the code runs in; `None` above the first team."""
    run_id: str | None = None
    """The id that the first team's run shall have."""
    slots: tuple[Slots, ...] = ()
    """The slots of the teams above, innermost first."""
    ticket: Ticket | None = None
    """The slot that the agent holds."""
    tab: Any = None
    """The `Tab` of the attempt, on which model calls are booked."""


_CURRENT: ContextVar[Here | None] = ContextVar("guardgraph_here", default=None)
_DEFAULTS: dict[str, Services] = {}
_DEFAULTS_LOCK = Lock()


def here_of(config: Mapping[str, Any] | RunnableConfig | None) -> Here | None:
    """Return where the caller stands: from its config, or else from its context.

    The context serves code that invokes a team with a `thread_id` of its own: LangGraph then drops what it inherits.
    """
    here = ((config or {}).get("configurable") or {}).get(KEY)
    return here if isinstance(here, Here) else _CURRENT.get()


def enter(here: Here) -> None:
    """Make `here` known to the current context."""
    _CURRENT.set(here)


def services_of(here: Here | None, run_id: str) -> Services:
    """Return the services of a run: those that came with the config, else this process's own for that run.

    Its own are kept until the run has ended (`forget_run`), or else as long as the process lives: it may be resumed.
    """
    if here is not None:
        return here.services
    with _DEFAULTS_LOCK:
        return _DEFAULTS.setdefault(run_id, Services())


def forget_run(run_id: str) -> None:
    """Drop this process's own services of a run that has ended."""
    with _DEFAULTS_LOCK:
        _DEFAULTS.pop(run_id, None)
