"""Boards in running teams: grants, conflicts, replays, what requests hold of them, and their threads."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import Board, Rule, Stage, Tier, consensus, hierarchy, majority, pipeline, router, supervisor
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner, boards
from guardgraph.state import (
    BadGraph,
    BadInput,
    BoardConflict,
    BoardDenied,
    BoardEntry,
    Request,
    StaleWriter,
    Subtask,
    UnknownThread,
)
from guardgraph.storage.memory_boards import PROCESS_BOARDS
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.tables import leases

SQLITE = "sqlite:///{}"
ALL = {"*": ("*",)}


def facts(entries: Sequence[BoardEntry]) -> list[tuple[Any, ...]]:
    return [(entry.key, entry.value, entry.version, entry.author) for entry in entries]


def team(*work: Callable[[Request], Any], board: Board | None = None, **given: Any) -> Any:
    """Return a pipeline of agents that are called as their functions are."""
    agents = [Agent(one.__name__, run=one) for one in work]
    return pipeline(agents, board=board or Board("plan", write=ALL), **given)


def test_agents_of_a_team_write_and_read_its_board(database_url: str) -> None:
    def first(request: Request) -> Any:
        plan = boards.current("plan")
        plan.put("route", ["a", "b"], expect=0, kind="decision")
        plan.update("visits", lambda count: (count or 0) + 1)
        return plan.put("route", ["a", "c"], expect=1).version

    async def second(request: Request) -> Any:
        plan = boards.current()
        assert plan.name == "plan"
        await plan.aupdate("visits", lambda count: count + 1)
        entry = await plan.aput("note", {"x": 1})
        gone = await plan.adelete("note", expect=entry.version)
        assert gone is not None
        assert gone.is_deleted
        assert await plan.aget("note") is None
        changed = [(one.number, one.key) for one in await plan.achanges(3)]
        found = await plan.aget("route")
        assert found is not None
        assert found.kind == "decision"
        assert await plan.ahistory("route") == plan.history("route")
        return [facts(await plan.aentries()), facts(await plan.aentries("r")), changed]

    with Runner(database_url) as runner:
        run = runner.run(team(first, second), "go", thread_id="t")
        events = [event for event in runner.events("t") if event.kind == "board_written"]
        entry = runner.board("plan", thread_id="t").get("route")

    assert run.outcome is not None
    assert run.outcome.value == [
        [["route", ["a", "c"], 2, "first"], ["visits", 2, 2, "second"]],
        [["route", ["a", "c"], 2, "first"]],
        [[4, "visits"], [5, "note"], [6, "note"]],
    ]
    assert entry is not None
    assert entry.run_id == run.run_id
    assert [(event.path[-1], event.data["key"], event.data["version"]) for event in events] == [
        ("first", "route", 1),
        ("first", "visits", 1),
        ("first", "route", 2),
        ("second", "visits", 2),
        ("second", "note", 1),
        ("second", "note", 2),
    ]
    assert events[-1].data["is_deleted"] is True


def test_an_agent_writes_and_reads_what_is_granted(tmp_path: Any) -> None:
    found: list[Any] = []
    seen: list[Any] = []

    def worker(request: Request) -> Any:
        plan = boards.current("plan")
        plan.put("worker/x", 1)
        for call in (
            lambda: plan.put("lead/x", 1),
            lambda: plan.update("lead/x", lambda value: 1),
            lambda: plan.delete("lead/x"),
            lambda: plan.get("secret"),
            lambda: plan.history("secret"),
            lambda: plan.update("secret", seen.append),
        ):
            with pytest.raises(BoardDenied) as denied:
                call()
            found.append((denied.value.author, denied.value.action, denied.value.key))
            assert f"{denied.value.action}={{'worker': ({denied.value.key!r},)}}" in str(denied.value)
        return [facts(plan.entries()), [one.key for one in plan.changes()]]

    board = Board("plan", write={"worker": ("worker/*", "own")}, read={"worker": ("lead/*",)})
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        person = runner.board("plan", thread_id="t", author="ann")
        person.put("secret", "x")
        person.put("secret rule", "x", kind="constraint")
        run = runner.run(team(worker, board=board), "go", thread_id="t")

    assert run.outcome is not None
    assert run.outcome.value == [[["worker/x", 1, 1, "worker"]], ["worker/x"]]
    writes = [("worker", "write", "lead/x")] * 3
    assert found == [*writes, *[("worker", "read", "secret")] * 2, ("worker", "write", "secret")]
    assert seen == [], "what may not be written is not handed to the function either"


def test_a_denial_names_the_grant_that_is_missing() -> None:
    def worker(request: Request) -> Any:
        boards.current().put("lead/x", 1)

    outcome = team(worker, board=Board("plan")).compile().invoke({"task": "go"})["outcome"]

    assert "Board('plan', write={'worker': ('lead/x',)})" in outcome.gaps[0].reason


@pytest.mark.parametrize("key", ["items[0]", "*", "what?", "[!a]"])
def test_the_grant_that_a_denial_names_is_that_of_the_key_alone(key: str) -> None:
    denied = BoardDenied("plan", key, author="a", action="write")
    pattern = ast.literal_eval(str(denied).partition("{'a': (")[2].partition(",)}")[0])
    board = Board("plan", write={"a": (pattern,)})

    assert board.allows("write", "a", key)
    assert not board.allows("write", "a", "other")


def test_a_conflict_is_the_error_of_the_agent_unless_it_catches_it() -> None:
    def first(request: Request) -> Any:
        boards.current().put("k", 1, expect=4)

    outcome = team(first).compile().invoke({"task": "go"})["outcome"]

    assert "was expected at version 4, but it does not exist; nothing was written" in outcome.gaps[0].reason


@pytest.mark.parametrize("copied", [False, True])
def test_an_attempt_that_runs_again_meets_its_own_versions(database_url: str, *, copied: bool) -> None:
    seen: list[list[int]] = []

    def asks(request: Request) -> Any:
        plan = boards.current()
        written = [
            plan.put("k", "a", expect=0),
            plan.put("k", "b", expect=1),
            plan.put("k", "a"),
            plan.update("n", lambda count: (count or 0) + 1),
            plan.update("n", lambda count: (count or 0) + 1),
            plan.put("gone", 1),
            plan.delete("gone"),
        ]
        seen.append([entry.version for entry in written if entry is not None])
        return interrupt("go on?")

    with Runner(database_url, graphs={"team": lambda: team(asks)}) as runner:
        runner.run("team", "go", thread_id="t")
        before = runner.board("plan", thread_id="t").changes()
        thread = runner.threads.copy("t") if copied else "t"
        plan = runner.board("plan", thread_id=thread, author="ann")
        assert facts(plan.changes()) == facts(before)
        plan.put("k", "by ann")
        run = runner.resume(thread, answers={runner.status(thread).waiting[0].id: "yes"})
        after = plan.changes()

    assert run.status == "completed"
    assert seen == [[1, 2, 3, 1, 2, 1, 2]] * 2
    assert facts(after) == [*facts(before), ("k", "by ann", 4, "ann")]


def test_another_value_of_an_attempt_that_runs_again_is_another_version(tmp_path: Any) -> None:
    values = iter(["a", "b"])

    def asks(request: Request) -> Any:
        boards.current().put("k", next(values))
        return interrupt("go on?")

    with Runner(SQLITE.format(tmp_path / "r.db"), graphs={"team": lambda: team(asks)}) as runner:
        waiting = runner.run("team", "go", thread_id="t").waiting
        runner.resume("t", answers={waiting[0].id: "yes"})

        assert [entry.value for entry in runner.board("plan", thread_id="t").history("k")] == ["a", "b"]


def test_a_write_that_failed_is_not_counted_when_the_attempt_runs_again(tmp_path: Any) -> None:
    def asks(request: Request) -> Any:
        plan = boards.current()
        entry = plan.get("k")
        if entry is None or entry.author != "asks":
            with pytest.raises(BoardConflict):
                plan.put("k", 2, expect=0)
        plan.put("k", 2, expect=1)
        return interrupt("go on?")

    with Runner(SQLITE.format(tmp_path / "r.db"), graphs={"team": lambda: team(asks)}) as runner:
        plan = runner.board("plan", thread_id="t", author="ann")
        plan.put("k", 1)
        waiting = runner.run("team", "go", thread_id="t").waiting
        assert runner.resume("t", answers={waiting[0].id: "yes"}).status == "completed"

        assert facts(plan.history("k")) == [("k", 1, 1, "ann"), ("k", 2, 2, "asks")]


def test_an_attempt_that_is_over_writes_nothing_any_more() -> None:
    go, done, found = Event(), Event(), list[BoardDenied]()

    def leaves(request: Request) -> Any:
        plan = boards.current()

        def late() -> None:
            go.wait(30)
            try:
                plan.put("k", "too late")
            except BoardDenied as error:
                found.append(error)
            done.set()

        Thread(target=late, daemon=True).start()
        return "answered"

    def next_one(request: Request) -> Any:
        go.set()
        assert done.wait(30)
        return facts(boards.current().entries())

    assert team(leaves, next_one).compile().invoke({"task": "go"})["outcome"].value == []
    assert found[0].has_ended
    assert "its attempt has ended" in str(found[0])


def test_agents_of_a_team_whose_attempt_is_over_write_nothing_any_more() -> None:
    go, done, found = Event(), Event(), list[BoardDenied]()

    def slow(request: Request) -> Any:
        plan = boards.current("plan")
        go.wait(30)
        try:
            plan.put("k", "too late")
        except BoardDenied as error:
            found.append(error)
        done.set()

    def next_one(request: Request) -> Any:
        go.set()
        assert done.wait(30)
        return facts(boards.current().entries())

    nested = Agent("nested", run=pipeline([Agent("slow", run=slow)]).compile(), timeout=0.3)
    graph = pipeline([Stage(nested, critical=False), Agent("next", run=next_one)], board=Board("plan", write=ALL))

    assert graph.compile().invoke({"task": "go"})["outcome"].value == []
    assert found[0].has_ended


def test_agents_of_a_team_with_a_board_write_nothing_once_an_attempt_above_that_has_none_is_over() -> None:
    go, done, found = Event(), Event(), list[BoardDenied]()

    def slow(request: Request) -> Any:
        plan = boards.current()
        go.wait(30)
        try:
            plan.put("k", "too late")
        except BoardDenied as error:
            found.append(error)
        done.set()

    def next_one(request: Request) -> Any:
        go.set()
        assert done.wait(30)

    nested = Agent("nested", run=team(slow).compile(), timeout=0.3)
    pipeline([Stage(nested, critical=False), Agent("next", run=next_one)]).compile().invoke({"task": "go"})

    assert [error.has_ended for error in found] == [True]


def test_the_board_of_the_innermost_team_is_the_default_also_where_a_team_above_has_it_too() -> None:
    names: list[str] = []

    def inner(request: Request) -> Any:
        names.append(boards.current().name)
        return "done"

    low = team(inner).compile()
    middle = pipeline([Agent("low", run=low)], board=Board("own")).compile()
    pipeline([Agent("middle", run=middle)], board=Board("plan")).compile().invoke({"task": "go"})

    assert names == ["plan"]


def test_a_process_that_has_lost_the_thread_writes_nothing(tmp_path: Any) -> None:
    url, entered, go = SQLITE.format(tmp_path / "r.db"), Event(), Event()

    def works(request: Request) -> Any:
        entered.set()
        assert go.wait(30)
        boards.current().put("k", 1)

    with Runner(url) as slow, Runner(url) as other:
        errors: list[BaseException] = []

        def run() -> None:
            try:
                slow.run(team(works), "go", thread_id="t")
            except BaseException as error:
                errors.append(error)

        thread = Thread(target=run)
        thread.start()
        assert entered.wait(30)
        with write_transaction(other.saver.engine) as connection:
            connection.execute(leases.update().values(epoch=leases.c.epoch + 1))
        go.set()
        thread.join(60)

        assert other.board("plan", thread_id="t").changes() == []
    assert isinstance(errors[0], StaleWriter)


def context_of(request: Request) -> list[list[Any]]:
    return [[item.kind, item.title, item.value] for item in (*request.constraints, *request.decisions)]


RULES = [["constraint", "budget", 450], ["decision", "route", "by train"]]


def with_rules(runner: Runner) -> None:
    person = runner.board("plan", thread_id="t", author="ann")
    person.put("route", "by train", kind="decision")
    person.put("budget", 450, kind="constraint")
    person.put("gone", 1, kind="constraint")
    person.delete("gone")
    person.put("note", "not part of requests")


def test_every_request_of_a_supervisor_holds_decisions_and_constraints(tmp_path: Any) -> None:
    seen: dict[str, Any] = {}

    def noted(request: Request) -> str:
        seen[f"{request.path[-1]} {request.round}"] = context_of(request)
        return "done"

    def plan(request: Request) -> Any:
        noted(request)
        if request.round == 1:
            boards.current().put("hotel", "none", kind="decision")
        return [Subtask(id="a", goal="a")] if request.round == 1 else []

    graph = supervisor(
        planner=Agent("plan", run=plan),
        workers=[Agent("work", run=noted)],
        synthesizer=Agent("write", run=noted),
        board=Board("plan", write={"plan": ("hotel",)}),
    )
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        with_rules(runner)
        assert runner.run(graph, "go", thread_id="t").status == "completed"

    later = [RULES[0], ["decision", "hotel", "none"], RULES[1]]
    assert seen == {"plan 1": RULES, "work 1": later, "plan 2": later, "write 2": later}


def test_a_blind_panel_holds_them_too(tmp_path: Any) -> None:
    seen: list[Any] = []

    def answer(request: Request) -> str:
        seen.append(context_of(request))
        boards.current().put(f"answer of {request.path[-1]}", 1)
        return "yes"

    panel = [Agent(name, run=answer) for name in "abc"]
    graph = consensus(panel, answer=str, vote=majority, board=Board("plan", write=ALL))
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        with_rules(runner)
        run = runner.run(graph, "go", thread_id="t")

    assert run.outcome is not None
    assert run.outcome.value == "yes"
    assert seen == [RULES] * 3


def test_a_router_and_a_hierarchy_have_a_board(tmp_path: Any) -> None:
    def work(request: Request) -> Any:
        boards.current().put(f"{request.path[-1]}/done", context_of(request))
        return "done"

    def plan(request: Request) -> Any:
        return [Subtask(id="a", goal="a")] if request.round == 1 else []

    rule = Rule.when(lambda task: True, worker="worker")
    routed = router(
        [Agent("worker", run=work)], fallback=Agent("other", run=work), rules=[rule], board=Board("plan", write=ALL)
    )
    tier = Tier(Agent("top", run=plan), [Tier(Agent("lead", run=plan), [Agent("worker", run=work)])])
    grants = {"worker": ("worker/*",)}
    tiers = hierarchy(tier, board=Board("plan", write=grants, read={"worker": ("worker/*", "budget", "route")}))
    for number, graph in enumerate((routed, tiers)):
        with Runner(SQLITE.format(tmp_path / f"{number}.db")) as runner:
            with_rules(runner)
            assert runner.run(graph, "go", thread_id="t").status == "completed"
            entry = runner.board("plan", thread_id="t").get("worker/done")
            assert entry is not None
            assert (entry.value, entry.author) == (RULES, "worker" if number == 0 else "lead-tier/worker")
    with pytest.raises(BadGraph, match="'stranger', which is no agent of the team"):
        hierarchy(tier, board=Board("plan", write={"stranger": ("*",)}))


def test_nested_teams_see_the_boards_above_and_write_by_their_grants(tmp_path: Any) -> None:
    def inner(request: Request) -> Any:
        upper, own = boards.current("plan"), boards.current()
        own.put("x", 1)
        upper.put("nested/x", 2)
        with pytest.raises(BoardDenied, match=r"'nested/inner' may not write .* write=\{'nested': \('x',\)\}"):
            upper.put("x", 2)
        with pytest.raises(BoardDenied):
            upper.get("secret")
        return [context_of(request), own.name, facts(upper.entries()), facts(own.entries())]

    nested = team(inner, board=Board("own", write=ALL)).compile()
    plain = pipeline([Agent("inner", run=lambda request: context_of(request))]).compile()
    graph = pipeline(
        [Agent("plain", run=plain), Agent("nested", run=nested)],
        board=Board("plan", write={"nested": ("nested/*",)}, read={"nested": ("nested/*", "budget"), "plain": ("*",)}),
    )
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        with_rules(runner)
        run = runner.run(graph, "go", thread_id="t")
        results = {result.agent: result.value for result in run.results}

    assert results["plain"] == RULES
    assert results["nested"] == [
        [RULES[0]],
        "own",
        [["budget", 450, 1, "ann"], ["nested/x", 2, 1, "nested/inner"]],
        [["x", 1, 1, "nested/inner"]],
    ]


def test_a_nested_team_may_grant_more_of_the_same_board_but_not_more_to_read(tmp_path: Any) -> None:
    def inner(request: Request) -> Any:
        plan = boards.current("plan")
        plan.put("nested/x", 1)
        plan.put("own/x", 1)
        with pytest.raises(BoardDenied):
            plan.put("x", 1)
        return [entry.key for entry in plan.entries()]

    nested = team(inner, board=Board("plan", write={"inner": ("own/*",)})).compile()
    upper = Board("plan", write={"nested": ("nested/*",)}, read={"nested": ("route",)})
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        with_rules(runner)
        run = runner.run(pipeline([Agent("nested", run=nested)], board=upper), "go", thread_id="t")

    assert run.outcome is not None
    assert run.outcome.value == ["nested/x", "own/x", "route"]


def test_a_team_that_an_agent_calls_on_a_thread_of_its_own_has_its_board_with_the_run(tmp_path: Any) -> None:
    def inner(request: Request) -> Any:
        return boards.current().put("k", 1).version

    called = team(inner).compile(checkpointer=InMemorySaver())
    other: Any = {"configurable": {"thread_id": "other"}}

    def caller(request: Request) -> Any:
        return called.invoke({"task": "go"}, other)["outcome"].value

    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        run = runner.run(pipeline([Agent("caller", run=caller)]), "go", thread_id="t")
        assert facts(runner.board("plan", thread_id="t").entries()) == [("k", 1, 1, "caller/inner")]

    assert run.outcome is not None
    assert run.outcome.value == 1


@pytest.mark.parametrize("is_team", [False, True])
def test_a_cached_answer_is_none_of_other_decisions(tmp_path: Any, *, is_team: bool) -> None:
    calls: list[str] = []

    def work(request: Request) -> str:
        calls.append("work")
        return "done"

    run = pipeline([Agent("work", run=work)]).compile() if is_team else work
    graph = pipeline([Agent("cached", run=run, cache=InMemoryCache())], board=Board("plan", shared=True))
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        person = runner.board("plan", author="ann")
        for value, count in ((1, 1), (1, 1), (2, 2), (2, 2)):
            person.put("rule", value, kind="constraint")
            runner.run(graph, "go")
            assert len(calls) == count


def test_a_shared_board_is_that_of_all_threads_and_others_are_not(database_url: str) -> None:
    def work(request: Request) -> Any:
        return boards.current().update("count", lambda count: (count or 0) + 1).value

    with Runner(database_url) as runner:
        for shared, values in ((True, [1, 2]), (False, [1, 1])):
            graph = team(work, board=Board("plan", shared=shared, write=ALL))
            runs = [runner.run(graph, "go", thread_id=f"{name} {shared}") for name in "ab"]
            assert [run.outcome.value for run in runs if run.outcome] == values
        assert facts(runner.board("plan").entries()) == [("count", 2, 2, "work")]
        assert boards.stored(runner.saver) == boards.stored(runner.saver, thread_id="a False") == ["plan"]


def test_a_thread_takes_its_boards_along(database_url: str) -> None:
    def first(request: Request) -> Any:
        return boards.current().put("k", request.path[-1]).version

    def second(request: Request) -> Any:
        return boards.current().put("k", request.path[-1]).version

    with Runner(database_url, graphs={"team": lambda: team(first, second)}) as runner:
        runner.run("team", "go", thread_id="t")
        runner.board("plan", author="ann").put("shared", 1)
        copy, head = runner.threads.copy("t"), runner.threads.fork("t")
        (between,) = [one["id"] for one in runner.history("t") if one["step"] == 3]  # before the second agent works
        fork = runner.threads.fork("t", checkpoint_id=between)
        boards_of = {name: runner.board("plan", thread_id=name) for name in ("t", copy, head, fork)}
        whole = [("k", "first", 1, "first"), ("k", "second", 2, "second")]
        assert [facts(boards_of[name].changes()) for name in ("t", copy, head, fork)] == [
            whole,
            whole,
            whole,
            whole[:1],
        ]
        assert {entry.run_id for entry in boards_of[copy].changes()} == {runner.status(copy).run_id}
        run = runner.resume(fork)
        assert run.outcome is not None
        assert run.outcome.value == 2
        assert facts(boards_of[fork].changes()) == whole
        runner.board("plan", thread_id="only a board", author="ann").put("k", 1)
        with pytest.raises(BadInput, match="that thread exists"):
            runner.threads.copy("t", "only a board")
        runner.threads.delete("t")
        runner.saver.delete_thread(copy)
        runner.threads.delete("only a board")
        assert runner.threads.ids() == sorted([head, fork])
        counts = [len(boards_of[name].changes()) for name in ("t", copy, head, fork)]
        assert (counts, len(runner.board("plan").changes())) == ([0, 0, 2, 2], 1)
        with pytest.raises(UnknownThread):
            runner.threads.delete("only a board")


def test_a_write_is_waited_for(database_url: str) -> None:
    with Runner(database_url) as runner, Runner(database_url) as other:
        plan = runner.board("plan", thread_id="t")
        theirs = other.board("plan", thread_id="t", author="ann")
        began = time.monotonic()
        assert plan.wait(0, timeout=0.1) == []
        assert asyncio.run(plan.await_(0, timeout=0.1)) == []
        assert time.monotonic() - began < 5
        first = theirs.put("k", 1)
        assert plan.wait(0, timeout=0.1) == [first]
        writing = Thread(target=lambda: (time.sleep(0.3), theirs.put("k", 2)))
        writing.start()
        assert [entry.value for entry in asyncio.run(plan.await_(first.number, timeout=30))] == [2]
        writing.join()


def test_a_run_without_a_database_has_its_boards_in_memory() -> None:
    run_ids: list[str] = []

    def work(request: Request) -> Any:
        run_ids.append(request.idempotency_key.partition("/")[0])
        return boards.current().update("count", lambda count: (count or 0) + 1).value

    graph = team(work, board=Board("in memory", write=ALL))
    plain, stored = graph.compile(), graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "a thread of this test"}}

    assert [plain.invoke({"task": "go"})["outcome"].value for _ in range(2)] == [1, 1]
    assert [PROCESS_BOARDS.names(run_id) for run_id in run_ids] == [[], []]
    assert [stored.invoke({"task": "go"}, config)["outcome"].value for _ in range(2)] == [1, 2]
    assert asyncio.run(stored.ainvoke({"task": "go"}, config))["outcome"].value == 3


def test_there_is_no_board_outside_of_agents_or_of_another_name() -> None:
    with pytest.raises(BadInput, match=r"no agent is at work here; outside of agents use Runner\.board"):
        boards.current()

    def other(request: Request) -> Any:
        boards.current("other")

    def none(request: Request) -> Any:
        boards.current()

    gaps = [team(other).compile().invoke({"task": "go"})["outcome"].gaps]
    gaps.append(pipeline([Agent("none", run=none)]).compile().invoke({"task": "go"})["outcome"].gaps)
    assert "no team here has a board 'other'; there are: 'plan'" in gaps[0][0].reason
    assert "no team here has a board; give it one where it is built" in gaps[1][0].reason


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda plan: plan.put("", 1), "1 to 200 characters"),
        (lambda plan: plan.put("x" * 201, 1), "1 to 200 characters"),
        (lambda plan: plan.put(7, 1), "1 to 200 characters"),
        (lambda plan: plan.get(""), "1 to 200 characters"),
        (lambda plan: plan.put("k", object()), "must be JSON data"),
        (lambda plan: plan.put("k", float("nan")), "must be JSON data"),
        (lambda plan: plan.put("k", "x" * 1_000_001), "has 1000003 bytes as JSON, at most 1000000"),
        (lambda plan: plan.put("k", 1, expect=-1), "number of a version"),
        (lambda plan: plan.put("k", 1, expect=True), "number of a version"),
        (lambda plan: plan.put("k", 1, kind="rule"), "`kind` must be one of 'decision', 'constraint', 'note'"),
        (lambda plan: plan.changes("1"), "`after` must be the number"),
        (lambda plan: plan.update("k", lambda value: 1, tries=0), "`tries` must be at least 1"),
        (lambda plan: plan.update("k", lambda value: 1, tries="3"), "`tries` must be a whole number, got '3'"),
        (lambda plan: plan.update("k", 7), "`function` must be a function, got 7"),
        (lambda plan: plan.entries(7), "`prefix` must be a text, got 7"),
        (lambda plan: plan.wait(0, timeout=None), "`timeout` must be a number of seconds, got None"),
        (lambda plan: plan.wait(0, timeout=float("nan")), "`timeout` must be a number of seconds, got nan"),
        (lambda plan: plan.changes(2**63), "`after` must be the number"),
        (lambda plan: plan.put("\ud800", 1), "is not valid Unicode text"),
        (lambda plan: plan.put("k", ["\ud800"]), "must be JSON data: it is not valid Unicode text"),
        (lambda plan: plan.put("k", {"a": "\ud800"}), "must be JSON data: it is not valid Unicode text"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Any, call: Callable[[Any], Any], reason: str) -> None:
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        plan = runner.board("plan", author="ann")
        with pytest.raises(BadInput, match=reason):
            call(plan)
        assert plan.changes() == []


def test_a_board_is_written_by_somebody(tmp_path: Any) -> None:
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        with pytest.raises(BadInput, match=r"needs an author: runner\.board\('plan', author=…\)"):
            runner.board("plan").put("k", 1)
        with pytest.raises(BadInput, match="the name of a board must be a text"):
            runner.board(" ")
        with pytest.raises(BadInput, match="the name of a board is not valid Unicode text"):
            runner.board("\ud800")
        for author, reason in (
            (7, "of at most 1000 characters, got 7"),
            ("\ud800", "not valid Unicode"),
            ("a" * 1_001, "1000"),
        ):
            with pytest.raises(BadInput, match=reason):
                runner.board("plan", author=author)  # pyright: ignore[reportArgumentType]
        assert runner.board("plan", author="ann").delete("k") is None
        with pytest.raises(BoardConflict):
            runner.board("plan", author="ann").delete("k", expect=1)


def test_an_update_calls_its_function_again_as_often_as_it_may(tmp_path: Any) -> None:
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        plan, values = runner.board("plan", author="ann"), list[Any]()

        def crossed(value: Any) -> Any:
            values.append(value)
            plan.put("k", len(values))
            return "mine"

        with pytest.raises(BoardConflict) as found:
            plan.update("k", crossed, tries=3)

        assert values == [None, 1, 2]
        assert found.value.current is not None
        assert found.value.current.value == 3
        assert plan.update("k", lambda value: value + 1, kind="decision").value == 4


@pytest.mark.parametrize("name", ["plän", "a board", "x" * 60])
def test_tools_have_names_that_models_take(name: str) -> None:
    names = [tool.name for tool in boards.board_tools(name)]

    assert names == ["read_board", "write_board"]
    assert [tool.name for tool in boards.board_tools("x" * 58)] == [f"read_{'x' * 58}", f"write_{'x' * 58}"]


def test_a_model_is_shown_no_more_than_it_can_read(tmp_path: Any) -> None:
    seen: list[str] = []

    def noted(messages: list[Any]) -> str:
        seen.append(str(messages[-1].content))
        return "done"

    model = ScriptedModel(replies=[called("read_plan"), noted])
    graph = pipeline([Agent("model", model=model, tools=boards.board_tools("plan"))], board=Board("plan"))
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        plan = runner.board("plan", thread_id="t", author="ann")
        plan.put("a", 1)
        plan.put("b", "x" * 60_000)
        plan.put("c", 3)
        assert runner.run(graph, "go", thread_id="t").status == "completed"

    lines = seen[0].splitlines()
    assert [line[:11] for line in lines] == ['{"key": "a"', '{"key": "b"', '{"key": "c"']
    assert "60002 characters are too many to be shown" in lines[1]
    assert len(seen[0]) < 1_000


def called(name: str, **given: Any) -> AIMessage:
    return AIMessage("", tool_calls=[tool_call(name=name, args=given, id=f"c{len(given)}{given.get('value')}")])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_model_reads_and_writes_by_tools(tmp_path: Any, *, is_async: bool) -> None:
    seen: list[str] = []

    def noted(reply: Any) -> Callable[[Any], Any]:
        def next_reply(messages: list[Any]) -> Any:
            seen.extend(str(messages[-1].content) for _ in (0,) if isinstance(messages[-1], ToolMessage))
            return reply

        return next_reply

    replies = [
        called("read_plan"),
        called("write_plan", key="route", value="by train", expected_version=0, kind="decision"),
        called("write_plan", key="budget", value=500, expected_version=7),
        called("write_plan", key="secret", value=1, expected_version=0),
        called("write_plan", key="", value=2, expected_version=0),
        called("read_plan", prefix="rou"),
        "done",
    ]
    model = ScriptedModel(replies=[noted(reply) for reply in replies])
    agent = Agent("model", model=model, tools=boards.board_tools("plan"))
    graph = pipeline([agent], board=Board("plan", write={"model": ("route", "budget")}))
    with Runner(SQLITE.format(tmp_path / "r.db")) as runner:
        runner.board("plan", thread_id="t", author="ann").put("budget", 450, kind="constraint")
        if is_async:
            run = asyncio.run(runner.arun(graph, "go", thread_id="t"))
        else:
            run = runner.run(graph, "go", thread_id="t")
        entries = facts(runner.board("plan", thread_id="t").entries())

    assert run.outcome is not None
    assert run.outcome.value == "done"
    assert entries == [("budget", 450, 1, "ann"), ("route", "by train", 1, "model")]
    budget = '{"key": "budget", "value": 450, "kind": "constraint", "version": 1, "author": "ann"}'
    assert seen[0] == budget
    assert seen[1] == "written: 'route' is at version 1"
    assert seen[2].startswith("not written: entry 'budget' of board 'plan' was expected at version 7")
    assert seen[2].endswith(f"It is now: {budget}")
    assert seen[3].startswith("not written: 'model' may not write 'secret'")
    assert seen[4].startswith("not written: the key of a board's entry")
    assert seen[5] == '{"key": "route", "value": "by train", "kind": "decision", "version": 1, "author": "model"}'


def again(tmp_path: Any, work: Callable[[Request], Any]) -> tuple[str | None, list[BoardEntry]]:
    """Run an agent to its interrupt, let ann write `k`, and run it again; return the status and the versions of `k`."""
    with Runner(SQLITE.format(tmp_path / "r.db"), graphs={"team": lambda: team(work)}) as runner:
        waiting = runner.run("team", "go", thread_id="t").waiting
        runner.board("plan", thread_id="t", author="ann").put("k", "by ann")
        run = runner.resume("t", answers={waiting[0].id: "yes"})
        return run.status, runner.board("plan", thread_id="t").history("k")


def test_an_update_that_was_made_is_not_asked_again_when_the_attempt_runs_again(tmp_path: Any) -> None:
    seen: list[Any] = []

    def claims(request: Request) -> Any:
        def claim(owner: Any) -> str:
            seen.append(owner)
            if owner is not None:
                raise RuntimeError(f"taken by {owner}")
            return "me"

        assert boards.current().update("k", claim).version == 1
        return interrupt("go on?")

    status, versions = again(tmp_path, claims)

    assert (status, [entry.value for entry in versions], seen) == ("completed", ["me", "by ann"], [None])


def test_a_deletion_that_found_nothing_does_not_delete_what_followed_when_the_attempt_runs_again(tmp_path: Any) -> None:
    found: list[Any] = []

    def clears(request: Request) -> Any:
        plan = boards.current()
        found.append(plan.delete("k"))
        plan.put("k", "new", expect=0)
        return interrupt("go on?")

    status, versions = again(tmp_path, clears)

    assert (status, found) == ("completed", [None, None])
    assert [(entry.value, entry.author) for entry in versions if not entry.is_deleted] == [
        ("new", "clears"),
        ("by ann", "ann"),
    ]
    assert versions[-1].value == "by ann"


@pytest.mark.parametrize("is_put", [False, True])
def test_writes_beside_one_that_fails_are_made_once_when_the_attempt_runs_again(tmp_path: Any, *, is_put: bool) -> None:
    pauses = iter([0.0, 0.3])

    def refuses(value: Any) -> Any:
        time.sleep(0.1)
        raise ValueError("no")

    async def gathers(request: Request) -> Any:
        plan, pause = boards.current(), next(pauses)

        async def writes() -> Any:
            await asyncio.sleep(pause)
            if is_put:
                return await plan.aput("k", 1, expect=0)
            return await plan.aupdate("k", lambda count: 1 if count is None else "twice")

        first, second = await asyncio.gather(plan.aupdate("k", refuses), writes(), return_exceptions=True)
        assert isinstance(first, ValueError)
        assert isinstance(second, BoardEntry)
        assert second.version == 1
        return interrupt("go on?")

    status, versions = again(tmp_path, gathers)

    assert (status, [entry.value for entry in versions]) == ("completed", [1, "by ann"])


def test_an_update_and_a_put_may_change_places_when_the_attempt_runs_again(tmp_path: Any) -> None:
    orders = iter([False, True])

    def changes(request: Request) -> Any:
        plan = boards.current()
        calls = [lambda: plan.put("k", 1), lambda: plan.update("k", lambda count: count + 1)]
        for call in calls[:: -1 if next(orders) else 1]:
            call()
        return interrupt("go on?")

    status, versions = again(tmp_path, changes)

    assert (status, [entry.value for entry in versions]) == ("completed", [1, 2, "by ann"])


def test_an_update_may_write_the_same_entry_in_its_function(tmp_path: Any) -> None:
    def changes(request: Request) -> Any:
        plan = boards.current()

        def counts(count: Any) -> Any:
            if count is None:
                plan.update("k", lambda inner: 1)
            return (count or 0) + 1

        plan.update("k", counts)
        return interrupt("go on?")

    status, versions = again(tmp_path, changes)

    assert status == "completed"
    assert [entry.value for entry in versions][:2] == [1, 2]
