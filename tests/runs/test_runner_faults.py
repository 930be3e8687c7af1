"""What a fault of the database does to a run: it ends with the typed error, whoever swallows it, and can be resumed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from langgraph.types import interrupt
from sqlalchemy import Engine, create_engine, event, func, make_url, select

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget, Convergence, Depth
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.state import (
    GuardgraphError,
    Plan,
    Request,
    StorageCorrupt,
    StorageError,
    StorageReadOnly,
    StorageUnavailable,
    Subtask,
)
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.tables import checkpoints

MODEL = ScriptedModel(replies=lambda messages: "said", input_tokens=30, output_tokens=10)


@dataclass
class Cut:
    """A database that can be taken away: a SQLite file that can only be read, a server that lets nobody in."""

    url: str
    error: type[StorageError]
    is_cut: bool = False

    def attach(self, engine: Engine) -> None:
        if engine.dialect.name == "sqlite":
            event.listen(engine, "checkout", lambda connection, *_: connection.execute(self._pragma()))

    def _pragma(self) -> str:
        return f"PRAGMA query_only = {'ON' if self.is_cut else 'OFF'}"

    def cut(self) -> None:
        self.is_cut = True
        self._let_in("false")

    def mend(self) -> None:
        self.is_cut = False
        self._let_in("true")

    def _let_in(self, anybody: str) -> None:
        address = make_url(self.url)
        if address.get_backend_name() == "sqlite":
            return
        admin = create_engine(
            address.set(drivername="postgresql+psycopg", database="postgres"), isolation_level="AUTOCOMMIT"
        )
        with admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {address.database} ALLOW_CONNECTIONS {anybody}")
            if anybody == "false":
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                connection.exec_driver_sql(others, (address.database,)).all()
        admin.dispose()


@dataclass
class Crew:
    """Three workers; the second one loses the database the first time, and swallows whatever follows."""

    database: Cut
    how: str
    is_short: bool = False
    """Whether the database is back before the worker returns."""
    worked: Counter[str] = field(default_factory=Counter[str])

    def plan(self, request: Request) -> Plan:
        if request.round > 1:
            return Plan()
        goals = ["a", "b", "c"]
        return Plan(subtasks=tuple(Subtask(id=g, goal=g, depends_on=tuple(goals[:n])) for n, g in enumerate(goals)))

    def work(self, request: Request) -> str:
        self.worked[request.goal] += 1
        if request.goal == "b" and self.worked["b"] == 1:
            self.database.cut()
            with suppress(BaseException):
                return self.ask(request)
            if self.is_short:
                self.database.mend()
            return "never mind"
        return self.ask(request)

    def ask(self, request: Request) -> str:
        if self.how == "model":
            return MODEL.invoke("go", max_tokens=10).text
        if self.how == "team":
            inner = supervisor(planner=Agent("planner", run=once), workers=[Agent("leaf", run=lambda request: "leaf")])
            return str(inner.compile().invoke({"task": request.goal})["outcome"].value)
        return request.goal

    def team(self) -> Any:
        return supervisor(
            planner=Agent("planner", run=self.plan),
            workers=[Agent("worker", run=self.work)],
            guards=[Budget(tokens=10_000), Depth(), Convergence()],
        )

    def nested(self) -> Any:
        return supervisor(
            planner=Agent("planner", run=once),
            workers=[Agent("low", run=self.team().compile())],
            guards=[Budget(tokens=20_000), Depth(), Convergence()],
            name="top",
        )


def once(request: Request) -> Plan:
    return Plan() if request.round > 1 else Plan(subtasks=(Subtask(id="all", goal="all"),))


@pytest.fixture
def database(database_url: str) -> Iterator[Cut]:
    error = StorageReadOnly if database_url.startswith("sqlite") else StorageUnavailable
    opened = Cut(database_url, error)
    yield opened
    opened.mend()


async def run_it(runner: Runner, on: str) -> Run:
    if on == "loop":
        return await runner.arun("crew", "t", thread_id="thread")
    return await asyncio.to_thread(runner.run, "crew", "t", thread_id="thread")


@pytest.mark.parametrize("on", ["thread", "loop"])
@pytest.mark.parametrize("build", [Crew.team, Crew.nested])
@pytest.mark.parametrize(("how", "is_short"), [("model", False), ("model", True), ("team", False), ("nothing", False)])
async def test_a_fault_of_the_database_ends_the_run_with_its_typed_error_and_resume_finishes_it(
    database: Cut, how: str, is_short: bool, build: Any, on: str
) -> None:
    crew = Crew(database, how, is_short)
    with Runner(database.url, graphs={"crew": lambda: build(crew)}) as runner:
        database.attach(runner.saver.engine)
        with pytest.raises(GuardgraphError) as caught:
            await run_it(runner, on)
        database.mend()
        assert type(caught.value) is database.error
        assert runner.status("thread").status == "stopped"
        assert crew.worked == {"a": 1, "b": 1}

        run = await (runner.aresume("thread") if on == "loop" else asyncio.to_thread(runner.resume, "thread"))

    assert run.status == "completed"
    assert crew.worked == {"a": 1, "b": 2, "c": 1}
    assert "never mind" not in repr(run.outcome)


def test_a_damaged_thread_does_not_hide_the_runs_of_others(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    team = pipeline([Agent("ask", run=lambda request: interrupt("may I?"))])
    with Runner(sqlite_url, graphs={"team": lambda: team}) as runner:
        runner.run("team", "t", thread_id="good")
        runner.run("team", "t", thread_id="bad")
        with write_transaction(runner.saver.engine) as connection:
            newest = select(func.max(checkpoints.c.checkpoint_id)).scalar_subquery()
            connection.execute(checkpoints.update().where(checkpoints.c.checkpoint_id == newest).values(body=b"!"))

        assert [(one.row.thread_id, one.status) for one in runner.list_runs()] == [
            ("bad", "stopped"),
            ("good", "waiting"),
        ]
        assert "thread 'bad' is damaged in 'body'" in caplog.text
        with pytest.raises(StorageCorrupt):
            runner.status("bad")
