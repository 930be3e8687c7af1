"""Panelists, a judge and a tie-breaker that are models, without instructions: the real OpenAI client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import Criterion, Rubric, consensus, plurality
from tests import loopback
from tests.graphs.panels import Sent
from tests.graphs.teams import WAYS

RUBRIC = Rubric([Criterion("right", 3, "no error in it"), Criterion("short", 1)])


class Ruling(BaseModel):
    acceptable: bool


def model(name: str, server: loopback.OpenAIServer) -> Agent:
    return Agent(name, model=ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", max_retries=0))  # type: ignore[arg-type]


def scores(**by_label: int) -> dict[str, Any]:
    rows = [
        {"candidate": label, "criterion": criterion.name, "score": score}
        for label, score in by_label.items()
        for criterion in RUBRIC.criteria
    ]
    return {"scores": rows, "reasoning": "so it is"}


def text_of(received: loopback.Received) -> str:
    return "\n".join(message["content"] for message in received.body["messages"])


@pytest.mark.parametrize("way", WAYS)
def test_a_judge_hears_what_its_scores_lack_and_chooses(way: str) -> None:
    script = [loopback.text(json.dumps(given)) for given in (scores(A=5), scores(A=5, B=2))]
    with loopback.OpenAIServer(script) as server:
        graph = consensus(Sent().panel("yes", "no"), judge=model("judge", server), rubric=RUBRIC).compile()
        outcome = WAYS[way](graph, "Is it acceptable?", None)

    first, second = map(text_of, server.requests)
    assert (outcome.status, outcome.confidence) == ("completed", 1.0)
    assert "You are the judge" in first
    assert "no error in it" in first
    assert "panelist" not in first + second
    assert "score each candidate on each criterion: candidate 'B', criterion 'right' is missing" in second


def test_a_judge_synthesizes_in_the_type_of_the_answers() -> None:
    reply = {**scores(A=5, B=5), "value": {"acceptable": True}, "based_on": ["A", "B"]}
    panel = Sent().panel({"acceptable": True}, {"acceptable": False})
    with loopback.OpenAIServer([loopback.text(json.dumps(reply))]) as server:
        graph = consensus(panel, answer=Ruling, judge=model("judge", server), rubric=RUBRIC, synthesize=True)
        outcome = WAYS["sync"](graph.compile(), "Is it acceptable?", None)

    assert (outcome.status, outcome.value) == ("completed", {"acceptable": True})


def test_panelists_answer_in_their_type_and_a_tie_breaker_names_a_label() -> None:
    def reply(body: dict[str, Any]) -> loopback.Response:
        if "has not been decided" in body["messages"][0]["content"]:
            return loopback.text(json.dumps({"candidate": "B", "reasoning": ""}))
        return loopback.text(json.dumps({"acceptable": True}))

    with loopback.OpenAIServer(reply) as server:
        panel = [*Sent().panel({"acceptable": False}), model("lawyer", server)]
        graph = consensus(panel, answer=Ruling, vote=plurality, tie_breaker=model("chair", server))
        outcome = WAYS["sync"](graph.compile(), "Is it acceptable?", None)

    assert (outcome.status, outcome.confidence) == ("completed", 0.5)
    assert len(outcome.dissent) == 1
    assert "lawyer" not in text_of(server.requests[1])
