"""Statements are built from values, and differ by database only where they must."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Dialect
from sqlalchemy.dialects import mysql, postgresql, sqlite

from guardgraph.storage.sql.prepared import KEYS, batches
from guardgraph.storage.sql.statements import (
    Query,
    ancestors,
    checkpoints_matching,
    insert_new,
    insert_or_replace,
)
from guardgraph.storage.sql.tables import checkpoints, writes

HOSTILE = "'; DROP TABLE runs; --"
DIALECTS: list[Dialect] = [sqlite.dialect(), postgresql.dialect(), mysql.dialect()]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "statement",
    [
        checkpoints_matching(Query(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {}), after=(HOSTILE, 1), limit=1),
        ancestors(1, HOSTILE, limit=3),
    ],
    ids=["many", "ancestors"],
)
def test_no_value_is_part_of_a_statements_text(statement: Any, dialect: Dialect) -> None:
    compiled = statement.compile(dialect=dialect)

    assert "DROP" not in str(compiled)
    assert any(HOSTILE in str(value) for value in compiled.params.values())


@pytest.mark.parametrize(
    ("dialect", "keeps", "replaces"),
    [
        (DIALECTS[0], "ON CONFLICT DO NOTHING", "ON CONFLICT (namespace_id, checkpoint_id) DO UPDATE SET"),
        (DIALECTS[1], "ON CONFLICT DO NOTHING", "ON CONFLICT (namespace_id, checkpoint_id) DO UPDATE SET"),
        (DIALECTS[2], "INSERT IGNORE", "ON DUPLICATE KEY UPDATE"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_row_that_is_there_is_kept_or_replaced(dialect: Dialect, keeps: str, replaces: str) -> None:
    assert keeps in str(insert_new(dialect, writes).compile(dialect=dialect))
    assert replaces in str(insert_or_replace(dialect, checkpoints).compile(dialect=dialect))


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (KEYS, [KEYS]), (KEYS + 1, [KEYS, 1])])
def test_keys_are_cut_into_lists_that_fit_one_statement(count: int, sizes: list[int]) -> None:
    assert [len(some) for some in batches(range(count))] == sizes
