"""What fails again and again is stopped: a task, or an agent in all runs and processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from guardgraph.agents import Agent
from guardgraph.cli.entry import main
from guardgraph.graphs import GateContext, Rule, Subscription, Team, pipeline, reactive, router, supervisor
from guardgraph.guards import Breaker, Escalate, GuardContext, Retry, guard
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Outcome, Request
from tests.graphs.teams import plan_of, planner
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")

QUICK = Breaker(rate=0.5, window=60, least=2, pause=2.5)


class Flaky:
    """Fails as long as it is ill, and counts its calls."""

    def __init__(self, *, is_ill: bool = True) -> None:
        self.is_ill, self.calls = is_ill, 0

    def __call__(self, request: Request) -> str:
        self.calls += 1
        if self.is_ill:
            raise ValueError("ill")
        return "done"


@pytest.fixture
def name() -> str:
    """Give a name that no other test uses: without a database a circuit is that of the process."""
    return f"team{uuid4().hex[:8]}"


def outcome_of(graph: Any, *, is_async: bool = False) -> Outcome:
    given = {"task": "work"}
    compiled = graph.compile()
    return (asyncio.run(compiled.ainvoke(given)) if is_async else compiled.invoke(given))["outcome"]


# One task


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("failures", "calls"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_a_task_that_fails_too_often_is_for_a_human(failures: int, calls: int, is_async: bool, name: str) -> None:
    """Two attempts of the worker, then two of its fallback."""
    ill, spare = Flaky(), Flaky()
    worker = Agent("a", run=ill, attempts=2, fallback=Agent("b", run=spare, attempts=2))
    team = supervisor(planner=planner(plan_of("s")), workers=[worker], guards=[Breaker(failures)], name=name)

    outcome = outcome_of(team, is_async=is_async)

    assert ill.calls + spare.calls == calls
    assert outcome.status == ("escalated" if failures <= 4 else "failed")
    assert outcome.stopped_by == ("Breaker" if failures <= 4 else None)
    if failures == 3:
        assert "3 attempts at one task have failed or were refused (a 2, b 1)" in outcome.gaps[-1].reason


def test_other_tasks_have_failures_of_their_own(name: str) -> None:
    ill = Flaky()
    worker = Agent("a", run=ill, attempts=2)
    plan = plan_of("s", "t")
    team = supervisor(planner=planner(plan), workers=[worker], guards=[Breaker(3)], name=name)

    assert outcome_of(team).status == "failed"
    assert ill.calls == 4


def test_a_task_that_is_planned_again_under_another_id_is_the_same(name: str) -> None:
    ill = Flaky()
    one, two = plan_of("s"), plan_of("t")
    two = two.model_copy(update={"subtasks": tuple(s.model_copy(update={"goal": "DO  s"}) for s in two.subtasks)})
    team = supervisor(
        planner=planner(one, two),
        workers=[Agent("a", run=ill)],
        guards=[
            Breaker(2),
        ],
        name=name,
    )

    outcome = outcome_of(team)
    assert (outcome.status, outcome.stopped_by) == ("escalated", "Breaker")
    assert ill.calls == 2


def test_answers_that_another_guard_refuses_count_too(name: str) -> None:
    well = Flaky(is_ill=False)

    @guard(at="handoff", on_trip=Retry(9))
    def never(context: GuardContext) -> str:
        return "not good enough"

    team = supervisor(
        planner=planner(plan_of("s")), workers=[Agent("a", run=well)], guards=[never, Breaker(3)], name=name
    )
    outcome = outcome_of(team)

    assert (outcome.status, outcome.stopped_by) == ("escalated", "Breaker")
    assert well.calls == 3


def test_a_stage_of_a_pipeline_is_stopped_as_well(name: str) -> None:
    ill = Flaky()

    outcome = outcome_of(pipeline([Agent("a", run=ill, attempts=9)], guards=[Breaker(2)], name=name))
    assert (outcome.status, outcome.stopped_by, ill.calls) == ("escalated", "Breaker", 2)


# An agent


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_that_fails_all_the_time_is_replaced_at_once(name: str, is_async: bool) -> None:
    ill, spare = Flaky(), Flaky(is_ill=False)
    worker = Agent("a", run=ill, fallback=Agent("b", run=spare))

    def team() -> Any:
        return supervisor(planner=planner(plan_of("s")), workers=[worker], guards=[QUICK], name=name)

    for _ in range(2):
        assert outcome_of(team(), is_async=is_async).status == "completed"
    assert (ill.calls, spare.calls) == (2, 2)
    assert outcome_of(team(), is_async=is_async).status == "completed"
    assert (ill.calls, spare.calls) == (2, 3), "it is not even tried"

    ill.is_ill = False
    time.sleep(2.55)
    assert outcome_of(team(), is_async=is_async).status == "completed"
    assert (ill.calls, spare.calls) == (3, 3), "one attempt shows that it works again"
    assert outcome_of(team(), is_async=is_async).status == "completed"
    assert (ill.calls, spare.calls) == (4, 3)


def test_without_a_fallback_what_it_was_to_do_is_a_gap(name: str) -> None:
    ill = Flaky()

    def team(on_trip: Any = None) -> Any:
        breaker = QUICK if on_trip is None else Breaker(rate=0.5, least=2, pause=2.5, on_trip=on_trip)
        return supervisor(planner=planner(plan_of("s")), workers=[Agent("a", run=ill)], guards=[breaker], name=name)

    for _ in range(2):
        outcome_of(team())
    refused = outcome_of(team())
    assert ill.calls == 2
    assert refused.gaps[0].guard == "Breaker"
    assert f"the circuit of '{name}/a' is open" in refused.gaps[0].reason
    assert outcome_of(team(Escalate())).status == "escalated"


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_attempt_counts_that_an_own_gate_sends_in_one_round(at_once: int) -> None:
    agent = Agent("worker", run=Flaky())

    def again(gate: GateContext) -> Any:
        is_over = len(gate.state["results"]) >= 6
        return gate.conclude() if is_over else [gate.send(agent) for _ in range(at_once)]

    team = Team("own", guards=[Breaker(rate=0.9, least=9)], entry=again, destinations=[agent])
    team.add_agents([agent], gate="handoff").add_gate("handoff", agents=[agent], route=again, destinations=[agent])
    with Runner("sqlite://") as runner:
        runner.run(team.build(), "work")
        runner.run(team.build(), "work")

        [circuit] = runner.breakers()
        assert (circuit.state, circuit.attempts, circuit.failures) == ("open", 9, 9)


def test_of_several_that_are_sent_at_once_one_is_the_probe(name: str) -> None:
    ill = Flaky()
    worker = Agent("a", run=ill)
    team = supervisor(planner=planner(plan_of("s", "t", "u")), workers=[worker], guards=[QUICK], name=name)
    outcome_of(team)
    assert ill.calls == 3
    time.sleep(2.55)

    outcome = outcome_of(team)

    assert ill.calls == 4
    reasons = [gap.reason for gap in outcome.gaps]
    assert sum("is half open" in reason for reason in reasons) == 2


def test_a_probe_that_another_guard_stops_makes_way_for_the_next_one(name: str) -> None:
    ill, stopped = Flaky(), list[str]()

    @guard(at="dispatch")
    def not_today(context: GuardContext) -> str | None:
        return "not today" if stopped else None

    team = supervisor(
        planner=planner(plan_of("s")), workers=[Agent("a", run=ill)], guards=[QUICK, not_today], name=name
    )
    for _ in range(2):
        outcome_of(team)
    time.sleep(2.55)
    stopped.append("today")
    assert outcome_of(team).gaps[0].reason == "not today"
    stopped.clear()
    outcome_of(team)
    assert ill.calls == 3


def test_a_router_and_a_pipeline_know_circuits_too(name: str) -> None:
    ill, spare = Flaky(), Flaky(is_ill=False)
    team = pipeline([Agent("a", run=ill, fallback=Agent("b", run=spare))], guards=[QUICK], name=name)

    for _ in range(4):
        assert outcome_of(team).value == "done"
    assert (ill.calls, spare.calls) == (2, 4)

    rules, last = [Rule("all", "c", lambda _: True)], Agent("d", run=spare)
    for _ in range(3):
        routed = router([Agent("c", run=ill)], rules=rules, fallback=last, guards=[QUICK], name=name)
        assert outcome_of(routed).value == "done"
    assert (ill.calls, spare.calls) == (4, 7)


def test_the_drawing_shows_that_a_fallback_may_be_sent_first(name: str) -> None:
    worker = Agent("a", run=Flaky(), fallback=Agent("b", run=Flaky()))

    def edges(*guards: Any) -> set[tuple[str, str]]:
        team = supervisor(planner=planner(plan_of("s")), workers=[worker], guards=[*guards], name=name)
        return {(edge.source, edge.target) for edge in team.compile().get_graph().edges}

    assert ("guard_dispatch", "b") in edges(QUICK)
    assert ("guard_dispatch", "b") not in edges(Breaker(3))


# Several processes


PROCESS = """
import sys
from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.guards import Breaker
from guardgraph.runs import Runner

def ill(request):
    with open(sys.argv[2], "a") as log:
        log.write("called\\n")
    raise ValueError("ill")

breaker = Breaker(rate=0.5, window=600, least=3, pause=float(sys.argv[3]))
with Runner(sys.argv[1]) as runner:
    for _ in range(int(sys.argv[4])):
        runner.run(pipeline([Agent("a", run=ill)], guards=[breaker], name="shared"), "work")
"""


def processes(url: str, log: Path, *, pause: float, count: int, runs: int) -> int:
    """Run so many processes at once; return how often the agent was called."""
    log.write_text("")
    command = [sys.executable, "-c", PROCESS, url, str(log), str(pause), str(runs)]
    for process in [subprocess.Popen(command) for _ in range(count)]:
        assert process.wait(100) == 0
    return len(log.read_text().split())


@pytest.mark.timeout(200)
@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"])
def test_processes_share_a_circuit_and_only_one_probes(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, log = request.getfixturevalue(f"{database}_url"), tmp_path / "calls"
    with Runner(url) as runner:
        assert runner.breakers() == []
        assert processes(url, log, pause=600, count=1, runs=5) == 3
        [circuit] = runner.breakers()
        assert (circuit.agent, circuit.state, circuit.attempts, circuit.failures) == ("shared/a", "open", 3, 3)
        assert 500 < circuit.seconds <= 600
        assert processes(url, log, pause=600, count=2, runs=2) == 0

        assert runner.reset_breaker("shared/a")
        assert not runner.reset_breaker("shared/a")
        assert processes(url, log, pause=0.001, count=1, runs=3) == 3
    assert main(["breakers", "--db", url, "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["agent"], listed["state"], listed["rate"]) == ("shared/a", "half_open", 1)


def test_the_command_lists_and_resets(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["breakers", "--db", sqlite_url]) == 0
    assert (
        capsys.readouterr().err
        == "no circuits are known here of runs without a tenant; `--tenant ID` shows another's\n"
    )
    with Runner(sqlite_url) as runner:
        for _ in range(2):
            runner.run(pipeline([Agent("a", run=Flaky())], guards=[QUICK], name="shop"), "work")

    assert main(["breakers", "--db", sqlite_url]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[:4] in (
        ["shop/a", "open", "2", "2"],
        ["shop/a", "half open", "2", "2"],
    )
    assert main(["breakers", "reset", "shop/b", "--db", sqlite_url]) == 2
    assert "no circuit of 'shop/b' is known here; the nearest is 'shop/a'" in capsys.readouterr().err
    assert main(["breakers", "reset", "shop/a", "--db", sqlite_url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"reset": ["shop/a"]}
    assert main(["breakers", "--db", sqlite_url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_subscriber_whose_circuit_is_open_is_replaced_by_its_fallback(name: str) -> None:
    ill, spare = Flaky(), Flaky(is_ill=False)
    worker = Agent("a", run=ill, fallback=Agent("b", run=spare))
    team = reactive([Subscription(worker, ["task"])], guards=[QUICK], name=name)

    for _ in range(4):
        assert outcome_of(team).status == "completed"
    assert (ill.calls, spare.calls) == (2, 4)


def test_attempts_of_a_team_that_is_called_many_times_count_each(name: str, sqlite_url: str) -> None:
    ill = Flaky()
    inner = pipeline([Agent("w", run=ill)], guards=[Breaker(rate=0.5, least=6)], name="inner")
    team = supervisor(
        planner=planner(plan_of(*"abcdef")),
        workers=[Agent("inner", run=inner.compile())],
        synthesizer=Agent("writer", run=lambda request: "x"),
        guards=[],
        name=name,
    )

    with Runner(sqlite_url) as runner:
        runner.run(team, "work")
        [circuit] = runner.breakers()
        assert (circuit.state, circuit.attempts, ill.calls) == ("open", 6, 6)
        runner.run(team, "work")

    assert ill.calls == 6


@pytest.mark.parametrize("guards", [(0.9, 0.5), (0.5, 0.5)])
def test_an_agent_has_one_circuit_and_so_one_rate(guards: tuple[float, float]) -> None:
    first, second = (Breaker(rate=rate) for rate in guards)

    for given in ([first, second], [first & second], [first.only(categories=["financial"]), second]):
        with pytest.raises(BadGraph, match="agent 'a' has 2 Breakers with a `rate`"):
            pipeline([Agent("a", run=str)], guards=given)
    with pytest.raises(BadGraph, match="agent 'a' has 2 Breakers with a `rate`"):
        pipeline([Agent("a", run=str, guards=[first])], guards=[second])
    pipeline([Agent("a", run=str), Agent("b", run=str)], guards=[first.only(agents=["a"]), second.only(agents=["b"])])
    pipeline([Agent("a", run=str)], guards=[first, Breaker(failures=2)])
