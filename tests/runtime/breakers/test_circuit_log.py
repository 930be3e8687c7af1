"""When a circuit opens, lets one attempt through, and closes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Breaker
from guardgraph.guards.circuit import LONGEST_LOG
from guardgraph.runtime.breakers.circuit_log import CircuitLog

RULE = Breaker(rate=0.5, window=100, least=4, pause=30)


def log_of(*ended: bool, start: float = 0.0) -> CircuitLog:
    log = CircuitLog()
    for number, is_ok in enumerate(ended):
        log = CircuitLog.of(json.loads(json.dumps(log.plus(f"k{number}", RULE, start + number, is_ok=is_ok).stored())))
    return log


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        ((False, False, False), "closed"),
        ((False, False, False, False), "open"),
        ((True, True, True, False), "closed"),
        ((True, True, False, False), "open"),
        ((True, True, True, False, False), "closed"),
        ((False, False, True, True), "closed"),
    ],
)
def test_it_opens_at_the_rate_once_there_are_enough_attempts(ended: tuple[bool, ...], state: str) -> None:
    """A success never opens it, even where the rate is reached."""
    assert log_of(*ended).circuit("a", 10.0).state == state


def test_what_is_older_than_the_window_does_not_count() -> None:
    log = log_of(False, False, False)

    assert log.plus("x", RULE, 100.5, is_ok=False).circuit("a", 100.5).state == "closed"
    assert log.plus("x", RULE, 99.5, is_ok=False).circuit("a", 99.5).state == "open"


def test_an_attempt_counts_once() -> None:
    log = log_of(False, False, False)

    assert log.plus("k1", RULE, 5.0, is_ok=False) == log


@pytest.mark.parametrize(("now", "state", "rest"), [(3, "open", 30), (32.9, "open", 0.1), (33, "half_open", 0)])
def test_it_is_open_for_its_pause(now: float, state: str, rest: float) -> None:
    circuit = log_of(False, False, False, False).circuit("a", now)

    assert (circuit.state, circuit.attempts, circuit.failures) == (state, 4, 4)
    assert circuit.seconds == pytest.approx(rest)


def test_a_clock_that_is_set_back_keeps_it_open_for_one_more_pause_only() -> None:
    log = log_of(False, False, False, False, start=3_600)

    assert log.circuit("a", 0.0).seconds == 30
    log = log.sent("early", 0.0)
    assert not log.sent("early", 29.9).probe
    assert log.sent("p1", 30.0).circuit("a", 30.0, "p1").is_probe


def test_nor_does_it_wait_longer_for_a_probe_that_has_died() -> None:
    log = log_of(False, False, False, False, start=3_600).sent("p1", 3_640.0).sent("p2", 50.0)

    assert log.sent("p2", 149.9).probe == "p1"
    assert log.sent("p2", 150.0).probe == "p2"


def test_one_probe_is_let_through_at_a_time() -> None:
    log = log_of(False, False, False, False)

    assert log.sent("early", 32.9) == log
    probed = log.sent("p1", 33.0)
    assert probed.circuit("a", 33.0, "p1").is_probe
    assert probed.sent("p2", 34.0) == probed
    assert not probed.sent("p2", 34.0).circuit("a", 34.0, "p2").is_probe
    assert probed.sent("p2", 133.0).circuit("a", 133.0, "p2").is_probe, "the first one has died"


def test_a_probe_closes_or_opens_it_and_nothing_else_does() -> None:
    probed = log_of(False, False, False, False).sent("p", 33.0)

    assert probed.plus("late", RULE, 34.0, is_ok=True) == probed, "it began before the circuit was opened"
    closed = probed.plus("p", RULE, 34.0, is_ok=True).circuit("a", 34.0)
    assert (closed.state, closed.failures) == ("closed", 0)
    opened = probed.plus("p", RULE, 34.0, is_ok=False)
    assert opened.circuit("a", 34.0).seconds == 30
    assert opened.sent("q", 64.0).circuit("a", 64.0, "q").is_probe


def test_a_probe_that_has_shown_nothing_makes_way_for_another_one() -> None:
    probed = log_of(False, False, False, False).sent("p", 33.0)

    assert probed.released("other") == probed
    assert probed.released("p").sent("q", 34.0).circuit("a", 34.0, "q").is_probe


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 40)), max_size=60))
def test_it_never_refuses_for_ever_and_stays_small(steps: list[tuple[bool, float]]) -> None:
    log, now = CircuitLog(), 0.0
    for number, (is_ok, passed) in enumerate(steps):
        now += passed
        log = log.sent(f"k{number}", now)
        circuit = log.circuit("a", now, f"k{number}")
        if circuit.state == "closed" or circuit.is_probe:
            log = log.plus(f"k{number}", RULE, now, is_ok=is_ok)
        assert len(log.ended) <= LONGEST_LOG
    later = now + RULE.pause + RULE.window
    assert log.sent("last", later).circuit("a", later, "last").state == "closed" or (
        log.sent("last", later).circuit("a", later, "last").is_probe
    )


def test_only_the_latest_attempts_are_kept() -> None:
    assert len(log_of(*[True] * (LONGEST_LOG + 5)).ended) <= LONGEST_LOG
