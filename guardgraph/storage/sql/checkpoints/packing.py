"""How values, writes and checkpoints lie in their rows, and the digests by which damage is found.

A *token* is a small value itself, or the digest of one that is stored as a blob. A very large value is cut into parts,
each a blob; its token is the digest of one more blob, which holds the digests of the parts. A list is the beginnings of
one or more branches: a branch only grows, and its chunks are the tokens of its elements one after the other, so that
neither the value of a beginning nor its digest depends on how the branch is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias, cast

import ormsgpack

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place, digest_of

__all__ = (
    "INLINE",
    "PART",
    "Entry",
    "Segment",
    "Token",
    "UnpackedCheckpoint",
    "Write",
    "blob_key",
    "checkpoint_seal",
    "damage",
    "framed",
    "has_parts",
    "head_seal",
    "is_vector",
    "large_token",
    "pack_checkpoint",
    "pack_value",
    "pack_write",
    "pack_writes",
    "packed_namespace",
    "part_keys",
    "sealed_checkpoint",
    "task_mark",
    "tokens_in",
    "unpack_checkpoint",
    "unpack_writes",
)

INLINE = 256
"""Values of fewer bytes are stored where they are used, larger ones as blobs."""

PART = 2**20
"""Values of more bytes are stored in parts of so many: a server takes one statement of some megabytes."""

Token: TypeAlias = bytes
"""A value: its packed bytes behind a 0, the digest of a blob behind a 1, or of the one that names its parts behind a 2.
"""

_NAMES_BLOB = (b"\1", b"\2")
_DIGEST = 16
_MARK = 8
_VECTOR = 64


class Segment(NamedTuple):
    """The beginning of a branch."""

    branch: int
    upto: int
    """How many elements of the branch belong to the list."""
    digest: bytes
    """The digest of these elements' tokens."""


Entry: TypeAlias = Token | tuple[Segment, ...] | list[Token]
"""Where a value is: a token, a list in chunks, or (of a task's write) a list whose elements have tokens."""


class Write(NamedTuple):
    """One value that a task wrote; a negative `idx` marks an error, an interrupt or a resume value."""

    idx: int
    channel: str
    entry: Entry


class UnpackedCheckpoint(NamedTuple):
    """A checkpoint without the values of its channels, and where these are."""

    core: bytes
    """The packed checkpoint, all but its channels' values."""
    entries: dict[str, Entry]
    tasks: frozenset[bytes]
    """The marks of the tasks whose writes at its parent were stored before it."""


def pack_value(codec: Codec, value: Any, *, where: str, blobs: dict[bytes, bytes]) -> Token:
    """Return the token of `value`; one that is large is added to `blobs`."""
    packed = codec.dumps(value, where=where)
    if len(packed) < INLINE:
        return b"\0" + packed
    return large_token(packed, blobs)


def large_token(packed: bytes, blobs: dict[bytes, bytes]) -> Token:
    """Return the token of packed bytes, which are added to `blobs`."""
    if len(packed) <= PART:
        return b"\1" + _add(packed, blobs)
    parts = [_add(packed[start : start + PART], blobs) for start in range(0, len(packed), PART)]
    return b"\2" + _add(b"".join(parts), blobs)


def _add(data: bytes, blobs: dict[bytes, bytes]) -> bytes:
    key = blake2b(data, digest_size=_DIGEST).digest()
    blobs[key] = data
    return key


def pack_write(codec: Codec, value: Any, *, where: str, blobs: dict[bytes, bytes]) -> Entry:
    """Return where a task's write is. The elements of a list that is not small are shared with its channel.

    One with very many elements is stored as a single value, so that the row of the writes stays small.
    """
    if type(value) is not list or is_vector(cast("list[Any]", value)):
        return pack_value(codec, value, where=where, blobs=blobs)
    items, of_items = enumerate(cast("list[Any]", value)), dict[bytes, bytes]()
    tokens = [pack_value(codec, item, where=f"{where}[{at}]", blobs=of_items) for at, item in items]
    size = sum(map(len, tokens))
    if size > PART:
        return pack_value(codec, value, where=where, blobs=blobs)
    blobs.update(of_items)
    return tokens if size >= INLINE or of_items else b"\0" + codec.dumps(value)


def is_vector(value: Sequence[Any]) -> bool:
    """Return whether a list is one of numbers that are replaced as a whole, such as an embedding."""
    return len(value) >= _VECTOR and all(type(item) is float for item in value)


def blob_key(token: Token) -> bytes | None:
    """Return the digest of the blob that a token names, if it names one."""
    return token[1:] if token[:1] in _NAMES_BLOB else None


def has_parts(token: Token) -> bool:
    """Return whether the blob that a token names holds the digests of the value's parts."""
    return token[:1] == b"\2"


def part_keys(data: bytes) -> list[bytes]:
    """Return the digests of parts that a blob holds, in order."""
    return [data[at : at + _DIGEST] for at in range(0, len(data), _DIGEST)]


def framed(tokens: Sequence[Token]) -> bytes:
    """Return tokens one after the other, as chunks hold them: any two runs of tokens can be joined."""
    count = len(tokens)
    return ormsgpack.packb(list(tokens))[1 if count < 16 else 3 if count < 2**16 else 5 :]


def tokens_in(data: bytes, count: int) -> list[Token]:
    """Return the tokens of a chunk. Raises `ValueError` where it does not hold exactly `count`."""
    if not 0 <= count < 2**32:
        raise ValueError("no number of tokens")
    tokens = ormsgpack.unpackb(b"\xdd" + count.to_bytes(4, "big") + data)
    if not all(type(token) is bytes and token for token in tokens):
        raise ValueError("no tokens")
    return tokens


def task_mark(task_id: str) -> bytes:
    """Return the eight bytes by which a checkpoint names a task that wrote at its parent."""
    return blake2b(task_id.encode("utf-8", "surrogatepass"), digest_size=_MARK).digest()


def pack_checkpoint(namespace: str, core: bytes, entries: Mapping[str, Entry], tasks: Iterable[bytes] = ()) -> bytes:
    """Return the content of the column `body`, which `sealed_checkpoint` completes; `tasks` are marks."""
    channels = [[_encoded(channel), _plain(entry)] for channel, entry in entries.items()]
    named = [_encoded(namespace)] if namespace else []
    return ormsgpack.packb([core, channels, b"".join(sorted(tasks)), *named])


def packed_namespace(body: bytes) -> str:
    """Return the namespace that the `body` of a checkpoint names. Raises `ValueError` where it cannot be read."""
    match ormsgpack.unpackb(body[_DIGEST:]):
        case [_, _, _]:
            return ""
        case [_, _, _, bytes(name)]:
            return _decoded(name)
        case _:
            raise ValueError("no checkpoint")


def unpack_checkpoint(place: Place, row: Mapping[Any, Any]) -> UnpackedCheckpoint:
    """Return what the row of a checkpoint holds. Raises `StorageCorrupt` where any part of the row was changed."""
    body = bytes(row["body"])
    seal, content = body[:_DIGEST], body[_DIGEST:]
    if seal != checkpoint_seal(place.name, {**row, "body": content}):
        raise damage(place, row["checkpoint_id"], "body", "its row is not what was stored")
    core, entries, marks, *_ = ormsgpack.unpackb(content)
    named = frozenset(marks[at : at + _MARK] for at in range(0, len(marks), _MARK))
    return UnpackedCheckpoint(core, {_decoded(channel): _entry(entry) for channel, entry in entries}, named)


def checkpoint_seal(name: bytes, row: Mapping[Any, Any]) -> bytes:
    """Return the digest of a checkpoint's row, whose `body` has no seal yet, in the namespace `name`."""
    ids = (row["checkpoint_id"], row["parent_id"], row["run_id"])
    return digest_of(b"checkpoint", name, *ids, row["body"], bytes(row["metadata"]))


def sealed_checkpoint(name: bytes, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the row of a checkpoint with the seal in front of its `body`."""
    return {**row, "body": checkpoint_seal(name, row) + row["body"]}


def pack_writes(name: bytes, checkpoint_id: str, task_id: str, task_path: str, writes: Sequence[Write]) -> bytes:
    """Return the content of the column `data` for all that a task wrote at a checkpoint."""
    items = [[write.idx, _encoded(write.channel), write.entry] for write in writes]
    content = ormsgpack.packb([_encoded(task_path), items])
    return digest_of(b"write", name, checkpoint_id, task_id, content) + content


def unpack_writes(place: Place, checkpoint_id: str, task_id: str, data: bytes) -> tuple[str, list[Write]]:
    """Return the path of a task and what it wrote. Raises `StorageCorrupt` where its row was changed."""
    seal, content = data[:_DIGEST], data[_DIGEST:]
    if seal != digest_of(b"write", place.name, checkpoint_id, task_id, content):
        raise damage(place, checkpoint_id, "writes", f"what task {task_id!r} wrote is not what was stored")
    task_path, items = ormsgpack.unpackb(content)
    return _decoded(task_path), [Write(idx, _decoded(channel), entry) for idx, channel, entry in items]


def head_seal(name: bytes, head: str | None) -> bytes:
    """Return the digest of a namespace's newest checkpoint."""
    return digest_of(b"head", name, head)


def damage(place: Place, checkpoint_id: str | None, column: str, reason: str) -> StorageCorrupt:
    """Return the error for a damaged part of a checkpoint."""
    where = f"checkpoint {checkpoint_id!r} of " if checkpoint_id else ""
    of = f" (namespace {place.namespace!r})" if place.namespace else ""
    advice = "SQLSaver.verify(thread_id) lists all damage, SQLSaver.repair(thread_id) goes back to the last good one"
    message = f"{where}thread {place.thread_id!r}{of} is damaged in {column!r}: {reason}; {advice}"
    return StorageCorrupt(message, thread_id=place.thread_id, checkpoint_id=checkpoint_id, column=column)


def _plain(entry: Entry) -> Any:
    return [[*segment] for segment in entry] if isinstance(entry, tuple) else entry


def _entry(entry: Any) -> Entry:
    return entry if isinstance(entry, bytes) else tuple(Segment(*segment) for segment in entry)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
