from __future__ import annotations

from itertools import combinations, product
from typing import Any

from tests.conformance.cases import ALL, SAMPLE, Case, cases, reason_against
from tests.conformance.covering import pairs


def test_every_possible_pair_is_in_a_case_and_no_impossible_case_is_there() -> None:
    dimensions = ["abc", (1, 2, 3, 4), (True, False), "xy"]

    def is_possible(case: tuple[Any, ...]) -> bool:
        return not (case[0] == "a" and case[1] == 4) and not (case[2] and case[3] == "y")

    found = pairs(dimensions, is_possible)
    wanted = {pair for case in product(*dimensions) if is_possible(case) for pair in combinations(enumerate(case), 2)}

    assert all(map(is_possible, found))
    assert {pair for case in found for pair in combinations(enumerate(case), 2)} == wanted
    assert len(found) <= 14
    assert found == pairs(dimensions, is_possible)


def test_the_cases_are_many_and_every_one_is_possible() -> None:
    found = cases()

    assert len(found) == SAMPLE or len(found) > (50_000 if ALL else 300)
    assert not [case for case in found if reason_against(case)]


def test_what_cannot_be_has_a_reason() -> None:
    case = Case("invoke", "InMemorySaver", "strict", "function", "asks", "supervisor")

    assert reason_against(case) is None
    assert reason_against(case._replace(storage="no saver")) == "nothing is stored"
    assert "checkpointer" in str(reason_against(case._replace(storage="no saver", serializer="by default")))
    assert "SQLSaver" in str(reason_against(case._replace(way="Runner.run")))
    assert "Command" in str(reason_against(case._replace(way="tool")))
    assert "chat model" in str(reason_against(case._replace(agent="chat model")))
