"""What each guard is without arguments, as its page has it: limits, gates and reaction. A change of one is visible."""

from __future__ import annotations

import re

import pytest

from guardgraph import guards
from guardgraph.guards import (
    AllowedTools,
    Authority,
    Breaker,
    Budget,
    Confidence,
    Convergence,
    Cycle,
    Deadline,
    Depth,
    Downgrade,
    Grounding,
    Guard,
    Limits,
    Repetition,
    Reviewed,
    Schema,
    Trust,
    Velocity,
)
from tests.house.sources import ROOT

DEFAULTS: list[tuple[Guard, str, str]] = [
    (AllowedTools({"search"}), "AllowedTools(allowed=frozenset({'search'}), on_trip=Retry(times=3))", "tool"),
    (Authority(), "Authority(limits=mappingproxy({}), on_trip=Retry(times=1))", "handoff"),
    (
        Breaker(failures=3),
        "Breaker(failures=3, rate=None, window=600.0, least=5, pause=60.0, on_trip=Escalate(), of='agent')",
        "dispatch handoff",
    ),
    (
        Breaker(rate=1),
        "Breaker(failures=None, rate=1, window=600.0, least=5, pause=60.0, on_trip=Finish(), of='agent')",
        "dispatch",
    ),
    (
        Budget(calls=1),
        "Budget(usd=None, tokens=None, calls=1, reserve=0.2, at={}, on_trip=Finish(), per='run', window=None, "
        "prices={})",
        "admission dispatch round",
    ),
    (
        Confidence(),
        "Confidence(at_least=0.7, missing='pass', on_trip=Retry(times=0), review=None, unreviewed='trip')",
        "handoff",
    ),
    (Convergence(), "Convergence(rounds=2, period=4, on_trip=Finish())", "round"),
    (Cycle(), "Cycle(on_trip=Finish())", "admission dispatch"),
    (Deadline(60), "Deadline(seconds=60, on_trip=Finish())", "admission dispatch round"),
    (Depth(), "Depth(limit=5, on_trip=Finish())", "admission dispatch"),
    (
        Grounding("docs"),
        "Grounding(sources='docs', minimum=8, critical=False, on_trip=Retry(times=1), review=None, unreviewed='trip')",
        "handoff",
    ),
    (Limits(), "Limits(subtasks=1000, messages=None, calls=None, visits=100, on_trip=Finish())", "dispatch"),
    (Repetition(), "Repetition(times=3, window=50, handovers=20, on_trip=Retry(times=1))", "handoff model tool"),
    (
        Reviewed("auditor", question="q"),
        "Reviewed(review='auditor', question='q', on_trip=Retry(times=1), at=frozenset({'handoff'}), "
        "compensate=None, unreviewed='trip')",
        "handoff",
    ),
    (Schema(), "Schema(model=None, check=None, compensate=None, on_trip=Retry(times=1))", "exit handoff"),
    (
        Trust(shapes=()),
        "Trust(reserved=frozenset(), shapes=frozenset(), flag='alert', on_trip=Finish(), review=None, "
        "unreviewed='trip')",
        "dispatch exit handoff",
    ),
    (Velocity(), "Velocity(factor=10, per=60, least=20, on_trip=Finish())", "model tool"),
]


@pytest.mark.parametrize(("one", "shown", "gates"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_a_guard_judges_by_these_limits_where_none_are_given(one: Guard, shown: str, gates: str) -> None:
    assert (repr(one), " ".join(sorted(one.gates))) == (shown, gates)
    assert hash(one) == hash(one)


def test_no_guard_is_missing_here() -> None:
    known = {type(one).__name__ for one, _, _ in DEFAULTS}
    makers = {"AllOf", "AnyOf", "FunctionGuard", "Only"}
    protocols = {"Guard", "AllowanceLimiter", "AccountLimiter", "Reviewable", "SourceReader"}
    classes = [one for name in guards.__all__ if isinstance(one := getattr(guards, name), type)]

    assert known == {one.__name__ for one in classes if hasattr(one, "gates")} - makers - protocols


def test_the_page_has_every_guard_with_its_gates_and_its_reaction() -> None:
    page = (ROOT / "docs" / "guards.md").read_text().split("## All guards\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \| .* \| (.*) \| `(\w+\(\d*\))` \| .* \|$", page, re.MULTILINE)
    found = {
        (name, "rate" in given, " ".join(sorted(re.findall(r"\w+", at.split(";")[0]))), how)
        for name, given, at, how in rows
    }

    reactions = [(one, repr(one.on_trip).replace("times=", "")) for one, _, _ in DEFAULTS]
    assert found == {
        (type(one).__name__, getattr(one, "rate", None) is not None, " ".join(sorted(one.gates)), how)
        for one, how in reactions
    }


def test_budgets_and_authorities_with_mappings_have_a_hash() -> None:
    assert hash(Budget(calls=1, at={0.5: Downgrade("cheap")})) == hash(Budget(calls=1))
    assert hash(Authority({"a": {"usd": 1}})) == hash(Authority())
