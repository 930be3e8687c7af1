"""Whether the key of a codec is the one with which a tenant's data was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import Connection, select

from guardgraph.state import StorageCorrupt, WrongKey
from guardgraph.storage.sql.board_rows import unpacked_row
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.tables import checkpoints, namespaces, runs

__all__ = ("check_key",)


_TRIED = 3
"""Rows of a table that are tried: one that is damaged looks as if it was written with another key."""


def check_key(connection: Connection, codec: Codec, tenant: str) -> bool:
    """Return whether what a tenant has stored can be read with the key of `codec`; `False` where that is nothing yet.

    Raises:
        WrongKey: it was written with another key, or only one of the two has one.
    """
    wrong: WrongKey | None = None
    for read in _stored(connection, codec, tenant):
        try:
            read()
        except WrongKey as error:
            wrong = error
        except StorageCorrupt:  # whoever reads it is refused; others are not
            continue
        else:
            return True
    if wrong is not None:
        raise wrong
    return False


def _stored(connection: Connection, codec: Codec, tenant: str) -> Iterator[Callable[[], object]]:
    """Yield functions that each read a row of the tenant."""
    of_namespace = checkpoints.c.namespace_id == namespaces.c.namespace_id
    facts = select(checkpoints.c.metadata).join(namespaces, of_namespace).where(namespaces.c.tenant == tenant)
    for found in (facts, select(runs.c.task).where(runs.c.tenant == tenant)):
        for data in connection.execute(found.limit(_TRIED)).scalars():
            yield partial(codec.unseal, bytes(data))
    for version in connection.execute(select(boards).where(boards.c.tenant == tenant).limit(_TRIED)).mappings():
        yield partial(unpacked_row, codec, version)
