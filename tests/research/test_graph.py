from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver

from guardgraph.models.offline import ScriptedModel
from guardgraph.research import OFFLINE, Document, Library, Skipped, check_citations, read_documents, research, team_of
from guardgraph.state import BadInput, Outcome, UnknownModel
from tests.research.pdfs import pdf_of

PAGES = [
    Document("pads.md", "# Pads\n\nReplace brake pads when less than 1.5 millimetres of material is left.\n"),
    Document("oil.md", "# Oil\n\nMineral oil and DOT fluid must never be mixed,\nbecause DOT fluid destroys seals.\n"),
]
QUESTION = "When are brake pads replaced?"
PLAN = {"subtasks": [{"id": "pads", "goal": "brake pads material left"}]}
GOOD = {
    "claims": [{"text": "Pads go at 1.5 mm.", "source": "pads.md", "quote": "less than 1.5 millimetres of\nmaterial"}]
}
BAD = {"claims": [{"text": "Pads go at 3 mm.", "source": "pads.md", "quote": "less than 3 millimetres of material"}]}


def outcome_of(graph: Any, question: str = QUESTION) -> Outcome:
    return graph.compile().invoke({"task": question})["outcome"]


def model_of(*, claims: list[Any], report: list[str], plans: list[Any] | None = None) -> ScriptedModel:
    """A model that plans, reads and writes as scripted, in any order of calls."""
    scripts = {
        "plan": [json.dumps(p) for p in plans or [PLAN, {"subtasks": []}]],
        "extract": list(map(json.dumps, claims)),
    }
    scripts["write"] = list(report)

    def speak(messages: list[BaseMessage]) -> str:
        system = messages[0].text
        part = "plan" if "You plan" in system else "extract" if "You extract" in system else "write"
        return scripts[part].pop(0)

    return ScriptedModel(replies=speak)


def test_a_report_without_a_model_cites_the_documents() -> None:
    library = Library(PAGES)

    outcome = outcome_of(team_of(library))

    assert outcome.status == "completed"
    assert check_citations(outcome.value, library.text_of) == []
    assert "1.5 millimetres" in str(outcome.value)
    assert "offline:extractive" in str(outcome.value)
    assert outcome.usage.calls == 0


@pytest.mark.parametrize(
    ("question", "open_"),
    [
        ("Who won the cup?", {"question": "Who won the cup?"}),
        ("When are brake pads replaced, and who won the cup?", {"part-2": "who won the cup"}),
    ],
)
def test_what_is_not_found_degrades_the_outcome_and_the_report_states_it(question: str, open_: dict[str, str]) -> None:
    outcome = outcome_of(team_of(Library(PAGES)), question)

    assert outcome.status == "degraded"
    assert {gap.subtask: gap.reason for gap in outcome.gaps} == {
        key: f"nothing was found that answers {title!r}" for key, title in open_.items()
    }
    assert all(str(outcome.value).count(f"- {title}: nothing was found") == 1 for title in open_.values())


def test_a_model_is_not_called_to_write_where_it_has_found_nothing() -> None:
    outcome = outcome_of(team_of(Library(PAGES), model=model_of(claims=[{"claims": []}], report=[])))

    assert outcome.status == "degraded"
    assert "Nothing was found in the documents that answers the question." in str(outcome.value)


def test_the_same_question_gets_the_same_report_sync_and_async_with_and_without_a_checkpointer() -> None:
    library = Library(PAGES)
    config: Any = {"configurable": {"thread_id": "1"}}

    plain = outcome_of(team_of(library)).value
    kept = team_of(library).compile(checkpointer=InMemorySaver()).invoke({"task": QUESTION}, config)["outcome"].value
    on_a_loop = asyncio.run(team_of(library).compile().ainvoke({"task": QUESTION}))["outcome"].value

    assert plain == kept == on_a_loop


def test_every_guard_of_the_team_is_seen_in_its_drawing() -> None:
    drawn = team_of(Library([])).compile().get_graph()

    guards = {name for name in drawn.nodes if name.startswith("guard_")}
    assert guards == {"guard_admission", "guard_dispatch", "guard_handoff", "guard_exit"}


def test_a_model_plans_reads_and_writes_and_its_citations_open() -> None:
    library = Library(PAGES)

    outcome = outcome_of(team_of(library, model=model_of(claims=[GOOD], report=["Replace pads at 1.5 mm [1]."])))

    value: Any = outcome.value
    assert outcome.status == "completed"
    assert value["citations"][0]["line"] == 3
    assert "Replace pads at 1.5 mm [1]." in value["report"]
    assert check_citations(value, library.text_of) == []
    assert outcome.usage.calls == 4


def test_an_invented_quote_is_refused_and_tried_once_more_with_the_reason() -> None:
    prompts: list[str] = []
    claims = [BAD, GOOD]

    def speak(messages: list[BaseMessage]) -> str:
        system = messages[0].text
        if "You plan" in system:
            return json.dumps(PLAN if "Accepted" not in messages[-1].text else {"subtasks": []})
        if "You extract" in system:
            prompts.append(messages[-1].text)
            return json.dumps(claims[len(prompts) - 1])
        return "At 1.5 mm [1]."

    outcome = outcome_of(team_of(Library(PAGES), model=ScriptedModel(replies=speak)))

    assert outcome.status == "completed"
    assert len(prompts) == 2
    assert "is not in 'pads.md'" in prompts[1]


def test_a_claim_that_is_invented_twice_is_a_gap() -> None:
    plans = [PLAN, {"subtasks": []}]
    outcome = outcome_of(team_of(Library(PAGES), model=model_of(claims=[BAD, BAD], report=[], plans=plans)))

    assert outcome.status == "failed"
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == [("pads", "Grounding")]


def test_a_report_with_an_unknown_number_is_written_again_and_then_composed_from_the_claims() -> None:
    library = Library(PAGES)

    outcome = outcome_of(team_of(library, model=model_of(claims=[GOOD], report=["Pads [7].", "Pads."])))

    value: Any = outcome.value
    assert check_citations(value, library.text_of) == []
    assert "Pads go at 1.5 mm. [1]" in value["report"]


@pytest.mark.parametrize(
    ("tokens", "status", "missing", "found"), [(50, "failed", "plan", False), (800, "completed", "", True)]
)
def test_a_budget_stops_the_model_and_what_was_found_is_reported(
    tmp_path: Path, tokens: int, status: str, missing: str, found: bool
) -> None:
    (tmp_path / "pads.md").write_text(PAGES[0].text)
    model = model_of(claims=[GOOD], report=["Pads [1]."])

    outcome = outcome_of(research([tmp_path], model=model, tokens=tokens, root=tmp_path))

    assert (outcome.status, outcome.stopped_by) == (status, "Budget" if missing else None)  # code composes the report
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == ([(missing, "Budget")] if missing else [])
    assert (0 < outcome.usage.tokens <= tokens) is found
    assert ("Pads go at 1.5 mm." in str(outcome.value)) is found


def test_what_was_not_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "pads.md").write_text(PAGES[0].text)
    (tmp_path / "code.py").write_text("x = 1")
    reported: list[Skipped] = []

    research([tmp_path], root=tmp_path, on_skipped=reported.extend)

    assert [one.name for one in reported] == ["code.py"]


@pytest.mark.parametrize("model", [OFFLINE, "own"])
def test_what_could_not_be_read_of_a_document_is_in_the_report(tmp_path: Path, model: Any) -> None:
    text = PAGES[0].text.partition("\n\n")[2].strip()
    (tmp_path / "pads.pdf").write_bytes(pdf_of([text], ["Lost."]).replace(b"/Contents 7 0 R", b"/Contents 77 0 R"))
    reported: list[Skipped] = []
    claim = json.loads(json.dumps(GOOD).replace("pads.md", "pads.pdf"))
    chosen = OFFLINE if model == OFFLINE else model_of(claims=[claim], report=["Pads [1]."])

    outcome = outcome_of(research([tmp_path], root=tmp_path, model=chosen, on_skipped=reported.extend))

    value: Any = outcome.value
    assert reported == [Skipped("pads.pdf", "was read in part: page 2 could not be read: Object 77 0 not defined.")]
    assert value["unread"] == ["pads.pdf was read in part: page 2 could not be read: Object 77 0 not defined."]
    assert value["report"].count(f"\n\n## Not read\n\n- {value['unread'][0]}\n\n## Sources\n\n") == 1
    assert check_citations(value, Library(read_documents([tmp_path], root=tmp_path).documents).text_of) == []


def test_bad_documents_and_models_are_refused_when_the_graph_is_built(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        research([tmp_path / "nowhere"])
    (tmp_path / "pads.md").write_text("Words.")
    with pytest.raises(UnknownModel, match="write it as `provider:model`"):
        research([tmp_path], model="gpt")
