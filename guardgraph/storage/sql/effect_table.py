"""The table of side effects."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from guardgraph.storage.sql.tables import id_type, key_type, metadata, packed_type

__all__ = ("effects",)

effects = Table(
    "guardgraph_effect",
    metadata,
    Column("effect", key_type(), primary_key=True),
    Column("tenant", id_type(), nullable=False),
    Column("name", packed_type(), nullable=False),
    Column("run_id", id_type()),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("result", packed_type()),
    Index("guardgraph_effect_open", "tenant", "ended", "started"),
    Index("guardgraph_effect_run", "tenant", "run_id"),
)
"""`effect` is a digest of the tenant and the key; the key is in `name`. While `ended` is NULL the effect may have
happened or not; where it is set and `result` is NULL, the result was no JSON data. Times are microseconds since 1970,
UTC."""
