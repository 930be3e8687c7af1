"""The rows of boards: how a version is packed into one, read back, and copied to another thread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from guardgraph.state import BoardEntry, StorageCorrupt
from guardgraph.storage.boards import BoardPlace
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import checked_id, digest_of

__all__ = (
    "board_damage",
    "board_digest",
    "copy_boards",
    "entry_digest",
    "packed_row",
    "request_digest",
    "unpacked_row",
)

_DIGEST = 16


def board_digest(tenant: str, place: BoardPlace) -> bytes:
    """Return the key of a board."""
    return digest_of(b"board", tenant, place.thread_id, place.name)


def entry_digest(key: str) -> bytes:
    """Return the key of an entry on its board."""
    return digest_of(b"entry", key)


def request_digest(name: str) -> bytes:
    """Return the key of a write that has a name."""
    return digest_of(b"request", name)


def packed_row(codec: Codec, tenant: str, place: BoardPlace, entry: BoardEntry, name: str | None) -> dict[str, Any]:
    """Return the row of a version; `name` is that of the write which has made it."""
    board = board_digest(tenant, place)
    packed = json.dumps({"entry": entry.model_dump(mode="json"), "name": name}, separators=(",", ":")).encode("ascii")
    row: dict[str, Any] = {
        "board": board,
        "entry": entry_digest(entry.key),
        "version": entry.version,
        "number": entry.number,
        "tenant": tenant,
        "thread_id": None if place.thread_id is None else checked_id("thread_id", place.thread_id),
        "kind": entry.kind,
        "request": None if name is None else request_digest(name),
    }
    content = codec.seal(packed, board)
    return {**row, "data": _seal_of(row, content) + content}


def unpacked_row(codec: Codec, row: Mapping[Any, Any]) -> BoardEntry:
    """Return the version of a row. Raises `StorageCorrupt` where the row is not what was stored."""
    return _opened(codec, row)[0]


def copy_boards(
    connection: Connection,
    codec: Codec,
    tenant: str,
    source: str,
    target: str,
    run_ids: Mapping[str, str],
    *,
    until: datetime | None = None,
) -> None:
    """Copy the boards of a thread to another one, which has none: each up to its first version that is after `until`.

    Runs have other ids there, also in the names of writes.
    """
    mine = (boards.c.tenant == tenant, boards.c.thread_id == source)
    ended = set[bytes]()
    for row in connection.execute(select(boards).where(*mine).order_by(boards.c.board, boards.c.number)).mappings():
        entry, name = _opened(codec, row)
        if until is not None and entry.at > until:
            ended.add(bytes(row["board"]))
        if bytes(row["board"]) in ended:
            continue
        for run_id, new in run_ids.items() if name else ():
            name = (name or "").replace(run_id, new)
        copied = entry.model_copy(update={"run_id": run_ids.get(entry.run_id or "", entry.run_id)})
        place = BoardPlace(target, entry.board)
        connection.execute(boards.insert(), packed_row(codec, tenant, place, copied, name))


def board_damage(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> list[StorageCorrupt]:
    """Return the error that reading each damaged version on the boards of a thread raises, and what is missing."""
    mine = (boards.c.tenant == tenant, boards.c.thread_id == thread_id)
    found: list[StorageCorrupt] = []
    numbers = dict[bytes, int]()
    for row in connection.execute(select(boards).where(*mine).order_by(boards.c.board, boards.c.number)).mappings():
        before, number = numbers.get(bytes(row["board"]), 0), row["number"]
        numbers[bytes(row["board"])] = number
        if number > before + 1:
            found.append(_damaged(thread_id, f"{number - before - 1} before number {number} of a board are missing"))
        try:
            _opened(codec, row)
        except StorageCorrupt as error:
            found.append(error)
    return found


def _opened(codec: Codec, row: Mapping[Any, Any]) -> tuple[BoardEntry, str | None]:
    data, thread_id = bytes(row["data"]), row["thread_id"]
    seal, content = data[:_DIGEST], data[_DIGEST:]
    if seal != _seal_of(row, content):
        raise _damage(row, "it is not what was stored")
    packed = codec.unseal(content, bytes(row["board"]))
    try:
        found = json.loads(packed)
        entry, name = BoardEntry.model_validate(found["entry"]), found["name"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damage(row, "it is no version of an entry") from error
    if board_digest(row["tenant"], BoardPlace(thread_id, entry.board)) != bytes(row["board"]):
        raise _damage(row, "it belongs to another board")
    return entry, name


def _seal_of(row: Mapping[Any, Any], content: bytes) -> bytes:
    numbers = (str(row["version"]), str(row["number"]), row["kind"])
    keys = (bytes(row["board"]), bytes(row["entry"]), None if row["request"] is None else bytes(row["request"]))
    return digest_of(b"version", *keys, *numbers, content)


def _damage(row: Mapping[Any, Any], reason: str) -> StorageCorrupt:
    return _damaged(row["thread_id"], f"version {row['version']} of an entry is damaged, {reason}")


def _damaged(thread_id: str | None, reason: str) -> StorageCorrupt:
    of = "shared boards" if thread_id is None else f"the boards of thread {thread_id!r}"
    what = f"{of} are damaged in 'boards': {reason}; restore the database from a copy"
    return StorageCorrupt(what, thread_id=thread_id, column="boards")
