"""Budgets beside the tree of a run: per agent, task, thread, tenant and window, in all kinds of teams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor, swarm
from guardgraph.guards import Budget, Guard, GuardContext, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.state import BadInput, Plan, Request, Subtask

CALL = 100
"""Tokens that each call of a worker takes."""


def planned(*ids: str) -> Callable[[Request], Plan]:
    """Return a planner of subtasks, one after the other, once."""
    tasks = [Subtask(id=one, goal=one, depends_on=tuple(ids[:place])) for place, one in enumerate(ids)]
    return lambda request: Plan(subtasks=tuple(tasks)) if request.round == 1 else Plan()


def worker(name: str = "worker", *, calls: int = 1) -> Agent:
    model = ScriptedModel(replies=lambda messages: "said", input_tokens=90, output_tokens=10)

    def work(request: Request) -> str:
        return " ".join(model.invoke("go", max_tokens=10).text for _ in range(calls))

    return Agent(name, run=work)


def team(*guards: Guard, ids: tuple[str, ...] = ("a", "b", "c"), workers: list[Agent] | None = None) -> Any:
    return supervisor(
        planner=Agent("planner", run=planned(*ids)),
        workers=workers or [worker()],
        guards=[*guards],
        synthesizer=None,
    )


def reasons(run: Run) -> list[str]:
    assert run.outcome is not None
    return [gap.reason for gap in run.outcome.gaps]


def alerts(run: Run) -> list[str]:
    return [verdict.reason for verdict in run.state["verdicts"] if verdict.action == "alert"]


def test_all_attempts_of_one_agent_count_together_and_others_do_not(database_url: str) -> None:
    both = [Agent(name, run=worker().run, skills={name}) for name in ("one", "two")]
    skills = {"a": "one", "b": "one", "c": "one", "d": "two"}
    tasks = tuple(Subtask(id=one, goal=one, skill=skill) for one, skill in skills.items())
    graph = supervisor(
        planner=Agent("planner", run=lambda request: Plan(subtasks=tasks) if request.round == 1 else Plan()),
        workers=both,
        guards=[Budget(tokens=2 * CALL, per="agent")],
        synthesizer=None,
    )
    with Runner(database_url) as runner:
        run = runner.run(graph, "t")

    assert run.usage.tokens == 3 * CALL
    assert len(reasons(run)) == 1, "the two that work at the same time leave nothing to the third"
    assert "of agent one" in reasons(run)[0]
    assert alerts(run) == ["100% of the budget of agent one is spent", "50% of the budget of agent two is spent"]


def of_skills(skills: str, *guards: Guard, calls: int = 1) -> Any:
    """Return a team of the workers `one` and `two`, with a subtask for each letter: the first of the name of one."""
    names = {"1": "one", "2": "two"}
    tasks = tuple(Subtask(id=f"s{n}", goal="g", skill=names[skill]) for n, skill in enumerate(skills))
    return supervisor(
        planner=Agent("planner", run=lambda request: Plan(subtasks=tasks) if request.round == 1 else Plan()),
        workers=[Agent(name, run=worker(calls=calls).run, skills={name}) for name in names.values()],
        guards=[*guards],
        synthesizer=None,
    )


ONE = {"one"}


@pytest.mark.parametrize(
    ("guards", "skills", "stopped"),
    [
        ([Budget(calls=1, per="agent").only(agents=ONE)], "11222", ["one"]),
        ([Budget(calls=1, per="agent").only(agents=ONE), Budget(calls=2, per="agent")], "11222", ["one", "two"]),
        ([Budget(calls=1, per="agent").only(agents={"one", "two"})], "1122", ["one", "two"]),
        ([Budget(calls=1, per="agent").only(agents=ONE).only(agents={"one", "two"})], "1122", ["one"]),
        ([Budget(calls=1, per="agent").only(agents=ONE, categories={"financial"})], "11", []),
        ([Budget(calls=0, per="task").only(agents=ONE)], "12", ["one"]),
        ([Budget(calls=0, per="task").only(agents=ONE), Budget(calls=1, per="task")], "12", ["one"]),
        ([Budget(calls=1, per="agent", window="day").only(agents=ONE)], "1122", ["one"]),
        ([Budget(calls=0, per="task", window="day").only(agents=ONE)], "12", ["one"]),
    ],
)
def test_a_budget_for_some_agents_leaves_the_others_alone(
    database_url: str, guards: list[Guard], skills: str, stopped: list[str]
) -> None:
    with Runner(database_url) as runner:
        run = runner.run(of_skills(skills, *guards), "t")

    assert run.outcome is not None
    assert sorted(str(gap.agent) for gap in run.outcome.gaps) == stopped
    assert run.usage.calls == len(skills) - len(stopped)


def test_what_a_task_takes_of_some_agents_is_an_account_of_its_own(database_url: str) -> None:
    graph = of_skills("12", Budget(calls=1, per="task").only(agents=ONE), Budget(calls=2, per="task"), calls=2)
    with Runner(database_url) as runner:
        run = runner.run(graph, "t")

    assert run.usage.calls == 1 + 2
    assert "of subtask s0 of one" in " ".join(reasons(run))
    assert alerts(run) == [
        "100% of the budget of subtask s0 of one is spent",
        "50% of the budget of subtask s0 is spent",
        "100% of the budget of subtask s1 is spent",
    ]


@pytest.mark.parametrize(
    ("guards", "calls", "label"),
    [
        ([Budget(calls=2, per="agent").only(agents=ONE)], 2 + 2, "of agent spare"),
        ([Budget(calls=2, per="agent", window="day").only(agents=ONE)], 2 + 2, "of agent spare's day"),
        ([Budget(calls=2, per="task").only(agents=ONE)], 2, "of the task as a whole of one"),
        ([Budget(calls=2, per="task", window="day").only(agents=ONE)], 2, "of the task as a whole of one's day"),
        ([Budget(calls=1, per="agent").only(agents={"spare"})], 2 + 1, "of agent spare"),
        ([Budget(calls=9, per="agent").only(agents={"other"})], 2 + 3, None),
    ],
)
def test_a_budget_for_an_agent_holds_for_its_fallback(
    database_url: str, guards: list[Guard], calls: int, label: str | None
) -> None:
    def fail(request: Request) -> str:
        worker(calls=2).run(request)
        raise ValueError("no")

    one = Agent("one", run=fail, fallback=Agent("spare", run=worker(calls=3).run))
    with Runner(database_url) as runner:
        run = runner.run(pipeline([one, Agent("other", run=lambda request: "done")], guards=guards), "t")

    assert run.usage.calls == calls
    assert label is None or label in " ".join(reasons(run))


def test_it_holds_without_a_database_too() -> None:
    outcome = team(Budget(calls=2, per="agent")).compile().invoke({"task": "t"})["outcome"]

    assert outcome.usage.calls == 2
    assert [gap.subtask for gap in outcome.gaps] == ["c"]


def test_it_holds_in_teams_below_and_in_teams_that_code_calls(database_url: str) -> None:
    inner = team(ids=("x", "y"))
    called = pipeline([worker()], name="called").compile()
    workers = [
        Agent("nested", run=inner.compile(), skills={"n"}),
        Agent("code", run=lambda request: called.invoke({"task": "t"})["outcome"].value, skills={"c"}),
    ]
    skills = ("n", "c", "n")
    tasks = tuple(Subtask(id=f"s{n}", goal="g", skill=skill) for n, skill in enumerate(skills))
    graph = supervisor(
        planner=Agent("planner", run=lambda request: Plan(subtasks=tasks) if request.round == 1 else Plan()),
        workers=workers,
        guards=[Budget(calls=3, per="agent")],
        synthesizer=None,
    )
    with Runner(database_url) as runner:
        run = runner.run(graph, "t")

    assert run.usage.calls == 3, "of `worker`, wherever it works; of `nested` it would be 4"
    assert run.outcome is not None
    assert any("of agent worker" in gap.reason for gap in run.outcome.gaps)


@guard(at="handoff", on_trip=Retry(5))
def refuses_all(context: GuardContext) -> str | None:
    return "again"


def test_all_attempts_at_one_subtask_count_together(database_url: str) -> None:
    with Runner(database_url) as runner:
        run = runner.run(team(Budget(calls=3, per="task"), refuses_all, ids=("a",)), "t")

    assert run.usage.calls == 3
    assert any("of subtask a" in verdict.reason for verdict in run.state["verdicts"])


def test_attempts_at_the_task_as_a_whole_are_one_task_more() -> None:
    graph = pipeline([worker("one"), worker("two"), worker("three")], guards=[Budget(calls=2, per="task")])
    outcome = graph.compile().invoke({"task": "t"})["outcome"]

    assert outcome.usage.calls == 2
    assert any("of the task as a whole" in gap.reason for gap in outcome.gaps)


def test_all_runs_of_a_thread_count_together(database_url: str) -> None:
    graph = team(Budget(tokens=4 * CALL, per="thread"))
    with Runner(database_url) as runner:
        first = runner.run(graph, "t", thread_id="one")
        second = runner.run(graph, "t", thread_id="one")
        other = runner.run(graph, "t", thread_id="two")

    assert [run.usage.tokens // CALL for run in (first, second, other)] == [3, 1, 3]
    assert any("of thread one" in reason for reason in reasons(second))
    assert alerts(first) == ["50% of the budget of thread one is spent"]
    assert alerts(second) == ["100% of the budget of thread one is spent"], "at 75 % there was one before"


def test_a_tenants_day_is_shared_by_all_its_runs_and_begins_anew_at_midnight(database_url: str) -> None:
    now = [datetime(2026, 11, 23, 23, tzinfo=UTC)]
    graph = team(Budget(tokens=4 * CALL, per="tenant", window="day"))

    def run_of(tenant: str) -> Run:
        with Runner(database_url, tenant=tenant, clock=lambda: now[0]) as runner:
            return runner.run(graph, "t")

    runs = [run_of("acme"), run_of("acme"), run_of("zeta")]
    now[0] += timedelta(hours=1)
    runs.append(run_of("acme"))

    assert [run.usage.tokens // CALL for run in runs] == [3, 1, 3, 3]
    assert "tenant acme's day 2026-11-23" in " ".join(reasons(runs[1]))
    assert [alerts(run) for run in runs] == [
        ["50% of the budget of tenant acme's day 2026-11-23 is spent"],
        ["100% of the budget of tenant acme's day 2026-11-23 is spent"],
        ["50% of the budget of tenant zeta's day 2026-11-23 is spent"],
        ["50% of the budget of tenant acme's day 2026-11-24 is spent"],
    ]


def test_runs_at_once_share_a_tenants_hour(database_url: str) -> None:
    graph = team(Budget(calls=5, per="tenant", window="hour"))

    async def all_of_them() -> list[Run]:
        async with Runner(database_url, tenant="acme") as runner:
            return await asyncio.gather(*(runner.arun(graph, "t") for _ in range(4)))

    runs = asyncio.run(all_of_them())

    assert sum(run.usage.calls for run in runs) == 5
    assert all(run.status != "failed" or run.usage.calls == 0 for run in runs)
    found = [alert for run in runs for alert in alerts(run)]
    assert len(found) == len(set(found)), "each threshold once, over all of them"


@pytest.mark.parametrize("window", ["minute", timedelta(hours=2)])
def test_a_window_of_a_run_counts_only_what_is_within(database_url: str, window: Any) -> None:
    now = [datetime(2026, 11, 23, 12, tzinfo=UTC)]

    def pause(request: Request) -> str:
        return str(interrupt("go on?"))

    graph = pipeline(
        [worker("one"), Agent("human", run=pause), worker("two"), worker("three")],
        guards=[Budget(calls=2, window=window)],
    )
    with Runner(database_url, graphs={"team": lambda: graph}, clock=lambda: now[0]) as runner:
        run = runner.run("team", "t")
        assert run.status == "waiting", reasons(run)
        now[0] += timedelta(hours=2)
        run = runner.resume(run.thread_id, answers={run.waiting[0].id: "yes"})

    assert run.status == "completed"
    assert run.usage.calls == 3


def test_an_agents_budget_is_counted_over_resumes(database_url: str) -> None:
    model = ScriptedModel(replies=lambda messages: "said", input_tokens=90, output_tokens=10)

    def asks(request: Request) -> str:
        answer = interrupt("go on?") if request.goal == "b" else ""
        return model.invoke("go", max_tokens=10).text + str(answer)

    graph = team(Budget(calls=2, per="agent"), workers=[Agent("worker", run=asks)])
    with Runner(database_url, graphs={"team": lambda: graph}) as runner:
        waiting = runner.run("team", "t")
    with Runner(database_url, graphs={"team": lambda: graph}) as runner:
        run = runner.resume(waiting.thread_id, answers={waiting.waiting[0].id: "yes"})

    assert run.usage.calls == 2
    assert run.outcome is not None
    assert [gap.subtask for gap in run.outcome.gaps] == ["c"]
    assert alerts(run) == ["50% of the budget of agent worker is spent", "100% of the budget of agent worker is spent"]


SHARED = [
    (Budget(calls=1, per="thread"), "`per='thread'` of a Budget of team 'supervisor' is counted in a database"),
    (Budget(calls=1, per="tenant"), "`per='tenant'`"),
    (Budget(calls=1, window="day"), "`window='day'`"),
    (Budget(calls=1, per="agent", window=timedelta(hours=1)), "`window=3600`"),
]


@pytest.mark.parametrize(("budget", "named"), SHARED)
def test_what_needs_a_database_is_refused_without_one(budget: Budget, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        team(budget).compile().invoke({"task": "t"})
    with pytest.raises(BadInput, match=named):
        pipeline([Agent("inner", run=team(budget).compile())]).compile().invoke({"task": "t"})
    called = Agent("caller", run=lambda request: team(budget).compile().invoke({"task": "t"})["outcome"].value)
    outcome = (
        pipeline([called]).compile().invoke({"task": "t"})["outcome"]
    )  # what code calls is known at run time alone
    assert (outcome.status, outcome.usage.calls) == ("failed", 0)
    assert named in outcome.gaps[0].reason


def test_a_swarm_stops_at_a_threads_budget(database_url: str) -> None:
    peers = [worker("one"), worker("two")]
    with Runner(database_url) as runner:
        run = runner.run(swarm(peers, guards=[Budget(calls=1, per="thread")]), "t", thread_id="s")

    assert run.usage.calls == 1


def test_what_remains_includes_the_side_accounts() -> None:
    seen: list[tuple[str, Any]] = []

    @guard(at="dispatch")
    def looks(context: GuardContext) -> str | None:
        seen.append((context.subject_id, context.remaining.calls))
        return None

    graph = team(Budget(calls=100, reserve=0), Budget(calls=9, per="agent"), Budget(calls=5, per="task"), looks)
    graph.compile().invoke({"task": "t"})

    assert seen == [("a", 5), ("b", 5), ("c", 5)]


def test_an_account_with_too_little_left_keeps_no_other_from_working() -> None:
    tasks = (Subtask(id="a", goal="g", skill="costly"), Subtask(id="b", goal="g", skill="cheap"))
    graph = supervisor(
        planner=Agent("planner", run=lambda request: Plan(subtasks=tasks) if request.round == 1 else Plan()),
        workers=[
            Agent("costly", run=worker(calls=5).run, skills={"costly"}),
            Agent("cheap", run=worker().run, skills={"cheap"}),
        ],
        guards=[Budget(calls=2, per="agent")],
        synthesizer=None,
    )
    outcome = graph.compile().invoke({"task": "t"})["outcome"]

    assert outcome.usage.calls == 3
    assert "cheap" in str(outcome.value) or outcome.value is not None
