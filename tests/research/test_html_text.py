from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.research.html_text import text_of_html

PAGE = """<!DOCTYPE html>
<html><head><title>No</title><style>p { color: red }</style></head>
<body>
<h2>Budgets &amp; limits</h2>
<p>A run stops <em>before</em>
it spends more.</p>
<script>
var x = "<p>no</p>";
</script>
<ul><li>First<li>Second</ul>
<table><tr><td>a</td><td>b</td></tr></table>
Caf&eacute; &#65; &unknown
</body></html>"""


def test_each_line_keeps_its_number() -> None:
    lines = text_of_html(PAGE).split("\n")

    assert lines[3] == "## Budgets & limits"
    assert lines[4] == "A run stops before"
    assert lines[5] == "it spends more."
    assert lines[9] == "- First\t- Second"
    assert lines[10] == "| |\t|---|\t| a | b |"
    assert lines[11] == "Café A &unknown"
    assert "".join(lines[:3] + lines[6:9]) == ""


@pytest.mark.parametrize(
    "source", ["<p", "</p></b>", "<!--", "<script>never closed", "&#10;a", "a&NewLine;b&NewLine;", "a&", "<![if]>x", ""]
)
def test_malformed_markup_is_read_as_far_as_it_goes(source: str) -> None:
    assert text_of_html(source).count("\n") == source.count("\n")


def test_a_page_need_not_close_its_head() -> None:
    assert text_of_html("<head><title>No</title><p>Words") == "Words"
    assert text_of_html("<title>No</title>Words") == "Words"


def test_nothing_inside_what_is_silent_is_read() -> None:
    assert text_of_html("<noscript><p>no<svg><title>no</title></svg></noscript>yes</script>") == "yes"


@given(st.text(alphabet="<>/!-&#;ab1 \n\tpscriptl", max_size=60))
def test_no_input_changes_the_number_of_lines(source: str) -> None:
    assert text_of_html(source).count("\n") == source.count("\n")
