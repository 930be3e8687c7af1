"""Stages that work at once, and stages that send the work back."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from threading import Barrier
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Parallel, SendBack, Stage, pipeline
from guardgraph.guards import Convergence, Depth, Escalate, GuardContext, Retry, guard
from guardgraph.state import BadGraph, Evidence, Outcome, PatternError, Reply, Request
from tests.graphs.teams import WAYS


def says(name: str, value: Any = None, **facts: Any) -> Agent:
    return Agent(name, run=lambda request: value or name, **facts)


def fails(name: str) -> Agent:
    def run(request: Request) -> str:
        raise ValueError(f"{name} is broken")

    return Agent(name, run=run)


def heard(request: Request) -> Any:
    return [[item.sender, item.value] for item in request.results]


def told(*stages: Any, guards: Any = None, way: str = "sync") -> Outcome:
    return WAYS[way](pipeline(list(stages), guards=guards).compile(), "the task", None)


@pytest.mark.parametrize("way", WAYS)
def test_the_next_stage_gets_their_values_as_one_dict(way: str) -> None:
    outcome = told(says("first"), Parallel(says("b"), says("a"), name="both"), Agent("last", run=heard), way=way)

    assert outcome.status == "completed"
    assert outcome.value == [["first", "first"], ["both", {"b": "b", "a": "a"}]]


def test_they_work_at_the_same_time() -> None:
    meet = Barrier(3, timeout=5)
    outcome = told(Parallel(*(Agent(name, run=lambda request: f"met {meet.wait() // 9}") for name in "abc")))

    assert outcome.value == {"a": "met 0", "b": "met 0", "c": "met 0"}


def test_the_value_of_a_last_block_has_their_evidence_and_the_least_confidence() -> None:
    def reply(name: str, confidence: float | None) -> Agent:
        evidence = (Evidence(source=f"{name}.md", quote=name),)
        return Agent(name, run=lambda request: Reply(value=name, evidence=evidence, confidence=confidence))

    outcome = told(Parallel(reply("a", 0.9), reply("b", 0.4), reply("c", None)))

    assert (outcome.value, outcome.confidence) == ({"a": "a", "b": "b", "c": "c"}, 0.4)
    assert [one.source for one in outcome.evidence] == ["a.md", "b.md", "c.md"]


def test_an_optional_agent_that_fails_is_missing_in_the_dict_and_is_a_gap() -> None:
    outcome = told(Parallel(says("a"), Stage(fails("b"), critical=False)), Agent("last", run=heard))

    assert (outcome.status, outcome.value) == ("degraded", [["a+b", {"a": "a"}]])
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("b", "ValueError: b is broken")]


def test_a_critical_agent_that_fails_fails_the_run() -> None:
    outcome = told(Parallel(says("a"), fails("b")), says("last"))

    assert (outcome.status, outcome.stopped_by) == ("failed", None)
    assert outcome.reason == "stage 'b' is critical and failed: ValueError: b is broken"
    assert [gap.subtask for gap in outcome.gaps] == ["b", "last"]


def test_a_fallback_answers_under_the_name_of_its_agent() -> None:
    agent = Agent("a", run=fails("x").run, fallback=says("spare"))
    outcome = told(Parallel(agent, says("b")))

    assert (outcome.status, outcome.value) == ("completed", {"a": "spare", "b": "b"})


def test_an_agent_of_a_block_that_a_guard_stops_is_no_part_of_it() -> None:
    @guard(at="dispatch")
    def not_b(view: GuardContext) -> str | None:
        return "b must not" if view.agent and view.agent.name == "b" else None

    optional = told(Parallel(says("a"), Stage(says("b"), critical=False)), guards=[not_b])
    critical = told(Parallel(says("a"), says("b")), guards=[not_b])

    assert (optional.status, optional.value, optional.gaps[0].guard) == ("degraded", {"a": "a"}, "not_b")
    assert (critical.status, critical.stopped_by, critical.reason) == ("failed", "not_b", "b must not")


class Writer:
    """Improves its draft by what it is told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> str:
        self.requests.append(request)
        return f"draft {len(self.requests)}"


def wants(*drafts: int, value: Any = "no") -> Any:
    """Return a review that refuses the drafts with these numbers."""

    def run(request: Request) -> str:
        (draft,) = (str(item.value) for item in request.results if item.sender == "writer")
        return f"{value}: {draft}" if int(draft.split()[1]) in drafts else "fine"

    return run


def review(*drafts: int, name: str = "review", to: str = "writer", times: int = 2, critical: bool = True) -> Stage:
    def when(value: str) -> str | None:
        return None if value == "fine" else value

    return Stage(Agent(name, run=wants(*drafts)), critical=critical, send_back=SendBack(to, when, times=times))


@pytest.mark.parametrize("way", WAYS)
def test_a_stage_sends_the_work_back_with_the_reason(way: str) -> None:
    writer = Writer()
    outcome = told(
        says("read"), Agent("writer", run=writer), says("format"), review(1, 2), Agent("last", run=heard), way=way
    )

    assert outcome.status == "completed"
    assert [request.feedback for request in writer.requests] == [None, "no: draft 1", "no: draft 2"]
    assert [request.round for request in writer.requests] == [1, 2, 3]
    assert [item.sender for item in writer.requests[2].results] == ["read", "writer", "review"]
    assert outcome.value == [["read", "read"], ["writer", "draft 3"], ["format", "format"], ["review", "fine"]]


def test_a_stage_that_is_not_satisfied_has_failed() -> None:
    critical = told(Agent("writer", run=Writer()), review(1, 2, 3, 4, times=2), says("last"))
    writer = Writer()
    optional = told(Agent("writer", run=writer), review(1, 2, 3, 4, times=2, critical=False), says("last"))

    assert (critical.status, critical.stopped_by) == ("failed", "review")
    assert critical.reason == "stage 'review' is critical and not satisfied: no: draft 3 (sent back 2 times already)"
    assert [gap.subtask for gap in critical.gaps] == ["review", "last"]
    assert (optional.status, optional.value, len(writer.requests)) == ("degraded", "last", 3)
    assert [(gap.subtask, gap.guard) for gap in optional.gaps] == [("review", "review")]


def test_the_value_of_a_failed_run_has_no_answers_that_were_replaced() -> None:
    counts = {"a": count(1), "b": count(1)}
    a, b = (Agent(name, run=lambda request, name=name: f"{name}{next(counts[name])}") for name in counts)
    outcome = told(a, Stage(b, send_back=SendBack("a", lambda value: "no", times=1)))

    assert outcome.status == "failed"
    assert outcome.value == [
        {"subtask": None, "agent": "a", "value": "a2"},
        {"subtask": None, "agent": "b", "value": "b2"},
    ]


def test_two_stages_count_what_they_send_back_apart() -> None:
    writer = Writer()
    stages = [review(1, name="one", times=1), review(2, name="two", times=1), says("last")]
    outcome = told(Agent("writer", run=writer), *stages)

    assert (outcome.status, len(writer.requests)) == ("completed", 3)


def test_rounds_are_limited_by_convergence() -> None:
    writer = Writer()
    outcome = told(Agent("writer", run=writer), review(1, 2, 3, times=9), guards=[Depth(), Convergence(rounds=2)])

    assert (outcome.status, len(writer.requests)) == ("failed", 2)
    assert "2 allowed" in outcome.reason


def test_a_block_works_again_as_a_whole() -> None:
    writer = Writer()
    block = Parallel(Agent("writer", run=writer), says("other"), name="block")

    def once(request: Request) -> str:
        return "again" if len(writer.requests) == 1 else "fine"

    back = SendBack("block", lambda value: None if value == "fine" else value)
    outcome = told(block, Stage(Agent("review", run=once), send_back=back), Agent("last", run=heard))

    assert outcome.value == [["block", {"writer": "draft 2", "other": "other"}], ["review", "fine"]]


def test_a_failure_before_the_work_went_back_is_closed_by_success_after() -> None:
    worked: list[int] = []

    def second_time(request: Request) -> str:
        worked.append(request.round)
        if len(worked) == 1:
            raise ValueError("not yet")
        return "fine"

    checks = Stage(Agent("check", run=second_time), critical=False)
    outcome = told(Agent("writer", run=Writer()), checks, review(1), says("last"))

    assert (outcome.status, worked) == ("completed", [1, 2])


def test_an_answer_of_an_earlier_round_does_not_stand_in_for_a_failed_one() -> None:
    worked: list[int] = []

    def once(request: Request) -> str:
        worked.append(request.round)
        if len(worked) > 1:
            raise ValueError("not again")
        return "x1"

    block = Parallel(Stage(Agent("x", run=once), critical=False), says("y"), name="block")
    outcome = told(Agent("writer", run=Writer()), block, review(1), Agent("last", run=heard))

    assert (outcome.status, worked) == ("degraded", [1, 2])
    assert outcome.value == [["writer", "draft 2"], ["block", {"y": "y"}], ["review", "fine"]]


def test_what_was_sent_back_is_not_the_value_when_the_last_stage_fails() -> None:
    asked: list[int] = []

    def once(request: Request) -> str:
        asked.append(request.round)
        if len(asked) > 1:
            raise ValueError("not again")
        return "no"

    back = SendBack("writer", lambda value: value)
    outcome = told(Agent("writer", run=Writer()), Stage(Agent("review", run=once), critical=False, send_back=back))

    assert (outcome.status, outcome.value) == ("degraded", "draft 2")
    assert [gap.subtask for gap in outcome.gaps] == ["review"]


def test_a_gap_that_was_closed_is_not_shown_to_later_stages() -> None:
    worked: list[int] = []

    def second_time(request: Request) -> str:
        worked.append(request.round)
        if len(worked) == 1:
            raise ValueError("not yet")
        return "checked"

    def gaps(request: Request) -> list[str]:
        return [item.title for item in request.gaps]

    checks = Stage(Agent("check", run=second_time), critical=False)
    outcome = told(Agent("writer", run=Writer()), checks, review(1), Agent("last", run=gaps))

    assert (outcome.status, outcome.value) == ("completed", [])


def test_a_stop_in_a_later_round_names_what_has_not_worked_in_it() -> None:
    found = set[tuple[str, ...]]()
    for limit in range(10, 24):
        graph = pipeline([says("read"), Agent("writer", run=Writer()), says("format"), review(1, 2, 3, 4)], guards=[])
        outcome: Outcome = graph.compile().invoke({"task": "the task"}, {"recursion_limit": limit})["outcome"]
        assert outcome.status != "completed"
        found.add(tuple(gap.subtask for gap in outcome.gaps))
    assert ("format", "review") in found, "stopped behind the writer in round 2"
    assert all(found), "never without a gap"


def test_an_optional_stage_to_which_work_goes_back_may_be_stopped() -> None:
    @guard(at="dispatch")
    def once(view: GuardContext) -> str | None:
        again = view.agent is not None and view.agent.name == "writer" and view.round > 1
        return "not again" if again else None

    writer = Stage(Agent("writer", run=Writer()), critical=False)

    def said(request: Request) -> str:
        return "no" if any(item.sender == "writer" for item in request.results) else "fine"

    back = SendBack("writer", lambda value: None if value == "fine" else value)
    outcome = told(writer, Stage(Agent("review", run=said), send_back=back), says("last"), guards=[once])

    assert (outcome.status, outcome.value) == ("degraded", "last")
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == [("writer", "once")]


def test_a_guard_with_the_name_of_a_stage_does_not_count_as_sending_back() -> None:
    @guard(at="handoff", on_trip=Retry(1))
    def review_once(view: GuardContext) -> str | None:
        return "look again" if view.subject.agent == "review" and view.subject.attempt == 1 else None

    writer = Writer()
    named = replace(review_once, name="review")
    outcome = told(Agent("writer", run=writer), review(1, times=1), guards=[named])

    assert (outcome.status, len(writer.requests)) == ("completed", 2)


@pytest.mark.parametrize("answer", [False, True, 0, [], "", " "])
def test_a_condition_that_gives_no_reason_is_an_error_of_the_pattern(answer: Any) -> None:
    back = SendBack("a", lambda value: answer)
    with pytest.raises(PatternError, match="must return `None` or the reason as a text"):
        told(says("a"), Stage(says("b"), send_back=back))


def test_a_guard_that_escalates_wins_over_going_back() -> None:
    @guard(at="handoff", on_trip=Escalate())
    def decent(view: GuardContext) -> str | None:
        return "indecent" if "no" in str(view.subject.value) else None

    outcome = told(Agent("writer", run=Writer()), review(1), guards=[decent])

    assert (outcome.status, outcome.stopped_by) == ("escalated", "decent")


def test_a_condition_that_raises_is_an_error_of_the_pattern() -> None:
    back = SendBack("a", lambda value: value["missing"])
    with pytest.raises(PatternError, match="TypeError"):
        told(says("a"), Stage(says("b"), send_back=back))


block: Any = Parallel


async def later(value: Any) -> str | None:
    return None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Parallel(), "a `Parallel` stage needs at least one agent"),
        (lambda: block("a"), "each of `stages` must be"),
        (lambda: pipeline([Parallel(says("a"), says("a"))]), "used twice: 'a'"),
        (lambda: pipeline([says("a"), Parallel(says("a"), says("b"))]), "used twice: 'a'"),
        (
            lambda: pipeline([says("a"), Parallel(says("b"), name="a")]),
            "two stages are called 'a': give the `Parallel`",
        ),
        (lambda: SendBack("a", later), "`when` of `SendBack` must be a plain function"),  # type: ignore[arg-type]
        (lambda: Parallel(says("a"), name="a|b"), "must not be blank or hold"),
        (lambda: Parallel(says("a"), name=" "), "must not be blank or hold"),
        (lambda: SendBack("a", str, times=0), "`times` must be at least 1"),
        (
            lambda: pipeline([review(1, to="later"), says("later")]),
            "sends back to 'later', which is no earlier stage; there are: none",
        ),
        (lambda: pipeline([says("a"), review(1, to="review")]), "there are: 'a'"),
        (lambda: pipeline([block(Parallel(says("a")))]), "each of `stages` must be"),
    ],
)
def test_what_is_declared_wrongly_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        wrong()
