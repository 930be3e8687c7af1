from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Parallel, Rule, SendBack, Stage, pipeline, router, supervisor
from guardgraph.guards import Budget, Deadline, Depth, GuardContext, Limits, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.state import BadInput, Plan, Request, RunEvent, RunUnfinished, Subtask

BROKEN = {"fetch"}
"""The agents whose code fails."""
WORKED = Counter[str]()


@pytest.fixture(autouse=True)
def fresh() -> None:
    WORKED.clear()
    BROKEN.clear()


def works(name: str, **facts: Any) -> Agent:
    def run(request: Request) -> str:
        WORKED[name] += 1
        if name in BROKEN:
            raise ConnectionError(f"{name} is down")
        return f"{name} {request.attempt}"

    return Agent(name, run=run, **facts)


def line(**facts: Any) -> Any:
    stages = [
        works("read"),
        works("fetch", attempts=2, fallback=works("archive")),
        Stage(works("check"), critical=False),
    ]
    return pipeline([*stages, works("write")], **facts)


def staff() -> Any:
    def plan(request: Request) -> Plan:
        WORKED["plan"] += 1
        if "plan" in BROKEN:
            raise ConnectionError("the planner is down")
        wanted = () if request.round > 1 else (Subtask(id="a", goal="a"), Subtask(id="b", goal="b"))
        return Plan(subtasks=wanted)

    return supervisor(planner=Agent("planner", run=plan), workers=[works("worker")])


@guard(at="admission")
def closed(view: GuardContext) -> str:
    return "we are closed"


GRAPHS: dict[str, Any] = {
    "line": line,
    "staff": staff,
    "block": lambda: pipeline([Parallel(works("a"), works("b"), works("c")), works("write")]),
    "desk": lambda: router([works("w")], fallback=works("f"), rules=[Rule.keywords("task", worker="w")]),
    "closed": lambda: line(guards=[closed]),
}


@pytest.fixture
def runner(tmp_path: Path) -> Any:
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs=GRAPHS) as made:
        yield made


def failed(runner: Runner, graph: str, *broken: str) -> Run:
    BROKEN.update(broken)
    run = runner.run(graph, "the task")
    assert run.status == "failed"
    BROKEN.clear()
    WORKED.clear()
    return run


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_pipeline_goes_on_at_the_stage_that_failed(runner: Runner, way: str) -> None:
    before = failed(runner, "line", "fetch", "archive")
    assert before.outcome is not None
    assert [gap.subtask for gap in before.outcome.gaps] == ["fetch", "check", "write"]

    run = runner.retry(before.thread_id) if way == "sync" else await runner.aretry(before.thread_id)

    assert (run.status, run.outcome.value if run.outcome else None) == ("completed", "write 1")
    assert WORKED == {"fetch": 1, "check": 1, "write": 1}, "`read` does not work again"
    assert run.run_id != before.run_id
    assert [result.agent for result in run.results if result.status == "ok"] == ["read", "fetch", "check", "write"]
    assert [row.row.run_id for row in runner.list_runs()] == [run.run_id, before.run_id]
    assert runner.status(before.thread_id) == run


def test_it_can_fail_again_and_be_tried_again(runner: Runner) -> None:
    before = failed(runner, "line", "fetch", "archive")
    BROKEN.update(["fetch", "archive"])
    again = runner.retry(before.thread_id)
    assert (again.status, WORKED) == ("failed", {"fetch": 2, "archive": 1})

    BROKEN.clear()
    assert runner.retry(before.thread_id).status == "completed"


def test_of_a_parallel_block_only_what_failed_works_again(runner: Runner) -> None:
    before = failed(runner, "block", "b")

    run = runner.retry(before.thread_id)

    assert run.status == "completed"
    assert WORKED == {"b": 1, "write": 1}


def test_a_planner_that_failed_plans_again(runner: Runner) -> None:
    before = failed(runner, "staff", "plan")

    run = runner.retry(before.thread_id)

    assert run.status == "completed"
    assert WORKED == {"plan": 2, "worker": 2}


def test_workers_that_all_failed_work_again(runner: Runner) -> None:
    before = failed(runner, "staff", "worker")

    run = runner.retry(before.thread_id)

    assert (run.status, WORKED["worker"]) == ("completed", 2)
    assert run.outcome is not None
    assert run.outcome.gaps == ()


def test_it_has_an_allowance_and_time_of_its_own(runner: Runner) -> None:
    model = ScriptedModel(replies=lambda _: "said", input_tokens=30, output_tokens=30)
    stages = [Agent("talker", model=model), works("fetch"), Agent("writer", model=model)]
    runner_graph = pipeline(stages, guards=[Depth(), Budget(tokens=100, reserve=0)])
    GRAPHS["talk"] = lambda: runner_graph
    try:
        with Runner(runner.saver.engine.url.render_as_string(hide_password=False), graphs=GRAPHS) as made:
            before = failed(made, "talk", "fetch")
            run = made.retry(before.thread_id)
    finally:
        del GRAPHS["talk"]

    assert (before.usage.tokens, run.usage.tokens) == (60, 60)
    assert run.status == "completed", "100 tokens would not have been enough for both"


@pytest.mark.parametrize(
    "guards",
    [[Budget(calls=3, reserve=0)], [Budget(tokens=200, reserve=0)], [Limits(calls=3)]],
    ids=["calls", "tokens", "limits"],
)
def test_it_is_held_to_its_limits(tmp_path: Path, guards: list[Any]) -> None:
    model = ScriptedModel(replies=lambda _: "said", input_tokens=30, output_tokens=30)

    def talks(request: Request) -> str:
        if "talker" in BROKEN:
            raise ConnectionError("down")
        return "".join(model.invoke("hi").text for _ in range(8))

    graphs = {"g": lambda: pipeline([works("a"), Agent("talker", run=talks)], guards=[Depth(), *guards])}
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs=graphs) as runner:
        before = failed(runner, "g", "talker")
        run = runner.retry(before.thread_id)

    assert run.status != "completed"
    assert run.usage.calls <= 4


def test_who_failed_first_at_the_same_gate_works_again_too(tmp_path: Path) -> None:
    graphs = {"g": lambda: pipeline([Parallel(works("a"), works("b", attempts=2)), works("end")])}
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs=graphs) as runner:
        before = failed(runner, "g", "a", "b")
        run = runner.retry(before.thread_id)

    assert (run.status, WORKED) == ("completed", {"a": 1, "b": 1, "end": 1})


def test_what_was_mended_by_another_attempt_is_not_done_again(tmp_path: Path) -> None:
    def second(request: Request) -> str:
        WORKED["b"] += 1
        if request.attempt == 1:
            raise ConnectionError("once")
        return "b"

    graphs = {"g": lambda: pipeline([Parallel(works("a"), Agent("b", run=second, attempts=2)), works("end")])}
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs=graphs) as runner:
        before = failed(runner, "g", "a")
        run = runner.retry(before.thread_id)

    assert (run.status, WORKED) == ("completed", {"a": 1, "end": 1})


def test_it_never_goes_back_behind_what_was_accepted(tmp_path: Path) -> None:
    """A stage that is never satisfied has failed, though its agent has not: there is nothing to do again."""

    def flaky(request: Request) -> str:
        WORKED["draft"] += 1
        if request.attempt == 1:
            raise ConnectionError("once")
        return "draft"

    back = SendBack("mid", lambda value: "never")
    stages = [Agent("draft", run=flaky, attempts=2), works("mid"), Stage(works("review"), send_back=back)]
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs={"g": lambda: pipeline(stages)}) as runner:
        before = failed(runner, "g")
        with pytest.raises(BadInput, match="no agent's failure is stored"):
            runner.retry(before.thread_id)

    assert WORKED == {}


def test_a_planner_whose_plan_nobody_can_do_plans_again(tmp_path: Path) -> None:
    def plan(request: Request) -> Plan:
        skill = "missing" if "plan" in BROKEN else None
        return Plan(subtasks=() if request.round > 1 else (Subtask(id="a", goal="a", skill=skill),))

    graphs = {"g": lambda: supervisor(planner=Agent("planner", run=plan), workers=[works("worker")])}
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs=graphs) as runner:
        before = failed(runner, "g", "plan")
        run = runner.retry(before.thread_id)

    assert (run.status, WORKED) == ("completed", {"worker": 1})


def test_the_reason_for_which_work_went_back_is_kept(tmp_path: Path) -> None:
    heard: list[str | None] = []

    def draft(request: Request) -> str:
        heard.append(request.feedback)
        if request.feedback and "draft" in BROKEN:
            raise ConnectionError("down")
        return "2.00 USD" if request.feedback else "2.00"

    back = SendBack("draft", lambda value: None if value == "fine" else value)
    checks = Agent("check", run=lambda request: "fine" if "USD" in str(request.results[0].value) else "no currency")
    stages = [Agent("draft", run=draft), Stage(checks, send_back=back)]
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs={"g": lambda: pipeline(stages)}) as runner:
        before = failed(runner, "g", "draft")
        run = runner.retry(before.thread_id)

    assert (run.status, heard) == ("completed", [None, "no currency", "no currency"])


def test_its_deadline_is_counted_from_when_it_begins(tmp_path: Path) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    graphs = {"timed": lambda: line(guards=[Deadline(30)])}
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs=graphs, clock=lambda: now[0]) as runner:
        before = failed(runner, "timed", "fetch", "archive")
        now[0] += timedelta(hours=1)
        run = runner.retry(before.thread_id)

    assert run.status == "completed"
    assert run.state["position"].allowance.deadline == now[0] + timedelta(seconds=30)


def test_a_run_that_is_killed_while_it_is_tried_again_resumes(runner: Runner) -> None:
    before = failed(runner, "line", "fetch", "archive")

    def drains(event: RunEvent) -> None:
        if event.kind == "agent_finished" and event.path[-1] == "fetch":
            made.drain()

    with Runner(runner.saver.engine.url.render_as_string(hide_password=False), graphs=GRAPHS, on_event=drains) as made:
        stopped = made.retry(before.thread_id)
    assert stopped.status == "stopped"
    with pytest.raises(RunUnfinished):
        runner.retry(before.thread_id)

    assert runner.resume(before.thread_id).status == "completed"
    assert WORKED == {"fetch": 1, "check": 1, "write": 1}


def test_what_has_not_failed_is_not_tried_again(runner: Runner) -> None:
    run = runner.run("line", "the task")
    with pytest.raises(BadInput, match=r"is completed; only one that has failed can be tried again"):
        runner.retry(run.thread_id)
    refused = runner.run("closed", "the task")
    assert refused.status == "failed"
    with pytest.raises(
        BadInput,
        match=r"has failed, but no agent's failure is stored as its cause \(or was pruned\): begin another run",
    ):
        runner.retry(refused.thread_id)


def test_of_a_worker_and_the_fallback_worker_of_a_router_one_is_tried_again(runner: Runner) -> None:
    before = failed(runner, "desk", "w", "f")

    run = runner.retry(before.thread_id)

    assert (run.status, WORKED) == ("completed", {"f": 1})
    assert run.state["routing"][-1].worker == "f"
