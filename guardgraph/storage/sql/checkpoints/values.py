"""Reading the values of checkpoints of one namespace: each chunk and blob once, compared with its digest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection

from guardgraph.storage.sql.checkpoints.packing import (
    Entry,
    Segment,
    Token,
    blob_key,
    damage,
    framed,
    has_parts,
    part_keys,
    tokens_in,
)
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import blobs_at, chunks_of

__all__ = ("Values", "branch_tokens", "prefix_digests")


class Values:
    """What some checkpoints of a namespace need of its chunks and blobs. Make it, `read`, then ask for values."""

    def __init__(self, codec: Codec, *, shared: bool = False) -> None:
        """The elements of lists are decoded for each checkpoint, or once where checkpoints may share them."""
        self._codec = codec
        self._branches: dict[int, list[Token]] = {}
        self._digests: dict[tuple[int, int], bytes] = {}
        self._blobs: dict[bytes, bytes] = {}
        self._compared: set[bytes] = set()
        self._decoded: dict[Token, Any] | None = {} if shared else None

    def read(self, connection: Connection, t: int, entries: Iterable[Entry]) -> None:
        """Read what `entries` name. Nothing is raised where it is damaged or missing; asking for the value does."""
        wanted = [*entries]
        segments = {segment for entry in wanted if isinstance(entry, tuple) for segment in entry}
        namespace = {"namespace_id": t}
        rows = chunks_of.rows(connection, {segment.branch for segment in segments}, namespace)
        for branch, of_branch in groupby(rows, attrgetter("branch")):
            self._branches[branch] = branch_tokens([(row.lo, row.hi, bytes(row.data)) for row in of_branch])
        self._add_digests(segments)
        tokens = [token for entry in wanted if not isinstance(entry, tuple) for token in _plain(entry)]
        for branch, upto in _longest(segments).items():
            tokens += self._branches.get(branch, [])[:upto]
        self._read_blobs(connection, t, {key for token in tokens if (key := blob_key(token))})
        lists = {token[1:] for token in tokens if has_parts(token)}
        parts = {part for key in lists if self._is_intact(key) for part in part_keys(self._blobs[key])}
        self._read_blobs(connection, t, parts)

    def tokens(self, place: Place, checkpoint_id: str, channel: str, segments: Sequence[Segment]) -> list[Token]:
        """Return the tokens of a list. Raises `StorageCorrupt` where a chunk is missing or is not what was stored."""
        found: list[Token] = []
        for segment in segments:
            if self._digests.get(segment[:2]) != segment.digest:
                reason = "a part of its list is missing" if segment[:2] not in self._digests else "its list was changed"
                raise damage(place, checkpoint_id, channel, reason)
            found += self._branches[segment.branch][: segment.upto]
        return found

    def check(self, place: Place, checkpoint_id: str, channel: str, entry: Entry) -> list[Token]:
        """Return the tokens of a value. Raises `StorageCorrupt` where any part of it is damaged."""
        in_chunks = isinstance(entry, tuple)
        tokens = self.tokens(place, checkpoint_id, channel, entry) if in_chunks else _plain(entry)
        for token in tokens:
            self.packed(place, checkpoint_id, channel, token)
        return tokens

    def value(self, place: Place, checkpoint_id: str, channel: str, entry: Entry) -> Any:
        """Return a value. Raises `StorageCorrupt` where it is damaged, or holds a class that is not registered."""

        def load(tokens: Iterable[Token]) -> list[Any]:
            return self._codec.loads_all([self.packed(place, checkpoint_id, channel, token) for token in tokens])

        if isinstance(entry, bytes):
            return self._codec.loads(self.packed(place, checkpoint_id, channel, entry))
        if isinstance(entry, list):
            return load(entry)
        tokens, decoded = self.tokens(place, checkpoint_id, channel, entry), self._decoded
        if decoded is None:
            return load(tokens)
        new = [token for token in dict.fromkeys(tokens) if token not in decoded]
        decoded.update(zip(new, load(new), strict=True))
        return [decoded[token] for token in tokens]

    def packed(self, place: Place, checkpoint_id: str | None, channel: str, token: Token) -> bytes:
        """Return the packed value of a token. Raises `StorageCorrupt` where it is missing, or was changed."""
        key = blob_key(token)
        if key is None:
            return token[1:]
        data = self._blob(place, checkpoint_id, channel, key)
        if not has_parts(token):
            return data
        return b"".join(self._blob(place, checkpoint_id, channel, part) for part in part_keys(data))

    def _blob(self, place: Place, checkpoint_id: str | None, channel: str, key: bytes) -> bytes:
        if key not in self._blobs:
            raise damage(place, checkpoint_id, channel, "its value is missing")
        if not self._is_intact(key):
            raise damage(place, checkpoint_id, channel, "its value was changed")
        return self._blobs[key]

    def _read_blobs(self, connection: Connection, t: int, keys: Set[bytes]) -> None:
        for row in blobs_at.rows(connection, keys - self._blobs.keys(), {"namespace_id": t}):
            self._blobs[bytes(row.hash)] = bytes(row.data)

    def _is_intact(self, key: bytes) -> bool:
        """Return whether a blob was found, and is what was stored."""
        if key in self._compared:
            return True
        if key in self._blobs and _digest(self._blobs[key]) == key:
            self._compared.add(key)
        return key in self._compared

    def _add_digests(self, segments: Iterable[Segment]) -> None:
        """Take the digest of every beginning of a branch that is named, in one pass over the branch."""
        by_branch: dict[int, set[int]] = {}
        for segment in segments:
            by_branch.setdefault(segment.branch, set()).add(segment.upto)
        for branch, lengths in by_branch.items():
            found = prefix_digests(self._branches.get(branch, []), lengths)
            self._digests.update({(branch, upto): digest for upto, digest in found.items()})


def prefix_digests(tokens: Sequence[Token], lengths: Iterable[int]) -> dict[int, bytes]:
    """Return the digests of the beginnings of a branch that are no longer than the branch, in one pass over it."""
    found: dict[int, bytes] = {}
    digest, done = blake2b(digest_size=16), 0
    for upto in sorted(lengths):
        if upto > len(tokens):
            break
        digest.update(framed(tokens[done:upto]))
        found[upto], done = digest.digest(), upto
    return found


def branch_tokens(rows: Sequence[tuple[int, int, bytes]]) -> list[Token]:
    """Return the tokens of a branch, up to the first chunk that is missing or cannot be read."""
    found: list[Token] = []
    for lo, hi, data in rows:
        if lo != len(found) or hi <= lo:
            break
        try:
            found += tokens_in(data, hi - lo)
        except ValueError:
            break
    return found


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _plain(entry: Token | list[Token]) -> list[Token]:
    return [entry] if isinstance(entry, bytes) else entry


def _longest(segments: Iterable[Segment]) -> dict[int, int]:
    longest: dict[int, int] = {}
    for segment in segments:
        longest[segment.branch] = max(segment.upto, longest.get(segment.branch, 0))
    return longest
