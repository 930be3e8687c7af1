"""Tenants share a database and see nothing of each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guardgraph.state import BadInput
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.checkpoints.loading import namespaces_of
from tests.storage.sql.stored import config_of, id_of, ids_in, store


@pytest.fixture
def tenants(database_url: str) -> Iterator[tuple[SQLSaver, SQLSaver]]:
    with SQLSaver.from_url(database_url, tenant="a") as a, SQLSaver.from_url(database_url, tenant="b") as b:
        yield a, b


def test_one_tenant_reads_nothing_of_another(tenants: tuple[SQLSaver, SQLSaver]) -> None:
    a, b = tenants
    theirs = store(b, "t", {"x": "theirs"}, metadata={"run_id": "r", "topic": "x"})
    b.put_writes(theirs, [("x", 1)], "task")

    assert a.get_tuple(config_of("t")) is None
    assert a.get_tuple(theirs) is None
    for config in (None, config_of("t"), config_of("t", namespace=None), theirs):
        assert ids_in(a, config) == []
        assert ids_in(a, config, filter={"topic": "x"}) == []
    assert a.get_delta_channel_history(config=theirs, channels=["x"]) == {"x": {"writes": []}}
    assert namespaces_of(a.engine, "t", tenant="a") == []
    assert a.verify("t") == a.repair("t") == []


def test_one_tenant_changes_nothing_of_another(tenants: tuple[SQLSaver, SQLSaver]) -> None:
    a, b = tenants
    theirs = store(b, "t", {"x": "theirs"}, metadata={"run_id": "r"})
    newest = store(b, "t", {"x": "newer"}, parent=theirs, version=2, metadata={"run_id": "r"})
    before = list(b.list(None))

    a.delete_thread("t")
    a.delete_for_runs(["r"])
    a.prune(["t"])
    a.prune(["t"], strategy="delete")
    a.copy_thread("t", "copy")
    a.put_writes(newest, [("x", "mine")], "task")
    mine = store(a, "t", {"x": "mine"}, parent=theirs)

    assert list(b.list(None)) == before
    assert ids_in(a, None) == [id_of(mine)]
    a.delete_thread("t")
    assert list(b.list(None)) == before


async def test_the_async_twins_keep_tenants_apart(tenants: tuple[SQLSaver, SQLSaver]) -> None:
    a, b = tenants
    theirs = store(b, "t", {"x": "theirs"})

    assert await a.aget_tuple(theirs) is None
    assert [item async for item in a.alist(None)] == []
    await a.adelete_thread("t")
    assert await b.aget_tuple(theirs) is not None


def test_who_names_no_tenant_is_the_one_without_a_name(database_url: str) -> None:
    with SQLSaver.from_url(database_url) as saver, SQLSaver.from_url(database_url, tenant="") as unnamed:
        made = store(saver, "t")
        assert ids_in(unnamed.with_types(), None) == [id_of(made)]
        assert saver.tenant == ""


def test_a_tenant_is_an_id(sqlite_url: str) -> None:
    with pytest.raises(BadInput, match="`tenant` holds a NUL"):
        SQLSaver.from_url(sqlite_url, tenant="a\0")
