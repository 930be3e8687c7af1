from __future__ import annotations

import json
from typing import Any

import pytest

from guardgraph.agents.results import InvalidAnswer
from guardgraph.models.offline import ScriptedModel
from guardgraph.research import Document, Library
from guardgraph.research.model_team import make_model_worker, make_model_writer
from guardgraph.state import ContextItem, Evidence, Request, Task

TEXT = "# Tyres\n\nA tube loses half a bar\nin a week.\n\nLater: a tube loses half a bar in a week.\n"
LIBRARY = Library([Document("tyres.md", TEXT)])
REQUEST = Request(task=Task(goal="How much does a tube lose in a week?"))


def claim(quote: str, source: str = "tyres.md") -> str:
    return json.dumps({"claims": [{"text": "Half a bar a week.", "source": source, "quote": quote}]})


def result(*quotes: str) -> ContextItem:
    rows: Any = [{"text": f"claim {quote}", "source": "tyres.md", "line": 1} for quote in quotes]
    evidence = tuple(Evidence(source="tyres.md", quote=quote, locator="3") for quote in quotes)
    return ContextItem(kind="result", title="tube", value={"claims": rows}, evidence=evidence)


def test_a_quote_gets_its_lines() -> None:
    reply = make_model_worker(LIBRARY, ScriptedModel(replies=[claim("a tube loses half a bar in a week")]))(REQUEST)

    assert [(one.source, one.locator) for one in reply.evidence] == [("tyres.md", "6")]
    assert reply.value == {"claims": [{"text": "Half a bar a week.", "source": "tyres.md", "line": 6}]}


def test_a_quote_over_two_lines_gets_both() -> None:
    reply = make_model_worker(LIBRARY, ScriptedModel(replies=[claim("A tube loses half a bar in a week.")]))(REQUEST)

    assert reply.evidence[0].locator == "3-4"


@pytest.mark.parametrize(("quote", "source"), [("it never loses air", "tyres.md"), ("A tube", "other.md")])
def test_a_quote_that_is_not_there_keeps_no_line(quote: str, source: str) -> None:
    reply = make_model_worker(LIBRARY, ScriptedModel(replies=[claim(quote, source)]))(REQUEST)

    assert [(one.quote, one.locator) for one in reply.evidence] == [(quote, "")]


def test_a_worker_that_finds_no_passage_calls_no_model() -> None:
    reply = make_model_worker(LIBRARY, ScriptedModel(replies=[]))(Request(task=Task(goal="xylophone zebra")))

    assert (reply.value, reply.confidence) == (None, 0.0)


def test_a_report_is_renumbered_in_the_order_in_which_it_cites() -> None:
    write = make_model_writer(ScriptedModel(replies=["Second [2]. First [1], `code[2]`."]))

    value: Any = write(REQUEST.model_copy(update={"context": (result("one", "two"),)})).value

    assert "Second [1]. First [2], `code[2]`." in value["report"]
    assert [one["quote"] for one in value["citations"]] == ["two", "one"]


@pytest.mark.parametrize(
    ("text", "why"), [("Nothing is cited.", "cites nothing"), ("Too far [3].", r"\[3\] is no number of the evidence")]
)
def test_a_report_whose_numbers_prove_nothing_is_refused(text: str, why: str) -> None:
    write = make_model_writer(ScriptedModel(replies=[text]))

    with pytest.raises(InvalidAnswer, match=why):
        write(REQUEST.model_copy(update={"context": (result("one", "two"),)}))
