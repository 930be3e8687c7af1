from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from guardgraph.agents.prompt import render
from guardgraph.models.offline.passages import Sentence
from guardgraph.models.offline.prompt_parser import matter_of, parts_of, ranked
from guardgraph.state import ContextItem, Evidence, Request, Task


@pytest.mark.parametrize(
    "prompt", ["Goal: find the fox", "# Task\n**Goal:** find the fox\nmore", "## Goal:\nfind the fox", "find the fox"]
)
def test_the_goal_is_what_follows_goal_else_the_whole_prompt(prompt: str) -> None:
    assert matter_of([SystemMessage("Goal: be kind"), HumanMessage(prompt)]).goal == "find the fox"


def test_what_a_tool_returned_is_a_document() -> None:
    messages = [
        HumanMessage("Goal: find the fox"),
        AIMessage(""),
        ToolMessage("The fox is here.", tool_call_id="1", name="look"),
    ]

    assert matter_of(messages).best == (Sentence("The fox is here.", "look", ""),)


def test_a_rendered_request_is_read_without_what_it_says_about_the_work() -> None:
    evidence = Evidence(source="a.md", quote="A <red> fox runs.", locator="7")
    request = Request(
        task=Task(goal="Where does the fox run?"),
        context=(
            ContextItem(
                kind="result", title="the fox in the wood", value="The fox runs in the wood.", evidence=(evidence,)
            ),
            ContextItem(kind="gap", title="the fox at night", value="nobody asked the fox"),
            ContextItem(kind="worker", title="fox", value="knows about any fox"),
        ),
        feedback="the fox was missing",
    )

    matter = matter_of([HumanMessage(render(request))])

    assert matter.goal == "Where does the fox run?"
    assert matter.has_results
    assert {(one.text, one.source) for one in matter.sentences} == {
        ("A <red> fox runs.", "a.md"),
        ("The fox runs in the wood.", ""),
    }


def test_sentences_that_share_more_and_rarer_words_come_first() -> None:
    texts = ["The dog sleeps a lot.", "The fox and the dog play.", "A fox runs."]

    order = [one.text for one in ranked("fox dog", [Sentence(text, "a", "") for text in texts])]

    assert order[0] == "The fox and the dog play."
    assert len(order) == 3


def test_sentences_that_share_nothing_are_left_out_unless_all_do() -> None:
    sentences = [Sentence("A fox runs.", "a", ""), Sentence("It rains today.", "a", "")]

    assert ranked("foxes", sentences) == (sentences[0],)
    assert ranked("cats", sentences) == tuple(sentences)


def test_a_sentence_that_stands_twice_counts_once() -> None:
    sentence = Sentence("A fox runs.", "a", "1")

    assert ranked("fox", [sentence, Sentence("A fox\nruns.", "b", "9")]) == (sentence,)


@pytest.mark.parametrize(
    ("goal", "parts"),
    [
        ("Why?", ["Why?"]),
        ("What is a guard? Who pays?", ["What is a guard?", "Who pays?"]),
        ("compare price and quality", ["compare price and quality"]),
        ("name the price; judge the quality", ["name the price", "judge the quality"]),
        ("a b; c d; e f; g h; i j", ["a b; c d; e f; g h; i j"]),
    ],
)
def test_a_question_is_split_where_it_has_parts(goal: str, parts: list[str]) -> None:
    assert parts_of(goal) == parts
