from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardgraph.models.prices import ListedPrice, price_of
from guardgraph.runtime.budget.call_bounds import Headroom, bound_call, headrooms
from guardgraph.state import Allowance, Amount, Balance, ReservationDenied

MODELS = [
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
]
PRICES = [price for price in (price_of(*model) for model in MODELS) if price is not None]
MINI = PRICES[0]

tokens = st.integers(0, 50_000)
money = st.decimals(0, 2, places=9)


@st.composite
def rooms(draw: st.DrawFn) -> Headroom:
    price = draw(st.sampled_from([None, *PRICES]))
    rest = draw(tokens if price is None else money)
    held = draw(tokens if price is None else money)
    return Headroom("r", rest, rest - held, draw(st.integers(1, 20)), price)


def cost(room: Headroom, read: int, total: int) -> int | Decimal:
    """Return what a call takes of a room, in the room's own unit."""
    return total if room.price is None else room.price.usd(read, total - read)


def room(rest: int, *, held: int = 0, sharers: int = 1) -> Headroom:
    return Headroom("r", rest, rest - held, sharers)


@given(st.lists(rooms(), max_size=4), tokens, st.integers(1, 50_000), st.integers(1, 50_000), st.integers(1, 5_000))
def test_a_call_gets_what_it_wants_or_less_and_never_more_than_any_room_has_free(
    around: list[Headroom], read: int, wanted: int, least: int, must: int
) -> None:
    said = bound_call(around, read=read, wanted=wanted, least=least, must=must)

    if isinstance(said, ReservationDenied):
        lacking = any(cost(one, read, read + must) > one.rest for one in around)
        assert said.retryable is not lacking, "it waits unless too little is left for ever"
        return
    assert min(read + must, read + wanted) <= said <= read + wanted
    assert all(cost(one, read, said) <= one.free for one in around)


@given(st.lists(rooms(), max_size=4), tokens, st.integers(1, 50_000))
def test_what_is_asked_for_in_full_is_cut_only_where_not_so_much_is_left(
    around: list[Headroom], read: int, wanted: int
) -> None:
    unheld = [Headroom(one.account, one.rest, one.rest, one.sharers, one.price) for one in around]

    said = bound_call(unheld, read=read, wanted=wanted, least=wanted)

    if said != read + wanted:
        assert any(cost(one, read, read + wanted) > one.rest for one in around)


@example(MINI, 1_000, MINI.usd(1_000, 0))
@given(st.sampled_from(PRICES), tokens, money)
def test_money_buys_as_many_tokens_as_it_pays_for_and_not_one_more(price: ListedPrice, read: int, usd: Decimal) -> None:
    bought = Headroom("r", usd, usd, 1, price).tokens(usd, read)

    if bought < read:
        assert (bought, usd < price.usd(read, 0)) == (0, True)
    else:
        assert price.usd(read, bought - read) <= usd < price.usd(read, bought - read + 1)


@pytest.mark.parametrize(
    ("sharers", "wanted", "least", "total"),
    [
        pytest.param(1, 400, 1, 500, id="alone: all that is wanted"),
        pytest.param(4, 400, 1, 250, id="a fair part"),
        pytest.param(4, 400, 200, 300, id="at least the least, beside what is read"),
        pytest.param(4, 120, 200, 220, id="never more than is wanted"),
        pytest.param(1, 2_000, 2_000, 1_000, id="all that is left"),
    ],
)
def test_what_several_share_is_shared(sharers: int, wanted: int, least: int, total: int) -> None:
    assert bound_call([room(1_000, sharers=sharers)], read=100, wanted=wanted, least=least) == total


def test_a_fair_part_of_money_pays_for_the_reading_too() -> None:
    usd = MINI.usd(1_000, 400)

    assert bound_call([Headroom("r", usd * 4, usd * 4, 4, MINI)], read=1_000, wanted=2_000, least=1) == 1_400


@pytest.mark.parametrize(("rest", "fits"), [(100, False), (101, True)])
def test_a_call_needs_one_token_to_write(rest: int, fits: bool) -> None:
    said = bound_call([room(rest)], read=100, wanted=50, least=20)

    assert said == (101 if fits else ReservationDenied("r", "tokens", 120, 100))


@pytest.mark.parametrize(("rest", "fits"), [(149, False), (150, True)])
def test_a_call_that_must_have_its_output_gets_it_or_nothing(rest: int, fits: bool) -> None:
    said = bound_call([room(rest)], read=100, wanted=50, least=50, must=50)

    assert said == (150 if fits else ReservationDenied("r", "tokens", 150, 149))


@pytest.mark.parametrize(("held", "fits"), [(850, True), (851, False)])
def test_what_others_have_reserved_is_waited_for(held: int, fits: bool) -> None:
    said = bound_call([room(1_000, held=held)], read=100, wanted=50, least=50)

    assert said == (150 if fits else ReservationDenied("r", "tokens", 150, 149, retryable=True))


def test_money_is_refused_in_money() -> None:
    broke, held = Headroom("r", Decimal(0), Decimal(0), 1, MINI), Headroom("r", Decimal(1), Decimal(0), 1, MINI)

    for said, waits in (
        (bound_call([broke], read=0, wanted=9, least=9), False),
        (bound_call([held], read=0, wanted=9, least=9), True),
    ):
        assert said == ReservationDenied("r", "usd", MINI.usd(0, 9), Decimal(0), waits)


def test_every_account_that_limits_tokens_or_priced_money_is_a_room() -> None:
    chain = (
        Balance("r", Allowance(tokens=100, usd=Decimal(2)), Amount(30, Decimal("0.5")), Amount(20, Decimal("0.25"))),
        Balance("r/a", Allowance(calls=1), Amount(), Amount()),
    )
    in_tokens, in_money = Headroom("r", 70, 50, 3), Headroom("r", Decimal("1.5"), Decimal("1.25"), 3, MINI)

    assert headrooms(chain, MINI, sharers=lambda _: 3) == [in_tokens, in_money]
    assert headrooms(chain, price_of("offline", "any"), sharers=lambda _: 3) == [in_tokens], (
        "what is free needs no money"
    )
    assert headrooms(chain, None, sharers=lambda _: 3) == [in_tokens], "the ledger refuses it"
