"""The budget of one attempt: every model call is reserved before it happens and settled after it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Lock, Thread
from typing import Any
from uuid import UUID, uuid4

from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp, GraphDrained

from guardgraph.models.prices import Price, price_of
from guardgraph.runtime.budget.call_bounds import Headroom, bound_call, headrooms
from guardgraph.runtime.budget.call_reservation import (
    Call,
    bound_of,
    cost_of,
    generations_of,
    names_of,
    risk_of,
    schema_tokens,
)
from guardgraph.runtime.budget.open_calls import held_back
from guardgraph.runtime.budget.reported_usage import messages_of, report_of, was_cut
from guardgraph.runtime.execution_context import Services
from guardgraph.state import Amount, Balance, DelegationScope, ReservationDenied, StorageError, Usage

__all__ = ("AttemptBudget", "BudgetExceeded")

_DEFAULT_OUTPUT = 4_096


class BudgetExceeded(GraphBubbleUp):
    """A model call was stopped before it happened, because an account would not have paid for it."""

    def __init__(self, refusal: ReservationDenied) -> None:
        self.refusal = refusal
        super().__init__(f"the allowance is spent: {refusal}")


@dataclass(slots=True)
class AttemptBudget:
    """What the calls of one attempt have open, and whether it was stopped. Shared by all meters of the attempt."""

    services: Services
    position: DelegationScope
    epoch: int
    role: str
    """Under which name its costs are learned."""
    expected: Amount | None = None
    """What the attempt is expected to cost in all; `None` if nobody knows."""
    last_text: str = ""
    """The last text that a model said."""
    fault: StorageError | None = None
    """What the ledger raised: it ends the run, even where the agent's code swallows it."""
    drained: GraphDrained | None = None
    """What a graph inside raised when it was told to stop: the attempt has not ended, even where its code says so."""
    _stop: ReservationDenied | None = None
    _cut: ReservationDenied | None = None
    _open: dict[UUID, Call] = field(default_factory=dict[UUID, Call])
    _booked: Call | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def ending(self) -> Exception | None:
        """What ends the node without a result, whatever the agent's code makes of it."""
        return self.fault or self.drained

    @property
    def stopped(self) -> ReservationDenied | None:
        """Why the attempt got less than it wanted: a call was refused for good, or the last one was cut short."""
        return self._stop or self._cut

    def reserve(
        self,
        counted: int,
        wanted: int | None,
        facts: Mapping[str, Any],
        *,
        may_wait: bool = True,
        is_over: Callable[[], bool] | None = None,
    ) -> int | ReservationDenied | None:
        """Reserve for the call that comes next; return how many tokens it may write, or why it may not be made.

        That is what is `wanted` (`None` stands for 4,096), and never more than is left; where several share what is
        left it may be a part. `None` means that nothing limits it. A call that may not wait is not held back for what
        others in flight may take; nobody waits for one that `is_over`, though its end was not told.
        """
        if self._stop is not None:
            return self._stop
        balances, times = self._balances(), generations_of(facts)
        if not any(balance.cap.is_metered for balance in balances):
            return wanted
        call = self._call(uuid4(), counted, facts, is_bounded=True)
        rooms = self._rooms(balances, call.price)
        if not rooms:
            return wanted
        output = (wanted or _DEFAULT_OUTPUT) * times
        least = wanted * times if wanted else max(self._known(balances, call.read), times)
        total = bound_call(rooms, read=call.read, wanted=output, least=least, must=times)
        total = self._reserved(call, total, may_wait=may_wait, is_over=is_over)
        if isinstance(total, ReservationDenied):
            return total
        bound = (total - call.read) // times
        short = ReservationDenied(self.position.account, "tokens", output // times, bound)
        self._booked = replace(call, short=short) if bound < output // times else call
        return bound

    def release(self) -> None:
        """Give back what is booked for a call that did not come."""
        with self._lock:
            call, self._booked = self._booked, None
        if call is not None:
            self._settle(call, Usage())

    def begin(
        self,
        run_id: UUID,
        counted: int,
        facts: Mapping[str, Any],
        *,
        may_wait: bool = True,
        is_over: Callable[[], bool] | None = None,
    ) -> ReservationDenied | None:
        """Reserve for one model call, unless that is done already, or say why it may not be made.

        A call that may not wait is not held back for what others in flight may take; nobody waits for one that
        `is_over`, though its end was not told.
        """
        with self._lock:
            if run_id in self._open:
                return None
            if self._stop is not None:
                return self._stop
            call, self._booked = self._booked, None
            if call is not None:
                self._open[run_id] = call
                return None
        bound = bound_of(facts)
        call = self._call(run_id, counted + schema_tokens(facts), facts, is_bounded=bound is not None)
        total = self._reserved(call, self._needed(call, bound), may_wait=may_wait, is_over=is_over)
        if isinstance(total, ReservationDenied):
            return total
        with self._lock:
            self._open[run_id] = call
        return None

    def give_up(self, run_id: UUID) -> None:
        """Give back what is reserved for a call that will not be made after all."""
        call = self._taken(run_id)
        if call is not None:
            self._settle(call, Usage())

    def add(self, usage: Usage) -> None:
        """Book what was spent where no meter stands, even if it is more than there was. It is done once."""
        entry = f"{self.position.account}@{self.epoch}:told"
        with self._noting_faults():
            self.services.ledger.reserve(entry, self.position.account, self.epoch, Amount())
            self.services.ledger.settle(entry, usage)
        self.services.changed.notify_all()

    def is_open(self, run_id: UUID) -> bool:
        """Whether this call has not been settled yet."""
        with self._lock:
            return run_id in self._open

    def stop(self, refusal: ReservationDenied) -> None:
        """Make a refusal final: nobody waits for it to turn out otherwise, and every later call is refused too."""
        self._stop = replace(refusal, retryable=False)

    def end(self, run_id: UUID, response: LLMResult) -> None:
        """Settle one model call by what it reports; a call that reports nothing is settled in full."""
        call = self._taken(run_id)
        if call is None:
            return
        messages = messages_of(response)
        for message in messages:
            self.last_text = message.text or self.last_text
        report = report_of(response, run_id)
        usage = cost_of(call, report, costs=self.services.costs)
        self._settle(call, usage)
        self._cut = call.short if any(map(was_cut, messages)) else None
        self.services.emit(
            "model_called",
            self.position,
            model=call.model,
            tokens=usage.tokens if usage else None,
            usd=None if usage is None or usage.usd is None else str(usage.usd),
        )

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """Settle one failed model call: an answer with an error status costs nothing, anything else all of it.

        A stream that nobody reads to its end may be closed by the garbage collector, in the middle of whatever this
        thread does, also while it holds a lock of the books: it is settled in a thread of its own.
        """
        call = self._taken(run_id)
        if call is None:
            return
        if isinstance(error, GeneratorExit):
            Thread(target=self._settle, args=(call, None), daemon=True, name="guardgraph-settle").start()
            return
        refused = isinstance(getattr(error, "status_code", None), int)
        self._settle(call, Usage(calls=1) if refused else None)

    def _taken(self, run_id: UUID) -> Call | None:
        return self._open.pop(run_id, None)  # in one step, without the lock

    def _call(self, call_id: UUID, counted: int, facts: Mapping[str, Any], *, is_bounded: bool) -> Call:
        read = self.services.costs.input_of(self.role, counted)
        provider, model = names_of(facts)
        return Call(
            account=self.position.account,
            role=self.role,
            entry=f"{self.position.account}@{self.epoch}:{call_id.hex}",
            counted=counted,
            read=read,
            provider=provider,
            model=model,
            price=price_of(provider, model),
            is_bounded=is_bounded,
        )

    def _needed(self, call: Call, bound: int | None) -> int | ReservationDenied:
        """Return what a call takes that was not booked: it cannot be told how much it may write."""
        balances, read = self._balances(), call.read
        rooms = self._rooms(balances, call.price)
        if bound is not None:
            return bound_call(rooms, read=read, wanted=bound, least=bound, must=bound)
        largest, known = self.services.costs.largest_output(self.role), self._known(balances, read)
        return bound_call(rooms, read=read, wanted=known or _DEFAULT_OUTPUT, least=known or 1, must=max(largest, 1))

    def _known(self, balances: Sequence[Balance], read: int) -> int:
        """Return the output that a call is known to take: the most of any so far, or what the attempt still expects."""
        mine = balances[-1] if balances and balances[-1].account == self.position.account else None
        taken = mine.spent.tokens + mine.reserved.tokens if mine else 0
        expected = self.expected.tokens if self.expected else 0
        return max(self.services.costs.largest_output(self.role), expected - taken - read)

    def _balances(self) -> tuple[Balance, ...]:
        with self._noting_faults():
            return self.services.ledger.balances(self.position.account)

    def _rooms(self, balances: Sequence[Balance], price: Price | None) -> list[Headroom]:
        return headrooms(
            balances, price, sharers=lambda name: self.services.concurrent_count(name, self.position.account)
        )

    def _reserved(
        self, call: Call, total: int | ReservationDenied, *, may_wait: bool, is_over: Callable[[], bool] | None
    ) -> int | ReservationDenied:
        """Reserve a call of `total` tokens and return them, or why not."""
        refusal = (
            total
            if isinstance(total, ReservationDenied)
            else self._reserve(call, total, may_wait=may_wait, is_over=is_over)
        )
        if refusal is None:
            return total
        if not isinstance(total, ReservationDenied) and refusal.what in ("tokens", "usd"):
            refusal = replace(refusal, retryable=True)  # somebody was faster: another look tells how much is left now
        if not refusal.retryable:
            self.stop(refusal)
        return refusal

    def _reserve(
        self, call: Call, total: int, *, may_wait: bool, is_over: Callable[[], bool] | None
    ) -> ReservationDenied | None:
        usd = call.price.usd(call.read, total - call.read) if call.price else None
        amount, risk, in_flight = (
            Amount(tokens=total, usd=usd, calls=1),
            risk_of(call, total, costs=self.services.costs, declared=self.expected),
            self.services.in_flight,
        )
        with in_flight.lock, self._noting_faults():
            others = in_flight.risks() if may_wait else []
            if others:
                refusal = held_back(risk, others, self._balances(), tokens=total, usd=usd or Decimal(0))
                if refusal is not None:
                    return refusal
            refusal = self.services.ledger.reserve(call.entry, self.position.account, self.epoch, amount)
            if refusal is None:
                in_flight.note(call.entry, risk, is_over)
            return refusal

    def _settle(self, call: Call, usage: Usage | None) -> None:
        try:
            with self._noting_faults():
                self.services.ledger.settle(call.entry, usage)
        finally:
            self.services.in_flight.drop(call.entry)
            self.services.changed.notify_all()

    @contextmanager
    def _noting_faults(self) -> Generator[None]:
        try:
            yield
        except StorageError as error:
            self.fault = error
            raise
