"""The table of values that all runs of a tenant share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from guardgraph.storage.sql.tables import id_type, key_type, metadata, packed_type

__all__ = ("shared_values",)

shared_values = Table(
    "guardgraph_value",
    metadata,
    Column("value", key_type(), primary_key=True),
    Column("tenant", id_type(), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", packed_type(), nullable=False),
    Column("data", packed_type(), nullable=False),
    Column("changed", BigInteger, nullable=False),
    Index("guardgraph_value_tenant", "tenant", "kind", "changed"),
)
"""`value` is a digest of the tenant, the kind and the name; `data` is JSON. `changed` is in microseconds since 1970."""
