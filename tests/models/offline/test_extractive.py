from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from guardgraph.models.offline import ExtractiveModel
from guardgraph.state import Evidence, Plan, Reply

DOCUMENT = """# Guards
A guard judges one subject at one gate. A guard that trips
stops the run or only its subject. The weather is fine.

- Tokens are paid for from the ledger.
"""
PROMPT = f"""Goal: How does a guard stop the run?

<document source="docs/guards.md" lines="10-15">
{DOCUMENT}</document>
"""


class Report(BaseModel):
    title: str
    summary: str
    points: list[str]
    evidence: list[Evidence]
    score: int
    is_final: bool


def test_it_answers_with_sentences_of_the_documents() -> None:
    text = ExtractiveModel(sentences=1).invoke(PROMPT).text

    assert text == "A guard that trips stops the run or only its subject."


async def test_it_gives_the_same_answer_every_time_and_when_awaited() -> None:
    model = ExtractiveModel()

    answers = [model.invoke(PROMPT).text, model.invoke(PROMPT).text, (await model.ainvoke(PROMPT)).text]

    assert len(set(answers)) == 1
    assert [chunk.text for chunk in model.stream(PROMPT) if chunk.text] == answers[:1]


def test_quotes_are_verbatim_in_the_document_at_the_line_that_is_named() -> None:
    reply = ExtractiveModel().with_structured_output(Reply).invoke(PROMPT)

    assert isinstance(reply, Reply)
    assert reply.evidence
    lines = DOCUMENT.splitlines()
    for evidence in reply.evidence:
        first, _, last = evidence.locator.partition("-")
        assert evidence.source == "docs/guards.md"
        assert evidence.quote in DOCUMENT
        assert evidence.quote in "\n".join(lines[int(first) - 10 : int(last or first) - 9])
    assert reply.subtasks == ()
    assert reply.confidence is None


def test_as_a_planner_it_splits_the_question() -> None:
    prompt = "Goal: How does a guard stop the run and who pays for the tokens?"

    plan = ExtractiveModel().with_structured_output(Plan).invoke(prompt)

    assert isinstance(plan, Plan)
    assert [subtask.goal for subtask in plan.subtasks] == ["How does a guard stop the run", "who pays for the tokens"]
    assert [subtask.id for subtask in plan.subtasks] == ["part-1", "part-2"]


def test_as_a_planner_it_is_content_once_there_are_results() -> None:
    plan = ExtractiveModel().with_structured_output(Plan).invoke("Goal: How?\n\nResults:\n- by tripping")

    assert isinstance(plan, Plan)
    assert plan.subtasks == ()


def test_it_fills_any_schema_with_values_that_fit() -> None:
    report = ExtractiveModel().with_structured_output(Report).invoke(PROMPT)

    assert isinstance(report, Report)
    assert report.title == "How does a guard stop the run?"
    assert report.points
    assert (report.score, report.is_final) == (0, False)


def test_without_documents_it_gives_no_evidence_and_states_that() -> None:
    reply = ExtractiveModel().with_structured_output(Reply).invoke("Goal: What is the price of tea?")

    assert isinstance(reply, Reply)
    assert reply.evidence == ()
    assert reply.value == "No passage was given that mentions: What is the price of tea?"


def test_a_text_without_marked_documents_is_read_as_it_is() -> None:
    prompt = "Goal: Who pays for tokens?\n\nIt rains in the north.\nThe ledger pays for all tokens."

    assert ExtractiveModel(sentences=1).invoke(prompt).text == "The ledger pays for all tokens."


def test_usage_and_labels_are_reported() -> None:
    message = ExtractiveModel().invoke([HumanMessage(PROMPT)])

    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] >= len(PROMPT) // 4
    assert message.usage_metadata["output_tokens"] == -(-len(message.text) // 4)
    assert message.response_metadata["provider"] == "offline"


def test_under_max_tokens_it_uses_fewer_sentences_before_it_is_cut() -> None:
    model = ExtractiveModel()

    fewer = model.invoke(PROMPT, max_tokens=14)
    cut = model.invoke(PROMPT, max_tokens=3)

    assert fewer.text == "A guard that trips stops the run or only its subject."
    assert fewer.response_metadata["finish_reason"] == "stop"
    assert cut.text == fewer.text[: len(cut.text)]
    assert cut.response_metadata["finish_reason"] == "length"


def test_in_an_agent_it_searches_once_and_answers_from_what_came_back() -> None:
    queries: list[str] = []

    def search(query: str) -> str:
        """Search the documents."""
        queries.append(query)
        return json.dumps([{"source": "a.md", "locator": "3", "text": "A guard stops the run by a trip."}])

    agent: Any = create_agent(ExtractiveModel(), tools=[search])
    ends = agent.invoke({"messages": [HumanMessage("Goal: How does a guard stop the run?")]})

    assert queries == ["How does a guard stop the run?"]
    assert ends["messages"][-1].text == "A guard stops the run by a trip."


async def test_in_an_agent_with_a_response_format_it_gives_one() -> None:
    def search(query: str) -> str:
        """Search the documents."""
        return json.dumps([{"source": "a.md", "locator": "3", "text": "A guard stops the run by a trip."}])

    agent: Any = create_agent(ExtractiveModel(), tools=[search], response_format=Reply)
    ends = await agent.ainvoke({"messages": [HumanMessage("Goal: How does a guard stop the run?")]})

    evidence = Evidence(source="a.md", quote="A guard stops the run by a trip.", locator="3")
    assert ends["structured_response"].evidence == (evidence,)


@pytest.mark.parametrize("prompt", ["", "   ", "Goal:", "?!", "<document source=''></document>", "{" * 200])
def test_odd_prompts_do_not_break_it(prompt: str) -> None:
    assert isinstance(ExtractiveModel().with_structured_output(Reply).invoke([HumanMessage(prompt)]), Reply)
