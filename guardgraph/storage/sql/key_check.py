"""Whether the key of a codec is the one with which a tenant's data was written."""

from __future__ import annotations

from sqlalchemy import Connection, select

from guardgraph.storage.sql.board_rows import unpacked_row
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.tables import checkpoints, namespaces, runs

__all__ = ("check_key",)


def check_key(connection: Connection, codec: Codec, tenant: str) -> bool:
    """Return whether what a tenant has stored can be read with the key of `codec`; `False` where that is nothing yet.

    Raises:
        WrongKey: it was written with another key, or only one of the two has one.
    """
    of_namespace = checkpoints.c.namespace_id == namespaces.c.namespace_id
    facts = select(checkpoints.c.metadata).join(namespaces, of_namespace).where(namespaces.c.tenant == tenant)
    queries = (facts, select(runs.c.task).where(runs.c.tenant == tenant))
    stored = [data for found in queries if (data := connection.execute(found.limit(1)).scalar()) is not None]
    for data in stored:
        codec.unseal(bytes(data))
    version = connection.execute(select(boards).where(boards.c.tenant == tenant).limit(1)).mappings().first()
    if version is not None:
        unpacked_row(codec, version)
    return bool(stored) or version is not None
