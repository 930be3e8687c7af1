"""Books in a database that is busy hold up those who need them, and not the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import Amount, Request, ReservationDenied
from guardgraph.storage import MemoryLedger, SQLLedger
from guardgraph.storage.sql.engine import engine_of
from tests.graphs.teams import plan_of, speaker, team


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


@pytest.fixture
def books(file: Path) -> Generator[SQLLedger]:
    ledger = SQLLedger(engine_of(f"sqlite:///{file}"), tenant="")
    yield ledger
    ledger.engine.dispose()


@asynccontextmanager
async def busy(file: Path) -> AsyncGenerator[None]:
    """Let nobody else write, until the event loop has gone on for a while: a loop that stands still waits in vain."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")

    async def release() -> None:
        for _ in range(30):
            await asyncio.sleep(0.01)
        connection.execute("ROLLBACK")

    releasing = asyncio.create_task(release())
    try:
        yield
    finally:
        await releasing
        connection.close()


@pytest.mark.timeout(60)
async def test_a_busy_database_does_not_stop_the_event_loop(file: Path, books: SQLLedger) -> None:
    held = AsyncExitStack()

    async def calls(request: Request) -> str:
        await held.enter_async_context(busy(file))
        return "done"

    workers = [Agent("worker", run=calls), speaker("model", read=80, written=20)]
    graph = team(plan_of("a", "b"), workers=workers, guards=[Budget(tokens=10_000)]).compile()
    config: Any = {"configurable": {KEY: ExecutionContext(Services(ledger=books))}}

    async with held:
        outcome = (await graph.ainvoke({"task": "the task"}, config))["outcome"]

    assert (outcome.status, outcome.usage.tokens) == ("completed", 100), outcome.gaps


@pytest.mark.timeout(60)
async def test_an_attempt_that_is_cancelled_is_settled_though_the_database_is_busy(
    file: Path, books: SQLLedger
) -> None:
    at_work = asyncio.Event()

    async def calls(request: Request) -> str:
        at_work.set()
        await asyncio.sleep(60)
        return "never"

    graph = team(plan_of("a"), workers=[Agent("worker", run=calls)], guards=[Budget(tokens=10_000)]).compile()
    here = ExecutionContext(Services(ledger=books), run_id="run")
    running = asyncio.create_task(graph.ainvoke({"task": "the task"}, {"configurable": {KEY: here}}))
    await at_work.wait()

    async with busy(file):
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    account = "run/work/worker:a#1"
    assert books.reserve("late", account, 1, Amount(tokens=1)) == ReservationDenied(account, "closed")
    assert here.services.in_flight_attempts() == {}


class Watched(MemoryLedger):
    """Books that note which of their calls that block are made on an event loop."""

    def __init__(self, blocks: bool) -> None:
        super().__init__()
        self.asked, self.on_a_loop = 0, list[str]()
        self.blocks, self.reserving_blocks = blocks, True

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        if not self.blocks and (amount.tokens or amount.calls or amount.usd):
            self._note("reserve")
        return super().reserve(entry, account, epoch, amount)

    def __getattribute__(self, name: str) -> Any:
        if name in ("open", "reopen", "reserve", "settle", "close", "balances", "usage") and self.blocks:
            self._note(name)
        return super().__getattribute__(name)

    def _note(self, name: str) -> None:
        self.asked += 1
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            self.on_a_loop.append(name)


@pytest.mark.parametrize(("blocks", "least"), [(True, 20), (False, 2)], ids=["all calls block", "reserving does"])
async def test_what_blocks_is_not_called_on_an_event_loop(blocks: bool, least: int) -> None:
    books = Watched(blocks)
    model = ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20)
    below = team(plan_of("x"), workers=[speaker("leaf", read=80, written=20)]).compile()

    async def calls(request: Request) -> str:
        await below.ainvoke({"task": request.goal})
        return (await model.ainvoke(request.goal)).text

    async def fails(request: Request) -> str:
        raise ValueError("no")

    workers = [
        Agent("function", run=calls, budget_share=0.5),
        Agent("failing", run=fails, attempts=2),
        speaker("model", read=80, written=20),
    ]
    graph = team(plan_of("a", "b", "c"), workers=workers, guards=[Budget(tokens=100_000)], concurrency=2).compile()

    await graph.ainvoke({"task": "the task"}, {"configurable": {KEY: ExecutionContext(Services(ledger=books))}})

    assert books.asked > least
    assert books.on_a_loop == []
