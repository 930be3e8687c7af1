"""The budget of one attempt: every model call is reserved before it happens and settled after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Lock, Thread
from typing import Any, TypeVar
from uuid import UUID, uuid4

from langchain_core.outputs import LLMResult
from langgraph.errors import GraphBubbleUp, GraphDrained

from guardgraph.models.prices import price_key, price_of
from guardgraph.runtime.budget.call_bounds import Headroom, bound_call, headrooms
from guardgraph.runtime.budget.call_circuits import model_shows
from guardgraph.runtime.budget.call_guards import CallGuards
from guardgraph.runtime.budget.call_reservation import (
    Call,
    bound_of,
    cost_of,
    generations_of,
    names_of,
    risk_of,
    schema_tokens,
)
from guardgraph.runtime.budget.downgraded import Downgraded
from guardgraph.runtime.budget.open_calls import held_back
from guardgraph.runtime.budget.reported_usage import messages_of, report_of, was_cut
from guardgraph.runtime.concurrency.isolation import run_shielded
from guardgraph.runtime.integrity import IntegrityRecord
from guardgraph.runtime.rates.attempt_turns import AttemptTurns
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Amount,
    Balance,
    DelegationScope,
    ModelPrice,
    Price,
    ReservationDenied,
    StorageError,
    Usage,
    Verdict,
)

__all__ = ("AttemptBudget", "BudgetExceeded")

_T = TypeVar("_T")
_DEFAULT_OUTPUT = 4_096


class BudgetExceeded(GraphBubbleUp):
    """A model call was stopped before it happened, because an account would not have paid for it."""

    def __init__(self, refusal: ReservationDenied) -> None:
        self.refusal = refusal
        super().__init__(f"the allowance is spent: {refusal}")


@dataclass(slots=True)
class AttemptBudget:
    """The open calls of one attempt, and whether it was stopped. All callback handlers of the attempt share it."""

    services: Services
    position: DelegationScope
    epoch: int
    role: str
    """The key under which its costs are learned."""
    expected: Amount | None = None
    """What the attempt is expected to cost in all; `None` if that is unknown."""
    guards: CallGuards | None = None
    """The guards that judge its calls of models and tools, if there are any."""
    turns: AttemptTurns | None = None
    """Its turns under rate limits, if there are any."""
    ends: float | None = None
    """When the attempt has to end, on the monotonic clock."""
    choice: str | None = None
    """The name that the agent has for the model that it has chosen; its calls are reported with it."""
    downgraded: Downgraded | None = None
    """The step of a budget that it has begun under."""
    is_downgraded: bool = False
    """Whether that has changed its model."""
    models: set[str] = field(default_factory=set[str])
    """The models that have answered, as `provider:name`."""
    tool_prices: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """What one call of a tool costs, by its name, in US dollars."""
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """The prices of models that its teams declare."""
    last_text: str = ""
    """The text of the last message that a model has returned."""
    fault: StorageError | None = None
    """What the ledger raised: it ends the run, even where the agent's code swallows it."""
    drained: GraphDrained | None = None
    """What a graph inside raised when it was drained: the attempt has not ended, even if its code returns a value."""
    integrity: IntegrityRecord = field(default_factory=IntegrityRecord)
    """The label of the attempt, which its calls lower."""
    _stop: ReservationDenied | None = None
    _cut: ReservationDenied | None = None
    _open: dict[UUID, Call] = field(default_factory=dict[UUID, Call])
    _next: Call | None = None
    """Reserved for the next call, whose id is not known yet."""
    _lock: Lock = field(default_factory=Lock)

    async def off_loop(self, work: Callable[[], _T]) -> _T:
        """Do `work`, which uses the ledger or what guards know, without blocking the event loop."""
        if self.guards is not None and self.guards.blocks:
            return await run_shielded(work)
        return await self.services.off_loop(work)

    @property
    def ending(self) -> Exception | None:
        """What ends the node without a result, even where the agent's code swallows it."""
        return self.fault or self.drained

    @property
    def is_broken(self) -> bool:
        """Whether a `Breaker` has stopped it: another agent, with another model, may do its work."""
        return self.guards is not None and self.guards.is_stopped_by_breaker

    @property
    def stopped(self) -> ReservationDenied | Verdict | None:
        """Why the attempt got less than it wanted: a call was refused for good, or the last one was cut short."""
        return self._stop or (self.guards and self.guards.stopped) or self._cut

    def reserve(
        self,
        counted: int,
        wanted: int | None,
        facts: Mapping[str, Any],
        *,
        may_wait: bool = True,
        has_ended: Callable[[], bool] | None = None,
    ) -> int | ReservationDenied | None:
        """Reserve for the next call; return how many tokens it may write, or why it may not be made.

        That is what is `wanted` (`None` means 4,096), and never more than is left; where several share what is
        left it may be a part. `None` means that nothing limits it. A call that may not wait is not held back for what
        others in flight may take; nor is any other held back for a call that `has_ended` without a callback.
        """
        if self._stop is not None:
            return self._stop
        balances, times = self._balances(), generations_of(facts)
        if not any(balance.cap.is_metered for balance in balances):
            return wanted
        call = self._call(uuid4(), counted, facts, is_bounded=True)
        limits = self._headrooms(balances, call.price)
        if not limits:
            return wanted
        output = (wanted or _DEFAULT_OUTPUT) * times
        least = wanted * times if wanted else max(self._expected_output(balances, call.read), times)
        total = bound_call(limits, read=call.read, wanted=output, least=least, must=times)
        total = self._reserved(call, total, may_wait=may_wait, has_ended=has_ended)
        if isinstance(total, ReservationDenied):
            return total
        bound = (total - call.read) // times
        short = ReservationDenied(self.position.account, "tokens", output // times, bound)
        self._next = replace(call, short=short) if bound < output // times else call
        return bound

    def begin(
        self,
        run_id: UUID,
        counted: int,
        facts: Mapping[str, Any],
        *,
        may_wait: bool = True,
        has_ended: Callable[[], bool] | None = None,
    ) -> ReservationDenied | None:
        """Reserve for one model call, unless that is done already, or return why it may not be made.

        What `reserve` has reserved is for the model that it was given: a call of another one, which code between has
        chosen, is reserved for itself. `may_wait` and `has_ended` are those of `reserve`.
        """
        with self._lock:
            if run_id in self._open:
                return None
            if self._stop is not None:
                return self._stop
            prepared, self._next = self._next, None
            if prepared is not None and (prepared.provider, prepared.model) == names_of(facts):
                self._open[run_id] = prepared
                return None
        if prepared is not None:
            self._settle(prepared, Usage())
        bound = bound_of(facts)
        call = self._call(run_id, counted + schema_tokens(facts), facts, is_bounded=bound is not None)
        total = self._reserved(call, self._needed(call, bound), may_wait=may_wait, has_ended=has_ended)
        if isinstance(total, ReservationDenied):
            return total
        self._open[run_id] = call
        return None

    def release(self, run_id: UUID | None = None) -> None:
        """Release what is reserved for a call that was not made: `run_id`, or the next one."""
        if run_id is not None:
            call = self._open.pop(run_id, None)
            if self.guards is not None:
                self.guards.withdraw(run_id)
        else:
            with self._lock:
                call, self._next = self._next, None
        if call is not None:
            self._settle(call, Usage())

    def add(self, usage: Usage) -> None:
        """Settle what was spent without a callback, even if it is more than was left. It is done once."""
        entry = f"{self.position.account}@{self.epoch}:told"
        with self._recording_faults():
            self.services.ledger.reserve(entry, self.position.account, self.epoch, Amount())
            self.services.ledger.settle(entry, usage)
        self.services.changed.notify_all()

    def reserve_cost(self, name: str, usd: Decimal) -> ReservationDenied | None:
        """Reserve what something else than a model costs, or return why it cannot be paid."""
        with self._recording_faults():
            entry = f"{self.position.account}@{self.epoch}:{name}"
            return self.services.ledger.reserve(entry, self.position.account, self.epoch, Amount(usd=usd))

    def settle_cost(self, name: str, *, is_due: bool = True) -> None:
        """Settle in full what was reserved under `name`, or release it where it is not due."""
        with self._recording_faults():
            self.services.ledger.settle(f"{self.position.account}@{self.epoch}:{name}", None if is_due else Usage())
        self.services.changed.notify_all()

    def begin_tool(
        self, run_id: UUID, tool: str, *, may_wait: bool = True, has_ended: Callable[[], bool] | None = None
    ) -> ReservationDenied | None:
        """Reserve for one call of a tool, or return why it cannot be paid."""
        if self._stop is not None:
            return self._stop
        refusal = self.reserve_cost(run_id.hex, self.tool_prices[tool])
        if refusal is not None and not refusal.retryable:
            self.stop(refusal)
        return refusal

    def end_tool(self, run_id: UUID, *, is_due: bool) -> None:
        """Settle one call of a tool; one that is made again is not due."""
        self.settle_cost(run_id.hex, is_due=is_due)

    def is_open(self, run_id: UUID) -> bool:
        """Whether this call has not been settled yet."""
        return run_id in self._open

    def stop(self, refusal: ReservationDenied) -> None:
        """Make a refusal final: it is not retryable, and every later call is refused too."""
        self._stop = replace(refusal, retryable=False)

    def end(self, run_id: UUID, response: LLMResult) -> None:
        """Settle one model call by what it reports; a call that reports nothing is settled in full."""
        call = self._open.pop(run_id, None)
        if call is None:
            return
        messages = messages_of(response)
        for message in messages:
            self.last_text = message.text or self.last_text
        usage = cost_of(call, report_of(response, run_id), costs=self.services.costs, prices=self.prices)
        self._settle(call, usage)
        if self.guards is not None:
            self.guards.ended(run_id, tokens=usage.tokens if usage else call.read, messages=messages)
        self.models.add(f"{call.provider or 'unknown'}:{call.model or 'unknown'}")
        if self.turns is not None:
            self.turns.settle(run_id, usage.tokens if usage else None)
        self._cut = call.short if any(map(was_cut, messages)) else None
        self.services.emit(
            "model_called",
            self.position,
            model=call.model,
            tokens=usage.tokens if usage else None,
            usd=None if usage is None or usage.usd is None else str(usage.usd),
            **({} if self.choice is None else {"choice": self.choice}),
        )

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """Settle one failed model call: an answer with an error status costs nothing, anything else all of it.

        A stream that is not read to its end may be closed by the garbage collector, while this thread does anything
        else, also while it holds a lock of the ledger: it is settled in a thread of its own.
        """
        call = self._open.pop(run_id, None)
        if call is None:
            return
        if isinstance(error, GeneratorExit):
            ending = (run_id, call, None, error)
            Thread(target=self._end_failed, args=ending, daemon=True, name="guardgraph-settle").start()
            return
        refused = isinstance(getattr(error, "status_code", None), int)
        self._end_failed(run_id, call, Usage(calls=1) if refused else None, error)

    def _end_failed(self, run_id: UUID, call: Call, usage: Usage | None, error: BaseException) -> None:
        try:
            self._settle(call, usage)
        finally:
            if self.guards is not None:
                self.guards.shown(run_id, is_ok=model_shows(error))

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
            price=price_of(provider, model, self.prices),
            is_bounded=is_bounded,
        )

    def _needed(self, call: Call, bound: int | None) -> int | ReservationDenied:
        """Return what a call takes whose output this budget did not bound."""
        balances, read = self._balances(), call.read
        limits = self._headrooms(balances, call.price)
        if bound is not None:
            return bound_call(limits, read=read, wanted=bound, least=bound, must=bound)
        largest, known = self.services.costs.largest_output(self.role), self._expected_output(balances, read)
        return bound_call(limits, read=read, wanted=known or _DEFAULT_OUTPUT, least=known or 1, must=max(largest, 1))

    def _expected_output(self, balances: Sequence[Balance], read: int) -> int:
        """Return the output that a call is expected to take: the most of any so far, or what the attempt has left."""
        own = balances[-1] if balances and balances[-1].account == self.position.account else None
        taken = own.spent.tokens + own.reserved.tokens if own else 0
        expected = self.expected.tokens if self.expected else 0
        return max(self.services.costs.largest_output(self.role), expected - taken - read)

    def _balances(self) -> tuple[Balance, ...]:
        with self._recording_faults():
            return self.services.ledger.balances(self.position.account)

    def _headrooms(self, balances: Sequence[Balance], price: ModelPrice | None) -> list[Headroom]:
        return headrooms(
            balances, price, sharers=lambda name: self.services.concurrent_count(name, self.position.account)
        )

    def _reserved(
        self, call: Call, total: int | ReservationDenied, *, may_wait: bool, has_ended: Callable[[], bool] | None
    ) -> int | ReservationDenied:
        """Reserve a call of `total` tokens and return them, or why not."""
        if isinstance(total, ReservationDenied):
            refusal = total
        else:
            refusal = self._denied(call, total, may_wait=may_wait, has_ended=has_ended)
            if refusal is None:
                return total
        if not refusal.retryable:
            self.stop(refusal)
        return refusal

    def _denied(
        self, call: Call, total: int, *, may_wait: bool, has_ended: Callable[[], bool] | None
    ) -> ReservationDenied | None:
        """Reserve a call of `total` tokens, or return why it is denied."""
        usd = call.price.usd(call.read, total - call.read) if call.price else None
        risk = risk_of(call, total, costs=self.services.costs, declared=self.expected)
        in_flight = self.services.in_flight
        with in_flight.lock, self._recording_faults():
            others = in_flight.risks() if may_wait else []
            if others:
                money = usd or Decimal(0)
                sides = self.services.sides
                refusal = held_back(risk, others, self._balances(), tokens=total, usd=money, sides=sides)
                if refusal is not None:
                    return refusal
            amount = Amount(tokens=total, usd=usd, calls=1)
            refusal = self.services.ledger.reserve(call.entry, self.position.account, self.epoch, amount)
            if refusal is None:
                in_flight.add(call.entry, risk, has_ended)
            elif refusal.what == "price" and call.price is None:
                return replace(refusal, model=price_key(call.provider, call.model))
            elif refusal.what in ("tokens", "usd"):  # another call was faster: compute again how much is left now
                return replace(refusal, retryable=True)
            return refusal

    def _settle(self, call: Call, usage: Usage | None) -> None:
        try:
            with self._recording_faults():
                self.services.ledger.settle(call.entry, usage)
        finally:
            self.services.in_flight.remove(call.entry)
            self.services.changed.notify_all()

    def _recording_faults(self) -> _FaultRecorder:
        return _FaultRecorder(self)


class _FaultRecorder:
    """Notes in a budget what the ledger raises within."""

    def __init__(self, budget: AttemptBudget) -> None:
        self._budget = budget

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, raised: BaseException | None, traceback: object) -> None:
        if isinstance(raised, StorageError):
            self._budget.fault = raised
