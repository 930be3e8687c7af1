from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from guardgraph.guards import Grounding, GuardContext
from guardgraph.research import Document, Library, check_citations, read_documents
from guardgraph.research.offline import make_worker, plan, write
from guardgraph.state import ContextItem, Outcome, Reply, Request, Result, Subtask, Task
from tests.house.sources import ROOT

QUESTION = "How do guard nodes keep a run inside its budget, and what does the checkpointer do?"


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(read_documents([ROOT / "docs", ROOT / "README.md"], root=ROOT).documents)


def request(question: str = QUESTION, **fields: Any) -> Request:
    return Request(task=Task(goal=question), **fields)


def test_a_plan_has_a_subtask_for_each_part_of_the_question() -> None:
    subtasks = plan(request()).subtasks

    assert [one.goal for one in subtasks] == [
        "How do guard nodes keep a run inside its budget",
        "what does the checkpointer do",
    ]


def test_a_question_with_one_part_is_one_subtask() -> None:
    assert [one.goal for one in plan(request("Compare SQLite and PostgreSQL?")).subtasks] == [
        "Compare SQLite and PostgreSQL?"
    ]


def test_a_plan_has_at_most_five_subtasks_the_first_part_first() -> None:
    subtasks = plan(request(" ".join(f"Topic{number} words?" for number in range(7)))).subtasks

    assert [one.id for one in subtasks] == ["part-1", "part-2", "part-3", "part-4", "part-5"]
    assert subtasks[-1].goal == "Topic4 words; Topic5 words; Topic6 words"
    assert [one.priority for one in subtasks] == sorted((one.priority for one in subtasks), reverse=True)


def test_a_table_row_is_an_answer() -> None:
    table = "# Exit codes\n\n| code | what it says |\n|---|---|\n| 0 | all is well |\n| 3 | a guard left no answer |\n"
    library = Library([Document("a.md", table + "\nThe exit of the shop is left of the guard, behind the desk.\n")])

    reply = make_worker(library, limit=1)(request("Which exit code means that a guard left no answer?"))

    assert reply.value == {
        "claims": [{"text": "code: 3; what it says: a guard left no answer", "source": "a.md", "line": 6}]
    }
    assert reply.evidence[0].quote == "| 3 | a guard left no answer |"


def test_later_rounds_add_nothing() -> None:
    assert plan(request(round=2)).subtasks == ()


def test_the_same_question_gets_the_same_plan() -> None:
    assert plan(request()) == plan(request())


def test_a_worker_quotes_the_documents(library: Library) -> None:
    reply = make_worker(library)(request())

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
def test_the_claims_of_a_worker_pass_the_grounding_guard(library: Library, question: str) -> None:
    reply = make_worker(library, limit=20)(request(question))
    result = Result(id="r", agent="worker", value=reply.value, evidence=reply.evidence)
    texts = {one.source: library.text_of(one.source) or "" for one in reply.evidence}
    guard = Grounding(library.text_of)

    verdict = guard(GuardContext(gate="handoff", subject=result, now=datetime.now(UTC), sources=texts))

    assert (verdict.action, verdict.reason) == ("pass", "")
    assert reply.evidence


def test_finding_nothing_passes_the_grounding_guard(library: Library) -> None:
    reply = make_worker(library)(request("Zanzibar xylophone quarterly?"))
    result = Result(id="r", agent="worker", value=reply.value, evidence=reply.evidence)

    verdict = Grounding(library.text_of)(GuardContext(gate="handoff", subject=result, now=datetime.now(UTC)))

    assert verdict.action == "pass"


def test_a_worker_serves_its_subtask_first() -> None:
    library = Library([Document("a.md", "Depth bounds every delegation.\n\nBudgets bound all the spending.\n")])
    subtask = Subtask(id="s", goal="spending bound by budgets")

    reply = make_worker(library, limit=1)(request("What bounds delegation and depth?", subtask=subtask))

    assert [one.quote for one in reply.evidence] == ["Budgets bound all the spending."]


def test_a_worker_that_finds_nothing_explains_it_without_a_value(library: Library) -> None:
    reply = make_worker(library)(request("Zanzibar xylophone quarterly?"))

    assert (reply.value, reply.evidence, reply.confidence) == (None, (), 0.0)
    assert "no sentence" in reply.reasoning


def test_workers_in_many_threads_answer_as_one_does(library: Library) -> None:
    work = make_worker(library)

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(work, [request()] * 24))

    assert set(map(Reply.model_dump_json, replies)) == {work(request()).model_dump_json()}


def test_every_citation_of_a_report_on_the_projects_own_pages_opens_at_its_line(library: Library) -> None:
    work = make_worker(library)
    results = [
        ContextItem(kind="result", title=one.goal, value=reply.value, evidence=reply.evidence, subtask=one.id)
        for one in plan(request()).subtasks
        if (reply := work(request(subtask=one)))
    ]
    gap = ContextItem(kind="gap", title="prices", value="the deadline had passed")

    reply: Any = write(request(context=(*results, gap)))

    assert reply.value["citations"]
    assert check_citations(reply.value, lambda name: (ROOT / name).read_text("utf-8")) == []
    assert "- prices: the deadline had passed" in reply.value["report"]
    assert len(reply.evidence) == len(reply.value["citations"])


def test_a_report_without_results_names_the_gaps() -> None:
    reply = write(request(context=(ContextItem(kind="gap", title="prices", value={"reason": "no money left"}),)))

    assert isinstance(reply, Outcome)
    assert reply.status == "degraded"
    assert "Nothing was found in the documents that answers the question." in str(reply.value)
    assert "- prices: no money left" in str(reply.value)
