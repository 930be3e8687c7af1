"""The stores of reputation keep one contract: in memory, in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guardgraph.storage import Reputation
from guardgraph.storage.memory_reputation import MemoryReputation
from guardgraph.storage.reputation import HIGHEST_OVERRUN, LATEST, ReputationStore, SettledAward
from guardgraph.storage.sql.engine import close_engine, engine_of
from guardgraph.storage.sql.reputation import SQLReputation
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")


@pytest.fixture(params=["memory", "sqlite", "postgres", "mariadb"])
def store(request: pytest.FixtureRequest) -> Iterator[ReputationStore]:
    if request.param == "memory":
        yield MemoryReputation()
        return
    engine = engine_of(request.getfixturevalue(f"{request.param}_url"))
    yield SQLReputation(engine, tenant="")
    close_engine(engine)


def award(
    key: str, agent: str = "press", *, is_done: bool = True, bid: float = 2, actual: float | None = 3
) -> SettledAward:
    return SettledAward(key, agent, is_done, bid, actual, 0.5)


def test_an_agent_without_awards_is_neutral(store: ReputationStore) -> None:
    found = store.read(["press"])["press"]

    assert found == Reputation("press")
    assert (found.reliability, found.overrun) == (1, 1)


def test_awards_are_counted_and_averaged_by_agent(store: ReputationStore) -> None:
    store.record([award("1"), award("2", is_done=False, actual=None), award("3", bid=0), award("4", "other", actual=1)])
    found = store.read(["press", "other", "new"])

    assert found["press"] == Reputation("press", 3, 2, 1, 1.5, 0.5)
    assert found["other"] == Reputation("other", 1, 1, 1, 0.5, 0.5)
    assert found["new"].awards == 0
    assert found["press"].reliability == 0.75
    assert found["press"].overrun == 1.25


def test_a_failure_that_has_cost_little_is_no_saving(store: ReputationStore) -> None:
    store.record([award("1", is_done=False, actual=0)])

    found = store.read(["press"])["press"]
    assert (found.reliability, found.known_costs, found.overrun) == (0.5, 0, 1)


def test_an_award_that_is_recorded_again_changes_nothing(store: ReputationStore) -> None:
    store.record([award("1"), award("1", is_done=False)])
    store.record([award("1", is_done=False, actual=99)])
    store.record([])

    assert store.read(["press"])["press"] == Reputation("press", 1, 1, 1, 1.5, 0.5)


def test_only_the_latest_awards_count(store: ReputationStore) -> None:
    for number in range(3):
        store.record([award(f"old {number}", is_done=False)])
    for number in range(LATEST):
        store.record([award(f"new {number}")])

    found = store.read(["press"])["press"]
    assert (found.awards, found.done) == (LATEST, LATEST)


def test_one_award_does_not_decide_for_ever(store: ReputationStore) -> None:
    store.record([award("1", bid=0.000001, actual=1_000_000)])

    assert store.read(["press"])["press"].mean_overrun == HIGHEST_OVERRUN


@pytest.mark.parametrize("name", ["Drückerei 🖨", "a" * 100, "", "\udc80", "%_'\""])
def test_every_name_is_kept(store: ReputationStore, name: str) -> None:
    store.record([award("1", name), award("2", "other")])

    assert store.read([name])[name].awards == 1


def test_bidders_are_listed_by_their_latest_award(sqlite_url: str) -> None:
    engine = engine_of(sqlite_url)
    store = SQLReputation(engine, tenant="")
    for key, agent in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "c")):
        store.record([award(key, agent)])

    assert [(one.agent, one.awards) for one in store.listed(2)] == [("c", 1), ("a", 2)]
    assert SQLReputation(engine, tenant="other").listed(9) == []
    close_engine(engine)


def test_many_agents_are_read_at_once(store: ReputationStore) -> None:
    names = [f"agent{number}" for number in range(120)]
    store.record([award(name, name) for name in names])

    assert [one.awards for one in store.read([*names, "new"]).values()] == [1] * 120 + [0]
    assert len(store.listed(110) if isinstance(store, SQLReputation) else names[:110]) == 110


def test_what_is_known_of_an_agent_can_be_forgotten(store: ReputationStore) -> None:
    if not isinstance(store, SQLReputation):
        pytest.skip("it is gone with its process")
    store.record([*(award(f"{number}") for number in range(LATEST + 5)), award("other", "laser")])
    other = SQLReputation(store.engine, tenant="other")
    other.record([award("0")])

    assert store.forget("press", dry_run=True) == store.forget("press") == LATEST + 5
    assert (store.forget("press"), store.forget("nobody")) == (0, 0)
    assert [one.agent for one in store.listed(10)] == ["laser"]
    assert other.read(["press"])["press"].awards == 1
