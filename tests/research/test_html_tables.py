from __future__ import annotations

import pytest

from guardgraph.research import Document, Library
from guardgraph.research.html_text import text_of_html
from guardgraph.research.offline import make_worker
from guardgraph.state import Request, Task
from guardgraph.text.passages import passages_of
from guardgraph.text.sentences import sentences_of

HEAD = "<tr><th>Expense</th><th>Limit</th><th>Receipt needed</th></tr>"
TAXI = "<tr><td>Taxi</td><td>40 EUR</td><td>yes</td></tr>"
HOTEL = "<tr><td>Hotel</td><td>120 EUR</td><td>no</td></tr>"
TOLD = [
    "Expense: Taxi; Limit: 40 EUR; Receipt needed: yes",
    "Expense: Hotel; Limit: 120 EUR; Receipt needed: no",
]


def claims_in(page: str) -> list[tuple[str, int]]:
    """The claims of an HTML page and their lines; each quote is checked to be there."""
    text = text_of_html(page)
    found = [one for passage in passages_of("a.html", text) for one in sentences_of(passage)]
    assert text.count("\n") == page.count("\n")
    assert all(one.quote in text.split("\n")[one.first - 1] for one in found)
    return [(one.text, one.first) for one in found]


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        (f"<table><thead>{HEAD}</thead><tbody>{TAXI}{HOTEL}</tbody></table>", [1, 1]),
        (f"<table>\n{HEAD}\n{TAXI}\n{HOTEL}\n</table>", [3, 4]),
        (f"<table>{HEAD}\n\n{TAXI}\n\n{HOTEL}</table>", [3, 5]),
        (f"<table>{HEAD}{TAXI}{HOTEL}</table>".replace("<t", "\n<t"), [8, 12]),
        (f"<table>{HEAD}{TAXI}{HOTEL}</table>".replace("th>", "td>"), [1, 1]),
        (f"<table><thead>{HEAD}</thead>{TAXI}{HOTEL}</table>".replace("th>", "td>"), [1, 1]),
        (f"<table>{HEAD}{TAXI}{HOTEL}</table>".replace("</td>", "").replace("</tr>", "").replace("</th>", ""), [1, 1]),
        (f"<h1>Travel</h1><p>Words.</p><table>{HEAD}{TAXI}{HOTEL}</table><p>Words.</p>", [1, 1]),
        (f"<table>{HEAD}{TAXI}{HOTEL}</table>".replace("<td>", "<td>\n<p>").replace("</td>", "</p>\n</td>"), [1, 7]),
        (f"<table><tr><td><table>{HEAD}{TAXI}{HOTEL}</table></td></tr></table>", [1, 1]),
        (f"<table><tr><td>Travel</td></tr>{HEAD}{TAXI}<tr><th colspan=3>Far</th></tr>{HOTEL}</table>", [1, 1]),
    ],
)
def test_each_row_follows_the_names_of_its_columns(page: str, lines: list[int]) -> None:
    assert claims_in(page) == list(zip(TOLD, lines, strict=True))


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (f"<table>{HEAD}</table>", []),
        (f"<table>{TAXI}</table>", ["Taxi; 40 EUR; yes"]),
        (
            f"<table>{HEAD}{TAXI}</table><table><tr><th>Opening hours</th><td>9 to 5</td></tr></table>",
            [TOLD[0], "Opening hours; 9 to 5"],
        ),
        (
            "<table><tr><td></td><th>In winter</th><th>In summer</th></tr><tr><th>Hours</th><td>9</td><td>8</td></tr>",
            ["Hours; In winter: 9; In summer: 8"],
        ),
        (
            f"<table>{HEAD}<tr><td rowspan=2>Taxi</td><td>40 EUR</td><td>yes</td></tr>"
            "<tr><td>9 EUR</td><td>no</td></tr></table>",
            [TOLD[0], "Expense: Taxi; Limit: 9 EUR; Receipt needed: no"],
        ),
        (
            "<table><tr><th rowspan=2>What</th><th colspan=2>Limit</th></tr><tr><th>Low</th><th>High</th></tr>"
            "<tr><td>A long ride</td><td>1</td><td>2</td></tr></table>",
            ["What: A long ride; Low: 1; High: 2"],
        ),
        (
            f"<table>{HEAD}<tr><td>a|b</td><td>one of them</td><td></td></tr></table>",
            ["Expense: a\\|b; Limit: one of them"],
        ),
    ],
)
def test_a_row_that_names_columns_makes_no_claim_and_names_those_of_its_own_table(
    page: str, expected: list[str]
) -> None:
    assert [text for text, _ in claims_in(page)] == expected


def test_a_table_that_lays_out_a_page_is_read_as_blocks() -> None:
    left, right = "This says a few words. " * 20, "That says more of them. " * 20
    page = f"<table><tr>\n<td>{left}</td>\n<td><p>{right}</td></tr></table>"

    assert dict(claims_in(page)) == {"This says a few words.": 2, "That says more of them.": 3}


def test_a_row_is_found_by_the_names_of_its_columns() -> None:
    text = text_of_html(f"<table>\n{HEAD}\n\n{TAXI}\n\n{HOTEL}</table>")

    reply = make_worker(Library([Document("a.html", text)]), limit=1)(
        Request(task=Task(goal="Do I need a receipt for a taxi?"))
    )

    assert reply.value == {"claims": [{"text": TOLD[0], "source": "a.html", "line": 4}]}
    assert reply.evidence[0].quote == "| Taxi | 40 EUR | yes |"
