"""A judge that is blind to names, support and order decides by a rubric; ties go to the tie-breaker, or to a person."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import CandidateChoice, Criterion, Rubric, RubricScores, consensus, majority, plurality
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Request
from tests.graphs.panels import Sent, final_state, outcome_of, scored


def test_a_judge_is_blind_to_names_to_support_and_to_order() -> None:
    orders: set[tuple[Any, ...]] = set()
    for _ in range(20):
        sent = Sent()
        panel = sent.panel("no", "yes", "yes")
        outcome = outcome_of(consensus(panel, judge=sent.judge("no")))
        (request,) = sent.to("judge")
        orders.add(tuple(item.value for item in request.results))

        assert (outcome.value, outcome.dissent) == ("no", ("yes", "yes"))
        assert "panelist" not in request.model_dump_json()
        assert [(item.title, item.sender) for item in request.results] == [("A", ""), ("B", "")]

    assert orders == {("no", "yes"), ("yes", "no")}


def test_a_model_judge_gets_a_prompt_and_answers_in_its_structure() -> None:
    heard: list[str] = []

    def reply(messages: list[Any]) -> str:
        heard.append("\n".join(str(message.content) for message in messages))
        scores = [{"candidate": label, "criterion": "right", "score": 5 if label == "A" else 1} for label in "AB"]
        return json.dumps({"scores": scores, "reasoning": "A is right"})

    judge = Agent("judge", model=ScriptedModel(replies=reply))
    outcome = outcome_of(
        consensus(Sent().panel("yes", "no"), judge=judge, rubric=Rubric([Criterion("right", 1, "no error in it")]))
    )

    assert (outcome.status, outcome.confidence) == ("completed", 1.0)
    assert "You are the judge" in heard[0]
    assert "no error in it" in heard[0]
    assert "panelist" not in heard[0]


def test_the_weighted_sum_is_computed_of_the_scores_whatever_the_judge_recommends() -> None:
    def judge(request: Request) -> RubricScores:
        good_style = scored(request, lambda value: 5 if value == "elegant" else 2)
        swapped = [
            one.model_copy(update={"score": 7 - one.score}) if one.criterion == "right" else one
            for one in good_style.scores
        ]
        return RubricScores(scores=tuple(swapped), reasoning="elegant is the best")

    rubric = Rubric([Criterion("right", 3), Criterion("style", 2)])
    outcome = outcome_of(consensus(Sent().panel("elegant", "correct"), judge=Agent("judge", run=judge), rubric=rubric))

    assert outcome.value == "correct"
    assert outcome.confidence == pytest.approx((3 * 4 + 2 * 1) / (5 * 4))


def test_a_judge_synthesizes_a_new_value_and_names_what_it_rests_on() -> None:
    def judge(request: Request) -> dict[str, Any]:
        scores = scored(request, lambda value: 1 if value == 9 else 5).model_dump(mode="json")
        good: dict[str, Any] = {item.title: item.value for item in request.results if item.value != 9}
        return {**scores, "value": sum(good.values()), "based_on": [*good]}

    panel = Sent().panel(1, 2, 9)
    state = final_state(consensus(panel, answer=int, judge=Agent("judge", run=judge), synthesize=True))
    outcome = state["outcome"]

    assert (outcome.status, outcome.value, outcome.dissent, outcome.confidence) == ("completed", 3, (9,), 1.0)
    assert sorted(state["decision"]["candidates"][label] for label in state["decision"]["chosen"]) == [1, 2]


def test_the_scores_of_a_judge_that_leaves_a_tie_are_no_part_of_the_value() -> None:
    sent = Sent()
    judge = sent.agent("judge", lambda request: scored(request, lambda value: 5))
    outcome = outcome_of(consensus(sent.panel("yes", "no"), judge=judge))

    assert (outcome.status, outcome.stopped_by) == ("escalated", "tie")
    assert [item["agent"] for item in outcome.value] == ["panelist_0", "panelist_1"]  # type: ignore[union-attr, index, call-overload]


def test_no_judge_is_asked_where_all_agree() -> None:
    sent = Sent()
    outcome = outcome_of(consensus(sent.panel("a", "a"), judge=sent.judge("a")))

    assert (outcome.value, outcome.confidence, sent.to("judge")) == ("a", 1.0, [])


def test_a_judge_whose_scores_do_not_fit_hears_why_and_tries_again() -> None:
    sent = Sent()

    def judge(request: Request) -> RubricScores:
        return scored(request, lambda value: 5 if value == "a" else 1) if request.feedback else RubricScores(scores=())

    outcome = outcome_of(consensus(sent.panel("a", "b"), judge=sent.agent("judge", judge, attempts=2)))
    first, second = sent.to("judge")

    assert (outcome.status, outcome.value) == ("completed", "a")
    assert (first.context, second.tries) == (second.context, 2)
    assert second.feedback == "score each candidate on each criterion: candidate 'A', criterion 'accuracy' is missing"


# Ties


def test_a_judge_decides_a_vote_that_is_tied_among_the_tied_alone() -> None:
    sent = Sent()
    outcome = outcome_of(consensus(sent.panel("a", "b", "a", "b", "c"), vote=plurality, judge=sent.judge("b")))

    assert sorted(item.value for item in sent.to("judge")[0].results) == ["a", "b"]  # type: ignore[type-var]
    assert (outcome.value, outcome.dissent) == ("b", ("a", "a", "c"))


def test_all_candidates_are_open_where_none_reaches_the_threshold() -> None:
    sent = Sent()
    outcome = outcome_of(consensus(sent.panel("a", "b", "a", "c"), vote=majority, judge=sent.judge("c")))

    assert len(sent.to("judge")[0].results) == 3
    assert outcome.value == "c"


@pytest.mark.parametrize("answer", [str, lambda label: CandidateChoice(candidate=label)])
def test_a_tie_breaker_chooses_one_of_the_anonymous_candidates(answer: Any) -> None:
    sent = Sent()

    def choose(request: Request) -> Any:
        return answer(next(item.title for item in request.results if item.value == "b"))

    tie_breaker = sent.agent("chair", choose)
    outcome = outcome_of(consensus(sent.panel("a", "b"), vote=plurality, tie_breaker=tie_breaker))

    assert (outcome.status, outcome.value, outcome.confidence) == ("completed", "b", 0.5)
    assert "panelist" not in sent.to("chair")[0].model_dump_json()


def test_a_tie_of_the_judge_goes_to_the_tie_breaker() -> None:
    sent = Sent()
    judge = sent.agent("judge", lambda request: scored(request, lambda value: 1 if value == "c" else 4))
    chair = sent.agent("chair", lambda r: next(item.title for item in r.results if item.value == "b"))
    state = final_state(consensus(sent.panel("a", "b", "c"), judge=judge, tie_breaker=chair))

    assert sorted(item.value for item in sent.to("chair")[0].results) == ["a", "b"]  # type: ignore[type-var]
    assert state["outcome"].value == "b"
    assert (state["decision"]["by"], sorted(state["decision"]["scores"].values())) == ("tie_breaker", [0, 0.75, 0.75])


@pytest.mark.parametrize(
    ("rule", "answers", "stopped_by", "reason"),
    [
        (plurality, ["a", "b"], "tie", "2 candidates are tied"),
        (majority, ["a", "a", "b", "c"], "vote", "no candidate has enough votes"),
    ],
)
def test_what_nobody_decides_is_escalated_with_all_answers(
    rule: Any, answers: list[str], stopped_by: str, reason: str
) -> None:
    outcome = outcome_of(consensus(Sent().panel(*answers), vote=rule))

    assert (outcome.status, outcome.stopped_by, outcome.reason) == ("escalated", stopped_by, reason)
    assert [item["value"] for item in outcome.value] == answers  # type: ignore[union-attr, index, call-overload]
