"""The table of settled awards."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table

from guardgraph.storage.sql.tables import float_type, id_type, key_type, metadata, packed_type

__all__ = ("awards",)

awards = Table(
    "guardgraph_award",
    metadata,
    Column("award", key_type(), primary_key=True),
    Column("tenant", id_type(), nullable=False),
    Column("agent", key_type(), nullable=False),
    Column("name", packed_type(), nullable=False),
    Column("settled", BigInteger, nullable=False),
    Column("is_done", Boolean, nullable=False),
    Column("bid", float_type(), nullable=False),
    Column("actual", float_type()),
    Column("overrun", float_type()),
    Column("seconds", float_type(), nullable=False),
    Index("guardgraph_award_agent", "agent", "settled"),
    Index("guardgraph_award_tenant", "tenant"),
)
"""`award` is a digest of the tenant and the key of the attempt that ended the award, `agent` one of the tenant and the
name of the agent, which is in `name`. `settled` is in microseconds since 1970, UTC."""
