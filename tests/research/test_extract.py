from __future__ import annotations

import pytest

from guardgraph.research import Document, Library
from guardgraph.research.extract import Claim, claims_of, question_weights
from guardgraph.research.report import first_line
from guardgraph.text.passages import passages_of

TEXT = """# Budgets

A budget stops the run before the call that would exceed it. The weather is fine on most days.
A budget stops the run before the call that exceeds it.

Deadlines stop a run too, and what is back by then is used.

## Ledger

Every call reserves first and settles after it.
"""


def claims(question: str, *, limit: int = 5, aside: str = "", text: str = TEXT) -> list[Claim]:
    library = Library([Document("a.md", text)])
    weights, wider = (question_weights(one, rarity=library.weights) for one in (question, aside))
    return claims_of(passages_of("a.md", text), weights, aside=wider, limit=limit)


def test_the_claim_that_shares_most_of_the_question_comes_first() -> None:
    first = claims("Which call would exceed a budget?")[0]

    assert first.text == "A budget stops the run before the call that would exceed it."
    assert (first.evidence.source, first.evidence.quote, first.evidence.locator) == ("a.md", first.text, "3")
    assert first_line(first.evidence) == 3
    assert 0.9 < first.coverage <= 1


def test_duplicates_are_left_out() -> None:
    found = [first_line(one.evidence) for one in claims("Which call would exceed a budget?")]

    assert found.count(3) == 1
    assert 4 not in found


def test_what_shares_too_little_is_left_out() -> None:
    assert claims("How are mountains measured by satellites?") == []
    assert all("weather" not in one.text for one in claims("How does a budget stop a run?"))


def test_a_heading_lends_its_words_to_the_text_below() -> None:
    assert [first_line(one.evidence) for one in claims("What does the ledger settle?")] == [10]


def test_a_heading_alone_makes_no_claim() -> None:
    assert claims("ledger", text="# The ledger\n\nSome words on other things entirely.") == []


def test_the_wider_question_weighs_less() -> None:
    found = claims("stop a run", aside="stop a run by a deadline")

    assert first_line(found[0].evidence) == 6


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        ("What happens on Friday", [1]),
        ("why are old columns dropped", [3]),
        ("What happens on Saturday", []),
    ],
)
def test_what_answers_the_rest_of_the_question_does_not_answer_its_part(part: str, lines: list[int]) -> None:
    text = "- Friday deployments need an approval.\n- Tables are kept.\n- Old columns are dropped one release later.\n"

    found = claims(part, aside=f"{part}, and why are old columns dropped on Friday?", text=text)

    assert [first_line(one.evidence) for one in found] == lines


def test_no_more_claims_than_the_limit() -> None:
    assert len(claims("When does a run stop?", limit=1)) == 1
    assert len(claims("When does a run stop?", limit=9)) == 2


def test_where_nothing_shares_two_terms_two_claims_that_share_one_are_returned() -> None:
    text = (
        "Budgets bound all the spending.\n\nTheir budgets are all in dollars.\n\nMany more budgets have other names.\n"
    )
    text += "\nSome words on other things entirely.\n" * 20

    assert len(claims("Which budgets stop?", text=text)) == 2


def test_a_sentence_on_the_subject_comes_before_one_that_names_it_in_a_path() -> None:
    text = "Put `src/ledger/<name>.py` into the folder.\n\nA run has accounts.\n\nThe ledger is a tree of accounts.\n"

    assert claims("What is the ledger?", text=text)[0].text == "The ledger is a tree of accounts."


def test_a_sentence_that_begins_with_the_subject_comes_first() -> None:
    text = "All that is spent is written to the ledger.\n\nLedger accounts are kept as one tree for each run.\n"

    assert first_line(claims("What is the ledger?", text=text)[0].evidence) == 3


def test_an_entry_of_a_table_of_contents_comes_after_the_prose_it_points_to() -> None:
    text = (
        "- [Ledger accounts](a.md): the tree of ledger accounts.\n\nAccounts of a run make up a tree, as in a ledger.\n"
    )

    found = claims("What is the tree of ledger accounts?", text=text)

    assert first_line(found[0].evidence) == 3
    assert [
        first_line(one.evidence) for one in claims("What is the tree of ledger accounts?", text=text.split("\n")[0])
    ] == [1]


def test_what_shares_one_term_of_many_is_no_answer() -> None:
    assert claims("How many litres does the budget of the harbour hold in winter?") == []


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="`limit` must be at least 1, got 0"):
        claims("budget", limit=0)


def test_a_question_without_weight_has_no_claims() -> None:
    assert claims_of(passages_of("a.md", TEXT), {}) == []


def test_rare_terms_weigh_more_and_forms_of_a_word_count_once() -> None:
    weights = question_weights("budget budgets settle", rarity=Library([Document("a.md", TEXT)]).weights)

    assert set(weights) == {"budget", "settl"}
    assert weights["settl"] > weights["budget"]
