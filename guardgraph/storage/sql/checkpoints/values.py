"""Reading the values of checkpoints of one namespace: each chunk and blob once, compared with its digest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection

from guardgraph.storage.sql.checkpoints.packing import Entry, Segment, Token, blob_key, damage, framed, tokens_in
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
        keys = {key for token in tokens if (key := blob_key(token))} - self._blobs.keys()
        for row in blobs_at.rows(connection, keys, namespace):
            self._blobs[bytes(row.hash)] = bytes(row.data)

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
            self._packed(place, checkpoint_id, channel, token)
        return tokens

    def value(self, place: Place, checkpoint_id: str, channel: str, entry: Entry) -> Any:
        """Return a value. Raises `StorageCorrupt` where it is damaged, or holds a class that is not registered."""

        def load(tokens: Iterable[Token]) -> list[Any]:
            return self._codec.loads_all([self._packed(place, checkpoint_id, channel, token) for token in tokens])

        if isinstance(entry, bytes):
            return self._codec.loads(self._packed(place, checkpoint_id, channel, entry))
        if isinstance(entry, list):
            return load(entry)
        tokens, decoded = self.tokens(place, checkpoint_id, channel, entry), self._decoded
        if decoded is None:
            return load(tokens)
        new = [token for token in dict.fromkeys(tokens) if token not in decoded]
        decoded.update(zip(new, load(new), strict=True))
        return [decoded[token] for token in tokens]

    def _packed(self, place: Place, checkpoint_id: str, channel: str, token: Token) -> bytes:
        if (key := blob_key(token)) is None:
            return token[1:]
        data = self._blobs.get(key)
        if data is None:
            raise damage(place, checkpoint_id, channel, "its value is missing")
        if key not in self._compared:
            if blake2b(data, digest_size=16).digest() != key:
                raise damage(place, checkpoint_id, channel, "its value was changed")
            self._compared.add(key)
        return data

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


def _plain(entry: Token | list[Token]) -> list[Token]:
    return [entry] if isinstance(entry, bytes) else entry


def _longest(segments: Iterable[Segment]) -> dict[int, int]:
    longest: dict[int, int] = {}
    for segment in segments:
        longest[segment.branch] = max(segment.upto, longest.get(segment.branch, 0))
    return longest
