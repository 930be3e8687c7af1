"""Every field of every guard, agent, rate and budget: what makes no sense is refused, and the error names the field."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

from guardgraph import guards
from guardgraph.agents import Agent, Backoff, RateLimit
from guardgraph.graphs import Assumptions
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
    Finish,
    Grounding,
    Limits,
    Repetition,
    Retry,
    Reviewed,
    Schema,
    Trust,
    Velocity,
)
from guardgraph.state import Allowance, Amount, BadGraph, Subtask

BAD: dict[str, Any] = {
    "minus one": -1,
    "minus a part": -0.5,
    "zero": 0,
    "nan": nan,
    "infinity": inf,
    "minus infinity": -inf,
    "true": True,
    "text": "3",
    "empty text": "",
    "none": None,
    "huge": 10**400,
    "huge float": 1e300,
    "a decimal nan": Decimal("NaN"),
    "a list": [],
    "a mapping": {},
    "a class": object,
}
ZERO, NONE, TEXT = frozenset({"zero"}), frozenset({"none"}), frozenset({"text"})
EMPTY = frozenset({"a list", "a mapping"})
DECLARED: dict[Any, dict[str, Any]] = {
    AllowedTools: {"allowed": {"search"}},
    Authority: {},
    Breaker: {"failures": 3},
    Budget: {"tokens": 5},
    Confidence: {},
    Convergence: {},
    Cycle: {},
    Deadline: {"seconds": 5},
    Depth: {},
    Grounding: {"sources": {"a.md": "text"}},
    Limits: {},
    Repetition: {},
    Reviewed: {"review": "auditor", "question": "Is it polite?"},
    Schema: {},
    Trust: {},
    Velocity: {},
    Retry: {},
    Downgrade: {"model": "cheap"},
    Backoff: {},
    RateLimit: {"calls": 3},
    Agent: {"name": "a", "run": len},
    Assumptions: {},
}
"""Each declaration, with the fields that it needs."""
TAKEN: dict[tuple[Any, str], frozenset[str]] = {
    (AllowedTools, "allowed"): EMPTY,  # no tool at all
    (Authority, "limits"): frozenset({"a mapping"}),
    (Breaker, "on_trip"): NONE,  # the default of its limit
    (Breaker, "rate"): NONE,
    (Budget, "usd"): ZERO | NONE | TEXT,
    (Budget, "tokens"): ZERO,
    (Budget, "calls"): ZERO | NONE,
    (Budget, "reserve"): ZERO,
    (Budget, "at"): frozenset({"a mapping"}),
    (Budget, "window"): NONE,
    (Budget, "prices"): frozenset({"a mapping"}),
    (Confidence, "review"): NONE | TEXT,
    (Convergence, "period"): ZERO,
    (Depth, "limit"): ZERO,
    (Grounding, "sources"): frozenset({"text", "a mapping", "a class"}),  # a folder, no source, a function
    (Grounding, "critical"): frozenset({"true", "a class"}),
    (Grounding, "review"): NONE | TEXT,
    (Limits, "subtasks"): ZERO | NONE,
    (Limits, "messages"): ZERO | NONE,
    (Limits, "calls"): ZERO | NONE,
    (Reviewed, "review"): TEXT,
    (Reviewed, "question"): TEXT,
    (Reviewed, "compensate"): NONE | TEXT,
    (Schema, "model"): NONE | {"a class"},
    (Schema, "check"): NONE | {"a class"},
    (Schema, "compensate"): NONE | TEXT,
    (Trust, "reserved"): EMPTY,
    (Trust, "review"): NONE | TEXT,
    (Trust, "shapes"): EMPTY,
    (Retry, "times"): ZERO,
    (Downgrade, "model"): TEXT,
    (Backoff, "jitter"): ZERO,
    (Backoff, "calls"): ZERO,
    (RateLimit, "tokens"): NONE,
    (Agent, "name"): TEXT,
    (Agent, "run"): frozenset({"a class"}),
    (Agent, "model"): NONE,
    (Agent, "models"): frozenset({"a mapping"}),
    (Agent, "choose"): NONE,
    (Agent, "instructions"): TEXT | {"empty text"},
    (Agent, "version"): TEXT | {"empty text"},
    (Agent, "tools"): frozenset({"a list"}),
    (Agent, "skills"): EMPTY,
    (Agent, "output"): NONE | {"a class"},
    (Agent, "timeout"): NONE,
    (Agent, "fallback"): NONE,
    (Agent, "expected_cost"): ZERO | NONE,
    (Agent, "max_tokens"): NONE,
    (Agent, "budget_share"): NONE,
    (Agent, "cache"): NONE,
    (Agent, "cache_ttl"): NONE,
    (Agent, "guards"): frozenset({"a list"}),
    (Agent, "copies"): NONE,
    (Agent, "rate_limit"): NONE,
    (Agent, "backoff"): NONE,
    (Agent, "to_input"): NONE | {"a class"},
    (Agent, "from_output"): NONE | {"a class"},
    (Agent, "integrity"): NONE,
    (Agent, "cost"): ZERO | NONE | TEXT,
    (Agent, "tool_costs"): frozenset({"a mapping"}),
    **{(Assumptions, name): ZERO for name in ("calls_per_node", "calls_per_function", "input_tokens", "output_tokens")},
    **{(Assumptions, name): ZERO for name in ("seconds", "slowest_seconds")},
    **{(Assumptions, name): NONE for name in ("rounds", "subtasks")},
    (Assumptions, "model"): TEXT | {"empty text"},
}
"""The values of `BAD` that have a meaning, as the docstring of the field has it."""


def error_of(kind: Any, field: str, value: Any) -> BadGraph | None:
    try:
        kind(**{**DECLARED[kind], field: value})
    except BadGraph as error:
        return error
    return None


@pytest.mark.parametrize(("kind", "field"), [(kind, field.name) for kind in DECLARED for field in fields(kind)])
def test_what_makes_no_sense_is_refused_by_an_error_that_names_the_field(kind: Any, field: str) -> None:
    errors = {name: str(error) for name, value in BAD.items() if (error := error_of(kind, field, value)) is not None}

    assert set(errors) == BAD.keys() - TAKEN.get((kind, field), frozenset())
    assert [text for text in errors.values() if not re.search(rf"\b{field}\b", text)] == []


def test_no_guard_is_left_out() -> None:
    exported = (getattr(guards, name) for name in guards.__all__)
    declared = {one for one in exported if isinstance(one, type) and is_dataclass(one) and hasattr(one, "gates")}

    assert declared - set(DECLARED) == {guards.AllOf, guards.AnyOf, guards.Only, guards.FunctionGuard}


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("zero", "none")])
@pytest.mark.parametrize("field", ["tokens", "calls", "subtasks", "messages", "usd"])
def test_the_parts_of_an_expected_cost_are_numbers_from_zero(field: str, name: str) -> None:
    with pytest.raises(BadGraph, match="`expected_cost` must have whole numbers, and US dollars as a Decimal"):
        Agent("a", run=len, expected_cost=Amount(**{field: BAD[name]}))


@pytest.mark.parametrize(
    "name", [name for name in BAD if name not in ("zero", "text", "infinity", "huge", "huge float")]
)
def test_the_authority_of_an_agent_is_a_number_from_zero(name: str) -> None:
    with pytest.raises(BadGraph, match=r"`limits(\['a'\]\['usd'\])?` must be"):
        Authority({"a": {"usd": BAD[name]}})


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("zero", "text")])
def test_the_cost_of_a_tool_is_an_amount(name: str) -> None:
    with pytest.raises(BadGraph, match="`tool_costs"):
        Agent("a", run=len, tool_costs={"search": BAD[name]})


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("a list", "a mapping")])
def test_a_step_of_a_budget_is_at_a_part_of_it(name: str) -> None:
    with pytest.raises(BadGraph, match="`at` names"):
        Budget(tokens=5, at={BAD[name]: Downgrade("cheap")})


@pytest.mark.parametrize("name", [name for name in BAD if name != "none"])
def test_the_share_of_a_subtask_is_a_part(name: str) -> None:
    with pytest.raises(ValueError, match="share"):
        Subtask(id="s", goal="g", share=BAD[name])


@pytest.mark.parametrize("name", [name for name in BAD if name not in ("zero", "none", "text", "huge")])
@pytest.mark.parametrize("field", ["tokens", "usd", "calls", "subtasks", "messages", "depth"])
def test_the_limits_of_an_allowance_are_numbers_from_zero(field: str, name: str) -> None:
    with pytest.raises(ValueError, match=field):
        Allowance.model_validate({field: BAD[name]})


@pytest.mark.parametrize("given", [30, 30.5, True, "soon", nan])
def test_a_deadline_in_an_allowance_is_a_moment_and_no_number_of_seconds(given: Any) -> None:
    with pytest.raises(ValueError, match="deadline"):
        Allowance(deadline=given)


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: Depth(-1), "`limit` must not be negative, got -1"),
        (lambda: Depth(10**400), "`limit` must be at most 1e+18, got 1" + "0" * 79),
        (lambda: Convergence(0), "`rounds` must be at least 1, got 0"),
        (lambda: Deadline(1_000_000_001), "`seconds` must be more than 0 and at most 1_000_000_000, got 1000000001"),
        (lambda: Velocity(per=1e300), "`per` must be more than 0 and at most 1_000_000_000, got 1e+300"),
        (lambda: Authority({"a": {"usd": "much"}}), "Authority: `limits['a']['usd']` must be at least 0, got 'much'"),
        (lambda: Cycle(on_trip=None), "Cycle: `on_trip` must be Finish | Retry | Escalate | Refuse, got None"),  # type: ignore[arg-type]
    ],
)
def test_the_error_has_the_bound_and_what_was_given(declare: Any, text: str) -> None:
    with pytest.raises(BadGraph) as caught:
        declare()

    assert str(caught.value) == text


def test_what_is_at_its_bound_is_taken() -> None:
    assert Limits(calls=10**18).calls == 10**18
    assert Authority({"a": {"usd": inf}}, on_trip=Finish()).limits["a"]["usd"] == Decimal("Infinity")
