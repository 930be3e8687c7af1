"""Threads that LangGraph's own savers have stored go on here, as they would have gone on there."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.graph import START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from guardgraph.runs import Runner
from guardgraph.state import BadInput, NotADatabase, StorageUnavailable, UnknownThread
from guardgraph.storage import SQLSaver, aimport_threads, import_threads
from guardgraph.storage.sql.stock.versions import version_number
from tests.storage.sql.conftest import KINDS
from tests.storage.sql.stock.scenarios import SCENARIOS, config_of, stock_saver
from tests.storage.sql.stored import id_of

PAIRS = [("sqlite", kind) for kind in KINDS] + [("postgres", "sqlite")]


@pytest.fixture(params=PAIRS, ids="-".join)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Give the URLs of a stock database and of ours, in all pairs that differ."""
    source, target = request.param
    found = {kind: request.getfixturevalue(f"{kind}_url") for kind in {source, target}}
    return f"sqlite:///{tmp_path / 'stock.db'}" if source == "sqlite" else found[source], found[target]


@pytest.fixture
def stock_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'stock.db'}"


@pytest.fixture
def saver(sqlite_url: str) -> Iterator[SQLSaver]:
    with SQLSaver.from_url(sqlite_url) as opened:
        yield opened


def history(saver: BaseCheckpointSaver[Any], thread_id: str) -> list[Any]:
    """Return all checkpoints of a thread but for their versions, whose order alone is kept."""
    found = sorted(saver.list({"configurable": {"thread_id": thread_id}}), key=lambda item: id_of(item.config))
    return [item._replace(checkpoint=ranked(item.checkpoint)) for item in found]


def ranked(checkpoint: Any) -> Any:
    """Return a checkpoint with the ranks of its versions."""
    versions, seen = checkpoint["channel_versions"], checkpoint["versions_seen"]
    ranks = {
        version: rank
        for rank, version in enumerate(
            sorted({*versions.values(), *(v for some in seen.values() for v in some.values())})
        )
    }
    return {
        **checkpoint,
        "channel_versions": {name: ranks[version] for name, version in versions.items()},
        "versions_seen": {node: {name: ranks[v] for name, v in some.items()} for node, some in seen.items()},
    }


def begin(url: str, *names: str) -> dict[str, list[str]]:
    """Store the threads of scenarios with LangGraph's own saver; return what their nodes did."""
    did: dict[str, list[str]] = {name: [] for name in names}
    with stock_saver(url) as stock:
        for name in names:
            built = SCENARIOS[name].build(did[name])
            SCENARIOS[name].begin(compiled(built, stock), config_of(name))
    return did


def compiled(built: Any, saver: BaseCheckpointSaver[Any]) -> Any:
    return getattr(built, "builder", built).compile(checkpointer=saver)


def go_on(name: str, saver: BaseCheckpointSaver[Any]) -> tuple[Any, list[str]]:
    did = ["begun"]
    return SCENARIOS[name].go_on(compiled(SCENARIOS[name].build(did), saver), config_of(name)), did


def test_a_thread_goes_on_as_with_the_saver_that_stored_it(urls: tuple[str, str]) -> None:
    source, target = urls
    did = begin(source, *SCENARIOS)
    assert all(did[name] for name in ("interrupted", "failed", "agent"))

    with SQLSaver.from_url(target) as ours:
        results = [*import_threads(source, ours)]
        assert [(one.thread_id, one.result) for one in results] == [(name, "imported") for name in sorted(SCENARIOS)]
        with stock_saver(source) as stock:
            for one in results:
                there = history(stock, one.thread_id)
                assert history(ours, one.thread_id) == there
                assert one.checkpoints == len(there)
                assert one.writes == sum(len(item.pending_writes) for item in there)
                assert ours.verify(one.thread_id) == []
            for name in SCENARIOS:
                assert go_on(name, ours) == go_on(name, stock), name
                assert ours.verify(name) == []


def test_an_import_can_be_repeated_and_takes_what_is_named(stock_url: str, saver: SQLSaver) -> None:
    begin(stock_url, "failed", "travelled")

    (dry,) = import_threads(stock_url, saver, threads=["travelled"], dry_run=True)
    assert (dry.result, dry.checkpoints, [*saver.list(None)]) == ("importable", 9, [])
    assert [one.thread_id for one in import_threads(stock_url, saver, threads=["travelled"])] == ["travelled"]
    assert [one.result for one in import_threads(stock_url, saver)] == ["imported", "present"]
    go_on("travelled", saver)
    assert [one.result for one in import_threads(stock_url, saver)] == ["present", "present"]
    with pytest.raises(BadInput, match="has no thread 'nobody'; nothing was imported"):
        next(import_threads(stock_url, saver, threads=["travelled", "nobody"]))


def test_another_thread_of_the_same_name_is_left_alone(stock_url: str, saver: SQLSaver) -> None:
    begin(stock_url, "failed")
    SCENARIOS["failed"].begin(compiled(SCENARIOS["failed"].build([]), saver), config_of("failed"))
    before = history(saver, "failed")

    (one,) = import_threads(stock_url, saver)

    assert one.result == "refused"
    assert "the target has a thread 'failed' without its checkpoint" in one.faults[0].reason
    assert history(saver, "failed") == before


class Report(BaseModel):
    title: str
    pages: list[int]


@dataclass
class Span:
    start: int
    report: Report


class Reported(TypedDict, total=False):
    spans: list[Any]
    sets: Any


def store_reports(url: str) -> Any:
    graph: Any = StateGraph(Reported)
    graph.add_node("a", lambda state: {"spans": [1, {"found": Span(1, Report(title="t", pages=[1]))}], "sets": {1, 2}})
    graph.add_edge(START, "a")
    with stock_saver(url) as stock:
        return graph.compile(checkpointer=stock).invoke({}, config_of("t"))


def test_a_class_that_is_not_allowed_is_named_with_its_path(stock_url: str, saver: SQLSaver) -> None:
    store_reports(stock_url)

    for dry_run in (True, False):
        (one,) = import_threads(stock_url, saver, dry_run=dry_run)

        assert one.result == "refused"
        assert one.faults[0].checkpoint_id
        assert f"spans[1].found: {__name__}.Span is not a type that is stored" in one.faults[0].reason
    assert [*saver.list(None)] == []


def test_classes_that_are_allowed_are_restored(stock_url: str, sqlite_url: str) -> None:
    stored = store_reports(stock_url)

    with SQLSaver.from_url(sqlite_url, types=(Span,)) as saver:
        assert [one.result for one in import_threads(stock_url, saver)] == ["imported"]
        found = saver.get_tuple(config_of("t"))

    assert found is not None
    assert found.checkpoint["channel_values"]["spans"] == stored["spans"]
    assert found.checkpoint["channel_values"]["sets"] == {1, 2}


def test_a_class_that_has_changed_is_refused_with_the_reason(stock_url: str, sqlite_url: str) -> None:
    class Changed(BaseModel):
        title: int

    store_reports(stock_url)
    Changed.__name__, Changed.__qualname__ = "Report", "Report"

    with SQLSaver.from_url(sqlite_url, types=(Changed,)) as saver:
        (one,) = import_threads(stock_url, saver)

    assert one.result == "refused"
    assert f"{__name__}.Report does not fit its class any more" in one.faults[0].reason


def change(url: str, statement: str, *values: Any) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def test_what_is_damaged_or_unsafe_is_refused(stock_url: str, saver: SQLSaver, tmp_path: Path) -> None:
    begin(stock_url, "failed")
    for number, (statement, reason) in enumerate(
        [
            ("UPDATE checkpoints SET type = 'pickle'", "written as 'pickle', which is not read"),
            ("UPDATE writes SET type = 'pickle'", "written as 'pickle', which is not read"),
            ("UPDATE checkpoints SET checkpoint = x'ff'", "it cannot be read"),
            ("UPDATE checkpoints SET thread_id = 'x' || hex(zeroblob(200))", "`thread_id` has 401 characters"),
            ("UPDATE checkpoints SET metadata = '{\"run_id\": 7}'", "`run_id` must be a str"),
        ]
    ):
        damaged = f"sqlite:///{shutil.copy(tmp_path / 'stock.db', tmp_path / f'{number}.db')}"
        change(damaged, statement)

        (one,) = import_threads(damaged, saver)

        assert one.result == "refused"
        assert reason in one.faults[0].reason
    assert [*saver.list(None)] == []


def test_what_stops_in_the_middle_leaves_nothing_of_the_thread(stock_url: str, saver: SQLSaver) -> None:
    class Stop(BaseException):
        pass

    with stock_saver(stock_url) as stock:
        for _ in range(100):
            stock.put({"configurable": {"thread_id": "long", "checkpoint_ns": ""}}, empty_checkpoint(), {}, {})

    def stop(thread_id: str, checkpoints: int) -> None:
        calls.append(checkpoints)
        if len(calls) == 2:
            raise Stop

    calls: list[int] = []
    with pytest.raises(Stop):
        next(import_threads(stock_url, saver, on_progress=stop))
    assert [*saver.list(None)] == []

    assert [one.result for one in import_threads(stock_url, saver, on_progress=stop)] == ["imported"]
    assert calls == [100] * 4  # each checkpoint is read twice


async def test_the_async_twin(stock_url: str, saver: SQLSaver) -> None:
    begin(stock_url, "failed", "travelled")

    assert [one.result async for one in aimport_threads(stock_url, saver)] == ["imported", "imported"]
    assert [one.result async for one in aimport_threads(stock_url, saver, dry_run=True)] == ["present", "present"]


def test_what_is_no_database_of_a_stock_saver(stock_url: str, sqlite_url: str, saver: SQLSaver, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but a text that is long enough " * 40)
    saver.verify("x")
    for url, error, message in (
        ("nonsense", BadInput, "not a URL"),
        ("mysql://root@127.0.0.1/x", BadInput, "not from 'mysql'"),
        ("sqlite://", BadInput, "gone with its process"),
        (stock_url, StorageUnavailable, "cannot be reached"),
        (sqlite_url, BadInput, "holds no threads of SqliteSaver"),
        (f"sqlite:///{tmp_path / 'text'}", NotADatabase, "is no SQLite database"),
    ):
        with pytest.raises(error, match=message):
            next(import_threads(url, saver))
    assert not (tmp_path / "stock.db").exists()


def test_a_runner_says_how_an_imported_thread_goes_on(stock_url: str, sqlite_url: str, saver: SQLSaver) -> None:
    begin(stock_url, "failed")
    assert [one.result for one in import_threads(stock_url, saver)] == ["imported"]

    with Runner(sqlite_url) as runner:
        for ask in (runner.resume, runner.status):
            with pytest.raises(UnknownThread, match="has checkpoints, but no run of a Runner: go on with its graph"):
                ask("failed")


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("00000000000000000000000000000003.0.5712", "00000000000000000000000000000003.0.9"),
        ("00000000000000000000000000000003.0.9999", "00000000000000000000000000000004.0.0001"),
        ("00000000000000000000000000000003.000000000005e-05", "00000000000000000000000000000003.0.0001"),
        ("00000000000000000000000000000002", "00000000000000000000000000000003.0a1b2c3d4e5f"),
        (3, 4),
        (1.5, 2.25),
    ],
)
def test_versions_keep_their_order_and_go_on(smaller: Any, larger: Any, saver: SQLSaver) -> None:
    assert version_number(smaller) < version_number(larger) < saver.get_next_version(version_number(larger), None)


@pytest.mark.parametrize("version", ["", "a.1", None, True, "-1.2", float("nan"), "٣.1"])
def test_what_is_no_version(version: Any) -> None:
    with pytest.raises(ValueError, match="is no version of a channel"):
        version_number(version)
