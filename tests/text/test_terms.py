from __future__ import annotations

import pytest

from guardgraph.text.terms import content_words, stem, terms_of


@pytest.mark.parametrize(
    "words",
    ["budget budgets budget's", "stop stops stopped stopping", "limit limited limits", "policy policies",
     "delegate delegates delegated delegation", "guard guards guarded"],
)  # fmt: skip
def test_forms_of_one_word_are_equal(words: str) -> None:
    assert len({stem(word) for word in words.split()}) == 1


@pytest.mark.parametrize(("one", "other"), [("pass", "past"), ("run", "rule"), ("state", "status"), ("class", "clas")])
def test_different_words_stay_different(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_words_without_meaning_are_left_out() -> None:
    assert content_words("What does the Budget do?") == ["budget"]


def test_a_question_of_empty_words_keeps_them() -> None:
    assert content_words("What is it?") == ["what", "is", "it"]


def test_a_text_without_words_has_no_terms() -> None:
    assert terms_of("?!  __") == frozenset()
