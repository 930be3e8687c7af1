"""Tenants share a database and see nothing of each other: every public method of a `Runner`, and effects by key."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, NamedTuple, get_args

import pytest
from langgraph.types import interrupt
from sqlalchemy import Engine

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.guards import Breaker
from guardgraph.runs import Run, Runner, RunStatus
from guardgraph.runs.effects import Done, aonce, once, resolve, unknown
from guardgraph.runtime.boards.view import BoardView
from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.budget.learned_costs import LearnedCosts
from guardgraph.state import EffectUnknown, Request, UnknownThread, Usage
from guardgraph.storage import Reputation
from guardgraph.storage.reputation import SettledAward
from guardgraph.storage.sql.reputation import SQLReputation
from guardgraph.storage.sql.values import SQLValues
from tests.storage.sql.conftest import kept_url
from tests.storage.sql.rows import delete_rows_of, rows_of_tenant

__all__ = ("kept_url",)

THEIRS = "b"
OTHERS = ("", "B", "b ")
THREADS = ("done", "asks", "works")


class Call(NamedTuple):
    """Arguments, and what is returned or raised where there is nothing."""

    result: Any
    args: tuple[Any, ...] = ()
    options: dict[str, Any] | None = None


def of_each_thread(*args: Any) -> list[Call]:
    return [Call(UnknownThread, (thread, *args)) for thread in THREADS]


CALLS: dict[str, list[Call]] = {
    "status": of_each_thread(),
    "history": of_each_thread(),
    "events": of_each_thread(),
    "resume": of_each_thread(),
    "retry": of_each_thread(),
    "update": of_each_thread(),
    "cancel": of_each_thread(),
    "publish": of_each_thread({"type": "item"}),
    "replay": of_each_thread("shop/1"),
    "wake": [Call([])],
    "list_runs": [Call([]), *(Call([], options={"status": status}) for status in get_args(RunStatus))],
    "budgets": [Call([]), *(Call([], (thread,)) for thread in THREADS)],
    "set_budget": [Call(None, (None,), {"thread_id": thread}) for thread in (*THREADS, None)],
    "reputation": [Call(Reputation("worker"), ("worker",))],
    "list_reputations": [Call([])],
    "breakers": [Call([])],
    "costs": [Call([])],
    "reset_breaker": [Call(False, ("theirs",))],
    "forget_reputation": [Call(0, ("worker",)), Call(0, ("worker",), {"dry_run": True})],
    "drain": [Call(False), *(Call(False, options={"thread_id": thread}) for thread in THREADS)],
    "run": [Call(Run, ("team", "mine"), {"thread_id": thread}) for thread in THREADS],
    "board": [Call(BoardView, ("plan",), {"thread_id": thread}) for thread in (*THREADS, None)],
    "stream": [Call(list, ("team", "mine"), {"thread_id": thread}) for thread in THREADS],
}


def methods() -> list[str]:
    names = [name for name in dir(Runner) if not name.startswith("_") and callable(getattr(Runner, name))]
    return [name for name in names if name != "close"]


class Team:
    """One agent, which works, asks or waits as the goal says."""

    def __init__(self) -> None:
        self.entered, self.go_on = Event(), Event()

    def work(self, request: Request) -> str:
        if request.goal == "asks":
            return str(interrupt("theirs?"))
        if request.goal == "works":
            self.entered.set()
            assert self.go_on.wait(300)
        return once("mail", lambda: request.goal) if request.goal == "mine" else request.goal  # type: ignore[return-value]

    def graph(self) -> Any:
        return pipeline([Agent("worker", run=self.work)])


@pytest.fixture(scope="module")
def engine(kept_url: str) -> Iterator[Engine]:
    """Give a database in which another tenant has a run that has ended, one that waits, and one at work."""
    team = Team()
    with (
        Runner(kept_url, graphs={"team": team.graph}, tenant=THEIRS, lease_seconds=600) as runner,
        ThreadPoolExecutor(1) as pool,
    ):
        once("mail", lambda: "theirs", saver=runner.saver)
        for thread in (*THREADS, None):
            runner.board("plan", thread_id=thread, author="theirs").put("k", "theirs")
        with pytest.raises(ZeroDivisionError):
            once("open", lambda: 1 // 0, saver=runner.saver)
        assert runner.run("team", "theirs", thread_id="done").status == "completed"
        theirs = [SettledAward("theirs", "worker", False, 1.0, 2.0, 0.5)]
        SQLReputation(runner.saver.engine, tenant=THEIRS).record(theirs)
        learned = LearnedCosts(SQLValues(runner.saver.engine, tenant=THEIRS))
        learned.note("theirs", ["theirs"], Usage(calls=1))
        learned.store()
        Circuits(SQLValues(runner.saver.engine, tenant=THEIRS)).ended("theirs", "k", Breaker(rate=1.0), is_ok=False)
        assert runner.run("team", "asks", thread_id="asks").status == "waiting"
        working = pool.submit(runner.run, "team", "works", thread_id="works")
        assert team.entered.wait(60)
        yield runner.saver.engine
        team.go_on.set()
        assert working.result().status == "completed"
        delete_rows_of(runner.saver.engine, THEIRS)


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest, engine: Engine, kept_url: str) -> Iterator[Runner]:
    """Give the runner of another tenant, who has nothing."""
    with Runner(kept_url, graphs={"team": Team().graph}, tenant=request.param or None) as runner:
        yield runner
    delete_rows_of(engine, request.param)


async def collected(found: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in found]


def result_of(runner: Runner, name: str, call: Call) -> Any:
    try:
        found = getattr(runner, name)(*call.args, **(call.options or {}))
        if inspect.isasyncgen(found):
            return asyncio.run(collected(found))
        found = asyncio.run(found) if inspect.iscoroutine(found) else found
        return [*found] if inspect.isgenerator(found) else found
    except UnknownThread as error:
        return type(error)


@pytest.mark.parametrize(
    ("other", "name"), [(OTHERS[at % len(OTHERS)], name) for at, name in enumerate(methods())], indirect=["other"]
)
def test_a_runner_meets_nothing_of_another_tenant(engine: Engine, other: Runner, name: str) -> None:
    before = rows_of_tenant(engine, THEIRS)
    assert len(before) >= 8

    for call in CALLS.get(name) or CALLS[name.removeprefix("a")]:
        found = result_of(other, name, call)
        last = found[-1] if call.result is list else found
        if isinstance(last, Run):
            assert (last.status, last.outcome and last.outcome.value) == ("completed", "mine")
            assert [row.thread_id for row, _ in other.list_runs(1)] == [last.thread_id]
        elif isinstance(found, BoardView):
            assert (found.entries(), found.history("k"), found.changes()) == ([], [], [])
        else:
            assert found == call.result, call
        assert "theirs" not in repr(found)

    assert rows_of_tenant(engine, THEIRS) == before
    assert "theirs" not in repr(rows_of_tenant(engine, other.saver.tenant))


def test_every_public_method_of_a_runner_has_a_call() -> None:
    assert {name for name in methods() if name not in CALLS and name.removeprefix("a") not in CALLS} == set()


def test_an_effect_of_another_tenant_has_not_happened_here(engine: Engine, other: Runner) -> None:
    before, saver = rows_of_tenant(engine, THEIRS), other.saver

    assert unknown(saver) == []
    assert once("mail", lambda: "mine", saver=saver) == "mine"
    assert asyncio.run(aonce("open", lambda: asyncio.sleep(0, "mine"), saver=saver)) == "mine"
    resolve("done by hand", Done("mine"), saver=saver)
    with pytest.raises(ZeroDivisionError):
        once("broken", lambda: 1 // 0, saver=saver)
    with pytest.raises(EffectUnknown):
        once("broken", lambda: "mine", saver=saver)

    assert [one.key for one in unknown(saver)] == ["broken"]
    assert rows_of_tenant(engine, THEIRS) == before
