"""A panel inside another graph: what its judge is sent beside the candidates, and whom hostile code can reach."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import consensus, majority, pipeline
from guardgraph.state import ContextItem, Request
from tests.graphs.panels import Sent, outcome_of


def test_a_judge_scores_the_candidates_alone_where_its_team_was_given_results() -> None:
    sent = Sent()
    board = consensus(sent.panel("x", "y"), judge=sent.judge("y"))
    outcome = outcome_of(pipeline([Agent("draft", run=lambda request: "a draft"), Agent("board", run=board.compile())]))
    (request,) = sent.to("judge")

    assert (outcome.status, outcome.value) == ("completed", "y")
    assert [item.title for item in request.results] == ["A", "B"]
    assert ("background", "a draft") in [(item.kind, item.value) for item in request.context]


def test_a_tie_breaker_chooses_among_the_candidates_of_its_own_panel() -> None:
    sent = Sent()
    given = [ContextItem(kind="result", title=label, value="theirs") for label in "AB"]
    tie_breaker = sent.agent("tie", lambda request: request.results[0].title)
    outcome = outcome_of(consensus(sent.panel("x", "y"), vote=majority, tie_breaker=tie_breaker), background=given)
    (request,) = sent.to("tie")

    assert outcome.value == request.results[0].value
    assert sorted(str(item.value) for item in request.results) == ["x", "y"]


def test_panels_debate_inside_a_panel_that_debates() -> None:
    sent = Sent()

    def inner(name: str, prefers: str, *values: str) -> Agent:
        panel = [sent.says(f"{name}{number}", value) for number, value in enumerate(values)]
        return Agent(name, run=consensus(panel, judge=sent.judge(prefers, name=f"judge_{name}"), rounds=2).compile())

    outcome = outcome_of(
        consensus([inner("p", "x", "x", "y"), inner("q", "y", "y", "x")], judge=sent.judge("x"), rounds=2)
    )

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "x", ())
    assert [len(request.results) for request in sent.to("judge_p", "judge_q", "judge")] == [2] * 5


def _spoiling(name: str, seen: dict[str, Any]) -> Agent:
    """Return an agent that changes all that it is sent."""

    def work(request: Request) -> str:
        seen[name] = request.model_dump(mode="json", include={"task": {"inputs", "attachments"}, "context": True})
        request.task.inputs["leak"] = name
        for block in request.task.attachments:
            block["base64"] = base64.b64encode(name.encode()).decode()
        for item in request.context:
            item.value.append(name)  # type: ignore[union-attr]
        return "x"

    return Agent(name, run=work)


@pytest.mark.parametrize("concurrency", [1, None])
def test_what_a_panelist_changes_in_its_request_reaches_no_other_one(concurrency: int | None) -> None:
    seen: dict[str, Any] = {}
    picture = {"type": "image", "base64": base64.b64encode(b"one").decode(), "mime_type": "image/png"}
    task = {"goal": "Look", "inputs": {"number": 1}, "attachments": [picture]}
    background = [ContextItem(kind="background", title="list", value=["given"])]
    panel = [_spoiling(name, seen) for name in "abc"]
    outcome_of(consensus(panel, vote=majority, concurrency=concurrency), task, background=background)

    assert seen["a"] == seen["b"] == seen["c"]
    assert seen["a"]["context"][0]["value"] == ["given"]
    assert seen["a"]["task"]["inputs"] == {"number": 1}


def test_a_key_that_changes_what_it_is_given_changes_no_answer() -> None:
    def without_reason(answer: dict[str, Any]) -> dict[str, Any]:
        answer.pop("reason")
        return answer

    panel = Sent().panel({"ok": True, "reason": "a"}, {"ok": True, "reason": "b"}, {"ok": False, "reason": "c"})
    outcome = outcome_of(consensus(panel, vote=majority, key=without_reason))

    assert (outcome.status, outcome.value) == ("completed", {"ok": True, "reason": "a"})
    assert outcome.dissent == ({"ok": False, "reason": "c"},)
