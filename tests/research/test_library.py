from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.research import Document, Library, read_documents
from guardgraph.state import StorageUnavailable
from tests.house.sources import ROOT

PAGES = [
    Document("budget.md", "# Money\n\nA budget stops the run before it overspends.\n\nNothing else here.\n"),
    Document("depth.md", "Depth bounds delegation.\n\n```\nbudget = 1\n```\n"),
    Document("same.md", "Depth bounds delegation.\n"),
]


@pytest.fixture
def library() -> Library:
    return Library.build(PAGES)


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

    assert library.names == ["budget.md", "depth.md", "same.md"]


@given(st.text(max_size=80))
def test_no_text_breaks_a_search(query: str) -> None:
    Library.build(PAGES[:1]).search(query)


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
    library = Library.build(read_documents([ROOT / "README.md"], root=ROOT).documents)
    alone = library.search("guard nodes")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(library.search, ["guard nodes"] * 64))

    assert alone
    assert all(one == alone for one in found)


def test_an_index_in_a_file_is_found_again_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    Library.build(PAGES, path).close()
    assert Library.open(path).names == ["budget.md", "depth.md", "same.md"]

    Library.build(PAGES[:1], path).close()

    assert Library.open(path).names == ["budget.md"]
    assert [one.source for one in Library.open(path).search("budget depth")] == ["budget.md"]


def test_of_two_documents_with_one_name_the_last_counts() -> None:
    library = Library.build([Document("a", "old words"), Document("a", "new words")])

    assert library.text_of("a") == "new words"
    assert [one.text for one in library.search("words")] == ["new words"]


def test_an_index_that_cannot_be_written_is_a_storage_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"the index of documents in '.*' cannot be used: unable to open"):
        Library.build(PAGES, tmp_path / "nowhere" / "index.db")


def test_a_file_that_is_no_index_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, not an index.")

    for use in (Library.open, lambda place: Library.build(PAGES, place)):
        with pytest.raises(StorageUnavailable, match="cannot be used: file is not a database"):
            use(path)
    assert path.read_text() == "These are my notes, not an index."


def test_another_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE documents (mine TEXT)")

    for use in (Library.open, lambda place: Library.build(PAGES, place)):
        with pytest.raises(StorageUnavailable, match=r"'.*runs.db' is another database, no index of documents; name"):
            use(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT mine FROM documents").fetchall() == []


def test_an_index_that_is_not_there_is_not_made_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"there is no index of documents in '.*index.db'; build one first"):
        Library.open(tmp_path / "index.db")
    assert not (tmp_path / "index.db").exists()


def test_a_row_is_found_by_what_names_its_columns_further_up() -> None:
    library = Library.build([Document("a.md", "| ride | receipt |\n|---|---|\n\n| taxi | yes |\n")])

    assert [(one.first, one.heads) for one in library.search("receipt")] == [(1, ""), (4, "| ride | receipt |")]
