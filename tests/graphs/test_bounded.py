"""Whatever routes and agents answer, a run ends in an outcome."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END
from langgraph.types import Command, Send

from guardgraph.graphs import frame, pipeline, supervisor
from guardgraph.guards import Budget, Convergence, Deadline, Depth, Guard, Limits, Retry, View, guard
from guardgraph.nodes import Agent, agent_node, gate, send
from guardgraph.runs import Runner
from guardgraph.state import PatternError, Plan, Request, RunState, Subtask
from tests.graphs.teams import WAYS, ask_sync, listed, plan_of, planner, speaker, team, worker

WRITER = Agent("writer", run=lambda request: [item.value for item in request.results])


def own(
    then: Callable[[Any], Any],
    guards: list[Guard] | None = None,
    *,
    agent: Agent | None = None,
    begin: Callable[[Any], Any] | None = None,
    author: Agent | None = WRITER,
) -> Any:
    """Return a pattern of one agent whose gate goes where `then` says."""
    a = agent or Agent("a", run=lambda request: "said")
    start = begin or (lambda state: [send(a, state)])
    graph = frame("own", guards=guards or [], begin=start, begins_at=["a"], author=author)
    graph.add_node("a", agent_node(a))
    graph.add_edge("a", "guard_handoff")
    node = gate(guards or [], agents=[a], then=then, goes=["a"], author=author)
    graph.add_node("guard_handoff", node, destinations=("a", *([author.name] if author else []), "conclude"))
    return graph.compile()


def slow(request: Request) -> str:
    time.sleep(0.02)
    return "said"


def again(scene: Any) -> list[Send]:
    """Send the agent to work for ever."""
    return [send(Agent("a", run=str), scene.state)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("guards", "agent", "stopped_by"),
    [
        ([Deadline(0.5)], worker("a", slow), "Deadline"),
        ([Budget(tokens=500)], speaker("a", read=40, written=10), "Budget"),
        ([Limits(visits=7)], None, "Limits"),
        ([], None, "Limits"),
    ],
    ids=["deadline", "budget", "visits", "no guard at all"],
)
def test_a_pattern_that_always_sends_again_is_stopped(
    way: str, guards: list[Guard], agent: Agent | None, stopped_by: str
) -> None:
    outcome = WAYS[way](own(again, guards, agent=agent), "go on", None)

    assert (outcome.status, outcome.stopped_by) == ("degraded", stopped_by)
    assert outcome.reason
    assert {str(value)[:2] for value in listed(outcome)} == {"sa"}  # the last one may be cut by the budget


def test_the_cap_on_visits_is_exact() -> None:
    assert len(listed(ask_sync(own(again, [Limits(visits=7)])))) == 7
    assert len(listed(ask_sync(own(again)))) == 100


def test_a_chain_of_planned_subtasks_is_bounded_by_its_plan_alone() -> None:
    chain = tuple(Subtask(id=str(n), goal=f"do {n}", depends_on=(str(n - 1),) if n else ()) for n in range(12))
    flaky = worker(run=lambda request: 1 / (request.attempt - 1), attempts=2)

    outcome = ask_sync(team(Plan(subtasks=chain), workers=[flaky], guards=[Limits(visits=2)]).compile())

    assert (outcome.status, len(listed(outcome))) == ("completed", 12)


def test_rounds_that_a_pattern_counts_itself_are_bounded_by_convergence() -> None:
    def next_round(scene: Any) -> Command[Any]:
        number = (scene.state.get("round") or 1) + 1
        return Command(update={"round": number}, goto=again(scene))

    outcome = ask_sync(own(next_round, [Convergence(3)]))

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Convergence")
    assert outcome.reason == "round 4 would be one too many: 3 allowed"
    assert len(listed(outcome)) == 3


@pytest.mark.parametrize("limit", [*range(3, 12), 25])
@pytest.mark.parametrize("author", [WRITER, None], ids=["author", "no author"])
def test_a_small_recursion_limit_gives_an_outcome(limit: int, author: Agent | None) -> None:
    outcome = ask_sync(own(again, author=author), config={"recursion_limit": limit})

    assert outcome.stopped_by == "recursion_limit"
    assert (outcome.status, bool(outcome.value)) in [("degraded", True), ("failed", False)]


@pytest.mark.parametrize("limit", range(3, 16))
def test_a_team_that_is_out_of_steps_says_what_is_missing(limit: int) -> None:
    plans = plan_of("a", "b"), plan_of("c")

    outcome = ask_sync(team(*plans).compile(), config={"recursion_limit": limit})
    staged = pipeline([Agent(name, run=lambda request: "x") for name in "abc"]).compile()
    piped = ask_sync(staged, config={"recursion_limit": limit})

    for found in (outcome, piped):
        assert (found.status == "completed") == (not found.gaps and not found.reason)
    done = {one["subtask"] if isinstance(one, dict) else str(one) for one in (listed(outcome) if outcome.value else [])}
    assert len(done) + len(outcome.gaps) >= (0 if limit < 8 else 2)
    assert piped.status == "completed" or {gap.subtask for gap in piped.gaps} <= set("abc")


def test_an_agent_that_succeeds_in_a_later_round_leaves_no_gap() -> None:
    def run(request: Request) -> str:
        if request.round == 1:
            raise LookupError("dry")
        return "said"

    agent = Agent("a", run=run)

    def then(scene: Any) -> Any:
        if scene.state["accepted"]:
            return "conclude"
        coming = {"round": scene.state["round"] + 1}
        return Command(update=coming, goto=[send(agent, {**scene.state, **coming})])

    assert ask_sync(own(then, agent=agent)).status == "completed"
    assert ask_sync(own(then, agent=agent, guards=[Convergence(1)])).status == "failed"


# Answers of routes.


class _Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no name")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        [],
        {"a": 1},
        "nobody",
        END,
        _Odd(),
        [Send("nobody", {})],
        ["a", 7],
        Command(goto="nobody"),
        Command(update={"round": 2}),
        Command(graph=Command.PARENT, goto="conclude"),
        Command(update={"results": 7}, goto="conclude"),
        Command(update={"gaps": ["x"]}, goto="conclude"),
        Command(update={"position": None}, goto="conclude"),
        Command(update=[("gaps", [])], goto="conclude"),
        ["conclude", Send("a", {})],
        "guard_exit",
        Send("conclude", {"a": 1}),
        Command(update={"visits": {}}, goto="a"),
        Command(update={"messages": [1]}, goto="conclude"),
        [Send("a", {"request": "x", "position": "y"})],
        [Send("a", {"doc": 1})],
        [Send("writer", None)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_route_that_leads_nowhere_ends_the_run_as_failed(way: str, answer: Any) -> None:
    outcome = WAYS[way](own(lambda scene: answer), "go on", None)

    assert outcome.status == "failed"
    assert outcome.reason.startswith("the route of 'guard_handoff' ")


def test_a_beginning_that_leads_nowhere_ends_the_run_as_failed() -> None:
    outcome = ask_sync(own(again, begin=lambda state: "nobody"))

    assert (outcome.status, "'nobody'" in outcome.reason) == ("failed", True)


@pytest.mark.parametrize("where", ["then", "begin"])
def test_a_route_that_raises_is_an_error_of_the_pattern_and_the_thread_goes_on_once_it_is_mended(
    where: str, tmp_path: Any
) -> None:
    broken = [True]

    def raises(given: Any) -> Any:
        if broken:
            raise KeyError("lost")
        return "conclude" if where == "then" else [send(Agent("a", run=str), given)]

    def build() -> Any:
        if where == "then":
            return own(raises).builder
        return own(lambda scene: "conclude", begin=raises).builder

    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs={"own": build}) as runner:
        with pytest.raises(
            PatternError,
            match=r"raised KeyError: 'lost' \(test_bounded.py:\d+ in raises\); mend the route, then resume",
        ):
            runner.run("own", "go on", thread_id="t")
        broken.clear()
        run = runner.resume("t")

    assert run.outcome is not None
    assert (run.outcome.status, run.outcome.value) == ("completed", [{"subtask": None, "agent": "a", "value": "said"}])


def test_an_agent_that_gets_something_else_than_a_request_is_an_error_of_the_pattern() -> None:
    with pytest.raises(PatternError, match="'a' was sent what is no request"):
        ask_sync(own(lambda scene: "conclude", begin=lambda state: [Send("a", {"doc": 1})]))


# Two sends are two attempts.


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_that_is_sent_to_twice_in_a_round_works_twice(way: str) -> None:
    values = iter(["first", "second", "third"])
    a = Agent("a", run=lambda request: next(values))

    def twice(scene: Any) -> Any:
        return "conclude" if len(scene.state["accepted"]) > 1 else [send(a, scene.state), send(a, scene.state)]

    outcome = WAYS[way](own(twice, agent=a, author=None), "go on", None)

    assert sorted(one["value"] for one in listed(outcome)) == ["first", "second", "third"]


def test_of_two_sends_in_a_round_only_the_one_that_failed_is_tried_again() -> None:
    asked: list[tuple[str, int]] = []

    def run(request: Request) -> str:
        asked.append((str(request.context[-1].value), request.attempt))
        if asked[-1] == ("bad", 1):
            raise LookupError("not now")
        return str(request.context[-1].value)

    a = Agent("a", run=run, attempts=2)

    def begin(state: Any) -> list[Send]:
        return [send(a, {**state, "context": [_item(name)]}) for name in ("good", "bad")]

    outcome = ask_sync(own(lambda scene: "conclude", agent=a, begin=begin, author=None))

    assert sorted(asked) == [("bad", 1), ("bad", 2), ("good", 1)]
    assert (outcome.status, sorted(one["value"] for one in listed(outcome))) == ("completed", ["bad", "good"])


def _item(name: str) -> Any:
    from guardgraph.state import Piece

    return Piece(kind="background", title="document", value=name)


# A handoff out of an agent is a wish that its gate judges.


def _hands_over(request: Request) -> Any:
    return Command(graph=Command.PARENT, goto="planner", update={"round": 99})


def _handing_agent() -> Any:
    """Return a graph with a chat of its own whose node leaves it for another agent, as handoff tools do."""
    from langgraph.graph import START, MessagesState, StateGraph

    graph = StateGraph(MessagesState)
    graph.add_node("talk", lambda state: _hands_over(state))  # type: ignore[arg-type, return-value]
    graph.add_edge(START, "talk")
    return graph.compile()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("run", [_hands_over, _handing_agent()], ids=["answered", "left its graph"])
def test_an_agent_that_wants_to_hand_over_does_not_jump_past_its_gate(way: str, run: Any) -> None:
    graph = supervisor(planner=planner(plan_of("x")), workers=[Agent("a", run=run)], synthesizer=WRITER).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("failed", None)
    assert [gap.reason for gap in outcome.gaps] == [
        "it wants to hand over to 'planner'; here nobody takes over: answer, or say what is missing"
    ]


def test_a_gate_sees_to_whom_an_agent_wants_to_hand_over() -> None:
    seen: list[tuple[str, ...]] = []

    def then(scene: Any) -> str:
        seen.extend(result.handoff for result in scene.state["results"])
        return "conclude"

    ask_sync(own(then, agent=worker("a", _hands_over)))

    assert seen == [("planner",)]


@pytest.mark.parametrize(("goes_on", "status"), [(True, "completed"), (False, "failed")])
def test_a_handoff_that_the_route_follows_leaves_no_gap(*, goes_on: bool, status: str) -> None:
    wishes = Agent("a", run=lambda request: Command(graph=Command.PARENT, goto="b"))
    b = Agent("b", run=lambda request: "took over")

    def then(scene: Any) -> Any:
        last = scene.state["results"][-1]
        return [send(b, scene.state)] if last.handoff and goes_on else "conclude"

    graph = frame("own", guards=[], begin=lambda state: [send(wishes, state)], begins_at=["a"])
    for agent in (wishes, b):
        graph.add_node(agent.name, agent_node(agent))
        graph.add_edge(agent.name, "gate")
    node = gate([], agents=[wishes, b], then=then, goes=[])
    graph.add_node("gate", node, destinations=("a", "b", "conclude"))

    outcome = ask_sync(graph.compile())

    assert (outcome.status, bool(outcome.gaps)) == (status, not goes_on)


def test_a_route_may_not_send_to_the_author_twice() -> None:
    outcome = ask_sync(own(lambda scene: [send(WRITER, scene.state), send(WRITER, scene.state)]))

    assert (outcome.status, "what ends the run cannot go on" in outcome.reason) == ("failed", True)


def test_values_that_a_route_writes_are_stored_as_what_their_channels_hold() -> None:
    gap = {"subtask": "more", "reason": "wanted"}

    outcome = ask_sync(own(lambda scene: Command(update={"gaps": [gap]}, goto="conclude")))

    assert [found.subtask for found in outcome.gaps] == ["more"]


def test_a_draft_is_not_written_again_for_ever() -> None:
    @guard(at="exit", on_trip=Retry(10_000))
    def never(view: View) -> str:
        return "no"

    written: list[int] = []
    writer = Agent("writer", run=lambda request: written.append(1) or "x")

    outcome = ask_sync(team(plan_of("a"), guards=[never, Limits(visits=5)], synthesizer=writer).compile())

    assert (outcome.status, len(written)) == ("failed", 6)


@pytest.mark.parametrize("guards", [[Limits(subtasks=1)], [Depth(0)]], ids=["no subtasks left", "too deep"])
def test_a_planner_is_not_asked_where_nothing_can_be_sent(guards: list[Guard]) -> None:
    asked: list[int] = []

    def plan(request: Request) -> Plan:
        asked.append(request.round)
        return plan_of(f"a{request.round}", f"b{request.round}")

    graph = supervisor(planner=Agent("planner", run=plan), workers=[worker()], guards=[*guards, Convergence(5)])

    assert (ask_sync(graph.compile()).stopped_by, asked) == (type(guards[0]).__name__, [1])


def test_a_gate_leaves_the_results_of_other_gates_agents_alone() -> None:
    @guard(at="handoff")
    def clean(view: View) -> str | None:
        return "it is dirty" if view.subject.value == "dirty" else None

    a, b = Agent("a", run=lambda request: "fine"), Agent("b", run=lambda request: "dirty")
    graph = frame("own", guards=[clean], begin=lambda state: [send(a, state), send(b, state)], begins_at=["a", "b"])
    for agent, guards in ((a, []), (b, [clean])):
        graph.add_node(agent.name, agent_node(agent))
        graph.add_edge(agent.name, f"gate_{agent.name}")
        node = gate(guards, agents=[agent], then=lambda scene: "join", goes=["join"])
        graph.add_node(f"gate_{agent.name}", node, destinations=("join", "conclude"))
    graph.add_node("join", lambda state: {})
    graph.add_edge("join", "conclude")

    outcome = ask_sync(graph.compile())

    assert [one["value"] for one in listed(outcome)] == ["fine"]
    assert [gap.reason for gap in outcome.gaps] == ["it is dirty"]


def test_a_route_is_given_the_task_and_the_channels_of_ones_own() -> None:
    class Noted(RunState):
        notes: Annotated[list[str], operator.add]

    seen: list[tuple[str, Any]] = []
    a = Agent("a", run=lambda request: "said")

    def begin(state: Mapping[str, Any]) -> Any:
        seen.append((state["task"].goal, [*state.get("notes", ())]))
        return Command(update={"notes": [state["task"].goal]}, goto=[send(a, state)])

    def then(scene: Any) -> str:
        seen.append((scene.state["task"].goal, [*scene.state["notes"]]))
        return "conclude"

    graph = frame("own", guards=[], begin=begin, begins_at=["a"], state=Noted)
    graph.add_node("a", agent_node(a))
    graph.add_edge("a", "gate")
    graph.add_node("gate", gate([], agents=[a], then=then, goes=[]), destinations=("a", "conclude"))
    compiled, config = graph.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}

    for goal in ("one", "two"):
        assert ask_sync(compiled, goal, config).status == "completed"

    assert seen == [("one", []), ("one", ["one"]), ("two", ["one"]), ("two", ["one", "two"])]


def test_a_draft_that_is_no_result_is_told_by_its_channel() -> None:
    graph = frame("own", guards=[], begin=lambda state: "write", begins_at=["write"])
    graph.add_node("write", lambda state: {"draft": 1})
    graph.add_edge("write", "conclude")

    with pytest.raises(PatternError, match="the channel 'draft' holds 1, which is no `Result`"):
        ask_sync(graph.compile())
