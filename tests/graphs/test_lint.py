from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START

from guardgraph.agents import Agent
from guardgraph.graphs import Finding, GateContext, Rule, Stage, Team, lint, pipeline, router, supervisor, swarm
from guardgraph.guards import AllowedTools, Budget, Convergence, Deadline, Depth, GuardContext, Schema, guard
from guardgraph.models.resolve import resolve_model
from guardgraph.research.graph import team_of
from guardgraph.research.library import Library
from guardgraph.state import BadInput
from tests.graphs.draw.drawn_graphs import OWN, a_supervisor, agent, chat_agent, nodes_of, reviewed_chat

PAID = "openai:gpt-5-mini"


@pytest.fixture(autouse=True)
def _a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def codes(found: Sequence[Finding]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.code, one.severity, one.nodes) for one in found]


@pytest.mark.parametrize("name", OWN)
def test_patterns_have_no_faults(name: str) -> None:
    assert lint(OWN[name]()) == lint(OWN[name]().compile()) == []


def test_the_research_team_has_no_faults() -> None:
    assert lint(team_of(Library([]))) == []


def test_a_node_that_nothing_leads_to_is_an_error() -> None:
    graph: Any = nodes_of("a", "b", "c")
    graph.add_edge(START, "a")
    graph.add_edge("b", "c")

    assert codes(lint(graph)) == [("unreachable", "error", ("b",)), ("unreachable", "error", ("c",))]


def test_a_route_to_nowhere_is_an_error() -> None:
    graph: Any = nodes_of("a")
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: "gone", {"again": "gone", "done": END})
    (found,) = lint(graph)

    assert codes([found]) == [("unknown-destination", "error", ("gone",))]
    assert "'a' leads to it" in found.message


def test_a_loop_that_nothing_leaves_is_an_error_and_one_without_a_gate_a_warning() -> None:
    graph: Any = nodes_of("a", "b")
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    graph.add_edge("b", "a")

    assert codes(lint(graph)) == [
        ("endless-loop", "error", ("a", "b")), ("loop-without-gate", "warning", ("a", "b"))
    ]  # fmt: skip
    assert codes(lint(chat_agent())) == [("loop-without-gate", "warning", ("model", "tools"))]
    assert codes(lint(reviewed_chat())) == [
        ("loop-without-gate", "warning", ("chat", "check")),
        ("loop-without-gate", "warning", ("chat:model", "chat:tools")),
    ]


@pytest.mark.parametrize(("guards", "timeout"), [([Deadline(9)], None), ([Budget(calls=9)], None), ([], 9.0)])
def test_a_loop_inside_an_agent_whose_team_bounds_it_is_a_note(guards: list[Any], timeout: float | None) -> None:
    chat = Agent("chat", run=chat_agent(), timeout=timeout)

    assert codes(lint(pipeline([chat], guards=guards))) == [("loop-without-gate", "note", ("chat:model", "chat:tools"))]


def test_destinations_that_are_not_declared_hide_no_error() -> None:
    graph: Any = nodes_of("a", "b")
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: "b")

    assert codes(lint(graph)) == [("open-route", "warning", ("a",))]


@guard(at="handoff")
def is_long(view: GuardContext) -> str | None:
    return None


@pytest.mark.parametrize(
    ("first", "second", "guards", "found"),
    [
        ({}, {}, [], True),
        ({}, {}, [Depth(), Schema()], True),
        ({"output": int}, {}, [Schema()], False),
        ({}, {"model": "openai:gpt-5"}, [], False),
        ({}, {"tools": [resolve_model]}, [], False),
        ({}, {}, [is_long], False),
    ],
)
def test_two_agents_that_always_follow_each_other_should_be_one(
    first: dict[str, Any], second: dict[str, Any], guards: list[Any], found: bool
) -> None:
    common: dict[str, Any] = {"model": PAID, "timeout": 5}
    stages = [Agent("draft", **(common | first)), Agent("polish", **(common | second))]
    named = [one.nodes for one in lint(pipeline(stages, guards=[*guards, Budget(usd=1)])) if one.code.startswith("one")]

    assert named == ([("draft", "polish")] if found else [])


def test_agents_that_follow_each_other_only_sometimes_stay_apart() -> None:
    common: dict[str, Any] = {"model": PAID, "timeout": 5}
    stages = [Agent("a", **common), Stage(Agent("b", **common), critical=False), Agent("c", **common)]

    assert codes(lint(pipeline(stages, guards=[Budget(usd=1)]))) == []


def test_a_planner_and_its_only_worker_stay_apart() -> None:
    common: dict[str, Any] = {"model": PAID, "timeout": 5}
    team = supervisor(planner=Agent("lead", **common), workers=[Agent("w", **common)], guards=[Budget(usd=1)])

    assert codes(lint(team)) == []


def test_two_chats_in_a_row_should_be_one() -> None:
    graph: Any = nodes_of()
    graph.add_node("one", chat_agent())
    graph.add_node("two", chat_agent())
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")

    assert ("one-agent-would-do", "warning", ("one", "two")) in codes(lint(graph))


@pytest.mark.parametrize(
    ("workers", "found"), [(9, []), (10, []), (11, [("wide-team", "warning", ("guard_dispatch",))])]
)
def test_more_than_ten_workers_under_one_lead_are_too_many(workers: int, found: list[Any]) -> None:
    assert codes(lint(a_supervisor(workers))) == found


def test_rules_choose_among_any_number_of_workers() -> None:
    workers = [agent(f"w{number}") for number in range(12)]
    rules = [Rule.keywords("x", worker="w1")]

    assert lint(router(workers, fallback=agent("spare"), rules=rules)) == []
    asked = router(workers, fallback=agent("spare"), model=agent("dispatcher"))
    assert codes(lint(asked)) == [("wide-team", "warning", ("guard_dispatch",))]


def test_a_long_pipeline_has_no_lead_and_a_foreign_fan_out_has_one() -> None:
    optional = [Stage(agent(f"s{number}"), critical=False) for number in range(15)]
    graph: Any = nodes_of("lead", *(f"w{number}" for number in range(11)))
    graph.add_edge(START, "lead")
    for number in range(11):
        graph.add_edge("lead", f"w{number}")

    assert lint(pipeline(optional)) == []
    assert codes(lint(graph)) == [("wide-team", "warning", ("lead",))]


@guard(at="round")
def is_short(view: GuardContext) -> str | None:
    return None


def test_a_guard_that_no_gate_asks_is_named() -> None:
    found = lint(swarm([agent("a"), agent("b")], guards=[Convergence(), Depth()]))

    assert codes(found) == [("idle-guard", "note", ("guard_admission",))]
    assert "the guard Convergence judges at round, and no gate of this team does" in found[0].message
    assert lint(supervisor(planner=agent("p"), workers=[agent("w")], guards=[is_short, is_long])) == []


def test_an_agent_that_is_nowhere_is_named_in_a_table_of_tools() -> None:
    inner = pipeline([agent("deep")], name="inside").compile()
    staff = [agent("a"), Agent("chat", run=chat_agent()), Agent("inner", run=inner)]
    known = AllowedTools({name: {"x"} for name in ("a", "chat", "inner", "deep", "model", "tools")})

    found = lint(pipeline(staff, guards=[known & AllowedTools({"aa": {"x"}}), AllowedTools({"x"}), Budget(tokens=9)]))

    assert codes(found)[0] == ("unknown-agent", "warning", ("guard_admission",))
    assert [one.code for one in found].count("unknown-agent") == 1
    assert "AllowedTools names 'aa', which is no agent or node here or below" in found[0].message


def test_models_without_limits_are_named_and_limits_above_hold_below() -> None:
    paid = Agent("paid", model=PAID)
    alone = codes(lint(pipeline([paid], guards=[])))
    inner = Agent("inner", run=pipeline([paid], guards=[]).compile())

    assert alone == [("no-budget", "warning", ("paid",)), ("no-timeout", "warning", ("paid",))]
    assert codes(lint(pipeline([inner], guards=[])))[0] == ("no-budget", "warning", ("inner:paid",))
    assert lint(pipeline([inner], guards=[Budget(usd=1), Deadline(60)])) == []
    assert lint(pipeline([Agent("free", model="offline:extractive")], guards=[])) == []


def test_an_agent_to_which_no_declared_destination_leads_is_named() -> None:
    writer, critic = agent("writer"), agent("critic")

    def route(gate: GateContext) -> Any:
        return gate.send(critic)

    team = Team("own", guards=[Depth()], entry=[writer])
    team.add_agents([writer, critic], gate="handoff")
    team.add_gate("handoff", agents=[writer, critic], route=route)

    assert codes(lint(team.build())) == [("unreachable", "error", ("critic",))]


def test_what_may_be_reached_in_a_way_that_is_not_declared_is_no_error() -> None:
    inner: Any = nodes_of("inside")
    inner.add_edge(START, "inside")
    graph: Any = nodes_of("lost")
    graph.add_node("nested", inner.compile())
    graph.add_edge(START, "nested")

    assert lint(RunnableLambda(len) | RunnableLambda(str)) == []
    assert codes(lint(graph)) == [("unreachable", "warning", ("lost",))]


def test_errors_come_first_and_what_is_no_graph_is_refused() -> None:
    graph: Any = nodes_of("a", "lost")
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: END, ["a", END])

    assert [one.severity for one in lint(graph)] == ["error", "warning"]
    with pytest.raises(BadInput, match="must be a LangGraph graph"):
        lint(None)
