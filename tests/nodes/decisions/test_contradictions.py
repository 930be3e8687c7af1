"""Which claims contradict each other."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from guardgraph.nodes.decisions.contradictions import claims_of, contradictions, is_same_value
from guardgraph.state import Claim, Result


def result(*claims: Claim, agent: str = "a", value: Any = None) -> Result:
    given: Any = [claim.model_dump() for claim in claims] if value is None else value
    return Result(id=f"{agent}/{len(str(given))}", agent=agent, value=given)


def price(value: Any, subject: str = "Northwind", attribute: str = "price", **facts: Any) -> Claim:
    return Claim(subject=subject, attribute=attribute, value=value, **facts)


ONE: dict[str, Any] = price(2).model_dump()


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (ONE, 1),
        ([ONE, ONE], 2),
        ({"claims": [ONE], "text": "It costs 2."}, 1),
        ({"claims": ONE}, 1),
        ({"subject": "a", "attribute": "b", "value": True}, 1),
        ("It costs 2.", 0),
        ([], 0),
        (None, 0),
        ({"claims": "It costs 2."}, 0),
        ({"claims": [{"text": "a"}]}, 0),
        ([ONE, "It costs 2."], 1),
        ({"claims": [{"attribute": "price"}, ONE]}, 1),
        ({**ONE, "value": {"usd": 2}}, 0),
        ({**ONE, "source": "x"}, 1),
    ],
)
def test_claims_are_the_value_or_in_its_field(value: Any, count: int) -> None:
    assert len(claims_of(Result(id="1", agent="a", value=value))) == count


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Bern", " bern. ", True),
        ("New  York", "new york", True),
        ("ﬁne", "fine", True),
        ("Bern", "Basel", False),
        (2, 2.0, True),
        (2, "2", True),
        ("2.00 USD", "2 usd", True),
        ("USD 2", "2 USD", True),
        ("2 USD", 2, True),
        ("2 USD", "2 EUR", False),
        ("1,200", 1200, True),
        ("1,20", 120, False),
        (1000.0, 1001.0, True),
        (1000.0, 1002.0, False),
        ("1000.9 USD", 1000, True),
        (2024, 2025, False),
        ("May 2024", "May 2025", False),
        ("9" * 400, "8" * 400, False),
        ("\N{MINUS SIGN}2", 2, False),
        ("\N{MINUS SIGN}2", -2, True),
        (-2, 2, False),
        (0, 0.0, True),
        (0, 0.001, False),
        (".5", "5", False),
        ("2024-01-02", "2024-01-03", False),
        ("2024-01-02", "2024-01-02", True),
        (True, "true", True),
        (True, False, False),
        (True, 1, False),
    ],
)
def test_values_are_compared_as_texts_and_numbers(one: Any, other: Any, is_same: bool) -> None:
    assert is_same_value(one, other) is is_same
    assert is_same_value(other, one) is is_same


def test_other_values_of_the_same_attribute_contradict() -> None:
    found = contradictions(
        [result(price(2), price("x", attribute="name")), result(price(3, subject="NORTHWIND "), agent="b")]
    )

    assert [(one.name, str(one)) for one in found] == [
        ("Northwind: price", "accepted results contradict each other: 2 (a); 3 (b)")
    ]


@pytest.mark.parametrize(
    "other",
    [price(2.0), price(3, attribute="list price"), price(3, subject="Contoso"), price("2 USD")],
    ids=["the same", "another attribute", "another subject", "with a unit"],
)
def test_what_is_equal_or_about_something_else_does_not_contradict(other: Claim) -> None:
    assert contradictions([result(price(2)), result(other, agent="b")]) == ()


@pytest.mark.parametrize(("several", "count"), [((True, True), 0), ((True, False), 1), ((False, False), 1)])
def test_an_attribute_has_several_values_where_all_claims_state_so(several: tuple[bool, bool], count: int) -> None:
    given = [result(price(n, several=one), agent=str(n)) for n, one in enumerate(several)]

    assert len(contradictions(given)) == count


@pytest.mark.parametrize("values", [("2", "2 USD", "2 EUR"), (100.09, 100.0, 99.91)])
def test_a_value_between_two_others_does_not_make_them_the_same(values: tuple[Any, ...]) -> None:
    orders = list(permutations(values))

    assert [len(contradictions([result(*map(price, order))])) for order in orders] == [1] * len(orders)


def test_a_result_that_contradicts_itself_is_found() -> None:
    assert len(contradictions([result(price(2), price(3))])) == 1
