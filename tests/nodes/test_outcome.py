from __future__ import annotations

from typing import Any

import pytest

from guardgraph.nodes.accepted import open_gaps
from guardgraph.nodes.outcome import collected_value, outcome_of, written_value
from guardgraph.state import EarlyStop, Evidence, Gap, PatternError, Result, Subtask, Usage

QUOTE = Evidence(source="a.txt", quote="two")


def result(id_: str, subtask: str | None = None, **facts: Any) -> Result:
    return Result.model_validate({"id": id_, "agent": "w", "subtask": subtask, "value": id_, **facts})


def subtask(id_: str, *replaces: str) -> Subtask:
    return Subtask(id=id_, goal=id_, replaces=replaces)


DONE: dict[str, Any] = {
    "results": [result("1", "a", confidence=0.5, evidence=[QUOTE]), result("2", "b", confidence=0.75)],
    "accepted": ["1", "2"],
}
DRAFT = Result(id="d", agent="author", value="written")
ESCALATED = EarlyStop(status="escalated", stopped_by="Approval", reason="look at it")
DEGRADED = EarlyStop(status="degraded", stopped_by="Deadline", reason="late")


@pytest.mark.parametrize(
    ("state", "status", "value"),
    [
        ({**DONE, "draft": DRAFT}, "completed", "written"),
        ({**DONE, "draft": DRAFT, "ending": DEGRADED}, "degraded", "written"),
        ({**DONE, "draft": DRAFT, "gaps": [Gap(subtask="c", reason="no")]}, "degraded", "written"),
        ({**DONE, "draft": DRAFT, "ending": ESCALATED}, "escalated", "written"),
        ({**DONE, "draft": DRAFT, "ending": EarlyStop(status="completed")}, "completed", "written"),
        ({"draft": DRAFT, "refused": ["d"], "gaps": [Gap(subtask="author", reason="no")]}, "failed", None),
        ({"ending": DEGRADED}, "failed", None),
        ({}, "failed", None),
    ],
)
def test_the_status_follows_from_value_gaps_and_stop(state: dict[str, Any], status: str, value: Any) -> None:
    outcome = outcome_of(state, Usage(calls=3))

    assert (outcome.status, outcome.value, outcome.usage.calls) == (status, value, 3)


def test_without_a_draft_the_value_is_the_list_of_accepted_results_with_their_evidence() -> None:
    outcome = outcome_of(DONE, Usage())

    assert outcome.value == [{"subtask": "a", "agent": "w", "value": "1"}, {"subtask": "b", "agent": "w", "value": "2"}]
    assert (outcome.status, outcome.confidence, outcome.evidence) == ("completed", 0.5, (QUOTE,))


def test_a_list_that_a_guard_of_exit_has_refused_is_no_value() -> None:
    collected = collected_value(DONE, "team")
    assert collected is not None

    outcome = outcome_of({**DONE, "refused": [collected.id], "ending": ESCALATED}, Usage())

    assert (outcome.value, outcome.status) == (None, "escalated")
    assert collected_value({}, "team") is None


def test_a_failed_draft_is_a_gap_and_the_accepted_results_are_the_value() -> None:
    failed = result("d", value=None, status="failed", agent="author")

    outcome = outcome_of({**DONE, "draft": failed}, Usage())

    assert (outcome.status, [gap.agent for gap in outcome.gaps]) == ("degraded", ["author"])
    assert outcome.value is not None


@pytest.mark.parametrize(
    ("plans", "gap"),
    [
        ([], ("result", "no agent has answered")),
        ([result("p")], ("plan", "the plan is empty, so no worker has worked")),
    ],
)
def test_a_run_without_any_answer_has_a_gap(plans: list[Result], gap: tuple[str, str]) -> None:
    (found,) = outcome_of({"plans": plans}, Usage()).gaps

    assert (found.subtask, found.reason) == gap


@pytest.mark.parametrize(
    ("ending", "reason"), [(DEGRADED, "not done, since the run was stopped: late"), (None, "not done")]
)
def test_a_planned_subtask_without_result_or_gap_is_a_gap(ending: EarlyStop | None, reason: str) -> None:
    state = {**DONE, "subtasks": [subtask("a"), subtask("c")], "ending": ending}

    (gap,) = outcome_of(state, Usage()).gaps

    assert (gap.subtask, gap.reason, gap.guard) == ("c", reason, ending and ending.stopped_by)


@pytest.mark.parametrize("ending", [DEGRADED, None])
def test_an_outcome_names_what_stopped_the_run_or_else_the_guard_of_the_first_gap(ending: EarlyStop | None) -> None:
    gaps = [Gap(subtask="x", reason="raised"), Gap(subtask="y", reason="too deep", guard="Depth")]

    outcome = outcome_of({**DONE, "gaps": gaps, "ending": ending}, Usage())

    assert (outcome.stopped_by, outcome.reason) == (("Deadline", "late") if ending else ("Depth", "too deep"))


@pytest.mark.parametrize(
    ("gap", "is_open"),
    [
        (Gap(subtask="a", reason="late"), False),
        (Gap(subtask="old", reason="late"), False),
        (Gap(subtask="oldest", reason="late"), False),
        (Gap(subtask="other", reason="late"), True),
        (Gap(subtask="w", agent="w", reason="late", round=1), False),
        (Gap(subtask="w", agent="w", reason="late", round=2), True),
    ],
)
def test_a_gap_is_closed_by_a_whole_result_of_its_subtask_or_a_later_round(gap: Gap, is_open: bool) -> None:
    state: dict[str, Any] = {
        "subtasks": [subtask("oldest"), subtask("old", "oldest"), subtask("a", "old")],
        "results": [result("1", "a"), result("2", round=2), result("3", "other", status="partial")],
        "accepted": ["1", "2", "3"],
        "gaps": [gap],
    }

    assert open_gaps(state) == ([gap] if is_open else [])


def test_a_draft_that_is_no_result_is_an_error_of_the_pattern() -> None:
    with pytest.raises(PatternError, match="'draft' holds 'text', which is no `Result`"):
        written_value({"draft": "text"})
