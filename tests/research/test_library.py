from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.research import Document, Library, read_documents
from tests.house.sources import ROOT

PAGES = [
    Document("budget.md", "# Money\n\nA budget stops the run before it overspends.\n\nNothing else here.\n"),
    Document("depth.md", "Depth bounds delegation.\n\n```\nbudget = 1\n```\n"),
    Document("same.md", "Depth bounds delegation.\n"),
]


@pytest.fixture
def library() -> Library:
    return Library(PAGES)


def test_finds_passages_with_their_place(library: Library) -> None:
    best = library.search("budgets overspend")[0]

    assert (best.source, best.first, best.last, best.heading) == ("budget.md", 3, 3, "Money")
    assert best.text == "A budget stops the run before it overspends."


def test_headings_are_searched_too(library: Library) -> None:
    assert {one.first for one in library.search("money")} == {3, 5}


def test_a_search_can_be_narrowed_to_some_kinds(library: Library) -> None:
    assert [one.source for one in library.search("budget", kinds=["code"])] == ["depth.md"]
    assert [one.source for one in library.search("budget", kinds=["prose"])] == ["budget.md"]


def test_ties_come_in_the_order_of_the_documents(library: Library) -> None:
    assert [one.source for one in library.search("depth delegation")] == ["depth.md", "same.md"]
    assert [one.source for one in library.search("depth delegation", 1)] == ["depth.md"]


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "budget OR",
        "NEAR(a b)",
        "text:budget*",
        "a AND (NOT b",
        "'; DROP TABLE passages; --",
        "^ {} - \0 \ud800",
        "_",
    ],
)
def test_a_query_is_plain_words_whatever_it_holds(library: Library, query: str) -> None:
    library.search(query)

    assert [one.source for one in library.search("depth delegation")] == ["depth.md", "same.md"]


@given(st.text(max_size=80))
def test_no_text_breaks_a_search(query: str) -> None:
    Library(PAGES[:1]).search(query)


def test_a_query_of_many_words_is_searched(library: Library) -> None:
    assert library.search("budget " + " ".join(f"word{number}" for number in range(5_000)))


def test_a_query_without_words_finds_nothing(library: Library) -> None:
    assert library.search("?!") == []


def test_a_limit_below_one_is_refused(library: Library) -> None:
    with pytest.raises(ValueError, match="`limit` must be at least 1, got 0"):
        library.search("budget", 0)


def test_gives_the_text_of_a_document(library: Library) -> None:
    assert library.text_of("same.md") == "Depth bounds delegation.\n"
    assert library.text_of("other.md") is None


def test_rare_words_weigh_more(library: Library) -> None:
    weights = library.weights(["depth", "overspends", "unheard"])

    assert 0 < weights["depth"] < weights["overspends"] < weights["unheard"]


def test_many_threads_search_at_once() -> None:
    library = Library(read_documents([ROOT / "README.md"], root=ROOT).documents)
    alone = library.search("guard nodes")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(library.search, ["guard nodes"] * 64))

    assert alone
    assert all(one == alone for one in found)


def test_of_two_documents_with_one_name_the_last_counts() -> None:
    library = Library([Document("a", "old words"), Document("a", "new words")])

    assert library.text_of("a") == "new words"
    assert [one.text for one in library.search("words")] == ["new words"]


def test_a_row_is_found_by_what_names_its_columns_further_up() -> None:
    library = Library([Document("a.md", "| ride | receipt |\n|---|---|\n\n| taxi | yes |\n")])

    assert [(one.first, one.heads) for one in library.search("receipt")] == [(1, ""), (4, "| ride | receipt |")]
