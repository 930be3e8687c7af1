"""Events that are published to a thread: stored once, delivered by whoever works on it, and never lost."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event as Flag
from typing import Any

import pytest
from sqlalchemy import delete, update

from guardgraph.agents import Agent
from guardgraph.graphs import Subscription, reactive
from guardgraph.runs import Runner
from guardgraph.state import (
    BadInput,
    Event,
    Request,
    StorageCorrupt,
    UnknownThread,
    deliveries_of,
    events_of,
)
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.published_table import published


def item(number: int, source: str = "shop") -> Event:
    return Event(type="item", data=number, source=source, id=str(number))


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def any_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


class Team:
    """One agent that handles items, until `stop` comes."""

    def __init__(self) -> None:
        self.poison: set[Any] = set()
        self.handled: list[Any] = []
        self.entered, self.go_on, self.holds = Flag(), Flag(), False

    def work(self, request: Request) -> Any:
        assert request.event is not None
        data = request.event.data
        if data in self.poison if isinstance(data, int) else False:
            raise ValueError("poison")
        if self.holds and request.event.type == "item":
            self.entered.set()
            assert self.go_on.wait(60)
        if request.event.type == "item":
            self.handled.append(data)
        return data

    def graph(self) -> Any:
        worker = Subscription(Agent("worker", run=self.work), ["task", "item"])
        return reactive([worker], accepts=["item", "stop"], until=["stop"], value=["item"])


def test_a_waiting_run_wakes_and_a_duplicate_is_harmless(any_url: str) -> None:
    team = Team()
    with Runner(any_url, graphs={"g": team.graph}) as runner:
        assert runner.run("g", "go", thread_id="t").status == "waiting"
        assert [runner.publish("t", item(number)) for number in (1, 2, 1)] == [(1, True), (2, True), (1, False)]
        assert (team.handled, runner.status("t").status) == ([1, 2], "waiting")
        runner.publish("t", {"type": "stop"})
        run = runner.status("t")

    assert (run.status, run.outcome and run.outcome.value) == ("completed", [1, 2])


def test_a_process_without_the_graph_stores_and_a_worker_wakes(sqlite_url: str) -> None:
    team = Team()
    with Runner(sqlite_url, graphs={"g": team.graph}) as worker, Runner(sqlite_url) as other:
        worker.run("g", "go", thread_id="t")
        other.publish("t", item(1))
        assert (team.handled, worker.status("t").status) == ([], "waiting")
        assert [run.status for run in worker.wake()] == ["waiting"]
        assert (team.handled, worker.wake()) == ([1], [])
        other.publish("t", item(2))
        assert worker.resume("t").status == "waiting"
    assert team.handled == [1, 2]


def test_what_is_published_while_the_run_is_active_is_delivered_by_its_owner(sqlite_url: str) -> None:
    team = Team()
    team.holds = True
    with (
        Runner(sqlite_url, graphs={"g": team.graph}) as runner,
        Runner(sqlite_url) as other,
        ThreadPoolExecutor(1) as p,
    ):
        runner.run("g", "go", thread_id="t")
        working = p.submit(runner.publish, "t", item(1))
        assert team.entered.wait(60)
        other.publish("t", item(2))
        team.go_on.set()
        working.result(60)
    assert team.handled == [1, 2]


def test_an_event_that_comes_just_before_the_lease_is_given_back_is_not_lost(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Team()
    with Runner(sqlite_url, graphs={"g": team.graph}) as runner, Runner(sqlite_url) as other:
        end, sent = type(runner._attempts).end, list[Any]()  # pyright: ignore[reportPrivateUsage]

        def late(self: Any, attempt: Any) -> Any:
            if not sent:
                sent.append(other.publish("t", item(1)))
            return end(self, attempt)

        monkeypatch.setattr(type(runner._attempts), "end", late)  # pyright: ignore[reportPrivateUsage]
        assert runner.run("g", "go", thread_id="t").status == "waiting"
    assert team.handled == [1]


def test_a_parked_event_is_replayed_also_after_the_end(sqlite_url: str) -> None:
    team = Team()
    team.poison = {1, 2}
    with Runner(sqlite_url, graphs={"g": team.graph}) as runner:
        runner.run("g", "go", thread_id="t")
        for number in (1, 2, 3):
            runner.publish("t", item(number))
        team.poison = {2}
        runner.replay("t", "shop/1")
        assert team.handled == [3, 1]
        runner.publish("t", {"type": "stop"})
        first = runner.status("t")
        assert first.outcome is not None
        assert [(gap.subtask, gap.reason) for gap in first.outcome.gaps] == [
            ("2:item:worker", "event shop/2: ValueError: poison")
        ]
        team.poison = set()
        runner.replay("t", "2")
        assert (team.handled, runner.status("t").run_id != first.run_id) == ([3, 1, 2], True)
        for name in ("shop/2", "shop/9"):
            with pytest.raises(BadInput, match="has no parked event"):
                runner.replay("t", name)


def test_what_comes_after_the_end_is_delivered_by_the_next_run_and_the_task_only_once(sqlite_url: str) -> None:
    team = Team()
    with Runner(sqlite_url, graphs={"g": team.graph}) as runner:
        runner.run("g", "go", thread_id="t")
        runner.publish("t", {"type": "stop"})
        runner.publish("t", item(1))
        assert (team.handled, runner.status("t").status) == ([], "degraded")  # no item has come, so no value
        assert [run.status for run in runner.wake("t")] == ["waiting"]
        state = runner.status("t").state
    assert team.handled == [1]
    assert [event.type for event in events_of(state)] == ["task", "stop", "item"]
    assert [one.status for one in deliveries_of(state)] == ["handled", "handled"]


@pytest.mark.parametrize("ends", ["cancel", "limit"])
def test_what_was_published_and_not_handled_is_delivered_by_the_next_run(sqlite_url: str, ends: str) -> None:
    handled: list[Any] = []
    entered, go_on = Flag(), Flag()

    def work(request: Request) -> Any:
        assert request.event is not None
        if not go_on.is_set():
            entered.set()
            assert go_on.wait(60)
        handled.append(request.event.data)
        return request.event.data

    limit = 4 if ends == "limit" else 100
    worker = Subscription(Agent("worker", run=work), ["item"])
    team = reactive([worker], accepts=["item", "stop"], until=["stop"], events=limit, value=["item"])
    with Runner(sqlite_url, graphs={"g": team}) as runner, ThreadPoolExecutor(1) as pool:
        runner.run("g", "go", thread_id="t")
        for number in range(5):
            runner.publish("t", item(number), wake=False)
        working = pool.submit(runner.wake, "t")
        assert entered.wait(60)
        if ends == "cancel":
            runner.drain(thread_id="t")
            go_on.set()
            working.result(60)
            first = runner.cancel("t")
        else:
            go_on.set()
            first = working.result(60)[-1]
        assert first.outcome is not None
        assert first.status == ("cancelled" if ends == "cancel" else "degraded")
        assert {gap.reason for gap in first.outcome.gaps} >= {"x"} or first.outcome.gaps
        assert len(handled) < 5
        assert first.outcome.gaps
        runner.run("g", "again", thread_id="t")
        runner.publish("t", {"type": "stop"})
        run = runner.status("t")
        if ends == "limit":
            runner.wake("t")
            runner.publish("t", {"type": "stop", "id": "2"})
            run = runner.status("t")
    assert {*handled} == {*range(5)}
    assert {one.status for one in deliveries_of(run.state)} <= {"handled", "filtered"}


def test_publishing_at_once_leaves_no_hole_and_keeps_the_order_of_a_source(any_url: str) -> None:
    with Runner(any_url, graphs={"g": Team().graph}) as runner, ThreadPoolExecutor(4) as pool:
        runner.run("g", "go", thread_id="t")
        every = [item(number, source) for number in range(10) for source in "ab"]
        mine = [[event for event in every if event.source == source] for source in "abab"]
        done = [pool.submit(lambda some=some: [runner.publish("t", one, wake=False) for one in some]) for some in mine]
        for one in done:
            one.result(120)
        runner.wake("t")
        events = [event for event in events_of(runner.status("t").state) if event.type == "item"]
    assert len(events) == 20
    assert [[event.data for event in events if event.source == source] for source in "ab"] == [[*range(10)]] * 2


def test_copies_and_forks_have_what_was_published_and_a_deletion_removes_it(sqlite_url: str) -> None:
    team = Team()
    with Runner(sqlite_url, graphs={"g": team.graph}, key=b"k" * 32) as runner:
        runner.run("g", "go", thread_id="t")
        runner.publish("t", item(1), wake=False)
        copy, fork = runner.threads.copy("t"), runner.threads.fork("t")
        for thread in (copy, fork):
            assert runner.publish(thread, item(2)) == (2, True)
        assert team.handled == [1, 2, 1, 2]
        runner.threads.delete(copy)
        with pytest.raises(UnknownThread):
            runner.publish(copy, item(3))


def test_damage_is_found_and_what_does_not_fit_is_refused(sqlite_url: str) -> None:
    with Runner(sqlite_url, graphs={"g": Team().graph}) as runner:
        runner.run("g", "go", thread_id="t")
        for wrong, words in (({"type": ""}, "at least 1 character"), ({"type": "odd"}, "accepts no events")):
            with pytest.raises(BadInput, match=words):
                runner.publish("t", wrong)
        with pytest.raises(BadInput, match="a source of graph 'g' itself"):
            runner.publish("t", {"type": "item", "source": "worker"})
        with pytest.raises(UnknownThread):
            runner.publish("nowhere", item(1))
        for number in (1, 2):
            runner.publish("t", item(number), wake=False)
        mine = (published.c.tenant == "", published.c.thread_id == "t", published.c.number == 1)
        with write_transaction(runner.saver.engine) as connection:
            connection.execute(update(published).where(*mine).values(data=b"x" * 40))
        with pytest.raises(StorageCorrupt, match="number 1 is not what was stored"):
            runner.wake("t")
        with write_transaction(runner.saver.engine) as connection:
            connection.execute(delete(published).where(*mine))
        with pytest.raises(StorageCorrupt, match="number 1 is missing"):
            runner.wake("t")


def test_waking_looks_only_at_threads_that_have_something_undelivered(
    any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Team()
    with Runner(any_url, graphs={"g": team.graph}) as runner, Runner(any_url) as other:
        for thread in ("a", "b", "c"):
            runner.run("g", "go", thread_id=thread)
            runner.publish(thread, item(1))
        other.publish("b", item(2))
        looked: list[str] = []
        now = type(runner._records).now  # pyright: ignore[reportPrivateUsage]

        def counted(self: Any, thread_id: str) -> Any:
            looked.append(thread_id)
            return now(self, thread_id)

        monkeypatch.setattr(type(runner._records), "now", counted)  # pyright: ignore[reportPrivateUsage]
        assert [run.thread_id for run in runner.wake()] == ["b"]
        assert {*looked} == {"b"}
        looked.clear()
        assert (runner.wake(), looked) == ([], [])
        runner.cancel("b")
        runner.threads.delete("b")
        runner.run("g", "go", thread_id="b")
        other.publish("b", item(1))
        assert [run.thread_id for run in runner.wake()] == ["b"]


def test_what_cannot_be_delivered_is_refused_by_the_publisher(sqlite_url: str) -> None:
    """Nothing is stored: of an event without JSON, and of another one under the same id."""
    with Runner(sqlite_url, graphs={"g": Team().graph}) as runner:
        runner.run("g", "go", thread_id="t")
        facts: dict[str, Any] = {**Event(type="item", source="shop", id="9").model_dump(), "data": object()}
        with pytest.raises(BadInput, match="data"):
            runner.publish("t", Event.model_construct(**facts))
        runner.publish("t", item(1))
        assert not runner.publish("t", item(1).model_copy(update={"time": datetime.now(UTC)})).is_new
        with pytest.raises(BadInput, match="with other content"):
            runner.publish("t", item(1).model_copy(update={"data": 2}))
        assert runner.publish("t", item(2)) == (2, True)


def test_a_run_does_not_end_before_it_has_read_all_that_was_published(sqlite_url: str) -> None:
    """However many of it are excluded at once."""
    team, chosen = Team(), lambda event: event.data == 299
    worker = Subscription(Agent("worker", run=team.work), ["item"], where=chosen)
    with Runner(sqlite_url, graphs={"g": reactive([worker], accepts=["item"])}) as runner:
        runner.run("g", "go", thread_id="t")
        for number in range(300):
            runner.publish("t", item(number), wake=False)
        runner.wake()
        assert (team.handled, runner.wake()) == ([299], [])


def test_sources_and_ids_with_a_slash_are_not_taken_for_each_other(sqlite_url: str) -> None:
    team = Team()
    with Runner(sqlite_url, graphs={"g": team.graph}) as runner:
        runner.run("g", "go", thread_id="t")
        runner.publish("t", Event(type="item", data=1, source="a/b", id="c"))
        runner.publish("t", Event(type="item", data=2, source="a", id="b/c"))
        runner.publish("t", Event(type="item", data=3, source="a%2Fb", id="c"))
    assert team.handled == [1, 2, 3]


def test_the_async_twins(sqlite_url: str) -> None:
    team = Team()
    team.poison = {2}

    async def main() -> None:
        async with Runner(sqlite_url, graphs={"g": team.graph}) as runner:
            await runner.arun("g", "go", thread_id="t")
            await runner.apublish("t", item(1))
            await runner.apublish("t", item(2), wake=False)
            assert [run.status for run in await runner.awake()] == ["waiting"]
            team.poison = set()
            await runner.areplay("t", "shop/2")

    asyncio.run(main())
    assert team.handled == [1, 2]


def test_a_run_that_waits_shows_what_is_parked(sqlite_url: str) -> None:
    """How much, and the first three; what was delivered again is not parked any more."""
    team = Team()
    team.poison = {1, 2, 3, 4, 5, 6}
    with Runner(sqlite_url, graphs={"g": team.graph}) as runner, Runner(sqlite_url) as other:
        runner.run("g", "go", thread_id="t")
        assert (runner.status("t").parked, "parked" in str(runner.status("t"))) == ((), False)
        for number in (0, 1, 2, 3, 4, 5, 6):
            runner.publish("t", item(number))
        team.poison -= {1}
        runner.replay("t", "shop/1")
        run = other.status("t")

    assert [(one.event, one.subscriber) for one in run.parked] == [
        (f"shop/{number}", "worker") for number in range(2, 7)
    ]
    assert [line for line in str(run).splitlines() if "waits" not in line][2:] == [
        "parked: 5 deliveries, which `replay` makes again",
        "  shop/2 at worker: ValueError: poison",
        "  shop/3 at worker: ValueError: poison",
        "  shop/4 at worker: ValueError: poison",
        "  and 2 more",
    ]


def test_several_parked_events_are_replayed_by_one_run(sqlite_url: str) -> None:
    team = Team()
    team.poison = {1, 2}
    with Runner(sqlite_url, graphs={"g": team.graph}) as runner:
        runner.run("g", "go", thread_id="t")
        for event in (item(1), item(2), {"type": "stop"}):
            runner.publish("t", event)
        team.poison = set()
        for ref in ("shop/1", "shop/2"):
            runner.replay("t", ref, wake=False)
        assert team.handled == []
        assert [run.run_id for run in runner.wake("t")] == [runner.status("t").run_id]
    assert team.handled == [1, 2]
