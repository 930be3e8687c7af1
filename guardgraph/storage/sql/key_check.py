"""Whether the key of a codec is the one that a database was written with."""

from __future__ import annotations

from sqlalchemy import Connection, select

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.tables import checkpoints, runs

__all__ = ("check_key",)


def check_key(connection: Connection, codec: Codec) -> None:
    """Do nothing if what a database holds can be read with the key of `codec`, or if it is empty.

    Raises:
        WrongKey: it was written with another key, or only one of the two has one.
    """
    for column in (checkpoints.c.metadata, runs.c.task):
        data = connection.execute(select(column).limit(1)).scalar()
        if data is not None:
            codec.unseal(bytes(data))
