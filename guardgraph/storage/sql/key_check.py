"""Whether the key of a codec is the one with which a tenant's data was written."""

from __future__ import annotations

from sqlalchemy import Connection, select

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.tables import checkpoints, namespaces, runs

__all__ = ("check_key",)


def check_key(connection: Connection, codec: Codec, tenant: str) -> None:
    """Do nothing if what a tenant has stored can be read with the key of `codec`, or if that is nothing.

    Raises:
        WrongKey: it was written with another key, or only one of the two has one.
    """
    of_namespace = checkpoints.c.namespace_id == namespaces.c.namespace_id
    facts = select(checkpoints.c.metadata).join(namespaces, of_namespace).where(namespaces.c.tenant == tenant)
    for found in (facts, select(runs.c.task).where(runs.c.tenant == tenant)):
        data = connection.execute(found.limit(1)).scalar()
        if data is not None:
            codec.unseal(bytes(data))
