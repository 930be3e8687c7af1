from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import (
    Assumptions,
    Criterion,
    Load,
    Rubric,
    Rule,
    SendBack,
    Stage,
    consensus,
    estimate,
    lint,
    pipeline,
    router,
    supervisor,
)
from guardgraph.guards import Budget, Convergence, Deadline, GuardContext, Limits, Retry, guard
from guardgraph.state import BadGraph, BadInput, Outcome, Plan, Price, Request, Subtask
from tests.conformance.patterns import PATTERNS
from tests.conformance.random_teams import random_team
from tests.graphs.draw.drawn_graphs import chat_agent, nodes_of, plain, reviewed_chat

MODEL = "offline:extractive"


@guard(at=("handoff", "round", "exit"), on_trip=Retry(2))
def refuses_all(view: GuardContext) -> str:
    return "try again"


@guard(at="handoff", on_trip=Retry(2))
def refuses_results(view: GuardContext) -> str:
    return "try again"


@guard(at="exit", on_trip=Retry(1))
def refuses_drafts(view: GuardContext) -> str:
    return "write again"


def model(name: str, **declared: Any) -> Agent:
    return Agent(name, model=MODEL, **declared)


def plans(subtasks: int, *, chain: bool) -> Callable[[Request], Plan]:
    """Return a planner that wants other work in every round, in parallel or one after the other."""

    def plan(request: Request) -> Plan:
        ids = [f"{request.round}-{number}" for number in range(subtasks)]
        needs = [(ids[number - 1],) if chain and number else () for number in range(subtasks)]
        pairs = zip(ids, needs, strict=True)
        return Plan(subtasks=tuple(Subtask(id=id, goal=f"do {id}", depends_on=need) for id, need in pairs))

    return plan


def a_supervisor(*, guards: list[Any], subtasks: int = 3, chain: bool = False, **declared: Any) -> Any:
    return supervisor(
        planner=Agent("planner", run=plans(subtasks, chain=chain)),
        workers=[model("w1", **declared), model("w2", fallback=model("spare"), **declared)],
        synthesizer=model("writer", attempts=2),
        guards=guards,
    )


def a_pipeline(*, guards: list[Any], **declared: Any) -> Any:
    return pipeline([model("a", **declared), Stage(model("b", **declared), critical=False), model("c")], guards=guards)


def a_nested_team(*, guards: list[Any], **declared: Any) -> Any:
    inner = Agent("inner", run=a_supervisor(guards=guards, **declared).compile(), attempts=2)
    return pipeline([inner, model("closing")], guards=guards)


GUARDS: list[list[Any]] = [
    [],
    [Convergence(rounds=1)],
    [Convergence(rounds=3), refuses_drafts],
    [Convergence(rounds=2), refuses_all],
    [Convergence(rounds=2), refuses_all, Limits(calls=7)],
]


def run(graph: Any, config: Any = None, goal: str = "Do it") -> tuple[Outcome, int]:
    """Run a graph; return its outcome and its supersteps."""
    outcome, last = None, 0
    for mode, part in graph.compile().stream({"task": goal}, config, stream_mode=["values", "debug"]):
        if mode == "debug":
            last = max(last, part["step"])
        else:
            outcome = part.get("outcome") or outcome
    assert isinstance(outcome, Outcome)
    return outcome, last


@pytest.mark.parametrize("number", range(len(GUARDS)))
@pytest.mark.parametrize("declared", [{}, {"attempts": 3}, {"attempts": 2, "output": int}])
@pytest.mark.parametrize("build", [a_supervisor, a_pipeline, a_nested_team])
def test_no_run_takes_more_than_the_worst_case(
    build: Callable[..., Any], declared: dict[str, Any], number: int
) -> None:
    guards = GUARDS[number] or ([Convergence(rounds=2)] if build is not a_pipeline else [])
    graph = build(guards=guards, **declared)
    worst = estimate(graph, Assumptions(subtasks=3)).worst
    outcome, supersteps = run(graph)

    assert outcome.usage.calls <= worst.calls
    assert supersteps <= worst.supersteps


@pytest.mark.parametrize("seed", range(20))
def test_no_random_team_takes_more_than_its_worst_case_or_has_errors(seed: int) -> None:
    team = random_team(Random(seed))
    worst = estimate(team.graph, Assumptions(subtasks=4)).worst
    outcome, supersteps = run(team.graph, team.config)

    assert outcome.usage.calls <= worst.calls
    assert supersteps <= worst.supersteps
    assert [one for one in lint(team.graph) if one.severity == "error"] == []


def test_the_worst_case_is_reached_where_everything_is_refused() -> None:
    graph = pipeline([Stage(model("a", attempts=3, output=int), critical=False), model("b")], guards=[refuses_results])
    outcome, supersteps = run(graph)
    worst = estimate(graph).worst

    assert (outcome.usage.calls, supersteps) == (worst.calls, worst.supersteps)


def test_a_fallback_counts_in_the_worst_case() -> None:
    failing = model("a", fallback=model("spare"))
    graph = pipeline([Stage(failing, critical=False), model("b")], guards=[refuses_results])
    outcome, supersteps = run(graph)
    worst = estimate(graph).worst

    assert (outcome.usage.calls, supersteps) == (worst.calls, worst.supersteps) == (9, 20)


@pytest.mark.parametrize("guards", [[], [refuses_all]])
def test_a_chain_of_subtasks_takes_no_more_steps_than_the_worst_case(guards: list[Any]) -> None:
    graph = supervisor(
        planner=Agent("planner", run=plans(4, chain=True)),
        workers=[model("worker")],
        guards=[Convergence(rounds=1), *guards],
    )
    found = estimate(graph, Assumptions(subtasks=4))
    outcome, supersteps = run(graph)

    assert supersteps <= found.worst.supersteps
    assert outcome.usage.calls <= found.worst.calls


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_a_run_without_failures_is_what_is_expected(rounds: int) -> None:
    graph = supervisor(
        planner=Agent("planner", run=plans(4, chain=False)),
        workers=[model("w1"), model("w2"), model("w3")],
        synthesizer=model("writer"),
        guards=[Convergence(rounds=rounds)],
    )
    outcome, supersteps = run(graph)
    expected = estimate(graph, Assumptions(subtasks=4)).expected

    assert (outcome.usage.calls, supersteps) == (expected.calls, expected.supersteps)


def test_a_pipeline_without_failures_is_what_is_expected() -> None:
    graph = pipeline([model(f"s{number}") for number in range(5)])
    outcome, supersteps = run(graph)
    expected = estimate(graph).expected

    assert (outcome.usage.calls, supersteps) == (expected.calls, expected.supersteps) == (5, 12)
    assert 10 <= expected.seconds <= 25


def a_router(worker: Agent, **rungs: Any) -> Any:
    return router([worker, model("other")], fallback=model("fallback"), **rungs)


CHOOSES = Agent("chooses", run=lambda request: "worker")
RULES = [Rule.keywords("task", worker="worker")]


@pytest.mark.parametrize(("rungs", "supersteps"), [({"rules": RULES}, 5), ({"model": CHOOSES}, 7)])
def test_a_router_asks_one_worker_and_at_worst_its_fallback(rungs: dict[str, Any], supersteps: int) -> None:
    answers, fails = a_router(model("worker"), **rungs), a_router(model("worker", guards=(refuses_results,)), **rungs)
    found, at_worst = estimate(answers), estimate(fails).worst

    calls = run(answers, goal="The task")
    assert (calls[0].usage.calls, calls[1]) == (found.expected.calls, found.expected.supersteps) == (1, supersteps)
    calls = run(fails, goal="The task")
    assert calls[0].usage.calls == 4 <= at_worst.calls <= 6
    assert calls[1] <= at_worst.supersteps <= 30


@pytest.mark.parametrize("times", [1, 3])
def test_the_worst_case_has_the_work_that_is_sent_back(times: int) -> None:
    back = SendBack("a", lambda value: "once more", times=times)
    graph = pipeline([model("a"), Stage(model("b"), critical=False, send_back=back), model("c")], guards=[])
    outcome, supersteps = run(graph)
    worst = estimate(graph).worst

    assert outcome.usage.calls == 2 * (1 + times) + 1 <= worst.calls <= 3 * (1 + times)
    assert supersteps <= worst.supersteps <= 60


def test_the_worst_case_of_a_debate_has_all_its_rounds() -> None:
    panel = [model(name) for name in "abc"]
    graph = consensus(panel, judge=model("judge"), rubric=Rubric([Criterion("right", 1, "it is right")]), rounds=3)

    assert (estimate(graph).expected.calls, estimate(graph).worst.calls) == (
        4,
        20,
    )  # a panelist has two attempts in each round, and so has the judge


def test_without_a_bound_of_the_rounds_one_is_expected() -> None:
    found = estimate(supervisor(planner=model("planner"), workers=[model("worker")], guards=[]))

    assert (found.expected.attempts, found.worst.attempts) == (2, 300)
    assert "no `Convergence` bounds the rounds: 1 is expected, and 100 at worst by the visits of a gate" in "".join(
        found.assumptions
    )


def test_rounds_of_many_agents_are_expensive() -> None:
    graph = supervisor(planner=model("planner"), workers=[model(f"w{number}") for number in range(10)])
    found = estimate(graph, Assumptions(rounds=3))

    assert found.expected.calls == 3 + 30
    assert found.worst.calls > 50


def test_agents_at_work_at_the_same_time_wait_for_slots() -> None:
    def seconds(concurrency: int | None) -> float:
        graph = supervisor(
            planner=Agent("planner", run=str), workers=[model(f"w{number}") for number in range(8)],
            guards=[Convergence(rounds=1)], concurrency=concurrency,
        )  # fmt: skip
        return estimate(graph, Assumptions(seconds=1)).expected.seconds

    assert [seconds(cap) for cap in (1, 2, 3, None)] == [8, 4, 3, 1]


def test_prices_and_caps_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    stages = [Agent("a", model="openai:gpt-5-mini", max_tokens=1_000, timeout=2), Agent("b", model="openai:unheard-of")]
    known, unknown = (estimate(pipeline(part, guards=[])) for part in (stages[:1], stages))
    money = Budget(usd="0.01", tokens=100, prices={"unheard-of": Price(1_000, 1_000)})
    capped = estimate(pipeline(stages, guards=[money, Deadline(3)]))

    assert known.worst.usd == Decimal("0.0025")  # 0.25 and 2.00 USD per million tokens
    assert (known.worst.tokens, known.worst.seconds) == (3_000, 2)
    assert unknown.worst.usd is None
    assert any("price of a model is unknown" in line for line in unknown.assumptions)
    assert (capped.worst.usd, capped.worst.tokens, capped.worst.seconds) == (Decimal("0.01"), 100, 4)
    assert "the guards of the team cap tokens at 100" in capped.assumptions


@pytest.mark.parametrize(
    "beside",
    [
        Budget(tokens=2_500, per="agent"),
        Budget(tokens=2_500, per="agent").only(agents={"a"}),
        Budget(tokens=2_500, per="task"),
        Budget(tokens=2_500, window="minute"),
        Budget(tokens=2_500, per="tenant", window="day"),
        Budget(tokens=2_500) | Budget(tokens=9_000),
    ],
)
def test_what_does_not_cap_the_run_does_not_cap_its_estimate(beside: Any) -> None:
    stages = [model("a"), model("b")]

    assert estimate(pipeline(stages, guards=[beside])).worst.tokens == 5_000
    for guards in ([Budget(tokens=4_000), beside], [beside, Budget(tokens=4_000)]):
        assert estimate(pipeline(stages, guards=guards)).worst.tokens == 4_000


def test_the_tightest_cap_of_the_run_counts_in_its_estimate() -> None:
    caps = [Budget(calls=1, tokens=4_000), Budget(tokens=3_000) & Limits(calls=2), Deadline(9), Deadline(4.5)]
    for guards in (caps, caps[::-1]):
        worst = estimate(pipeline([model("a"), model("b")], guards=guards)).worst

        assert (worst.calls, worst.tokens, worst.seconds) == (1, 3_000, 6)


def test_of_several_models_the_most_expensive_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    several = Agent("a", models={"cheap": MODEL, "strong": "openai:gpt-5-mini"})
    alone = Agent("a", model="openai:gpt-5-mini")

    assert estimate(pipeline([several], guards=[])) == estimate(pipeline([alone], guards=[]))


@pytest.mark.parametrize(("build", "depth", "calls"), [(chat_agent, 1, 5), (plain, 1, 16), (reviewed_chat, 2, 30)])
def test_foreign_graphs_are_estimated_by_stated_assumptions(build: Any, depth: int, calls: int) -> None:
    found = estimate(build())

    assert (found.depth, found.expected.calls) == (depth, calls)
    assert any("is passed 5 times" in line for line in found.assumptions)
    assert any("foreign graph" in line for line in found.assumptions)


def test_a_nested_team_counts_with_all_its_attempts() -> None:
    inner = pipeline([model("a"), model("b")], guards=[]).compile()
    graph = pipeline([Agent("team", run=inner, attempts=3)], guards=[])
    found = estimate(graph)

    assert (found.depth, found.expected.calls, found.worst.calls) == (2, 2, 6)
    assert found.worst.attempts == 3 * (1 + 2)


def test_an_assumption_about_a_nested_team_begins_with_its_path() -> None:
    inner = pipeline([model("a")], guards=[Budget(calls=3)]).compile()

    assert "team: the guards of the team cap calls at 3" in estimate(pipeline([Agent("team", run=inner)])).assumptions


def test_functions_call_models_only_if_that_is_assumed() -> None:
    graph = PATTERNS["pipeline"](Agent("tested", run=str))

    assert estimate(graph).worst.calls == 0
    assert estimate(graph, Assumptions(calls_per_function=2)).expected.calls == 6


def test_loads_add_up() -> None:
    one = Load(supersteps=1, attempts=2, calls=3, tokens=4, usd=Decimal(5), seconds=6.0)
    many, random = Load(), Random(1)
    count = random.randint(2, 9)
    for _ in range(count):
        many += one

    assert many == one.times(count)
    assert (one + Load(usd=None)).usd is None


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(BadInput, match="must be a LangGraph graph"):
        estimate("vendors")
    with pytest.raises(BadGraph, match="`rounds` must be at least 1, got 0"):
        Assumptions(rounds=0)
    with pytest.raises(BadGraph, match="`seconds` must be from 0 to 1_000_000_000, got -1"):
        Assumptions(seconds=-1)
    assert estimate(nodes_of("a")).expected.calls == 1
