"""What a run uses in this process: ledger, clock, costs, slots, cancel tokens, and the callback for its events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from threading import Lock
from typing import Any, TypeVar

from langgraph.errors import GraphInterrupt

from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.budget.cost_estimates import CostEstimator, InFlightAttempt, concurrent_attempts
from guardgraph.runtime.budget.learned_costs import LearnedCosts
from guardgraph.runtime.budget.open_calls import InFlight
from guardgraph.runtime.call_log import CallLog
from guardgraph.runtime.concurrency.conditions import ChangeCondition
from guardgraph.runtime.concurrency.isolation import CancelToken, run_shielded
from guardgraph.runtime.concurrency.limiter import ConcurrencyLimiter
from guardgraph.runtime.rates.turns import Turns
from guardgraph.runtime.stream_writer import stream_writer
from guardgraph.state import (
    NO_SIDES,
    Amount,
    DelegationScope,
    EventKind,
    Per,
    Result,
    RunEvent,
    SideAccount,
    Sides,
    Unserializable,
    Usage,
    Window,
    account_chain,
    exact_decimal,
    team_sides,
)
from guardgraph.storage.boards import BoardStore
from guardgraph.storage.effects import EffectStore
from guardgraph.storage.ledger import Ledger
from guardgraph.storage.memory import MemoryLedger
from guardgraph.storage.memory_boards import PROCESS_BOARDS
from guardgraph.storage.memory_effects import PROCESS_EFFECTS
from guardgraph.storage.memory_reputation import MemoryReputation
from guardgraph.storage.published import PublishedEvents
from guardgraph.storage.reputation import ReputationStore

__all__ = ("Services",)

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


@dataclass(slots=True, weakref_slot=True)
class Services:
    """What a run uses in this process."""

    ledger: Ledger = field(default_factory=MemoryLedger)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    on_event: Callable[[RunEvent], None] | None = None
    log_event: Callable[[RunEvent], None] | None = None
    """Adds an event to the stored log of the run."""
    check_storable: Callable[[Any], object] | None = None
    """Raises `Unserializable` for what the run's checkpointer does not store; `None` where that is unknown."""
    effects: EffectStore = PROCESS_EFFECTS
    """What is known of the side effects of agents."""
    boards: BoardStore = PROCESS_BOARDS
    """What is on the boards of teams."""
    thread_id: str | None = None
    """The thread of the run, where a runner knows it."""
    reputation: ReputationStore = field(default_factory=MemoryReputation)
    """What is known of bidders from their settled awards."""
    capped: tuple[tuple[Per, Window | None], ...] = ()
    """What an operator has capped, and the outermost team of the run counts in, whether it declares that or not."""
    published: PublishedEvents | None = None
    """The events that were published to the thread of the run; `None` where there is no `Runner`."""
    circuits: Circuits = field(default_factory=Circuits)
    """What is known of the latest attempts of agents."""
    turns: Turns = field(default_factory=Turns)
    """The turns under rate limits."""
    learned: LearnedCosts | None = None
    """Where the costs of attempts are noted for later runs; `None` where there is no `Runner`."""
    costs: CostEstimator = field(default_factory=CostEstimator)
    changed: ChangeCondition = field(default_factory=ChangeCondition)
    starting: Lock = field(default_factory=Lock)
    """Held while deciding whether one more attempt can be paid for."""
    in_flight: InFlight = field(default_factory=InFlight)
    """The model calls in flight, and how far they may go beyond what is reserved for them."""
    calls: CallLog = field(default_factory=lambda: CallLog(2_000))
    """The recent calls of models and tools, of all attempts whose guards judge them."""
    _slots: dict[str, ConcurrencyLimiter] = field(default_factory=dict[str, ConcurrencyLimiter])
    _attempts: dict[str, Amount | None] = field(default_factory=dict[str, "Amount | None"])
    _tokens: dict[str, CancelToken] = field(default_factory=dict[str, CancelToken])
    _epochs: dict[str, int] = field(default_factory=dict[str, int])
    _lock: Lock = field(default_factory=Lock)
    _recalled: set[str] = field(default_factory=set[str])
    _sides: dict[str, frozenset[str]] = field(default_factory=dict[str, "frozenset[str]"])

    def slots(self, account: str, limit: int | None) -> ConcurrencyLimiter:
        """Return the slots of the team with this account, made at the first call."""
        with self._lock:
            known = self._slots.get(account)
            if known is None:
                known = self._slots[account] = ConcurrencyLimiter(limit)
            return known

    def attempt_started(self, account: str, expects: Amount | None) -> None:
        """Record that an attempt has started; `expects` is `None` where its cost is unknown."""
        with self._lock:
            self._attempts[account] = expects

    def attempt_ended(self, account: str) -> None:
        """Record that an attempt has ended."""
        with self._lock:
            self._attempts.pop(account, None)
            self._tokens.pop(account, None)
            self._sides.pop(account, None)
        self.changed.notify_all()

    def let_cancel(self, account: str, token: CancelToken) -> None:
        """Set the token that cancels an attempt until it has ended."""
        with self._lock:
            self._tokens[account] = token

    def cancel_innermost(self) -> bool:
        """Cancel the attempts in flight that contain no other one; return whether there were any.

        They leave no result. Those around them end by themselves, or are the innermost ones at the next call.
        """
        with self._lock:
            tokens = dict(self._tokens)
        outer = {parent for account in tokens for parent in account_chain(account)[:-1]}
        for account in tokens.keys() - outer:
            tokens[account].cancel()
        return bool(tokens)

    def concurrent_count(self, account: str, mine: str) -> int:
        """Return how many attempts in flight draw on `account`, that of `mine` included."""
        with self._lock:
            return 1 + len(concurrent_attempts(account, mine, self._attempts, self._sides))

    def in_flight_attempts(self) -> dict[str, InFlightAttempt]:
        """Return the attempts in flight, with what they have spent."""
        with self._lock:
            attempts = dict(self._attempts)
        return {name: InFlightAttempt(name, expects, self._spent(name)) for name, expects in attempts.items()}

    @property
    def sides(self) -> Sides:
        """The names of the side accounts on which accounts draw, by the account."""
        with self._lock:
            return dict(self._sides) if self._sides else NO_SIDES

    def draw_on(self, account: str, sides: Sequence[SideAccount]) -> None:
        """Count what is spent in an account that was just opened, or below it, in these side accounts too."""
        if sides:
            self.ledger.draw_on(account, sides)
            self._sides[account] = frozenset(side.name for side in sides)

    def ensure_open(self, position: DelegationScope) -> None:
        """Open the accounts of a team, if this process has not done so yet."""
        if position.spending_account in self._epochs:
            return
        with self._lock:
            if position.spending_account in self._epochs:
                return
            account, work, allowance = position.account, position.spending_account, position.allowance
            epoch = self.ledger.reopen(account, allowance)
            self.draw_on(account, team_sides(position.budgets, account))
            self._epochs[account] = epoch
            if work != account:
                kept = {name: getattr(allowance, name) for name in ("subtasks", "messages")}  # concluding takes none
                shared = allowance.share(1 - position.reserve).model_copy(update=kept)
                self._epochs[work] = self.ledger.reopen(work, shared)

    def recall(self, position: DelegationScope, results: Iterable[Result]) -> None:
        """Settle, once for each team, what its stored results have spent and the ledger does not contain.

        That is so in a process that did not begin the run, or that has dropped its services.
        """
        account = position.account
        with self._lock:
            if account in self._recalled:
                return
            self._recalled.add(account)
        stored = list(results)
        missing = _beyond(Usage.total(result.usage for result in stored), self.ledger.usage(account))
        known = self.ledger.balances(account)[-1]
        subtasks = len({result.subtask for result in stored if result.subtask}) - known.spent.subtasks
        if missing == Usage() and subtasks <= known.reserved.subtasks:
            return
        entry, epoch = f"{account}#recalled", self._epochs[position.spending_account]
        more = Amount(subtasks=max(subtasks - known.reserved.subtasks, 0))
        if self.ledger.reserve(entry, position.spending_account, epoch, more) is not None:
            self.ledger.reserve(entry, position.spending_account, epoch, Amount())  # nothing fits under every limit
        self.ledger.settle(entry, missing)

    def epoch_of(self, account: str) -> int:
        """Return the epoch under which this process has opened a team's account."""
        return self._epochs[account]

    async def off_loop(self, work: Callable[[], _T], *, reserves: bool = False) -> _T:
        """Do `work`, which uses the ledger and perhaps reserves, without blocking the event loop.

        It is done in the caller's context, even if its task is cancelled.
        """
        ledger = self.ledger
        return await run_shielded(work) if ledger.blocks or (reserves and ledger.reserving_blocks) else work()

    def emit(self, kind: EventKind, position: DelegationScope, **data: Any) -> None:
        """Log an event, and `publish` it; without a log, a callback and a reader there is none."""
        if self.on_event is not None or self.log_event is not None or stream_writer() is not None:
            self.publish(self.log(kind, position, **data))

    def log(self, kind: EventKind, position: DelegationScope, **data: Any) -> RunEvent:
        """Add an event to the log of the run, and return it."""
        event = RunEvent(kind=kind, run_id=position.run_id, at=self.clock(), path=position.path, data=data)
        if self.log_event is not None:
            self.log_event(event)
        return event

    def publish(self, event: RunEvent) -> None:
        """Call `on_event` with an event, and write it as a dict to LangGraph's stream of the mode `custom`.

        If `on_event` raises, the run continues and it is not called again.
        """
        write = stream_writer()
        if write is not None:
            with suppress(RuntimeError):  # the reader of the stream has left, and its event loop is closed
                write(event.model_dump(mode="json"))
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception:
                self.on_event = None
                _LOG.warning("`on_event` of run %s raised; it is not called again", event.run_id, exc_info=True)

    def unstorable(self, error: BaseException) -> Unserializable | None:
        """Return why the value of an interrupt raised by an agent cannot be stored, if that is so."""
        if self.check_storable is None or not isinstance(error, GraphInterrupt):
            return None
        try:
            self.check_storable([interrupt.value for interrupts in error.args for interrupt in interrupts])
        except Unserializable as refusal:
            return refusal
        return None

    def _spent(self, account: str) -> Amount:
        balances = self.ledger.balances(account)
        return balances[-1].spent if balances and balances[-1].account == account else Amount()


@exact_decimal
def _beyond(stored: Usage, known: Usage) -> Usage:
    """Return how much more one usage is than another; an unknown price stays unknown, and time is left out."""
    usd = stored.usd
    if usd is not None or known.usd is None:
        usd = max((usd or Decimal(0)) - (known.usd or Decimal(0)), Decimal(0))
    return Usage(
        input_tokens=max(stored.input_tokens - known.input_tokens, 0),
        output_tokens=max(stored.output_tokens - known.output_tokens, 0),
        usd=usd,
        calls=max(stored.calls - known.calls, 0),
    )
