"""The tables of checkpoints, of runs with their accounts, and of evals.

What may come from a model is binary (also the names of accounts and entries, which may hold the id of a subtask); only
ids are text. A namespace of a thread of a tenant has a number, so that its rows stay small; it is found by a digest of
all three. A channel that is a list is stored in chunks that are only appended, any other large value once under the
digest of its bytes. The keys of accounts and entries are digests of the tenant and their names. Money is a whole
number of nano-dollars. All rows but those of evals belong to a tenant: by a column, or by a key that is made of it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    cast,
    text,
)
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.dialects.mysql import VARBINARY as MYSQL_VARBINARY
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.types import TypeEngine

__all__ = (
    "ID_LENGTH",
    "NAME_LENGTH",
    "accounts",
    "blobs",
    "checkpoints",
    "chunks",
    "entries",
    "eval_rows",
    "eval_runs",
    "eval_scores",
    "float_type",
    "id_type",
    "key_type",
    "leases",
    "metadata",
    "namespaces",
    "packed_type",
    "runs",
    "threads",
    "writes",
)

ID_LENGTH = 255
"""The longest thread, checkpoint, task or run id, in characters."""

NAME_LENGTH = 200
"""The longest name of a run, a suite, a case or a metric, in characters."""

metadata = MetaData()
"""Every table of guardgraph."""


class _Blob(LargeBinary):
    """Bytes in SQLite, where a cell may hold any type: one that was changed to a text or a number is read as bytes."""

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what is selected in place of the column."""
        return cast(colexpr, LargeBinary())


class _Whole(BigInteger):
    """Whole numbers in SQLite, where a cell may hold any type."""

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what is selected in place of the column."""
        return cast(colexpr, BigInteger())


class _Id(String):
    """Text in SQLite, where a cell may hold any type."""

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what is selected in place of the column."""
        return cast(colexpr, Text())


def id_type(length: int = ID_LENGTH) -> TypeEngine[str]:
    """Return text that sorts by its bytes everywhere: checkpoint ids are ordered, and a locale would reorder them."""
    found = String(length).with_variant(String(length, collation="C"), "postgresql")
    found = found.with_variant(String(length, collation="utf8mb4_0900_bin"), "mysql")  # others ignore spaces at the end
    found = found.with_variant(String(length, collation="utf8mb4_nopad_bin"), "mariadb")
    return found.with_variant(_Id(length), "sqlite")


def _long_identifier() -> TypeEngine[str]:
    """Return text of any length that is compared by its bytes everywhere."""
    found = Text().with_variant(Text(collation="C"), "postgresql")
    found = found.with_variant(Text(collation="utf8mb4_0900_bin"), "mysql")
    return found.with_variant(Text(collation="utf8mb4_nopad_bin"), "mariadb")


def key_type() -> TypeEngine[bytes]:
    """Return the type of a digest that names a row."""
    return LargeBinary(16).with_variant(MYSQL_VARBINARY(16), "mysql", "mariadb").with_variant(_Blob(16), "sqlite")


def _number() -> TypeEngine[int]:
    """Return the type of a number that the database counts up."""
    return BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER is counted up there


def float_type() -> TypeEngine[Any]:
    """Return the type of a number of double precision; MariaDB and MySQL call it by its own name."""
    return Float(53).with_variant(Double(), "mysql", "mariadb")


def packed_type() -> TypeEngine[bytes]:
    """Return the type of values as bytes, of any length."""
    return LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb").with_variant(_Blob(), "sqlite")


namespaces = Table(
    "guardgraph_namespace",
    metadata,
    Column("namespace_id", _number(), primary_key=True, autoincrement=True),
    Column("name", key_type(), nullable=False),
    Column("tenant", id_type(), nullable=False),
    Column("thread_id", id_type(), nullable=False),
    Column("checkpoint_ns", _long_identifier(), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("head", id_type()),
    Column("seal", key_type(), nullable=False),
    Column("pending", BigInteger().with_variant(_Whole(), "sqlite"), nullable=False),
    Index("guardgraph_namespace_name", "name", unique=True),
    Index("guardgraph_namespace_thread", "tenant", "thread_id"),
    sqlite_autoincrement=True,
)
"""`name` is the digest of the next three. `generation` grows whenever values are deleted, so that no saver goes on with
what it remembers. `head` is the newest checkpoint, `seal` the digest of `name` and `head`. `pending` is how many tasks
had written at the newest checkpoint when one of them stopped there; 0 where none has. No number is used twice."""

threads = Table(
    "guardgraph_thread",
    metadata,
    Column("tenant", id_type(), primary_key=True),
    Column("thread_id", id_type(), primary_key=True),
    Column("namespaces", BigInteger().with_variant(_Whole(), "sqlite"), nullable=False),
    sqlite_with_rowid=False,
)
"""How many namespaces each thread has, so that a row of one that is missing is found."""

_HAS_RUN = text("run_id IS NOT NULL")

checkpoints = Table(
    "guardgraph_checkpoint",
    metadata,
    Column("namespace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("checkpoint_id", id_type(), primary_key=True),
    Column("parent_id", id_type()),
    Column("run_id", id_type()),
    Column("body", packed_type(), nullable=False),
    Column("metadata", packed_type(), nullable=False),
    Index("guardgraph_checkpoint_run", "run_id", sqlite_where=_HAS_RUN, postgresql_where=_HAS_RUN),
)
"""`body` begins with the digest of the whole row and of the namespace's name."""

chunks = Table(
    "guardgraph_chunk",
    metadata,
    Column("namespace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("branch", BigInteger, primary_key=True, autoincrement=False),
    Column("lo", BigInteger, primary_key=True, autoincrement=False),
    Column("hi", BigInteger().with_variant(_Whole(), "sqlite"), nullable=False),
    Column("data", packed_type(), nullable=False),
    sqlite_with_rowid=False,
)
"""The elements `lo` to `hi` (exclusive) of a list; the digest of all elements up to any is in the checkpoints."""

blobs = Table(
    "guardgraph_blob",
    metadata,
    Column("namespace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", key_type(), primary_key=True),
    Column("data", packed_type(), nullable=False),
)
"""Values of 256 bytes or more under their digest: a task's write and the channel that it changes share one. A very
large value is cut into parts; the row that lists their digests has the digest of that list as its key."""

writes = Table(
    "guardgraph_write",
    metadata,
    Column("namespace_id", BigInteger, primary_key=True, autoincrement=False),
    Column("checkpoint_id", id_type(), primary_key=True),
    Column("task_id", id_type(), primary_key=True),
    Column("data", packed_type(), nullable=False),
    sqlite_with_rowid=False,
)
"""All that one task wrote at one checkpoint; `data` begins with the digest of the row."""


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


accounts = Table(
    "guardgraph_account",
    metadata,
    Column("account", key_type(), primary_key=True),
    Column("tenant", id_type(), nullable=False),
    Column("run_id", id_type(), nullable=False),
    Column("name", packed_type(), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("cap", packed_type(), nullable=False),
    Column("cap_tokens", BigInteger),
    Column("cap_usd", BigInteger),
    Column("cap_calls", BigInteger),
    Column("cap_subtasks", BigInteger),
    Column("cap_messages", BigInteger),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("microseconds"),
    _count("spent_usd"),
    _count("spent_unpriced"),
    _count("spent_calls"),
    _count("spent_subtasks"),
    _count("spent_messages"),
    _count("reserved_tokens"),
    _count("reserved_usd"),
    _count("reserved_unpriced"),
    _count("reserved_calls"),
    _count("reserved_subtasks"),
    _count("reserved_messages"),
    Column("side", packed_type()),
    Index("guardgraph_account_run", "tenant", "run_id"),
)
"""`epoch` 0 is an account that was never opened, while one below it was. `spent_unpriced` and
`reserved_unpriced` count the spendings whose price is unknown, so that an unknown price is never counted as zero.
`side` is JSON, null for most: the side accounts on which it draws, what it is called, the alerts of it, and notes: what
the guards of an attempt know of its calls, until that has ended."""

entries = Table(
    "guardgraph_entry",
    metadata,
    Column("entry", key_type(), primary_key=True),
    Column("tenant", id_type(), nullable=False),
    Column("name", packed_type(), nullable=False),
    Column("account", key_type(), nullable=False),
    Column("run_id", id_type(), nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("in_full", Boolean, nullable=False),
    _count("tokens"),
    Column("usd", BigInteger),
    _count("calls"),
    _count("subtasks"),
    _count("messages"),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("used_usd", BigInteger),
    Column("used_calls", BigInteger),
    Column("microseconds", BigInteger),
    Index("guardgraph_entry_account", "account", "settled"),
    Index("guardgraph_entry_run", "tenant", "run_id"),
)
"""The first five numbers are what was reserved, the last five what was used; a missing price is unknown. `in_full`
means that no usage was reported, so that all of the reservation was counted."""

runs = Table(
    "guardgraph_run",
    metadata,
    Column("number", _number(), primary_key=True, autoincrement=True),
    Column("tenant", id_type(), nullable=False),
    Column("run_id", id_type(), nullable=False),
    Column("thread_id", id_type(), nullable=False),
    Column("graph", packed_type(), nullable=False),
    Column("arguments", packed_type(), nullable=False),
    Column("task", packed_type(), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", String(20)),
    Column("outcome", packed_type()),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    Column("base_checkpoint", id_type()),
    Column("version", String(ID_LENGTH), nullable=False),
    Column("command", packed_type()),
    Index("guardgraph_run_id", "tenant", "run_id", unique=True),
    Index("guardgraph_run_thread", "tenant", "thread_id", "number"),
    Index("guardgraph_run_tenant", "tenant", "number"),
    sqlite_autoincrement=True,
)
"""The database counts `number`. It grows from run to run of a thread, whatever the clock does: these are stored one
after the other, under the lease of the thread. Times are microseconds since 1970, UTC. `command` is what its latest
attempt was given: the input, or the answers."""

leases = Table(
    "guardgraph_lease",
    metadata,
    Column("tenant", id_type(), primary_key=True),
    Column("thread_id", id_type(), primary_key=True),
    Column("run_id", id_type(), nullable=False),
    Column("owner", id_type(), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("wanted", String(20)),
    Column("reason", packed_type()),
)
"""Who works on a thread. `expires` is in microseconds since 1970 by the clock of the database; 0 is a lease that was
given back. `epoch` begins with the time, so that none is used again where a lease was deleted, and grows each time that
it is taken or given back. `wanted` is what another process
asks of the owner."""

eval_runs = Table(
    "guardgraph_eval_run",
    metadata,
    Column("run_name", id_type(NAME_LENGTH), primary_key=True),
    Column("suite", id_type(NAME_LENGTH), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("body", packed_type(), nullable=False),
    Index("guardgraph_eval_run_suite", "suite", "started_at"),
)

eval_rows = Table(
    "guardgraph_eval_row",
    metadata,
    Column("run_name", id_type(NAME_LENGTH), primary_key=True),
    Column("case_id", id_type(NAME_LENGTH), primary_key=True),
    Column("finished_at", String(32), nullable=False),
    Column("seconds", float_type(), nullable=False),
    Column("body", packed_type(), nullable=False),
)

eval_scores = Table(
    "guardgraph_eval_score",
    metadata,
    Column("run_name", id_type(NAME_LENGTH), primary_key=True),
    Column("case_id", id_type(NAME_LENGTH), primary_key=True),
    Column("metric", id_type(NAME_LENGTH), primary_key=True),
    Column("value", float_type(), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("reason", packed_type(), nullable=False),
)
