from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.models.offline.passages import Passage, passages_in, sentences_of


@pytest.mark.parametrize(
    ("prompt", "passage"),
    [
        ('<document source="a.md" lines="3-4">One fine day.</document>', Passage("a.md", "One fine day.", "3-4")),
        ('<passage name="a.md">\nOne fine day.\n</passage>', Passage("a.md", "One fine day.")),
        ("[docs/a.md:12] One fine day.", Passage("docs/a.md", "One fine day.", "12")),
        ("Source: a.md, lines 12-14\nOne fine day.", Passage("a.md", "One fine day.", "12-14")),
        ("File: a.md\nOne fine day.", Passage("a.md", "One fine day.")),
        ('{"source": "a.md", "quote": "One fine day.", "locator": "7"}', Passage("a.md", "One fine day.", "7")),
        ('Here: [{"source": "a.md", "text": "One fine day."}]', Passage("a.md", "One fine day.")),
        ('{"hits": [{"source": "a.md", "content": "One fine day."}]}', Passage("a.md", "One fine day.")),
    ],
)
def test_a_document_is_read_out_of_a_prompt(prompt: str, passage: Passage) -> None:
    assert passages_in(f"Goal: something\n\n{prompt}\n") == [passage]


def test_several_documents_are_read_in_their_order_and_each_once() -> None:
    prompt = "[a.md:1] One.\n[b.md:2] Two.\n[a.md:1] One.\n"

    assert passages_in(prompt) == [Passage("a.md", "One.", "1"), Passage("b.md", "Two.", "2")]


@pytest.mark.parametrize("prompt", ["", "No document here.", "[x] a list", "- [ ] a task", "{broken", '{"source": 1'])
def test_what_is_no_document_is_left_alone(prompt: str) -> None:
    assert passages_in(prompt) == []


def test_sentences_know_their_lines() -> None:
    text = "# Title\nIt is cold today. It is\nwarm tomorrow.\n\n- A list item here\n| a | table | row |"

    found = [(one.text, one.locator) for one in sentences_of(Passage("a.md", text, "10-15"))]

    assert found == [
        ("It is cold today.", "11"),
        ("It is\nwarm tomorrow.", "11-12"),
        ("A list item here", "14"),
    ]


def test_a_mark_that_names_no_line_is_passed_on() -> None:
    assert [one.locator for one in sentences_of(Passage("a.pdf", "It is cold today.", "page 3"))] == ["page 3"]


@given(st.text(alphabet="ab .!?\n-#|[]{}\"':1é", max_size=200))
def test_every_sentence_stands_verbatim_in_its_passage(text: str) -> None:
    passage = Passage("a.md", text, "1")

    for sentence in sentences_of(passage):
        assert sentence.text in text
        first = int(sentence.locator.partition("-")[0])
        assert text.split("\n")[first - 1].find(sentence.text.split("\n")[0]) >= 0


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 20_000, "[{" * 50_000, '<document source="a">' * 20_000, "\n \n" * 50_000, "[a.md:1] x\n" * 10_000],
)
def test_large_text_that_only_looks_like_documents_is_read_in_time(text: str) -> None:
    assert all(passage.text for passage in passages_in(text))


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_json_is_read_without_fault(value: object) -> None:
    assert all(passage.text for passage in passages_in(json.dumps(value)))
