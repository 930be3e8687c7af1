"""A delegation that closes a cycle is seen, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Cycle, GuardContext
from guardgraph.state import Delegation, work_digest
from tests.guards.views import view_of_result, view_of_subtask, view_of_task


def link(agent: str, work: str = "w", identity: str = "i") -> Delegation:
    return Delegation(agent, identity, work)


def context(chain: str, then: Delegation) -> GuardContext:
    return replace(view_of_subtask(), chain=tuple(map(link, chain)), delegation=then)


@pytest.mark.parametrize(
    ("chain", "then", "action"),
    [
        ("", link("a"), "pass"),
        ("a", link("b"), "pass"),
        ("a", link("a"), "trip"),
        ("ab", link("a"), "trip"),
        ("abc", link("b"), "trip"),
        ("abc", link("d"), "pass"),
        ("ab", link("a", work="other"), "pass"),
        ("ab", link("a", identity="other"), "pass"),
    ],
)
def test_trips_on_the_same_work_of_the_same_agent(chain: str, then: Delegation, action: str) -> None:
    assert Cycle()(context(chain, then)).action == action


def test_names_the_cycle() -> None:
    verdict = Cycle()(context("abc", link("b")))

    assert verdict.reason == "'b' would get the work again that it has passed on: b -> c -> b"
    assert verdict.measured == 2


def test_what_adds_no_link_passes() -> None:
    assert Cycle()(view_of_task()).action == "pass"
    assert Cycle()(replace(view_of_result("so"), chain=(link("a"),))).action == "pass"


@given(st.builds(Delegation, st.text(), st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.just("00ff")))
def test_a_link_is_read_back_as_it_was_stored(one: Delegation) -> None:
    assert Delegation.of(str(one)) == one


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (("Sum up",), ("  sum\nUP ",), True),
        (("Sum up", {"a": 1, "b": 2}), ("sum up", {"b": 2, "a": 1}), True),
        (("Sum up",), ("Sum it up",), False),
        (("Sum up", {"a": 1}), ("Sum up", {"a": "1"}), False),
        (("Sum up", {"a": "x"}), ("Sum up", {"a": "X"}), False),
        (("a", "b"), ("a b",), False),
    ],
)
def test_work_is_the_same_whatever_case_and_white_space(
    one: tuple[object, ...], other: tuple[object, ...], is_same: bool
) -> None:
    assert (work_digest(*one) == work_digest(*other)) is is_same
