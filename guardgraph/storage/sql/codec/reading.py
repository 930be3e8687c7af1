"""How msgpack becomes a value again. Classes are looked up by name; nothing is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ormsgpack

from guardgraph.state import StorageCorrupt, StorageError
from guardgraph.storage.sql.codec.kinds import DECODERS, RECORD
from guardgraph.storage.sql.codec.records import Registry, plain_fields, reason_of
from guardgraph.storage.sql.codec.writing import DEPTH, FAST_DEPTH

__all__ = ("Reader",)

_PREFIX = 1014 - DEPTH
"""With as many levels before it, ormsgpack reads `DEPTH` more, and what an extension needs for itself."""


class Reader:
    """Restores one value; `depth` counts the enclosing extensions."""

    __slots__ = ("depth", "fault", "on_unknown", "registry")

    def __init__(self, registry: Registry, on_unknown: Callable[[str], None] | None) -> None:
        self.registry, self.on_unknown, self.depth = registry, on_unknown, 0
        self.fault: BaseException | None = None  # ormsgpack hides the exceptions of its hook

    def unpack(self, payload: bytes | memoryview) -> Any:
        """Return the value. Raises `StorageCorrupt` where the bytes are none that were written with this registry."""
        try:
            return ormsgpack.unpackb(payload, ext_hook=self.hook)
        except Exception as error:  # whatever a damaged or foreign value makes a constructor raise
            cause = self.fault or error
            if isinstance(cause, StorageError) or not isinstance(cause, Exception):
                raise cause from None
            raise StorageCorrupt(f"stored data cannot be read back: {type(cause).__name__}: {cause}") from cause

    def hook(self, code: int, data: bytes) -> Any:
        """Return the value of an extension."""
        depth = self.depth
        try:
            if depth >= FAST_DEPTH:
                _check_depth(data, depth)
            self.depth = depth + 1
            parts = ormsgpack.unpackb(data, ext_hook=self.hook)
            self.depth = depth
            return self.record(*parts) if code == RECORD else self.builtin(code, parts)
        except BaseException as error:
            self.fault = self.fault or error
            raise

    def builtin(self, code: int, parts: Any) -> Any:
        """Return a value of one of Python's own types."""
        try:
            return DECODERS[code](parts)
        except TypeError:
            if self.on_unknown is None:
                raise
            return parts  # an object that is read as a dict cannot be in a set, nor be a key

    def record(self, tag: str, fields: dict[str, Any]) -> Any:
        """Return an object of a registered class."""
        try:
            return self.registry.by_tag[tag].decode(fields)
        except (TypeError, ValueError, LookupError) as error:
            if self.on_unknown is not None:
                self.on_unknown(tag)
                return plain_fields(fields)
            if tag not in self.registry.by_tag:
                raise StorageCorrupt(
                    f"stored data holds a {tag!r}, which is not registered; pass its class: "
                    "Runner(types=[…]) or SQLSaver.from_url(url, types=(…,))"
                ) from None
            raise StorageCorrupt(f"a stored {tag!r} does not fit its class any more: {reason_of(error)}") from error


def _check_depth(data: bytes, depth: int) -> None:
    """Raise where an extension is nested too deep, for many deep trees in one another would overflow the stack."""
    if depth >= DEPTH:
        raise StorageCorrupt(f"stored data is nested more than {DEPTH} levels deep")
    ormsgpack.unpackb(b"\x91" * (_PREFIX + depth) + data, ext_hook=_ignored)


def _ignored(code: int, data: bytes) -> None:
    """Take the place of an extension where only the depth is measured."""
