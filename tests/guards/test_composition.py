"""Guards are combined: both, either, and only for some work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import (
    AllOf,
    AnyOf,
    Budget,
    Composable,
    Confidence,
    Convergence,
    Deadline,
    Depth,
    Downgrade,
    Grounding,
    Guard,
    GuardContext,
    Limits,
    Only,
    Schema,
    applying,
    checked_guards,
    checked_own_guards,
    conditions,
    evaluate_guards,
    guard,
    leaves,
)
from guardgraph.guards.on_trip import Escalate, Finish, OnTrip, Refuse, Retry
from guardgraph.state import AgentInfo, Allowance, BadGraph, Gate, Task, Verdict
from tests.guards.views import NOW, view_of_result, view_of_subtask, view_of_task

SCHEMA: Any = Schema()
CLASS: Any = Schema
PASSES, ALERTS, TRIPS = "pass", "alert", "trip"


@dataclass(frozen=True, slots=True)
class Fixed(Composable):
    """Returns always the same."""

    action: Any
    name: str = "Fixed"
    on_trip: OnTrip = Finish()
    gates: frozenset[Gate] = frozenset({"handoff"})

    def __call__(self, context: GuardContext) -> Verdict:
        if self.action == "raises":
            raise ValueError("broken")
        verdict = context.verdict(self, trips=self.action == TRIPS)
        return verdict.model_copy(update={"action": self.action, "reason": f"{self.name} {self.action}"})


@dataclass(frozen=True)
class Plain:
    """A guard of a user that inherits nothing."""

    trips: bool = True
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"handoff"})

    def __call__(self, context: GuardContext) -> Verdict:
        return context.verdict(self, trips=self.trips, reason="plain")


def view(agent: str = "x", *, replaced: str | None = None, **facts: Any) -> GuardContext:
    """Return a result of an agent, in a task of these categories."""
    state = {"admitted": Task(goal="g", **facts)}
    return replace(view_of_result("so"), state=state, agent=AgentInfo(agent, fallback_for=replaced))


ACTIONS = st.sampled_from([PASSES, ALERTS, TRIPS, "raises"])


@given(ACTIONS, ACTIONS)
def test_both_pass_what_both_pass_and_either_what_either_passes(one: str, other: str) -> None:
    first, second = Fixed(one, "first"), Fixed(other, "second")
    stops = {TRIPS, "raises"}

    assert ((first & second)(view()).action == TRIPS) == bool({one, other} & stops)
    assert ((first | second)(view()).action == TRIPS) == ({one, other} <= stops)


@given(st.lists(ACTIONS, min_size=4, max_size=4))
def test_either_distributes_over_both(actions: list[str]) -> None:
    a, b, c, d = (Fixed(action, name) for action, name in zip(actions, "abcd", strict=True))
    stops = [action in (TRIPS, "raises") for action in actions]

    composed = (a & b) | (c & d)

    assert (composed(view()).action == TRIPS) == ((stops[0] or stops[1]) and (stops[2] or stops[3]))
    assert all(isinstance(part, AnyOf) for part in checked_guards([composed]))


def test_the_first_of_both_that_trips_names_the_verdict_and_its_reaction_counts() -> None:
    both = Fixed(PASSES, "calm", Retry(2)) & Fixed(TRIPS, "strict", Escalate())

    decision = evaluate_guards([both], view())

    assert decision.trip is not None
    assert (decision.trip.guard, decision.on_trip) == ("strict", Escalate())


def test_either_trips_with_all_reasons_and_the_reaction_of_the_first() -> None:
    either = Fixed(TRIPS, "first", Retry(2)) | Fixed(TRIPS, "second", Escalate())

    decision = evaluate_guards([either], view())

    assert decision.trip is not None
    assert (decision.trip.guard, decision.trip.reason) == ("first | second", "first trip; second trip")
    assert decision.on_trip == Retry(2)


def test_the_first_of_either_that_passes_decides_with_its_alert() -> None:
    verdict = (Fixed(TRIPS, "first") | Fixed(ALERTS, "second") | Fixed(PASSES, "third"))(view())

    assert (verdict.guard, verdict.action) == ("second", ALERTS)


def test_a_part_that_raises_trips_and_the_other_may_pass() -> None:
    assert (Fixed("raises") | Fixed(PASSES))(view()).action == PASSES
    assert (Fixed("raises", "one") | Fixed(TRIPS, "two"))(view()).reason == (
        "guard 'one' raised ValueError: broken; two trip"
    )


def test_guards_that_inherit_nothing_are_combined_too() -> None:
    assert [(Plain() & Schema()).name, (Schema() & Plain()).name] == ["Plain & Schema", "Schema & Plain"]
    assert (Plain() | Fixed(PASSES))(view()).action == PASSES
    assert (Fixed(TRIPS) | Plain())(view()).action == TRIPS
    assert Only(Plain(), agents={"x"})(view()).action == TRIPS
    assert Only(Plain(), agents={"y"})(view()).action == PASSES


def test_both_are_flat_and_either_judges_at_common_gates() -> None:
    depth, schema, limits = Depth(), Schema(), Limits()

    assert (depth & schema & limits).parts == (depth, schema, limits)
    assert checked_guards([depth & (schema & limits)]) == (depth, schema, limits)
    assert (schema | Grounding({})).gates == {"handoff"}
    assert (depth & schema).gates == {"admission", "dispatch", "handoff", "exit"}


def test_either_sees_failures_only_where_all_its_parts_do() -> None:
    assert AnyOf((Schema(), Schema(int))).judges_failures
    assert not AnyOf((Schema(), Grounding({}))).judges_failures


@pytest.mark.parametrize(
    ("either", "left"),
    [
        (Depth(2) | Depth(4), Allowance(depth=4)),
        (Budget(tokens=10, calls=3) | Budget(tokens=5), Allowance(tokens=10)),
        (Deadline(5) | Deadline(60), Allowance(deadline=NOW + timedelta(seconds=60))),
        (Limits(subtasks=3) | Limits(subtasks=2, calls=1), Allowance(subtasks=3)),
    ],
)
def test_either_narrows_to_the_wider_limit(either: AnyOf, left: Allowance) -> None:
    assert either.narrow(view_of_task()) == left


@pytest.mark.parametrize(("depth", "action"), [(3, PASSES), (4, PASSES), (5, TRIPS)])
def test_either_of_two_limits_trips_above_the_wider(depth: int, action: str) -> None:
    assert (Depth(2) | Depth(4))(view_of_subtask(depth=depth)).action == action


def test_the_reserve_of_either_is_the_smaller() -> None:
    assert AnyOf((Budget(tokens=10, reserve=0.5), Budget(tokens=20, reserve=0.1))).reserve == 0.1


@pytest.mark.parametrize(
    ("agents", "categories", "action"),
    [
        ({"x"}, None, TRIPS),
        ({"y"}, None, PASSES),
        (None, {"financial"}, TRIPS),
        (None, {"safety"}, PASSES),
        ({"x"}, {"financial"}, TRIPS),
        ({"x"}, {"safety"}, PASSES),
        ({"y"}, {"financial"}, PASSES),
    ],
)
def test_only_judges_some_agents_and_some_tasks(agents: Any, categories: Any, action: str) -> None:
    only = Fixed(TRIPS).only(agents=agents, categories=categories)

    assert only(view(categories={"financial", "personal"})).action == action


def test_only_judges_what_a_fallback_does_in_the_place_of_its_agent() -> None:
    only = Fixed(TRIPS).only(agents={"x"})

    assert only(view("spare", replaced="x")).action == TRIPS
    assert only(view("spare")).action == PASSES


def test_only_has_the_name_the_reaction_and_the_gates_of_its_guard() -> None:
    only = Schema(on_trip=Refuse()).only(agents={"x"}, categories=["safety"])

    assert isinstance(only, Only)
    assert (only.name, only.on_trip, only.judges_failures) == ("Schema", Refuse(), True)
    assert (only.gates, only.condition) == ({"handoff", "exit"}, "x in safety")
    assert hash(only) == hash(Schema(on_trip=Refuse()).only(agents=["x"], categories={"safety"}))


def test_only_of_both_is_for_each() -> None:
    both = (Schema() & Convergence()).only(agents={"x"})

    assert isinstance(both, AllOf)
    assert [(only.name, only.agents) for only in conditions([both])] == [("Schema", {"x"}), ("Convergence", {"x"})]
    assert leaves([both, Depth(1) | Depth(2)]) == [Schema(), Convergence(), Depth(1), Depth(2)]


def test_a_combination_of_one_guard_is_that_guard() -> None:
    alone = AllOf((SCHEMA,))

    assert applying([alone.only(agents={"x"})], agents={"x"}) == (SCHEMA,)
    assert applying([alone.only(agents={"x"}).only(agents={"x", "y"})], agents={"x"}) == (SCHEMA,)
    assert AnyOf((alone, AllOf((Confidence(0.5) | Grounding({}),)))).parts == (SCHEMA, Confidence(0.5), Grounding({}))


@given(st.permutations(["a", "b", "c"]))
def test_a_narrower_condition_within_another_needs_both(names: list[str]) -> None:
    first, second, third = names
    only = Fixed(TRIPS).only(agents={first, second}).only(agents={second, third})

    assert [only(view(name)).action for name in names] == [PASSES, TRIPS, PASSES]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: SCHEMA & Depth, r"AllOf combines guards, got the class Depth; write Depth\(…\)"),
        (lambda: SCHEMA | 3, "`|` combines guards, got 3"),
        (lambda: AllOf(()), r"AllOf combines guards, got \(\)"),
        (lambda: AnyOf(SCHEMA), "AnyOf combines guards, got Schema"),
        (lambda: AnyOf((Schema() & Schema(int), Schema())), "is a combination by `&`"),
        (lambda: AnyOf((Only(Schema() & Schema(int), {"x"}), Schema())), "is a combination by `&`"),
        (lambda: Schema() | Depth(), "would never trip: it trips where all its parts do, and they judge Schema at"),
        (lambda: Budget(usd=1) | Convergence(), "Budget narrows what a team may use, whatever Convergence decides"),
        (lambda: Budget(usd=1) | Budget(tokens=9), "would limit nothing"),
        (lambda: Schema().only(), "give `agents` or `categories`"),
        (lambda: Schema().only(agents="x"), "`agents` must be a set of names that is not empty, got 'x'"),
        (lambda: Schema().only(agents=[]), "`agents` must be a set of names that is not empty"),
        (lambda: SCHEMA.only(agents={3}), "each of `agents` must be a name, got 3"),
        (lambda: SCHEMA.only(categories={"money"}), "no category 'money'; there are financial"),
        (lambda: Budget(usd=1).only(agents={"x"}), r"limits a whole team: an agent has `timeout`, `budget_share`"),
        (lambda: Budget(usd=1).only(agents={"x"}), "a Budget with per='agent' caps each of some agents"),
        (lambda: (Depth(1) | Depth(2)).only(agents={"x"}), "limits a whole team"),
        (lambda: Budget(usd=1, per="tenant").only(agents={"x"}), "per='tenant': it counts all agents together"),
        (lambda: Budget(usd=1, window="day").only(agents={"x"}), "per='run': it counts all agents together"),
        (
            lambda: Budget(usd=1, per="agent", at={0.5: Downgrade("cheap")}).only(agents={"x"}),
            "with `at`: its steps are for all agents",
        ),
        (lambda: guard(at="admission")(lambda _: None).only(agents={"x"}), "judges only at admission"),
        (lambda: Budget(tokens=9, per="agent") | Budget(tokens=5), "caps an account beside the run"),
        (lambda: Only(CLASS, agents={"x"}), "got the class Schema"),
    ],
)
def test_what_cannot_be_combined_is_refused(make: Any, reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        make()


def test_the_guards_within_are_checked_where_they_are_given() -> None:
    @dataclass(frozen=True)
    class Odd(Composable):
        gates = frozenset({"nowhere", "handoff"})
        on_trip = Finish()

        def __call__(self, context: GuardContext) -> Verdict:
            raise NotImplementedError

    odd: Guard = Odd()  # pyright: ignore[reportAssignmentType]
    for given_ in (Schema() & odd, Schema() | odd, Only(odd, agents={"x"})):
        with pytest.raises(BadGraph, match="names gates that do not exist: 'nowhere'"):
            checked_guards([given_])
    for limiter in (Depth(1) | Depth(2), Depth(1).only(categories={"safety"}), Schema() & Depth()):
        with pytest.raises(BadGraph, match="limits a team"):
            checked_own_guards([limiter])


def test_the_first_of_either_names_who_compensates_and_how_it_reacts() -> None:
    either = Schema(compensate="clerk", on_trip=Refuse()) | Schema(int, compensate="other")

    assert isinstance(either, AnyOf)
    assert (either.compensate, either.on_trip) == ("clerk", Refuse())
    assert AnyOf((Schema(int), Schema(compensate="clerk"))).compensate is None


def test_both_react_as_the_first_and_return_the_first_alert() -> None:
    both = Fixed(PASSES, on_trip=Escalate()) & Fixed(ALERTS, "a", on_trip=Refuse()) & Fixed(ALERTS, "b")

    assert both.on_trip == Escalate()
    assert both(view()).reason == "a alert"


def test_limits_that_cannot_be_known_before_a_run_may_be_combined() -> None:
    class Odd(Depth):
        def narrow(self, context: GuardContext) -> Allowance:
            raise ValueError("only in a run")

    assert isinstance(Odd(1) | Depth(2), AnyOf)


def test_a_condition_sees_results_without_a_value_where_its_guard_does() -> None:
    assert Only(Schema(), agents={"x"}).judges_failures
    assert not Only(Convergence(), agents={"x"}).judges_failures
    assert not Only(Plain(), agents={"x"}).judges_failures
