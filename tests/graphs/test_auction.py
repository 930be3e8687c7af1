"""Lots are announced, bid for, awarded within capacity, done, settled, and announced again where a winner fails."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from guardgraph.agents import Agent, Bid, Bidder, announced_lots
from guardgraph.graphs import auction, draw, estimate, lint, pipeline
from guardgraph.guards import Budget, Depth, Finish, GuardContext, Limits, Refuse, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Message, Outcome, PatternError, Plan, Reply, Request, Subtask, Usage
from guardgraph.storage import Reputation

any_auction: Any = auction
any_bidder: Any = Bidder


def planner(*lots: Subtask) -> Agent:
    return Agent("planner", run=lambda request: Plan(subtasks=lots))


def jobs(*names: str, **fields: Any) -> Agent:
    return planner(*(Subtask(id=name, goal=f"do {name}", **fields) for name in names))


def works(name: str, **declared: Any) -> Agent:
    return Agent(name, run=lambda request: f"{name} did it", **declared)


def fails(name: str, **declared: Any) -> Agent:
    def run(request: Request) -> str:
        raise ConnectionError(f"{name} is broken")

    return Agent(name, run=run, **declared)


def bids(cost: float, **fields: Any) -> Callable[[Sequence[Subtask]], list[Bid]]:
    return lambda lots: [Bid(subtask=lot.id, cost=cost, **fields) for lot in lots]


def declines(lots: Sequence[Subtask]) -> list[Bid]:
    return []


def run(graph: Any, task: Any = "the task") -> tuple[Outcome, list[Message]]:
    """Run an auction; return its outcome and its log."""
    last = [*graph.compile().stream({"task": task}, stream_mode="values")][-1]
    return last["outcome"], last["log"]


def doers(outcome: Outcome) -> dict[str, str]:
    value: Any = outcome.value
    return {one["subtask"]: one["agent"] for one in value or ()}


def contents(log: Sequence[Message], performative: str) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    return ((one.sender, one.recipients, one.content) for one in log if one.performative == performative)


def test_the_task_is_the_only_lot_and_the_answer_of_the_winner_the_value() -> None:
    outcome, log = run(auction([Bidder(works("dear"), bid=bids(9)), Bidder(works("cheap"), bid=bids(2))]))

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "cheap did it", ())
    assert [one.performative for one in log] == ["ask", "bid", "bid", "award", "reject", "inform"]


def test_each_lot_of_a_plan_goes_to_the_best_bid_for_it() -> None:
    prices = {"x": {"a": 1, "b": 2}, "y": {"a": 5, "b": 3}}

    def bidder(name: str) -> Bidder:
        return Bidder(works(name), bid=lambda lots: [Bid(subtask=lot.id, cost=prices[lot.id][name]) for lot in lots])

    outcome, log = run(auction([bidder("a"), bidder("b")], planner=jobs("x", "y")))

    assert (outcome.status, doers(outcome)) == ("completed", {"x": "a", "y": "b"})
    assert [one.recipients for one in log if one.performative == "ask"] == [("a", "b")]


def test_a_bidder_is_asked_once_for_all_lots_that_it_can_do() -> None:
    seen: dict[str, list[list[str]]] = {"a": [], "b": []}

    def bid_of(name: str) -> Callable[[Sequence[Subtask]], list[Bid]]:
        def bid(lots: Sequence[Subtask]) -> list[Bid]:
            seen[name].append([lot.id for lot in lots])
            return [Bid(subtask=lot.id, cost=1) for lot in lots]

        return bid

    lots = [Subtask(id=f"s{n}", goal="cut", skill="cut") for n in range(3)]
    lots.append(Subtask(id="any", goal="sweep"))
    bidders = [Bidder(works(name, skills=skills), bid=bid_of(name)) for name, skills in (("a", {"cut"}), ("b", ()))]
    outcome, _ = run(auction(bidders, planner=planner(*lots)))

    assert outcome.status == "completed"
    assert seen == {"a": [["s0", "s1", "s2", "any"]], "b": [["any"]]}


def test_a_lot_is_announced_when_what_it_depends_on_is_done() -> None:
    plan = planner(Subtask(id="print", goal="print"), Subtask(id="bind", goal="bind", depends_on=("print",)))
    outcome, log = run(auction([works("shop")], planner=plan))

    assert outcome.status == "completed"
    assert [content["lots"] for _, _, content in contents(log, "ask")] == [["print"], ["bind"]]


def test_bidders_without_a_bid_are_awarded_by_their_declared_cost_in_one_step_less() -> None:
    cheap, dear = works("cheap", expected_cost=50), works("dear", expected_cost=90)
    outcome, log = run(auction([dear, cheap], planner=jobs("x", "y")))

    assert set(doers(outcome).values()) == {"cheap"}
    assert [one["cost"] for _, _, content in contents(log, "bid") for one in content["bids"]] == [90, 90, 50, 50]
    assert "guard_dispatch_award" not in auction([dear, cheap]).nodes


def test_bidders_that_declare_nothing_share_the_lots_by_their_copies() -> None:
    names = [f"lot{number}" for number in range(6)]
    outcome, _ = run(auction([works("one"), works("two", copies=2)], planner=jobs(*names)))

    assert sorted(doers(outcome).values()) == ["one"] * 2 + ["two"] * 4


@pytest.mark.parametrize("award", ["greedy", "regret"])
def test_no_bidder_is_awarded_more_than_its_capacity_in_a_run(award: Any) -> None:
    names = [f"lot{number}" for number in range(5)]
    bidders = [Bidder(works("cheap"), bid=bids(1, load=1.5), capacity=4), Bidder(works("dear"), bid=bids(9))]
    outcome, _ = run(auction(bidders, planner=jobs(*names), award=award))

    assert outcome.status == "completed"
    assert sorted(doers(outcome).values()) == ["cheap"] * 2 + ["dear"] * 3


def test_the_capacity_holds_over_announcements() -> None:
    chain = [Subtask(id=f"s{n}", goal="go", depends_on=(f"s{n - 1}",) if n else ()) for n in range(3)]
    outcome, log = run(auction([Bidder(works("a"), bid=bids(1), capacity=2)], planner=planner(*chain)))

    assert outcome.status == "degraded"
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("s2", "no bidder has capacity left for it")]
    assert len([*contents(log, "ask")]) == 2


def test_what_no_capacity_suffices_for_is_a_gap_that_names_it() -> None:
    outcome, _ = run(auction([Bidder(works("a"), bid=bids(1, load=5), capacity=4)]))

    assert (outcome.status, outcome.gaps[0].reason) == ("failed", "no bidder has enough capacity left for it")


def test_a_lot_at_which_its_winner_fails_goes_to_the_next_bidder() -> None:
    bidders = [Bidder(fails("cheap", attempts=2), bid=bids(1)), Bidder(works("dear"), bid=bids(9))]
    outcome, log = run(auction(bidders, planner=jobs("x", "y")))

    assert (outcome.status, outcome.gaps, doers(outcome)) == ("completed", (), {"x": "dear", "y": "dear"})
    assert [one.recipients for one in log if one.performative == "ask"] == [("cheap", "dear"), ("dear",)]
    reports = [(who, one["is_done"]) for who, _, content in contents(log, "inform") for one in content["settled"]]
    assert reports == [("cheap", False), ("cheap", False), ("dear", True), ("dear", True)]


def test_a_failed_lot_gives_its_load_back() -> None:
    def only_y(request: Request) -> str:
        if request.goal == "x":
            raise ConnectionError("no x")
        return "done"

    lots = (Subtask(id="x", goal="x", priority=1), Subtask(id="y", goal="y"))
    outcome, log = run(auction([Bidder(Agent("a", run=only_y), bid=bids(1), capacity=1)], planner=planner(*lots)))

    assert (outcome.status, doers(outcome)) == ("degraded", {"y": "a"})
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [
        ("x", "no bidder is left: 'a' has failed: ConnectionError: no x")
    ]
    assert [content["lots"] for _, _, content in contents(log, "ask")] == [["x", "y"], ["y"]]


def test_a_lot_at_which_all_fail_is_a_gap_that_names_why() -> None:
    bidders = [Bidder(fails(name), bid=bids(cost)) for cost, name in enumerate("abc", 1)]
    outcome, _ = run(auction([*bidders, Bidder(works("d"), bid=bids(4))], planner=jobs("x"), rounds=2))

    assert outcome.status == "failed"
    assert [(gap.subtask, gap.agent) for gap in outcome.gaps] == [("x", "b")]
    assert outcome.gaps[0].reason == (
        "it was announced 2 times, as often as `rounds` allows: "
        "'a' has failed: ConnectionError: a is broken; 'b' has failed: ConnectionError: b is broken"
    )
    outcome, _ = run(auction(bidders[:1]))
    assert outcome.gaps[0].reason == "no bidder is left: 'a' has failed: ConnectionError: a is broken"


def test_a_result_that_is_refused_for_good_goes_to_the_next_bidder() -> None:
    @guard(at="handoff", on_trip=Finish())
    def not_by_a(view: GuardContext) -> str | None:
        return "poor work" if view.subject.agent == "a" else None

    bidders = [Bidder(works("a"), bid=bids(1)), Bidder(works("b"), bid=bids(2))]
    outcome, log = run(auction(bidders, guards=[not_by_a]))

    assert (outcome.status, outcome.value) == ("completed", "b did it")
    assert [one["reason"] for _, _, content in contents(log, "inform") for one in content["settled"]] == [
        "poor work",
        "",
    ]


@guard(at="exit", on_trip=Retry(1))
def neat(view: GuardContext) -> str | None:
    return None if "neat" in str(view.subject.value) else "it is not neat"


def test_an_answer_that_is_written_again_is_one_award() -> None:
    a = Agent("a", run=lambda request: "neat" if request.feedback else "done")
    outcome, log = run(auction([Bidder(a, bid=bids(1)), Bidder(works("b"), bid=bids(2))], guards=[neat]))

    assert (outcome.status, outcome.value) == ("completed", "neat")
    assert [one["is_done"] for _, _, content in contents(log, "inform") for one in content["settled"]] == [True]


@pytest.mark.parametrize("is_refused", [True, False])
def test_an_answer_that_cannot_be_written_again_goes_to_the_next_bidder(is_refused: bool) -> None:
    def work(request: Request) -> str:
        if request.feedback and not is_refused:
            raise ConnectionError("a is broken")
        return "done"

    @guard(at="handoff", on_trip=Finish())
    def first_only(view: GuardContext) -> str | None:
        return "poor work" if view.subject.agent == "a" and view.subject.attempt > 1 else None

    a, b = Agent("a", run=work), Agent("b", run=lambda request: "neat")
    bidders = [Bidder(a, bid=bids(1), capacity=1), Bidder(b, bid=bids(2))]
    outcome, log = run(auction(bidders, guards=[neat, first_only]))
    settled = [one for _, _, content in contents(log, "inform") for one in content["settled"]]

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "neat", ())
    assert [one["is_done"] for one in settled] == [True, False, True]

    outcome, _ = run(auction(bidders[:1], guards=[neat, first_only]))
    reason = "poor work" if is_refused else "ConnectionError: a is broken"
    assert (outcome.status, [gap.reason for gap in outcome.gaps]) == (
        "failed", [f"no bidder is left: 'a' has failed: {reason}"],
    )  # fmt: skip


def test_without_any_bid_the_run_ends_as_failed_and_says_who_declined() -> None:
    outcome, _ = run(auction([Bidder(works("a"), bid=declines), Bidder(works("b"), bid=declines)]))

    assert (outcome.status, outcome.stopped_by, outcome.value) == ("failed", "bids", None)
    assert outcome.reason == outcome.gaps[0].reason == "no bid: 'a' has declined; 'b' has declined"


def test_without_a_bid_for_one_lot_the_others_are_done() -> None:
    def only_x(lots: Sequence[Subtask]) -> list[Bid]:
        return [Bid(subtask="x", cost=1)] if any(lot.id == "x" for lot in lots) else []

    plan = planner(*(Subtask(id=name, goal=name) for name in "xy"), Subtask(id="z", goal="z", depends_on=("y",)))
    outcome, _ = run(auction([Bidder(works("a"), bid=only_x)], planner=plan))

    assert (outcome.status, doers(outcome)) == ("degraded", {"x": "a"})
    assert {gap.subtask: gap.reason for gap in outcome.gaps} == {
        "y": "no bid: 'a' has declined",
        "z": "it depends on what is missing: y",
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([{"subtask": "x", "cost": -1}], "greater than or equal to 0"),
        ([{"subtask": "x", "cost": 1, "load": -2}], "load: Input should be greater than or equal to 0"),
        ([{"subtask": "x", "cost": 1, "seconds": -2}], "seconds: Input should be greater"),
        ([{"subtask": "x", "cost": 1, "confidence": 1.1}], "confidence: Input should be less than or equal to 1"),
        ([{"subtask": "y", "cost": 1}], "no lot 'y' for you"),
        ([{"subtask": "w", "cost": 1}], "no lot 'w' for you"),
        ([{"subtask": "x", "cost": 1}] * 2, "two bids for the lot 'x'"),
        ("all of them", "bids are a list, got 'all of them'"),
        ({"bids": 7}, "bids are a list"),
        ([7], "7 is no bid"),
    ],
)
def test_a_bid_that_does_not_fit_goes_back_with_the_reason(answer: Any, reason: str) -> None:
    feedback: list[str | None] = []

    def bid(request: Request) -> Any:
        feedback.append(request.feedback)
        assert [lot.id for lot in announced_lots(request)] == ["x"]
        return answer if request.feedback is None else [{"subtask": "x", "cost": 1}]

    lots = (Subtask(id="x", goal="x"), Subtask(id="w", goal="w", skill="b"))
    bidders = [Bidder(works("a"), bid=Agent("a asks", run=bid, attempts=2)), Bidder(works("b"), bid=bids(9))]
    outcome, log = run(auction(bidders, planner=planner(*lots)))

    assert (outcome.status, doers(outcome)["x"]) == ("completed", "a")
    assert reason in str(feedback[1])
    assert any(reason in content["reason"] for _, _, content in contents(log, "reject") if "reason" in content)


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf, -0.001, "cheap", None])
def test_a_bid_without_a_cost_to_compare_is_no_crash(cost: Any) -> None:
    def bid(lots: Sequence[Subtask]) -> Any:
        return [{"subtask": lot.id, "cost": cost} for lot in lots]

    outcome, _ = run(auction([Bidder(works("a"), bid=bid), Bidder(works("b"), bid=bids(9))]))
    assert (outcome.status, outcome.value) == ("completed", "b did it")

    outcome, _ = run(auction([Bidder(works("a"), bid=bid)]))
    assert outcome.status == "failed"
    assert "no bid: 'a' has no usable bid" in outcome.gaps[0].reason


def test_of_an_answer_that_is_not_made_again_the_good_bids_count() -> None:
    def bid(lots: Sequence[Subtask]) -> Any:
        return [{"subtask": "x", "cost": 1}, {"subtask": "y", "cost": -1}]

    outcome, _ = run(auction([Bidder(works("a"), bid=bid)], planner=jobs("x", "y")))

    assert doers(outcome) == {"x": "a"}
    assert "no usable bid" in outcome.gaps[0].reason


def test_an_agent_that_cannot_bid_is_passed_over() -> None:
    bidders = [Bidder(works("a"), bid=fails("a asks", attempts=2)), Bidder(works("b"), bid=bids(9))]

    assert run(auction(bidders))[0].value == "b did it"


def test_an_async_function_bids_in_an_async_run() -> None:
    async def bid(lots: Sequence[Subtask]) -> list[Bid]:
        await asyncio.sleep(0)
        return [Bid(subtask=lot.id, cost=1) for lot in lots]

    graph = auction([Bidder(works("a"), bid=bid)]).compile()

    assert asyncio.run(graph.ainvoke({"task": "t"}))["outcome"].value == "a did it"
    assert graph.invoke({"task": "t"})["outcome"].value == "a did it"


def test_a_model_bids_with_the_lots_before_it() -> None:
    seen: list[str] = []

    def reply(messages: Any) -> Any:
        seen.append(str(messages[-1].content))
        return json.dumps({"bids": [{"subtask": "task", "cost": 3, "confidence": 0.5}]})

    model = Agent("clerk", model=ScriptedModel(replies=reply))
    outcome, _ = run(auction([Bidder(works("a"), bid=model, capacity=7)], score=lambda bid, known: -bid.cost))

    assert outcome.value == "a did it"
    assert '"about": "announced lots"' in seen[0]
    assert '"value": [{"id": "task", "goal": "the task"}]' in seen[0]
    assert '"capacity left", "from": "guard_dispatch", "value": 7.0' in seen[0]


@pytest.mark.parametrize("bad", ['{"subtask": "y", "cost": -1}', '{"subtask": "y", "cost": NaN}', "7"])
def test_of_the_answer_of_a_model_the_good_bids_count(bad: str) -> None:
    answer = f'{{"bids": [{{"subtask": "x", "cost": 3}}, {bad}]}}'
    clerk = Agent("clerk", model=ScriptedModel(replies=lambda messages: answer))
    outcome, log = run(auction([Bidder(works("a"), bid=clerk), Bidder(works("b"), bid=bids(9))], planner=jobs(*"xy")))

    assert (outcome.status, doers(outcome)) == ("completed", {"x": "a", "y": "b"})
    assert all("is no bid" in content["reason"] for _, _, content in contents(log, "reject") if "reason" in content)


def test_a_function_that_hangs_is_passed_over_after_its_timeout() -> None:
    def hangs(lots: Sequence[Subtask]) -> list[Bid]:
        time.sleep(5)
        return []

    bidders = [Bidder(works("a"), bid=hangs, timeout=0.2), Bidder(works("b"), bid=bids(9))]
    begun = time.monotonic()
    outcome, log = run(auction(bidders))

    assert (outcome.status, outcome.value, time.monotonic() - begun < 3) == ("completed", "b did it", True)
    assert any(
        "no answer after" in content["reason"] for _, _, content in contents(log, "reject") if "reason" in content
    )


def test_the_declared_score_decides_and_is_given_the_reputation() -> None:
    given: list[Reputation] = []

    def soonest(bid: Bid, known: Reputation) -> float:
        given.append(known)
        return -bid.seconds

    bidders = [Bidder(works("now"), bid=bids(9, seconds=1)), Bidder(works("later"), bid=bids(1, seconds=60))]
    outcome, _ = run(auction(bidders, score=soonest))

    assert outcome.value == "now did it"
    assert {one.agent for one in given} == {"now", "later"}


def test_the_default_score_is_the_expected_cost_per_success() -> None:
    bidders = [Bidder(works("sure"), bid=bids(3)), Bidder(works("unsure"), bid=bids(2, confidence=0.5))]

    assert run(auction(bidders))[0].value == "sure did it"


def test_a_bid_without_any_confidence_is_refused_by_the_score() -> None:
    outcome, _ = run(auction([Bidder(works("a"), bid=bids(1, confidence=0))]))

    assert outcome.gaps[0].reason == "no bid: the bid of 'a' was refused by the score"


@pytest.mark.parametrize("score", [math.nan, math.inf, None, "high", True])
def test_a_score_that_is_no_number_is_an_error_of_the_pattern(score: Any) -> None:
    with pytest.raises(PatternError, match="`score` must return a number"):
        run(auction([Bidder(works("a"), bid=bids(1))], score=lambda bid, known: score))


def test_what_failed_in_this_run_counts_against_its_bidder_at_once() -> None:
    def run_once(request: Request) -> str:
        raise ConnectionError("no")

    plan = planner(Subtask(id="x", goal="x"), Subtask(id="y", goal="y", depends_on=("x",)))
    bidders = [Bidder(Agent("poor", run=run_once), bid=bids(2)), Bidder(works("good"), bid=bids(3))]
    _, log = run(auction(bidders, planner=plan))

    awards = [(one["subtask"], to) for _, to, content in contents(log, "award") for one in content["awards"]]
    assert awards == [("x", ("poor",)), ("x", ("good",)), ("y", ("good",))]


def test_the_actual_cost_is_settled_in_the_unit_of_the_bids() -> None:
    def work(request: Request) -> Reply:
        return Reply(value="done", usage=Usage(input_tokens=70, output_tokens=30, usd=Decimal("0.25"), calls=1))

    for unit, cost in (("usd", 0.25), ("tokens", 100), ("calls", 1), (None, None)):
        _, log = run(any_auction([Bidder(Agent("a", run=work), bid=bids(1))], unit=unit))
        assert [one["cost"] for _, _, content in contents(log, "inform") for one in content["settled"]] == [cost]


def test_the_guards_of_dispatch_judge_every_award() -> None:
    @guard(at="dispatch", on_trip=Finish())
    def not_y(view: GuardContext) -> str | None:
        return "not y" if view.subject.id == "y" else None

    outcome, log = run(auction([Bidder(works("a"), bid=bids(1))], planner=jobs("x", "y"), guards=[not_y]))

    assert (outcome.status, doers(outcome), [(g.subtask, g.guard) for g in outcome.gaps]) == (
        "degraded", {"x": "a"}, [("y", "not_y")],
    )  # fmt: skip
    assert [one["subtask"] for _, _, content in contents(log, "award") for one in content["awards"]] == ["x"]
    assert run(auction([works("a")], guards=[Depth(0)]))[0].stopped_by == "Depth"
    assert run(auction([works("a")], planner=jobs("x", "y"), guards=[Limits(subtasks=1)]))[0].stopped_by == "Limits"


def test_a_lot_that_a_guard_stops_for_its_winner_goes_to_the_next_best_bid() -> None:
    @guard(at="dispatch", on_trip=Finish())
    def certified(view: GuardContext) -> str | None:
        asked.append((view.subject.id, view.agent.name if view.agent else ""))
        return None if view.agent is not None and view.agent.name in ("c", "d") else "not certified"

    asked: list[tuple[str, str]] = []
    bidders = [Bidder(works(name), bid=bids(cost), capacity=1) for cost, name in enumerate("abcd", 1)]
    outcome, log = run(auction(bidders, planner=jobs("x", "y", "z"), guards=[certified]))

    assert (outcome.status, doers(outcome)) == ("degraded", {"x": "d", "z": "c"})
    assert [(gap.subtask, gap.agent, gap.guard) for gap in outcome.gaps] == [("y", "a", "certified")]
    assert asked == [("x", "a"), ("x", "d"), ("y", "b"), ("y", "a"), ("z", "c")]
    awards = [(one["subtask"], to) for _, to, content in contents(log, "award") for one in content["awards"]]
    assert sorted(awards) == [("x", ("d",)), ("z", ("c",))]


def test_a_lot_that_is_too_dear_for_the_budget_goes_to_a_cheaper_bidder() -> None:
    dear = works("dear", expected_cost=900)
    cheap, fits = works("cheap", expected_cost=100), works("fits", expected_cost=300)
    bidders = [Bidder(worker, bid=bids(1, confidence=sure)) for worker, sure in ((dear, 1), (cheap, 0.5), (fits, 0.9))]
    outcome, _ = run(auction(bidders, planner=jobs("x", "y"), guards=[Budget(tokens=500, reserve=0)]))

    assert (outcome.status, doers(outcome)) == ("completed", {"x": "fits", "y": "cheap"})


def test_what_a_guard_stops_for_every_bidder_is_one_gap_with_its_reason() -> None:
    @guard(at="dispatch", on_trip=Finish())
    def never(view: GuardContext) -> str | None:
        return f"not by {view.agent.name}" if view.agent and view.subject.id == "x" else None

    bidders = [Bidder(works(name), bid=bids(cost)) for cost, name in enumerate("abc", 1)]
    outcome, _ = run(auction(bidders, planner=jobs("x", "y"), guards=[never]))

    assert (outcome.status, doers(outcome)) == ("degraded", {"y": "a"})
    assert [(gap.subtask, gap.guard, gap.agent, gap.reason) for gap in outcome.gaps] == [
        ("x", "never", "c", "not by c")
    ]


def test_the_log_is_that_of_the_latest_run_of_a_thread() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    graph = auction([Bidder(works("a"), bid=bids(1))]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    for task in ("one", "two"):
        assert graph.invoke({"task": task}, config)["outcome"].status == "completed"

    assert [one.id for one in graph.get_state(config).values["log"] if one.performative == "ask"] == ["ask1"]


def test_the_messages_of_a_superstep_are_bounded_by_the_bidders() -> None:
    names = [f"lot{number}" for number in range(40)]
    bidders = [Bidder(works(f"w{number}"), bid=bids(number)) for number in range(5)]
    _, log = run(auction(bidders, planner=jobs(*names)))

    assert len(log) <= 1 + 3 * len(bidders)


def test_a_synthesizer_writes_from_what_the_winners_did() -> None:
    writer = Agent("writer", run=lambda request: sorted(str(item.value) for item in request.results))
    outcome, _ = run(auction([works("a")], planner=jobs("x", "y"), synthesizer=writer))

    assert outcome.value == ["a did it", "a did it"]


def test_a_long_chain_of_lots_is_done_to_its_end() -> None:
    chain = [Subtask(id=f"s{n}", goal="go", depends_on=(f"s{n - 1}",) if n else ()) for n in range(130)]
    graph = auction([Bidder(works("a"), bid=bids(1))], planner=planner(*chain))
    outcome = graph.compile().invoke({"task": "t"}, {"recursion_limit": 2_000})["outcome"]

    assert (outcome.status, len(outcome.value)) == ("completed", 130)


def test_a_bidder_may_be_an_auction() -> None:
    inner = auction([Bidder(works("cheap"), bid=bids(1))], name="inner").compile()
    outcome, _ = run(auction([Bidder(Agent("market", run=inner), bid=bids(1))]))

    assert (outcome.status, outcome.value) == ("completed", "cheap did it")
    assert run_pipeline([Agent("market", run=inner)]).status == "completed"


def test_who_bids_for_a_bidder_may_be_an_auction_of_other_lots() -> None:
    seen: list[list[str]] = []

    def bid(lots: Sequence[Subtask]) -> list[Bid]:
        seen.append([lot.id for lot in lots])
        return [Bid(subtask=lot.id, cost=1) for lot in lots]

    clerk = Agent("clerk", run=lambda request: [{"subtask": "x", "cost": 3}])
    office = auction([Bidder(clerk, bid=bid)], name="office").compile()
    bidders = [Bidder(works("a"), bid=Agent("asks", run=office)), Bidder(works("b"), bid=bids(9))]
    outcome, _ = run(auction(bidders, planner=jobs("x")))

    assert (outcome.status, doers(outcome)) == ("completed", {"x": "a"})
    assert seen == [["task"]]


def run_pipeline(stages: list[Agent]) -> Outcome:
    return pipeline(stages).compile().invoke({"task": "t"})["outcome"]


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: any_auction([]), "from 1 to 1,000 bidders, got 0"),
        (lambda: any_auction([works(f"w{n}") for n in range(1_001)]), "got 1,001"),
        (lambda: any_auction([works("a"), works("a")]), "there twice: 'a'"),
        (lambda: any_auction([works("a")], rounds=0), "`rounds` must be at least 1"),
        (lambda: any_auction([works("a")], award="best"), "`award` must be one of 'greedy', 'regret', got 'best'"),
        (lambda: any_auction([works("a")], unit="euro"), "`unit` must be one of 'usd', 'tokens', 'calls', 'seconds'"),
        (lambda: any_auction([works("a")], score=7), "`score` must be a function"),
        (lambda: any_auction([works("a")], unit="tokens"), "give 'a' a `bid`, or an `expected_cost` in 'tokens'"),
        (lambda: any_auction([works("a", expected_cost=5), works("b")]), "give 'a', 'b' a `bid`"),
        (lambda: any_auction([works("a"), Bidder(works("b"), bid=declines)]), "give 'a' a `bid`"),
        (lambda: any_auction(works("a")), "`bidders` must be a list"),
        (lambda: any_bidder(works("a"), capacity=-1), "`capacity` must be above 0 and finite, got -1"),
        (lambda: any_bidder(works("a"), capacity=0), "`capacity` must be above 0"),
        (lambda: any_bidder(works("a"), capacity=math.nan), "`capacity` must be above 0 and finite"),
        (lambda: any_bidder(works("a"), bid=declines, timeout=0), "must be more than 0 seconds"),
        (lambda: any_bidder(works("a"), bid=declines, timeout="1"), "`timeout` must be"),
        (lambda: any_bidder(works("a"), bid=works("b"), timeout=1), "an agent has its own"),
        (lambda: any_bidder(works("a"), timeout=1), "an agent has its own"),
        (lambda: any_bidder(works("a"), bid=7), "`bid` must be an agent or a function"),
        (lambda: any_bidder("a"), "`worker` must be Agent"),
    ],
)
def test_what_does_not_fit_together_is_refused_when_it_is_built(build: Any, reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        build()


def test_an_auction_is_drawn_linted_and_estimated() -> None:
    bidders = [Bidder(works("a"), bid=Agent("clerk", model="offline:extractive")), Bidder(works("b"), bid=bids(1))]
    graph = auction(bidders, planner=jobs("x"), rounds=2)
    found = estimate(graph)

    assert [one for one in lint(graph) if one.severity == "error"] == []
    assert (found.expected.attempts, found.expected.calls) == (5, 1)
    assert found.worst.calls == 2 * 2 * 2  # two lots, each announced twice; a model that bids has two attempts
    picture = draw(graph).svg
    assert all(f'data-id="{node}"' in picture for node in ("guard_dispatch", "guard_dispatch_award", "clerk", "b bids"))


def test_many_bidders_are_not_the_workers_of_one_lead() -> None:
    bidders = [Bidder(works(f"w{number}"), bid=bids(1)) for number in range(12)]

    assert [one.code for one in lint(auction(bidders, planner=jobs("x")))] == []


def test_a_guard_of_rounds_judges_the_task_that_is_the_only_lot() -> None:
    @guard(at="round", on_trip=Refuse())
    def closed(context: GuardContext) -> str:
        return f"{len(context.subject.subtasks)} lot too many"

    bidder = Bidder(Agent("a", run=str), bid=lambda lots: [Bid(subtask=lot.id, cost=1) for lot in lots])
    outcome = auction([bidder], guards=[closed]).compile().invoke({"task": "sell"})["outcome"]

    assert (outcome.status, outcome.stopped_by, outcome.reason) == ("refused", "closed", "1 lot too many")
