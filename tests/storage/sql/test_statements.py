"""Statements are built from values, and differ by database only where they must."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Dialect
from sqlalchemy.dialects import mysql, postgresql, sqlite

from guardgraph.state import BadInput
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import (
    CHUNK,
    ancestors,
    checkpoint_at,
    checkpoint_row,
    checkpoints_matching,
    chunks,
    insert_new,
    insert_or_replace,
    value_rows,
    write_rows,
    writes_at,
)
from guardgraph.storage.sql.tables import checkpoints, lines
from tests.storage.sql.stored import checkpoint_of, config_of

HOSTILE = "'; DROP TABLE runs; --"
PLACE = Place(HOSTILE, HOSTILE, HOSTILE)
DIALECTS: list[Dialect] = [sqlite.dialect(), postgresql.dialect(), mysql.dialect()]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "statement",
    [
        checkpoint_at(PLACE),
        checkpoints_matching(
            thread_id=HOSTILE, namespace=HOSTILE, checkpoint_id=HOSTILE, before=HOSTILE, after=(HOSTILE, b"x"), limit=1
        ),
        writes_at(b"line", [HOSTILE], [HOSTILE]),
        ancestors(b"line", HOSTILE, limit=3),
    ],
    ids=["one", "many", "writes", "ancestors"],
)
def test_no_value_is_part_of_a_statements_text(statement: Any, dialect: Dialect) -> None:
    compiled = statement.compile(dialect=dialect)

    assert "DROP" not in str(compiled)
    assert any(HOSTILE in str(value) for value in compiled.params.values())


@pytest.mark.parametrize(
    ("dialect", "keeps", "replaces"),
    [
        (DIALECTS[0], "ON CONFLICT DO NOTHING", "ON CONFLICT (line, checkpoint_id) DO UPDATE SET"),
        (DIALECTS[1], "ON CONFLICT DO NOTHING", "ON CONFLICT (line, checkpoint_id) DO UPDATE SET"),
        (DIALECTS[2], "INSERT IGNORE", "ON DUPLICATE KEY UPDATE"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_row_that_is_there_is_kept_or_replaced(dialect: Dialect, keeps: str, replaces: str) -> None:
    assert keeps in str(insert_new(dialect, lines).compile(dialect=dialect))
    assert replaces in str(insert_or_replace(dialect, checkpoints).compile(dialect=dialect))


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (CHUNK, [CHUNK]), (CHUNK + 1, [CHUNK, 1])])
def test_keys_are_cut_into_lists_that_fit_one_statement(count: int, sizes: list[int]) -> None:
    assert [len(some) for some in chunks(range(count))] == sizes


def test_only_channels_with_a_new_version_and_a_value_are_stored() -> None:
    checkpoint = checkpoint_of({"new": 1, "old": 2})

    rows = value_rows(Codec(), Place("t", "", None), checkpoint, {"new": 2, "emptied": 2})

    assert [Codec().loads(row["data"]) for row in rows] == [1]


def test_special_writes_replace_and_others_keep() -> None:
    writes = [("a", 1), ("__error__", "e"), ("b", 2), ("__interrupt__", "i")]

    keep, replace = write_rows(Codec(), Place("t", "", "c"), writes, task_id="task", task_path="")

    assert [(row["idx"], row["channel"]) for row in keep] == [(0, b"a"), (2, b"b")]
    assert [(row["idx"], row["channel"]) for row in replace] == [(-1, b"__error__"), (-3, b"__interrupt__")]


def test_a_checkpoints_row_has_its_parent_its_run_and_no_values() -> None:
    place = Place("t", "", "parent")

    row = checkpoint_row(Codec(), config_of("t"), place, checkpoint_of({"a": 1}), {"run_id": "r"})

    assert (row["parent_id"], row["run_id"]) == ("parent", "r")
    assert "channel_values" not in Codec().loads(row["body"])


@pytest.mark.parametrize(("run_id", "reason"), [("x" * 256, "at most 255 are stored"), (7, "must be a str, got int")])
def test_a_run_id_that_cannot_be_one_is_refused(run_id: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=f"`run_id` .*{reason}"):
        checkpoint_row(Codec(), config_of("t"), Place("t", "", None), checkpoint_of(), {"run_id": run_id})
