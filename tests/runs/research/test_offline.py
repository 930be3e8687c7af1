from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from guardgraph.guards import Grounding, View
from guardgraph.runs.research import Document, Library, check_citations, make_worker, plan, read_documents, write
from guardgraph.state import Piece, Reply, Request, Result, Subtask, Task
from tests.house.sources import ROOT

QUESTION = "How do guard nodes keep a run inside its budget, and what does the checkpointer do?"


@pytest.fixture(scope="module")
def library() -> Library:
    return Library.build(read_documents([ROOT / "docs", ROOT / "README.md"], root=ROOT).documents)


def asked(question: str = QUESTION, **fields: Any) -> Request:
    return Request(task=Task(goal=question), **fields)


@pytest.mark.parametrize(
    ("question", "goals"),
    [
        (QUESTION, ["How do guard nodes keep a run inside its budget", "what does the checkpointer do"]),
        ("What limits the delegation depth of a nested team?", ["delegation depth", "nested team"]),
        ("One thing; another thing\nthird point - fourth point", ["One thing", "another thing", "third point"]),
        ("Compare SQLite and PostgreSQL", ["Compare SQLite", "PostgreSQL"]),
        ("Which guard stops?", []),
        ("How do I write my own guard?", []),
        ("budget", []),
        ("???", []),
        ("budget and budgets", []),
    ],
)
def test_a_question_is_split_into_itself_and_its_parts(question: str, goals: list[str]) -> None:
    subtasks = plan(asked(question)).subtasks

    assert [one.goal for one in subtasks] == [question, *goals]


def test_a_plan_has_at_most_four_subtasks_the_question_first_in_priority() -> None:
    subtasks = plan(asked(", ".join(f"topic{number} words" for number in range(20)))).subtasks

    assert [one.id for one in subtasks] == ["question", "part-1", "part-2", "part-3"]
    assert [one.priority for one in subtasks] == [4, 3, 2, 1]


def test_later_rounds_add_nothing() -> None:
    assert plan(asked(round=2)).subtasks == ()


def test_the_same_question_gets_the_same_plan() -> None:
    assert plan(asked()) == plan(asked())


def test_a_worker_quotes_the_documents(library: Library) -> None:
    reply = make_worker(library)(asked())

    claims = reply.value["claims"]
    assert 1 <= len(claims) <= 5
    assert [(one["source"], str(one["line"])) for one in claims] == [
        (one.source, one.locator.partition("-")[0]) for one in reply.evidence
    ]
    assert all(one.quote in (library.text_of(one.source) or "") for one in reply.evidence)
    assert reply.confidence is not None
    assert 0 < reply.confidence <= 1


@pytest.mark.parametrize(
    "question", [QUESTION, "What is guardgraph?", "Where are checkpoints stored, and for how long?"]
)
def test_what_a_worker_says_passes_the_grounding_guard(library: Library, question: str) -> None:
    reply = make_worker(library, limit=20)(asked(question))
    result = Result(id="r", agent="worker", value=reply.value, evidence=reply.evidence)
    texts = {one.source: library.text_of(one.source) or "" for one in reply.evidence}
    guard = Grounding(library.text_of)

    verdict = guard(View(gate="handoff", subject=result, now=datetime.now(UTC), sources=texts))

    assert (verdict.action, verdict.reason) == ("pass", "")
    assert reply.evidence


def test_finding_nothing_passes_the_grounding_guard(library: Library) -> None:
    reply = make_worker(library)(asked("Zanzibar xylophone quarterly?"))
    result = Result(id="r", agent="worker", value=reply.value, evidence=reply.evidence)

    verdict = Grounding(library.text_of)(View(gate="handoff", subject=result, now=datetime.now(UTC)))

    assert verdict.action == "pass"


def test_a_worker_serves_its_subtask_first() -> None:
    library = Library.build([Document("a.md", "Depth bounds every delegation.\n\nBudgets bound all the spending.\n")])
    subtask = Subtask(id="s", goal="spending bound by budgets")

    reply = make_worker(library, limit=1)(asked("What bounds delegation and depth?", subtask=subtask))

    assert [one.quote for one in reply.evidence] == ["Budgets bound all the spending."]


def test_a_worker_that_finds_nothing_says_so_without_a_value(library: Library) -> None:
    reply = make_worker(library)(asked("Zanzibar xylophone quarterly?"))

    assert (reply.value, reply.evidence, reply.confidence) == (None, (), 0.0)
    assert "no sentence" in reply.reasoning


def test_workers_in_many_threads_answer_as_one_does(library: Library) -> None:
    work = make_worker(library)

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(work, [asked()] * 24))

    assert set(map(Reply.model_dump_json, replies)) == {work(asked()).model_dump_json()}


def test_every_citation_of_a_report_on_the_projects_own_pages_opens_at_its_line(library: Library) -> None:
    work = make_worker(library)
    pieces = [
        Piece(kind="result", title=one.goal, value=reply.value, evidence=reply.evidence, subtask=one.id)
        for one in plan(asked()).subtasks
        if (reply := work(asked(subtask=one)))
    ]
    gap = Piece(kind="gap", title="prices", value="the deadline had passed")

    reply = write(asked(context=(*pieces, gap)))

    assert reply.value["citations"]
    assert check_citations(reply.value, lambda name: (ROOT / name).read_text("utf-8")) == []
    assert "- prices: the deadline had passed" in reply.value["report"]
    assert len(reply.evidence) == len(reply.value["citations"])


def test_a_report_without_results_names_the_gaps() -> None:
    reply = write(asked(context=(Piece(kind="gap", title="prices", value={"reason": "no money left"}),)))

    assert "Nothing was found in the documents." in reply.value["report"]
    assert "- prices: no money left" in reply.value["report"]
