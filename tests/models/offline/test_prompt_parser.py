from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from guardgraph.agents.prompt import render
from guardgraph.models.offline.prompt_parser import Excerpt, documents_in, parse_prompt, ranked
from guardgraph.state import ContextItem, Evidence, Request, Task


@pytest.mark.parametrize(
    "prompt", ["Goal: find the fox", "# Task\n**Goal:** find the fox\nmore", "## Goal:\nfind the fox", "find the fox"]
)
def test_the_goal_is_what_follows_goal_else_the_whole_prompt(prompt: str) -> None:
    assert parse_prompt([SystemMessage("Goal: be kind"), HumanMessage(prompt)]).goal == "find the fox"


def test_what_a_tool_returned_is_a_document() -> None:
    messages = [
        HumanMessage("Goal: find the fox"),
        AIMessage(""),
        ToolMessage("The fox is here.", tool_call_id="1", name="look"),
    ]

    assert parse_prompt(messages).quotes == (Excerpt("The fox is here.", "look", ""),)


def test_a_rendered_request_is_read_without_its_instructions() -> None:
    evidence = Evidence(source="a.md", quote="The <red> fox runs in the wood at night.", locator="7")
    request = Request(
        task=Task(goal="Where does the fox run?"),
        context=(
            ContextItem(
                kind="result", title="the fox in the wood", value="The fox runs in the wood.", evidence=(evidence,)
            ),
            ContextItem(kind="gap", title="the fox at night", value="the fox was not asked"),
            ContextItem(kind="worker", title="fox", value="knows about any fox"),
        ),
        feedback="the fox was missing",
    )

    prompt = parse_prompt([HumanMessage(render(request))])

    assert prompt.goal == "Where does the fox run?"
    assert prompt.has_results
    assert {(one.text, one.source) for one in prompt.quotes} == {
        ("The <red> fox runs in the wood at night.", "a.md"),
        ("The fox runs in the wood.", ""),
    }


def test_sentences_that_share_more_and_rarer_words_come_first() -> None:
    texts = ["The dog sleeps a lot.", "The fox and the dog play.", "A fox runs."]

    order = [one.text for one in ranked("fox dog", [Excerpt(text, "a", "") for text in texts])]

    assert order[0] == "The fox and the dog play."
    assert len(order) == 3


def test_sentences_that_share_nothing_are_left_out_unless_all_do() -> None:
    sentences = [Excerpt("A fox runs.", "a", ""), Excerpt("It rains today.", "a", "")]

    assert ranked("foxes", sentences) == (sentences[0],)
    assert ranked("cats", sentences) == tuple(sentences)


def test_a_duplicate_sentence_counts_once() -> None:
    sentence = Excerpt("A fox runs.", "a", "1")

    assert ranked("fox", [sentence, Excerpt("A fox\nruns.", "b", "9")]) == (sentence,)


@pytest.mark.parametrize(
    ("prompt", "document"),
    [
        (
            '<document source="a.md" lines="3-4">One fine day.</document>',
            Excerpt("One fine day.", "a.md", "3-4"),
        ),
        ('<passage name="a.md">\nOne fine day.\n</passage>', Excerpt("One fine day.", "a.md")),
        ('{"source": "a.md", "quote": "One fine day.", "locator": "7"}', Excerpt("One fine day.", "a.md", "7")),
        ('Here: [{"source": "a.md", "text": "One fine day."}]', Excerpt("One fine day.", "a.md")),
        ('{"hits": [{"source": "a.md", "content": "One fine day."}]}', Excerpt("One fine day.", "a.md")),
    ],
)
def test_a_document_is_read_out_of_a_prompt(prompt: str, document: Excerpt) -> None:
    assert documents_in(f"Goal: something\n\n{prompt}\n") == [document]


def test_several_documents_are_read_in_their_order_and_each_once() -> None:
    rows = [{"source": f"{name}.md", "text": name} for name in "aba"]
    prompt = "\n".join(map(json.dumps, rows))

    assert documents_in(prompt) == [Excerpt("a", "a.md"), Excerpt("b", "b.md")]


@pytest.mark.parametrize("prompt", ["", "No document here.", "[x] a list", "- [ ] a task", "{broken", '{"source": 1'])
def test_what_is_no_document_is_left_alone(prompt: str) -> None:
    assert documents_in(prompt) == []


def quotes_of(source: str, text: str, locator: str) -> list[tuple[str, str]]:
    prompt = f'Goal: none\n\n<document source="{source}" lines="{locator}">\n{text}</document>'
    return [(one.text, one.locator) for one in parse_prompt([HumanMessage(prompt)]).quotes]


def test_quotes_have_their_lines() -> None:
    text = "# Title\nIt is cold today. It is\nwarm tomorrow.\n\n- A list item here\n"

    assert quotes_of("a.md", text, "10-15") == [
        ("It is cold today.", "11"),
        ("It is\nwarm tomorrow.", "11-12"),
        ("A list item here", "14"),
    ]


def test_a_locator_that_names_no_line_is_kept() -> None:
    assert quotes_of("a.pdf", "It is cold today.", "page 3") == [("It is cold today.", "page 3")]


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 20_000, "[{" * 50_000, '<document source="a">' * 20_000, "\n \n" * 50_000],
)
def test_large_text_that_only_looks_like_documents_is_read_in_time(text: str) -> None:
    assert all(document.text for document in documents_in(text))


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_json_is_read_without_fault(value: object) -> None:
    assert all(document.text for document in documents_in(json.dumps(value)))
