"""Whoever can write to the database runs nothing: canaries in every column that is loaded, under right digests."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from sqlalchemy import LargeBinary, Table, delete, select, update

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner
from guardgraph.runs.effects import once, unknown
from guardgraph.state import Allowance, Amount, Event, GuardgraphError, RunEvent, Task
from guardgraph.storage import RunStore, SQLSaver
from guardgraph.storage.boards import BoardChange, BoardPlace
from guardgraph.storage.reputation import SettledAward
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.boards import SQLBoards
from guardgraph.storage.sql.checkpoints.packing import (
    Segment,
    Write,
    framed,
    pack_checkpoint,
    pack_writes,
    sealed_checkpoint,
)
from guardgraph.storage.sql.codec.envelope import packed
from guardgraph.storage.sql.codec.kinds import EXCEPTION
from guardgraph.storage.sql.effect_table import effects
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.event_table import events
from guardgraph.storage.sql.events import EventLog
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger
from guardgraph.storage.sql.places import Place, digest_of
from guardgraph.storage.sql.published import PublishedStore
from guardgraph.storage.sql.published_table import published
from guardgraph.storage.sql.reputation import SQLReputation
from guardgraph.storage.sql.reputation_table import awards
from guardgraph.storage.sql.tables import accounts, blobs, checkpoints, chunks, entries, runs, writes
from guardgraph.storage.sql.value_table import shared_values
from guardgraph.storage.sql.values import SQLValues
from tests.storage.sql.codec.test_codec import Canary, canaries, record
from tests.storage.sql.leased import no_lease
from tests.storage.sql.stored import config_of, store

MODULE = "guardgraph_canary"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
PLACE = Place("t", "", None, "")


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a file that exists once anything was run, also by importing a module."""
    mark = tmp_path / "executed"
    source = f"open({str(mark)!r}, 'w')\nclass Thing(Exception):\n    def __init__(self, *a, **k): pass\n"
    (tmp_path / f"{MODULE}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    assert MODULE not in sys.modules


def payloads(mark: Path) -> list[bytes]:
    """Return canaries of all kinds: commands, and classes of a module that runs code when it is imported."""
    imports: list[Any] = [(MODULE, "Thing"), (MODULE, "Thing", ["x"]), (MODULE, "Thing", {"x": 1}, "__init__")]
    found = canaries(f"touch {mark}")[::301]
    found += [ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(call))) for code in range(8) for call in imports]
    found += [ormsgpack.packb(ormsgpack.Ext(EXCEPTION, ormsgpack.packb([name, "x"]))) for name in (MODULE, "os.system")]
    found += [record(name, {"x": 1}) for name in (f"{MODULE}:Thing", f"{MODULE}.Thing", "builtins:exec")]
    return [*found, *raw(mark)]


def raw(mark: Path) -> list[bytes]:
    """Return what other serializers would run: a pickle, and LangChain's constructors as JSON and as msgpack."""
    lc = {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [f"touch {mark}"], "kwargs": {}}
    module = {**lc, "id": [MODULE, "Thing"], "args": []}
    stored = [json.dumps(one).encode() for one in (lc, module, {"task": lc, "goal": module})]
    return [*stored, ormsgpack.packb(lc), pickle.dumps(Canary(f"touch {mark}"))]


def checkpoint_row(row: Mapping[str, Any], core: bytes, found: Mapping[str, Any]) -> dict[str, Any]:
    changed = sealed_checkpoint(PLACE.name, {**row, "body": pack_checkpoint(PLACE.namespace, core, found)})
    return {"body": changed["body"], "metadata": changed["metadata"]}


def forged(saver: SQLSaver, data: bytes) -> Iterator[tuple[Table, dict[str, Any]]]:
    """Yield for each place of a thread what an attacker writes there, with all digests right."""
    core = saver.codec.dumps({"v": 4, "id": "1", "ts": "", "channel_versions": {"x": 1}, "versions_seen": {}})
    with read_transaction(saver.engine) as connection:
        row = dict(connection.execute(checkpoints.select()).mappings().one())
        blob = connection.execute(blobs.select()).mappings().one()
        chunk = connection.execute(chunks.select()).mappings().one()
        task = connection.execute(writes.select()).mappings().one()
    key = blake2b(data, digest_size=16).digest()
    tokens = [b"\0" + data]
    segment = Segment(chunk["branch"], 1, blake2b(framed(tokens), digest_size=16).digest())
    yield checkpoints, checkpoint_row(row, data, {})
    yield checkpoints, checkpoint_row({**row, "metadata": data}, core, {})
    yield checkpoints, checkpoint_row(row, core, {"x": b"\0" + data})
    yield blobs, {"hash": key, "data": data, "namespace_id": blob["namespace_id"]}
    yield checkpoints, checkpoint_row(row, core, {"x": b"\1" + key})
    yield chunks, {"lo": 0, "hi": 1, "data": framed(tokens)}
    yield checkpoints, checkpoint_row(row, core, {"x": (segment,)})
    yield (
        writes,
        {"data": pack_writes(PLACE.name, row["checkpoint_id"], task["task_id"], "", [Write(0, "x", tokens[0])])},
    )


def fill(saver: SQLSaver) -> None:
    """Write one row of everything."""
    config = store(saver, "t", {"x": ["element" * 99], "large": "y" * 999})
    saver.put_writes(config, [("x", 1)], "task")
    with write_transaction(saver.engine) as connection:
        kept = connection.execute(blobs.select()).first()
        assert kept is not None
        connection.execute(blobs.delete().where(blobs.c.hash != kept.hash))
    rows = RunStore(saver.engine, tenant="")
    rows.create("r", "t", "graph", {}, Task(goal="x"), NOW, claim=no_lease, command=saver.codec.dumps({"input": {}}))
    ledger = SQLLedger(saver.engine, tenant="")
    ledger.reserve("entry", "r", ledger.open("r", Allowance(calls=9)), Amount(calls=1))
    once("key", lambda: 1, saver=saver)
    log = EventLog(saver.engine, saver.codec, "r", tenant="")
    log.add(RunEvent(kind="run_started", run_id="r", at=NOW))
    log.store()
    SQLBoards(saver.engine, tenant="", codec=saver.codec).write(BoardPlace("t", "plan"), BoardChange("k", "1", "a"))
    PublishedStore(saver.engine, saver.codec, tenant="").add("t", Event(type="item", source="shop", id="1"))
    SQLReputation(saver.engine, tenant="").record([SettledAward("r/1", "a", True, 1.0, 2.0, 0.5)])
    SQLValues(saver.engine, tenant="").update("cost", ["a"], lambda *_: {"a": 1})


def loaded(*loads: Callable[[], object]) -> int:
    """Load what is stored, whatever comes of it, and return how often."""
    for load in loads:
        with suppress(Exception):
            load()
    return len(loads)


def test_no_column_of_a_thread_runs_anything(tmp_path: Path, mark: Path) -> None:
    count = 0
    with SQLSaver.from_url(f"sqlite:///{tmp_path / 'runs.db'}") as saver:
        fill(saver)
        for payload in payloads(mark):
            for table, columns in forged(saver, packed(payload)):
                with write_transaction(saver.engine) as connection:
                    connection.execute(update(table).values(columns))
                count += loaded(
                    lambda: saver.get_tuple(config_of("t")),
                    lambda: [*saver.list(None, filter={"source": "loop"})],
                    lambda: saver.reading_plain(lambda _: None).get_tuple(config_of("t")),
                )
                assert not mark.exists(), (table.name, payload)
    assert count > 800


def test_the_forged_rows_have_right_digests(tmp_path: Path) -> None:
    with SQLSaver.from_url(f"sqlite:///{tmp_path / 'runs.db'}") as saver:
        fill(saver)
        seen: list[Any] = []
        for table, columns in forged(saver, saver.codec.dumps({"read": "me"})):
            with write_transaction(saver.engine) as connection:
                connection.execute(update(table).values(columns))
            with suppress(GuardgraphError, KeyError):
                seen.append(saver.get_tuple(config_of("t")))
    values = [found.checkpoint["channel_values"].get("x") for found in seen]
    assert {"read": "me"} in [found.metadata for found in seen]
    assert [{"read": "me"}] in values
    assert values.count({"read": "me"}) >= 2
    assert seen[-1].pending_writes == [("task", "x", {"read": "me"})]


def test_no_column_of_a_run_and_what_belongs_to_it_runs_anything(tmp_path: Path, mark: Path) -> None:
    count, url = 0, f"sqlite:///{tmp_path / 'runs.db'}"
    with Runner(url, graphs={"graph": lambda: pipeline([Agent("a", run=lambda request: request.goal)])}) as runner:
        saver, ledger = runner.saver, SQLLedger(runner.saver.engine, tenant="")
        fill(saver)
        for table in (runs, accounts, entries, effects, events, boards, awards, published, shared_values):
            columns = [column for column in table.c if isinstance(column.type, LargeBinary) and not column.primary_key]
            for column in columns:
                for data in (*raw(mark), *map(packed, raw(mark)[-2:])):
                    with write_transaction(saver.engine) as connection:
                        before = [{**row} for row in connection.execute(select(table)).mappings()]
                        connection.execute(update(table).values({column.name: data}))
                    count += loaded(
                        lambda: runner.status("t"),
                        lambda: runner.resume("t"),
                        lambda: runner.list_runs(),
                        lambda: ledger.balances("r"),
                        lambda: RunLedger(saver.engine, "r", tenant=""),
                        lambda: once("key", lambda: 1, saver=saver),
                        lambda: unknown(saver),
                        lambda: runner.events("t"),
                        lambda: runner.board("plan", thread_id="t").entries(),
                        lambda: runner.list_reputations(),
                        lambda: SQLValues(saver.engine, tenant="").read("cost"),
                        lambda: PublishedStore(saver.engine, saver.codec, tenant="").after("t", 0, 9),
                        lambda: runner.wake("t"),
                    )
                    assert not mark.exists(), (table.name, column.name, data)
                    with write_transaction(saver.engine) as connection:
                        connection.execute(delete(table))
                        connection.execute(table.insert(), before)
    assert count > 400


@pytest.mark.parametrize("key", [None, b"k" * 32])
def test_a_forged_event_that_was_published_runs_nothing_and_is_named(
    tmp_path: Path, mark: Path, key: bytes | None
) -> None:
    """With its digest right, and under encryption too: what is no event is damage, whatever it is."""
    graphs = {"g": pipeline([Agent("a", run=lambda request: request.goal)])}
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs=graphs, key=key) as runner:
        saver = runner.saver
        runner.run("g", "x", thread_id="t")
        store = PublishedStore(saver.engine, saver.codec, tenant="")
        store.add("t", Event(type="item", data="planted-secret", subject="planted-secret", source="shop", id="1"))
        with read_transaction(saver.engine) as connection:
            row = connection.execute(published.select()).mappings().one()
        assert (b"planted-secret" in row["data"]) == (key is None)
        context = digest_of(b"published", "", "t")
        for payload in (*payloads(mark), b"[]", b"[7, 7]", b'[{"type": 7}, false]', b"\xff", b"[" * 100_000):
            for content in (payload, saver.codec.seal(payload, context)):
                seal = digest_of(b"published", "", "t", "1", bytes(row["name"]), content)
                with write_transaction(saver.engine) as connection:
                    connection.execute(update(published).values(data=seal + content))
                with pytest.raises(GuardgraphError):
                    store.after("t", 0, 9)
                assert not mark.exists(), payload
