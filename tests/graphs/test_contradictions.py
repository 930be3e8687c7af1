"""A supervisor whose workers contradict each other: the resolver decides, or the outcome shows the gap."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Depth
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Claim, Outcome, Plan, Request, Subtask
from tests import loopback
from tests.graphs.teams import WAYS, ask_sync, planner

every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


def claim(value: Any, attribute: str = "price") -> Claim:
    return Claim(subject="Northwind", attribute=attribute, value=value)


def write(request: Request) -> list[Any]:
    return [[item.title, item.value] for item in request.context if item.sender == "judge" or item.kind == "gap"]


ANSWERS: dict[str, Any] = {
    "a": [claim(2), claim("Oslo", "seat")],
    "b": [claim(3)],
    "c": {"claims": [claim("Oslo.", "seat")]},
}


def built(resolver: Agent | None, *, plans: tuple[Plan, ...] = (), answers: Any = None, **facts: Any) -> Any:
    def work(request: Request) -> Any:
        assert request.subtask is not None
        return (answers or ANSWERS)[request.subtask.id]

    plans = plans or (Plan(subtasks=tuple(Subtask(id=id_, goal=f"look {id_}") for id_ in ANSWERS)),)
    facts.setdefault("synthesizer", Agent("writer", run=write))
    return supervisor(planner=planner(*plans), workers=[Agent("w", run=work)], resolver=resolver, **facts).compile()


def judge(run: Any, **facts: Any) -> Agent:
    return Agent("judge", run=run, **facts)


SEEN: list[Request] = []


def decides(request: Request) -> Claim:
    SEEN.append(request)
    return claim(3)


@every_way
def test_the_resolver_decides_and_the_author_gets_its_decision(ask: Any) -> None:
    SEEN.clear()
    outcome: Outcome = ask(built(judge(decides)))

    assert (outcome.status, outcome.gaps) == ("completed", ())
    assert outcome.value == [["Decide which of the contradicting claims hold.", claim(3).model_dump()]]
    (request,) = SEEN
    assert request.subtask is not None
    assert request.subtask.inputs == {
        "contradictions": [
            {
                "subject": "Northwind",
                "attribute": "price",
                "values": [{"value": 2, "from": "w"}, {"value": 3, "from": "w"}],
            }
        ]
    }
    assert [item.subtask for item in request.results] == [
        "a",
        "b",
    ]  # the results that contain them, with their evidence


@every_way
@pytest.mark.parametrize(
    ("resolver", "reasons"),
    [
        (None, ["contradict"]),
        (judge(lambda _: claim("Oslo", "seat")), ["contradict"]),
        (judge(lambda _: [claim(2), claim(3)]), ["contradict"]),
        (judge(lambda _: "the second one"), ["contradict"]),
        (judge(lambda _: None), ["returned None", "contradict"]),
    ],
    ids=["none", "decides something else", "decides both", "makes no claim", "fails"],
)
def test_what_is_not_decided_is_a_gap_that_the_author_gets_too(
    resolver: Agent | None, reasons: list[str], ask: Any
) -> None:
    outcome = ask(built(resolver, guards=[]))

    assert outcome.status == "degraded"
    assert [reason for reason, gap in zip(reasons, outcome.gaps, strict=True) if reason in gap.reason] == reasons
    assert outcome.gaps[-1].subtask == "Northwind: price"
    assert outcome.gaps[-1].reason == "accepted results contradict each other: 2 (w); 3 (w)"
    assert [title for title, _ in outcome.value][-1] == "Northwind: price"


@pytest.mark.parametrize("answer", ["a text", [claim(2)], {"claims": []}])
def test_where_nothing_contradicts_the_resolver_is_not_called(answer: Any) -> None:
    SEEN.clear()

    outcome = built(judge(decides), answers=dict.fromkeys(ANSWERS, answer)).invoke({"task": "go"})["outcome"]

    assert (outcome.status, SEEN) == ("completed", [])


def test_a_result_that_was_replaced_does_not_count() -> None:
    first = Plan(subtasks=(Subtask(id="a", goal="look"), Subtask(id="x", goal="look x")))
    second = Plan(subtasks=(Subtask(id="b", goal="look again", replaces=("a",)),))
    answers = {"a": [claim(2)], "x": "a text", "b": [claim(3)]}

    assert built(None, plans=(first, second), answers=answers).invoke({"task": "go"})["outcome"].status == "completed"


def test_the_resolver_tries_again_and_then_its_fallback() -> None:
    attempts: list[str] = []

    def fails(request: Request) -> None:
        attempts.append("judge")

    second = Agent("second", run=lambda _: claim(2))
    outcome = built(judge(fails, attempts=2, fallback=second)).invoke({"task": "go"})["outcome"]

    assert (outcome.status, attempts) == ("completed", ["judge"] * 2)


def test_a_run_that_is_stopped_has_the_contradiction_as_a_gap() -> None:
    resolver = Agent("judge", model=ScriptedModel(replies=lambda _: "x"), expected_cost=900)
    spending = Agent("w", model=ScriptedModel(replies=lambda _: claim(2).model_dump_json()), output=Claim)
    other = Agent("v", run=lambda _: claim(3), skills={"v"})
    plan = Plan(subtasks=(Subtask(id="a", goal="a", skill="w"), Subtask(id="b", goal="b", skill="v")))
    team = supervisor(
        planner=planner(plan), workers=[spending, other], resolver=resolver, guards=[Budget(tokens=500), Depth()]
    )

    outcome = team.compile().invoke({"task": "go"})["outcome"]

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Budget")
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == [("contradictions", "Budget")]


def test_the_resolver_decides_after_the_last_round_that_is_allowed() -> None:
    outcome: Outcome = ask_sync(built(judge(decides), guards=[Convergence(rounds=1)]))

    assert (outcome.status, outcome.gaps) == ("completed", ())


def test_without_an_author_the_decision_is_among_the_results() -> None:
    outcome = built(judge(decides), synthesizer=None).invoke({"task": "go"})["outcome"]

    assert outcome.status == "completed"
    assert outcome.value[-1] == {"subtask": "contradictions", "agent": "judge", "value": claim(3).model_dump()}


def test_a_model_resolver_has_output_and_instructions() -> None:
    answer = (
        '{"claims": [{"subject": "Northwind", "attribute": "price", "value": 3, "several": false}], "reasoning": "b"}'
    )
    with loopback.OpenAIServer(lambda _: loopback.text(answer)) as server:
        model: Any = ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", max_retries=0)  # type: ignore[arg-type]
        outcome = built(Agent("judge", model=model)).invoke({"task": "go"})["outcome"]

    assert outcome.status == "completed"
    assert "contradict each other" in server.requests[0].body["messages"][0]["content"]


def test_a_resolver_is_an_agent() -> None:
    wrong: Any = "judge"
    with pytest.raises(BadGraph, match="`resolver` must be"):
        supervisor(planner=planner(), workers=[Agent("w", run=str)], resolver=wrong)
