"""The tables of evals: a run of a suite, its rows, and the scores of each row.

What a model may have written is binary, in the format of `Codec`; names and ids are text, so that scores can be
followed over many runs with plain SQL.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, LargeBinary, String, Table
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.types import TypeEngine

from guardgraph.storage.sql.tables import metadata

__all__ = ("NAME_LENGTH", "eval_rows", "eval_runs", "eval_scores")

NAME_LENGTH = 200
"""The longest name of a run, a suite, a case or a metric, in characters."""


def _name() -> TypeEngine[str]:
    text = String(NAME_LENGTH)
    return text.with_variant(String(NAME_LENGTH, collation="C"), "postgresql").with_variant(
        String(NAME_LENGTH, collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def _packed() -> TypeEngine[bytes]:
    return LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


eval_runs = Table(
    "guardgraph_eval_run",
    metadata,
    Column("run_name", _name(), primary_key=True),
    Column("suite", _name(), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("body", _packed(), nullable=False),
    Index("guardgraph_eval_run_suite", "suite", "started_at"),
)

eval_rows = Table(
    "guardgraph_eval_row",
    metadata,
    Column("run_name", _name(), primary_key=True),
    Column("case_id", _name(), primary_key=True),
    Column("finished_at", String(32), nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("body", _packed(), nullable=False),
)

eval_scores = Table(
    "guardgraph_eval_score",
    metadata,
    Column("run_name", _name(), primary_key=True),
    Column("case_id", _name(), primary_key=True),
    Column("metric", _name(), primary_key=True),
    Column("value", Float(53), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("reason", _packed(), nullable=False),
)
