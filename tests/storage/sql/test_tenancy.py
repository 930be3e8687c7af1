"""No statement forgets the tenant: what is executed in any test is checked, and what is prepared is checked here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import and_, delete, exists, or_, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

import guardgraph.storage.sql
from guardgraph.storage import RunStore
from guardgraph.storage.sql.effect_table import effects
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.prepared import Prepared, PreparedIn
from guardgraph.storage.sql.tables import (
    accounts,
    checkpoints,
    entries,
    eval_rows,
    eval_runs,
    eval_scores,
    leases,
    metadata,
    namespaces,
    runs,
    writes,
)
from tests.storage.sql.tenancy import KEYS, tables_of_any_tenant

number, of_number = namespaces.c.namespace_id, checkpoints.c.namespace_id
joined = namespaces.join(checkpoints, number == of_number)
left_out = checkpoints.outerjoin(namespaces, and_(number == of_number, namespaces.c.tenant == "a"))


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (select(runs), ["guardgraph_run"]),
        (select(runs).where(runs.c.run_id == "r"), ["guardgraph_run"]),
        (select(runs).where(runs.c.tenant != "a"), ["guardgraph_run"]),
        (select(runs).where(or_(runs.c.tenant == "a", runs.c.run_id == "r")), ["guardgraph_run"]),
        (select(runs).where(runs.c.tenant == leases.c.tenant), ["guardgraph_lease", "guardgraph_run"]),
        (select(checkpoints).where(of_number > 1), ["guardgraph_checkpoint"]),
        (select(joined), ["guardgraph_checkpoint", "guardgraph_namespace"]),
        (select(left_out), ["guardgraph_checkpoint"]),
        (update(leases).where(leases.c.thread_id == "t").values(epoch=1), ["guardgraph_lease"]),
        (delete(accounts).where(accounts.c.run_id == "r"), ["guardgraph_account"]),
        (delete(effects), ["guardgraph_effect"]),
        (runs.insert().from_select(["run_id"], select(entries.c.run_id)), ["guardgraph_entry"]),
        (select(runs).where(runs.c.tenant == "a", runs.c.run_id.in_(select(entries.c.run_id))), ["guardgraph_entry"]),
    ],
)
def test_a_statement_for_any_tenant_is_found(statement: Any, found: list[str]) -> None:
    assert tables_of_any_tenant(statement) == found


@pytest.mark.parametrize(
    "statement",
    [
        select(runs).where(runs.c.tenant == "a"),
        select(joined).where(namespaces.c.tenant == "a"),
        select(checkpoints).where(of_number.in_(select(number).where(namespaces.c.name == b"n"))),
        select(writes).where(~exists(select(number).where(number == writes.c.namespace_id).correlate(writes))),
        select(entries).where(entries.c.account == accounts.c.account, accounts.c.account == b"a"),
        update(leases).where(leases.c.tenant == "a").values(epoch=1),
        select(eval_runs),
    ],
)
def test_a_statement_for_one_tenant_passes(statement: Any) -> None:
    assert tables_of_any_tenant(statement) == []


def test_every_table_but_those_of_evals_belongs_to_tenants() -> None:
    list(modules())

    assert KEYS.keys() == {*metadata.tables.values()} - {eval_runs, eval_rows, eval_scores}
    assert all(table.c[name].nullable is False for table, keys in KEYS.items() for name in keys)


def modules() -> Iterator[Any]:
    for module in pkgutil.walk_packages(guardgraph.storage.sql.__path__, "guardgraph.storage.sql."):
        if ".migrations" not in module.name:
            yield importlib.import_module(module.name)


def test_every_statement_that_is_prepared_names_the_tenant() -> None:
    prepared = {f"{module.__name__}.{name}": one for module in modules() for name, one in vars(module).items()}
    one_by_one = {name: one for name, one in prepared.items() if isinstance(one, Prepared)}
    for name, one in prepared.items():
        if isinstance(one, PreparedIn):
            one_by_one[name] = one._prepared[4]  # pyright: ignore[reportPrivateUsage]
    built = {
        (name, dialect.name): one._build(dialect)  # pyright: ignore[reportPrivateUsage]
        for name, one in one_by_one.items()
        for dialect in (sqlite.dialect(), postgresql.dialect(), mysql.dialect())
        if (name.rpartition(".")[2], dialect.name) != ("_upserted", "mysql")  # which has no such statement
    }

    assert {name: found for name, statement in built.items() if (found := tables_of_any_tenant(statement))} == {}
    assert len(built) >= 3 * 10


def test_what_guardgraph_executes_is_checked_in_every_test(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(sqlite_url)
    rows = RunStore(engine, tenant="a")
    assert rows.list(1) == []

    monkeypatch.setattr(RunStore, "_newest", lambda *_: select(runs).where(runs.c.run_id == "a"))

    with pytest.raises(AssertionError, match="names no tenant for guardgraph_run"):
        rows.list(1)
    engine.dispose()
