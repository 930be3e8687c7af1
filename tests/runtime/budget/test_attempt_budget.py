from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from guardgraph.models.prices import price_of
from guardgraph.runtime.budget.attempt_budget import AttemptBudget
from guardgraph.runtime.services import Services
from guardgraph.state import Allowance, Amount, DelegationScope, ReservationDenied, StorageBusy, Usage
from guardgraph.storage import MemoryLedger

FREE = {"ls_provider": "offline", "ls_model_name": "scripted"}
MINI = {"ls_provider": "openai", "ls_model_name": "gpt-5-mini"}
TEAM, MINE = "run/work", "run/work/worker:a#1"


@dataclass
class Case:
    """The budget of an attempt, and its ledger."""

    cap: Allowance
    services: Services = field(default_factory=Services)
    expected: Amount | None = None

    def __post_init__(self) -> None:
        self.services.ledger.open(TEAM, self.cap)
        self.budget = self.another("a")

    def another(self, subtask: str) -> AttemptBudget:
        """Return the budget of one more attempt, which has started."""
        account = f"{TEAM}/worker:{subtask}#1"
        scope = DelegationScope(
            run_id="run", account=account, spending_account=account, path=("worker",), started=self.services.clock()
        )
        self.services.attempt_started(account, self.expected)
        epoch = self.services.ledger.open(account, Allowance())
        return AttemptBudget(self.services, scope, epoch, "worker", expected=self.expected)

    @property
    def spent(self) -> Usage:
        return self.services.ledger.usage(TEAM)

    @property
    def held(self) -> int:
        return self.services.ledger.balances(TEAM)[-1].reserved.tokens


def desk(tokens: int | None = 1_000, *, usd: str | None = None, calls: int | None = None, **facts: Any) -> Case:
    return Case(Allowance(tokens=tokens, usd=None if usd is None else Decimal(usd), calls=calls), **facts)


def said(read: int | None, written: int = 0, *, extra: dict[str, Any] | None = None, **facts: Any) -> LLMResult:
    """Return an answer with its usage (and what is `extra` in it), and other facts about it."""
    usage: Any = {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": (read or 0) + written,
        **(extra or {}),
    }
    message = AIMessage("said", response_metadata=facts)
    message.usage_metadata = usage if read else None  # as some clients do, past LangChain's own check
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def call(
    budget: AttemptBudget, answer: LLMResult, *, counted: int = 80, facts: dict[str, Any] = FREE
) -> ReservationDenied | None:
    """Make one call; return why it was refused."""
    run_id = uuid4()
    refusal = budget.begin(run_id, counted, facts)
    if refusal is None:
        budget.end(run_id, answer)
    return refusal


def test_a_call_is_reserved_adopted_and_settled_once() -> None:
    at = desk()
    run_id = uuid4()

    assert at.budget.reserve(80, 20, FREE) == 20
    assert at.held == 100
    assert at.budget.begin(run_id, 500, FREE) is None
    assert at.budget.begin(run_id, 500, FREE) is None, "a second reservation of the same call"
    assert at.held == 100
    at.budget.release()
    assert at.held == 100, "what a call has adopted is not given back"
    at.budget.end(run_id, said(70, 10))
    at.budget.end(run_id, said(70, 10))

    assert (at.held, at.spent.tokens, at.spent.calls) == (0, 80, 1)
    assert at.budget.last_text == "said"


def test_what_is_reserved_for_a_call_that_never_came_is_released() -> None:
    at = desk()
    at.budget.reserve(80, 20, FREE)

    at.budget.release()
    at.budget.release()

    assert (at.held, at.spent) == (0, Usage())


@pytest.mark.parametrize(
    ("tokens", "wanted", "bound"),
    [(None, None, None), (None, 20, 20), (9_000, None, 4_096), (9_000, 20, 20), (90, 20, 10)],
)
def test_a_call_may_write_what_it_wants_and_never_more_than_is_left(
    tokens: int | None, wanted: int | None, bound: int | None
) -> None:
    assert desk(tokens).budget.reserve(80, wanted, FREE) == bound


def test_those_under_way_share_what_is_left_but_each_gets_what_it_expects() -> None:
    unknown, known = desk(), desk(expected=Amount(tokens=600))
    for at in (unknown, known):
        at.another("b")

    assert unknown.budget.reserve(80, None, FREE) == 1_000 // 2 - 80
    assert known.budget.reserve(80, None, FREE) == 600 - 80


REASONS = [
    {"finish_reason": "length"},
    {"finish_reason": "MAX_TOKENS"},
    {"stop_reason": "max_tokens"},
    {"stopReason": "max_tokens"},
    {"done_reason": "length"},
    {"incomplete_details": {"reason": "max_output_tokens"}},
]


@pytest.mark.parametrize("reason", REASONS)
def test_a_call_that_the_budget_cuts_short_leaves_a_partial_result(reason: dict[str, Any]) -> None:
    at = desk(100)
    at.budget.reserve(80, 50, FREE)

    call(at.budget, said(80, 20, **reason))

    assert at.budget.stopped == ReservationDenied(MINE, "tokens", 50, 20)


def test_a_later_call_that_is_not_cut_makes_up_for_one_that_was() -> None:
    at = desk()
    at.another("b")
    for reason in ("length", "stop"):
        at.budget.reserve(80, None, FREE)
        assert call(at.budget, said(80, 10, finish_reason=reason)) is None

    assert at.budget.stopped is None


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (50, {"finish_reason": "stop"}),
        (50, {"stop_reason": None, "incomplete_details": None}),
        (50, {}),
        (20, {"finish_reason": "length"}),
    ],
)
def test_a_call_that_ends_by_itself_or_at_its_own_limit_is_not_cut(wanted: int, reason: dict[str, Any]) -> None:
    at = desk(100)
    at.budget.reserve(80, wanted, FREE)

    call(at.budget, said(80, 20, **reason))

    assert at.budget.stopped is None


@pytest.mark.parametrize(
    ("facts", "held"),
    [
        pytest.param({"max_tokens": 20}, 100, id="its own bound"),
        pytest.param({"max_completion_tokens": 30}, 110, id="by another name"),
        pytest.param({"ls_max_tokens": 40}, 120, id="as traces name it"),
        pytest.param({}, 1_000, id="unknown: all that is left"),
        pytest.param({"max_tokens": 20, "tools": ["x" * 396]}, 200, id="tools are read too"),
        pytest.param({"max_tokens": 20, "response_format": "x" * 400}, 200, id="and schemas"),
    ],
)
def test_a_call_of_a_foreign_agent_reserves_what_it_may_write(facts: dict[str, Any], held: int) -> None:
    at = desk()

    assert at.budget.begin(uuid4(), 80, FREE | facts) is None
    assert at.held == held


def test_a_call_without_a_bound_reserves_the_most_that_any_wrote_or_what_the_attempt_still_expects() -> None:
    at = desk(expected=Amount(tokens=300))

    reserved: list[int] = []
    for written in (20, 120, 20):
        run_id = uuid4()
        at.budget.begin(run_id, 80, FREE)
        reserved.append(at.held)
        at.budget.end(run_id, said(80, written))

    assert reserved == [300, 200, 200]


def test_calls_of_one_attempt_at_the_same_time_reserve_together_what_it_expects() -> None:
    at = desk(5_000, expected=Amount(tokens=300))
    call(at.budget, said(80, 20))

    for _ in range(2):
        assert at.budget.begin(uuid4(), 80, FREE) is None

    assert at.held == 200 + 100


@pytest.mark.parametrize(("tokens", "fits"), [(99, False), (100, True)])
def test_a_call_whose_bound_cannot_be_changed_is_refused_where_less_is_left(tokens: int, fits: bool) -> None:
    refusal = desk(tokens).budget.begin(uuid4(), 80, FREE | {"max_tokens": 20})

    assert refusal == (None if fits else ReservationDenied(TEAM, "tokens", 100, 99))


def test_a_refusal_is_sticky() -> None:
    at = desk(50)
    first = at.budget.begin(uuid4(), 80, FREE)

    assert first is not None
    assert not first.retryable
    assert at.budget.begin(uuid4(), 1, FREE) == first
    assert at.budget.reserve(1, 1, FREE) == first
    assert at.budget.stopped == first


def test_a_retryable_refusal_stops_nothing_until_it_is_final() -> None:
    at = desk()
    at.another("b").begin(uuid4(), 480, FREE | {"max_tokens": 500})
    refusal = at.budget.begin(uuid4(), 80, FREE | {"max_tokens": 20})
    assert refusal is not None
    assert refusal.retryable
    assert at.budget.stopped is None

    at.budget.stop(refusal)

    assert at.budget.stopped is not None
    assert not at.budget.stopped.retryable, "or those who ask again would wait for ever"


def test_an_unbounded_call_must_have_what_the_largest_one_wrote() -> None:
    at = desk(1_000, expected=Amount(tokens=900))
    call(at.budget, said(80, 400))
    call(at.budget, said(80, 20))

    assert at.budget.begin(uuid4(), 80, FREE) == ReservationDenied(TEAM, "tokens", 480, 420)


@pytest.mark.parametrize(
    "answer",
    [
        said(None),
        LLMResult(generations=[[Generation(text="said")]]),
        said(80, extra={"input_tokens": 0, "output_tokens": 0}),
        said(80, extra={"input_tokens": None, "output_tokens": None}),
        said(80, extra={"input_tokens": -5_000}),
        said(80, extra={"output_tokens": -5_000}),
        said(80, extra={"output_tokens": "many"}),
    ],
)
def test_a_call_that_reports_no_usage_or_none_that_can_be_is_settled_in_full(answer: LLMResult) -> None:
    at = desk()

    call(at.budget, answer, facts=FREE | {"max_tokens": 20})

    assert (at.held, at.spent.tokens, at.spent.calls) == (0, 100, 1)


def test_an_answer_out_of_a_cache_costs_nothing() -> None:
    at = desk()

    call(at.budget, said(80, 20, extra={"total_cost": 0}))

    assert at.spent == Usage(calls=1)


class Refused(Exception):
    status_code = 429


@pytest.mark.parametrize(("error", "spent"), [(Refused(), 0), (OSError("cut"), 100)])
def test_a_call_that_fails_costs_all_of_it_unless_the_server_refused_it(error: Exception, spent: int) -> None:
    at = desk()
    run_id = uuid4()
    at.budget.begin(run_id, 80, FREE | {"max_tokens": 20})

    at.budget.fail(run_id, error)
    at.budget.fail(run_id, error)

    assert (at.held, at.spent.tokens, at.spent.calls) == (0, spent, 1)


def test_once_the_attempt_is_over_its_calls_are_refused_and_what_is_open_counts_in_full() -> None:
    at = desk()
    late = uuid4()
    at.budget.begin(late, 80, FREE | {"max_tokens": 20})

    at.services.ledger.close(MINE, at.budget.epoch)
    at.budget.end(late, said(1, 1))

    assert at.spent.tokens == 100
    assert at.budget.begin(uuid4(), 1, FREE) == ReservationDenied(MINE, "closed")


def test_the_number_of_calls_is_limited_too() -> None:
    at = desk(None, calls=1)

    assert call(at.budget, said(80, 20)) is None
    assert call(at.budget, said(80, 20)) == ReservationDenied(TEAM, "calls", 1, 0)


def test_money_is_reserved_and_spent_at_the_price_of_the_model() -> None:
    at, price = desk(None, usd="0.01"), price_of("openai", "gpt-5-mini")
    assert price is not None

    bound = at.budget.reserve(1_000, None, MINI)
    assert bound == 4_096
    assert at.services.ledger.balances(TEAM)[-1].reserved.usd == price.usd(1_000, 4_096)
    call(at.budget, said(900, 100), facts=MINI)

    assert at.spent.usd == price.usd(900, 100)


def test_cached_and_reasoning_tokens_are_priced_as_the_provider_prices_them() -> None:
    at, price = desk(None, usd="0.01"), price_of("openai", "gpt-5-mini")
    assert price is not None

    call(at.budget, said(1_000, 100, extra={"input_token_details": {"cache_read": 800}}), facts=MINI)

    assert at.spent.tokens == 1_100
    assert at.spent.usd == price.usd(1_000, 100, {"cache_read_tokens": 800}) < price.usd(1_000, 100)


def test_several_generations_may_each_write_as_much() -> None:
    at = desk(5_000)

    assert at.budget.begin(uuid4(), 80, FREE | {"max_tokens": 20, "n": 3}) is None
    assert at.held == 80 + 3 * 20
    assert desk(380).budget.reserve(80, None, FREE | {"n": 3}) == 100


def test_a_call_of_unknown_cost_is_alone_in_flight_and_what_was_learned_tells_how_many_may_be() -> None:
    at, facts = desk(4_000), FREE | {"max_tokens": 20}
    first = uuid4()
    assert at.budget.begin(first, 80, facts) is None

    refusal = at.another("b").begin(uuid4(), 80, facts)
    assert refusal is not None
    assert refusal.retryable
    assert at.budget.stopped is None
    at.budget.end(first, said(160, 20))

    begun = [at.another(f"c{number}").begin(uuid4(), 80, facts) for number in range(20)]
    assert begun.count(None) == 3, "each may read 7 x 160 more than it reserves, all but one of them in what is left"


def test_a_declared_cost_is_what_a_call_may_take_at_worst() -> None:
    at, facts = desk(4_000, expected=Amount(tokens=1_500)), FREE | {"max_tokens": 20}

    begun = [at.another(f"c{number}").begin(uuid4(), 80, facts) for number in range(20)]

    assert begun.count(None) == 3


def test_a_call_that_may_not_wait_is_not_held_back() -> None:
    at = desk(5_000)
    at.another("b").begin(uuid4(), 80, FREE | {"max_tokens": 20})

    assert at.budget.begin(uuid4(), 80, FREE | {"max_tokens": 20}, may_wait=False) is None


def test_a_model_that_reports_nothing_is_known_after_its_first_call() -> None:
    at, facts = desk(5_000), FREE | {"max_tokens": 20}
    call(at.budget, said(None), facts=facts)

    for number in range(5):
        assert at.another(f"b{number}").begin(uuid4(), 80, facts) is None


def test_money_bounds_what_a_call_may_write() -> None:
    price = price_of("openai", "gpt-5-mini")
    assert price is not None
    at = desk(None, usd=str(price.usd(1_000, 333)))

    assert at.budget.reserve(1_000, None, MINI) == 333


def test_a_model_of_unknown_price_is_not_called_where_money_is_limited() -> None:
    at = desk(None, usd="1")

    assert at.budget.begin(uuid4(), 80, {}) == ReservationDenied(TEAM, "price")


@dataclass
class Broken(MemoryLedger):
    """Books that are out of reach for one kind of entry."""

    method: str

    def __post_init__(self) -> None:
        super().__init__()

    def _fail(self, method: str) -> None:
        if method == self.method:
            raise StorageBusy("the ledger is out of reach; try again")

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        self._fail("reserve")
        return super().reserve(entry, account, epoch, amount)

    def settle(self, entry: str, usage: Usage | None) -> None:
        self._fail("settle")
        super().settle(entry, usage)


@pytest.mark.parametrize("method", ["reserve", "settle"])
def test_a_fault_of_the_ledger_is_kept_even_where_it_is_swallowed(method: str) -> None:
    at = desk(services=Services(ledger=Broken(method)))

    with pytest.raises(StorageBusy, match="out of reach"):
        call(at.budget, said(80, 20))

    assert str(at.budget.fault) == "the ledger is out of reach; try again"


class Crowded(MemoryLedger):
    """A ledger in which another attempt spends 905 tokens between the first look and the first reservation."""

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        if super().reserve("theirs", TEAM, 1, Amount(tokens=905)) is None:
            self.settle("theirs", None)
        return super().reserve(entry, account, epoch, amount)


def test_a_call_that_was_too_slow_may_retry() -> None:
    at = desk(services=Services(ledger=Crowded()))

    refusal = at.budget.reserve(80, 20, FREE)

    assert isinstance(refusal, ReservationDenied)
    assert refusal.retryable
    assert at.budget.stopped is None
    assert at.budget.reserve(80, 20, FREE) == 15


def test_settling_and_releasing_wake_who_waits() -> None:
    at = desk()
    changes = [at.services.changed.next_change()]
    call(at.budget, said(80, 20))
    changes.append(at.services.changed.next_change())
    at.budget.reserve(80, 20, FREE)
    at.budget.release()

    assert all(change.done() for change in changes)


def test_a_stream_that_the_garbage_collector_closes_while_the_ledger_is_locked_is_settled_after_that() -> None:
    at, run_id = desk(), uuid4()
    ledger: Any = at.services.ledger
    assert at.budget.begin(run_id, 80, FREE) is None
    held = at.held

    with ledger._lock:  # a collection may begin wherever something is allocated
        at.budget.fail(run_id, GeneratorExit())
    until = monotonic() + 5
    while at.held and monotonic() < until:
        sleep(0.001)

    assert (at.held, at.spent.tokens) == (0, held)
