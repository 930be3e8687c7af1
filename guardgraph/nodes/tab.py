"""The tab of one attempt: every model call is reserved before it happens and settled after it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Lock
from typing import Any
from uuid import UUID, uuid4

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.errors import GraphBubbleUp, GraphDrained

from guardgraph.nodes.bounds import Room, fit, rooms_of
from guardgraph.nodes.prices import Price, price_of
from guardgraph.nodes.services import Services
from guardgraph.state import Amount, Balance, Position, Refusal, StorageError, Usage

__all__ = ("AllowanceSpent", "Tab")

_DEFAULT_OUTPUT = 4_096
_BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "ls_max_tokens")
_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_CUT = frozenset({"length", "max_tokens", "max_output_tokens"})


class AllowanceSpent(GraphBubbleUp):
    """A model call was stopped before it happened, because an account would not have paid for it."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"the allowance is spent: {refusal}")


@dataclass(frozen=True, slots=True)
class _Call:
    """A model call that is reserved for."""

    entry: str
    counted: int
    """Tokens that were counted before it."""
    read: int
    """Tokens that it will be reported to have read, as far as one can tell."""
    provider: str | None
    model: str | None
    price: Price | None
    short: Refusal | None = None
    """How many output tokens it wanted and how many it may write, where that is less."""


@dataclass(slots=True)
class Tab:
    """What the calls of one attempt have open, and whether it was stopped. Shared by all meters of the attempt."""

    services: Services
    position: Position
    epoch: int
    role: str
    """Under which name its costs are learned."""
    expected: Amount | None = None
    """What the attempt is expected to cost in all; `None` if nobody knows."""
    said: str = ""
    """The last text that a model said."""
    fault: StorageError | None = None
    """What the ledger raised: it ends the run, even where the agent's code swallows it."""
    drained: GraphDrained | None = None
    """What a graph inside raised when it was told to stop: the attempt has not ended, even where its code says so."""
    _stop: Refusal | None = None
    _cut: Refusal | None = None
    _open: dict[UUID, _Call] = field(default_factory=dict[UUID, _Call])
    _booked: _Call | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def ending(self) -> Exception | None:
        """What ends the node without a result, whatever the agent's code makes of it."""
        return self.fault or self.drained

    @property
    def stopped(self) -> Refusal | None:
        """Why the attempt got less than it wanted: a call was refused for good, or the last one was cut short."""
        return self._stop or self._cut

    def book(self, counted: int, wanted: int | None, facts: Mapping[str, Any]) -> int | Refusal | None:
        """Reserve for the call that comes next; return how many tokens it may write, or why it may not be made.

        That is what is `wanted` (`None` stands for 4,096), and never more than is left; where several share what is
        left it may be a part. `None` means that nothing limits it.
        """
        if self._stop is not None:
            return self._stop
        call, balances = self._call(uuid4(), counted, facts), self._balances()
        rooms = self._rooms(balances, call.price)
        if not rooms:
            return wanted
        output = wanted or _DEFAULT_OUTPUT
        least = wanted or max(self._known(balances, call.read), 1)
        total = self._reserved(call, fit(rooms, read=call.read, wanted=output, least=least))
        if isinstance(total, Refusal):
            return total
        bound = total - call.read
        short = Refusal(self.position.account, "tokens", output, bound)
        self._booked = replace(call, short=short) if bound < output else call
        return bound

    def waive(self) -> None:
        """Give back what is booked for a call that did not come."""
        with self._lock:
            call, self._booked = self._booked, None
        if call is not None:
            self._settle(call, Usage())

    def begin(self, run_id: UUID, counted: int, facts: Mapping[str, Any]) -> Refusal | None:
        """Reserve for one model call, unless that is done already, or say why it may not be made."""
        with self._lock:
            if run_id in self._open:
                return None
            if self._stop is not None:
                return self._stop
            call, self._booked = self._booked, None
            if call is not None:
                self._open[run_id] = call
                return None
        call = self._call(run_id, counted + _schema_tokens(facts), facts)
        total = self._reserved(call, self._needed(call, facts))
        if isinstance(total, Refusal):
            return total
        with self._lock:
            self._open[run_id] = call
        return None

    def is_open(self, run_id: UUID) -> bool:
        """Whether this call has not been settled yet."""
        with self._lock:
            return run_id in self._open

    def stop(self, refusal: Refusal) -> None:
        """Make a refusal final: nobody waits for it to turn out otherwise, and every later call is refused too."""
        self._stop = replace(refusal, waits=False)

    def end(self, run_id: UUID, response: LLMResult) -> None:
        """Settle one model call by what it reports; a call that reports nothing is settled in full."""
        call = self._taken(run_id)
        if call is None:
            return
        usage = self._usage(call, response)
        self._settle(call, usage)
        self._cut = call.short if any(map(_is_cut, _messages(response))) else None
        if usage is not None:
            self.services.costs.learn_call(
                self.role, counted=call.counted, read=usage.input_tokens, written=usage.output_tokens
            )
        self.services.tell(
            "model_called",
            self.position,
            model=call.model,
            tokens=usage.tokens if usage else None,
            usd=None if usage is None or usage.usd is None else str(usage.usd),
        )

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """Settle one failed model call: an answer with an error status costs nothing, anything else all of it."""
        call = self._taken(run_id)
        if call is not None:
            refused = isinstance(getattr(error, "status_code", None), int)
            self._settle(call, Usage(calls=1) if refused else None)

    def _taken(self, run_id: UUID) -> _Call | None:
        with self._lock:
            return self._open.pop(run_id, None)

    def _call(self, call_id: UUID, counted: int, facts: Mapping[str, Any]) -> _Call:
        provider, model = _names(facts)
        read = self.services.costs.input_of(self.role, counted)
        return _Call(self._entry(call_id), counted, read, provider, model, price_of(provider, model))

    def _needed(self, call: _Call, facts: Mapping[str, Any]) -> int | Refusal:
        """Return what a call takes that was not booked: it cannot be told how much it may write."""
        balances, read = self._balances(), call.read
        rooms = self._rooms(balances, call.price)
        bound = next((int(facts[name]) for name in _BOUNDS if isinstance(facts.get(name), int)), None)
        if bound is not None:
            return fit(rooms, read=read, wanted=bound, least=bound, must=bound)
        largest, known = self.services.costs.largest_output(self.role), self._known(balances, read)
        return fit(rooms, read=read, wanted=known or _DEFAULT_OUTPUT, least=known or 1, must=max(largest, 1))

    def _known(self, balances: Sequence[Balance], read: int) -> int:
        """Return the output that a call is known to take: the most of any so far, or what the attempt still expects."""
        mine = balances[-1] if balances and balances[-1].account == self.position.account else None
        taken = mine.spent.tokens + mine.reserved.tokens if mine else 0
        expected = self.expected.tokens if self.expected else 0
        return max(self.services.costs.largest_output(self.role), expected - taken - read)

    def _balances(self) -> tuple[Balance, ...]:
        with self._noting_faults():
            return self.services.ledger.balances(self.position.account)

    def _rooms(self, balances: Sequence[Balance], price: Price | None) -> list[Room]:
        return rooms_of(balances, price, sharers=lambda name: self.services.sharers(name, self.position.account))

    def _usage(self, call: _Call, response: LLMResult) -> Usage | None:
        messages = _messages(response)
        for message in messages:
            self.said = message.text or self.said
        told = [u for u in (getattr(m, "usage_metadata", None) for m in messages) if u]
        if not told:
            return None
        if all(u.get("total_cost") == 0 for u in told):  # a cache hit repeats the usage of the call it repeats
            return Usage(calls=1)
        counts = [_count(usage, name) for usage in told for name in ("input_tokens", "output_tokens")]
        if None in counts or not any(counts):
            return None
        read, written = (sum(_count(usage, name) or 0 for usage in told) for name in ("input_tokens", "output_tokens"))
        name = next((m.response_metadata.get("model_name") for m in messages if m.response_metadata), None)
        price = price_of(call.provider, _text(name) or call.model) or price_of(call.provider, call.model)
        usd: Decimal | None = price.usd(read, written) if price else None
        return Usage(input_tokens=read, output_tokens=written, usd=usd, calls=1)

    def _reserved(self, call: _Call, total: int | Refusal) -> int | Refusal:
        """Reserve a call of `total` tokens and return them, or why not."""
        refusal = total if isinstance(total, Refusal) else self._reserve(call, total)
        if refusal is None:
            return total
        if not isinstance(total, Refusal) and refusal.what in ("tokens", "usd"):
            refusal = replace(refusal, waits=True)  # somebody was faster: another look tells how much is left now
        if not refusal.waits:
            self.stop(refusal)
        return refusal

    def _reserve(self, call: _Call, total: int) -> Refusal | None:
        usd = call.price.usd(call.read, total - call.read) if call.price else None
        with self._noting_faults():
            amount = Amount(tokens=total, usd=usd, calls=1)
            return self.services.ledger.reserve(call.entry, self.position.account, self.epoch, amount)

    def _settle(self, call: _Call, usage: Usage | None) -> None:
        with self._noting_faults():
            self.services.ledger.settle(call.entry, usage)
        self.services.changed.tell()

    @contextmanager
    def _noting_faults(self) -> Generator[None]:
        try:
            yield
        except StorageError as error:
            self.fault = error
            raise

    def _entry(self, call_id: UUID) -> str:
        return f"{self.position.account}@{self.epoch}:{call_id.hex}"


def _messages(response: LLMResult) -> list[BaseMessage]:
    return [one.message for row in response.generations for one in row if isinstance(one, ChatGeneration)]


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    """Return how many tokens a model reports; `None` for what is no number of tokens."""
    count = usage.get(name)
    return count if isinstance(count, int) and count >= 0 else None


def _is_cut(message: BaseMessage) -> bool:
    """Tell whether a provider says that it ended an answer at the bound."""
    told: dict[str, Any] = message.response_metadata
    reasons = [told.get(name) for name in _REASONS] + [(told.get("incomplete_details") or {}).get("reason")]
    return any(str(reason).lower() in _CUT for reason in reasons)


def _names(facts: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return _text(facts.get("ls_provider")), _text(facts.get("ls_model_name"))


def _schema_tokens(facts: Mapping[str, Any]) -> int:
    return sum(len(str(facts[name])) // 4 for name in ("tools", "response_format") if facts.get(name))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
