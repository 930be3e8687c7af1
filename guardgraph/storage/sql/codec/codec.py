"""How values become bytes: msgpack with an allowlist that is always on. Loading looks names up, and imports nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Self

import ormsgpack
from pydantic import ValidationError

from guardgraph.state import BadInput, StorageCorrupt, StorageError, Unserializable, validation_text
from guardgraph.storage.sql.codec.kinds import (
    ARRAY,
    BY_TYPE,
    DECODERS,
    EXCEPTION,
    INTEGER,
    MAP,
    RECORD,
    TEXT,
    StoredException,
    array_parts,
    is_array,
)
from guardgraph.storage.sql.codec.records import Registry, is_registrable, plain_fields, registry_of, types_in
from guardgraph.storage.sql.codec.tags import OWN

__all__ = ("DEPTH", "Codec")

DEPTH = 100
"""How deep a value may be nested."""

_NAME = "guardgraph"
_FORMAT = b"\x01"
_DIGEST = 8
_PLAIN = frozenset({type(None), bool, float, bytes})


@dataclass(frozen=True)
class Codec:
    """LangGraph's serializer protocol over an allowlist of types: a value is restored unchanged, or refused on writing.

    Known are Python's plain, date, number and collection types, exceptions (as `StoredException`), NumPy arrays,
    LangChain's messages and documents, LangGraph's `Send`, `Command`, `Interrupt` and `Overwrite`, and guardgraph's
    own types. `types` adds pydantic models, dataclasses, enums and named tuples, with the types of their fields; a
    `TypedDict` adds the types of its keys. A subclass is a different type from its parent.

    Raises:
        BadInput: a type in `types` is of no kind that can be stored, or two of them share a name.
    """

    types: tuple[type[Any], ...] = ()
    on_unknown: Callable[[str], None] | None = field(default=None, compare=False)
    """Called with the name of each unknown class that is read; its fields are then returned as a dict."""

    def __post_init__(self) -> None:
        for kind in self.types:
            if not types_in(kind):
                raise BadInput(
                    f"{kind!r} cannot be registered: pass pydantic models, dataclasses, enums, named tuples, "
                    "or a TypedDict that holds some"
                )
        _registry_with(self.types)

    def with_types(self, *types: type[Any]) -> Self:
        """Return a codec that also knows `types`; this one is not changed."""
        return replace(self, types=tuple(dict.fromkeys((*self.types, *types))))

    def reading_plain(self, on_unknown: Callable[[str], None]) -> Self:
        """Return a codec that reads an object of an unknown class as a dict of its fields.

        It calls `on_unknown` with the name of the class, as `module:name`. Use it only to inspect data: the values that
        it returns are not those that were stored.
        """
        return replace(self, on_unknown=on_unknown)

    def dumps(self, value: Any, *, where: str = "value") -> bytes:
        """Return the bytes of `value`; `where` names it in the message when a part of it is refused.

        Raises:
            Unserializable: a part of it is of an unknown type, or is nested deeper than `DEPTH`.
        """
        payload = _Writer(_registry_with(self.types), where).pack(value)
        return _FORMAT + blake2b(payload, digest_size=_DIGEST).digest() + payload

    def loads(self, data: bytes) -> Any:
        """Return the value of bytes that `dumps` made.

        Raises:
            StorageCorrupt: the bytes are damaged, were not written by `dumps`, or name an unknown type.
        """
        head, payload = data[: 1 + _DIGEST], data[1 + _DIGEST :]
        if head[:1] != _FORMAT:
            raise StorageCorrupt("stored data is not in the format of this codec")
        if head[1:] != blake2b(payload, digest_size=_DIGEST).digest():
            raise StorageCorrupt("stored data is damaged: its checksum does not fit")
        return _Reader(_registry_with(self.types), self.on_unknown).unpack(payload)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the name of this codec and the bytes of `obj`; see `dumps`."""
        return _NAME, self.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of what `dumps_typed` made; see `loads`."""
        name, packed = data
        if name != _NAME:
            raise StorageCorrupt(f"stored data was written by {name!r}, not by {_NAME!r}")
        return self.loads(packed)


@lru_cache(maxsize=64)
def _registry_with(types: tuple[type[Any], ...]) -> Registry:
    """Return the registry of guardgraph's own classes and `types`."""
    return registry_of(types_in(*OWN.values(), *types))


class _Writer:
    """Converts one value to msgpack; `trail` is the path from the root to the current part."""

    __slots__ = ("registry", "trail", "where")

    def __init__(self, registry: Registry, where: str) -> None:
        self.registry, self.where = registry, where
        self.trail: list[Any] = []

    def pack(self, value: Any) -> bytes:
        try:
            return ormsgpack.packb(self.tree(value))
        except RecursionError as error:
            raise self.refusal(f"it is nested too deep ({error})") from error

    def tree(self, value: Any) -> Any:
        """Return `value` as what msgpack can hold: plain values, lists, string-keyed dicts and extensions."""
        kind = type(value)
        if kind is str:
            return value if _is_utf8(value) else ormsgpack.Ext(TEXT, value.encode("utf-8", "surrogatepass"))
        if kind in _PLAIN:
            return value
        if kind is int:
            if -(2**63) <= value < 2**64:
                return value
            return ormsgpack.Ext(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
        if len(self.trail) >= DEPTH:
            raise self.refusal(f"it is nested more than {DEPTH} levels deep, or contains itself")
        if kind is list:
            return self.trees(enumerate(value))
        return self.mapping(value) if kind is dict else self.extension(value, kind)

    def trees(self, items: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Return the trees of `(step, value)` pairs; a step is an index, a key or the name of a field."""
        trail = self.trail
        found: list[Any] = []
        for step, item in items:
            trail.append(step)
            found.append(self.tree(item))
            trail.pop()
        return found

    def mapping(self, value: dict[Any, Any]) -> Any:
        trees = self.trees(value.items())
        if all(type(key) is str and _is_utf8(key) for key in value):
            return dict(zip(value, trees, strict=True))
        return ormsgpack.Ext(MAP, ormsgpack.packb([*zip(map(self.tree, value), trees, strict=True)]))

    def extension(self, value: Any, kind: type[Any]) -> ormsgpack.Ext:
        try:
            if known := BY_TYPE.get(kind):
                code, tree = known.code, self.tree(known.encode(value))
            elif record := self.registry.by_type.get(kind):
                code, tree = RECORD, [record.name.tag, self.mapping(record.encode(value))]
            elif isinstance(value, BaseException):
                stored = value if isinstance(value, StoredException) else StoredException(kind.__qualname__, str(value))
                code, tree = EXCEPTION, self.tree([stored.kind, stored.text])
            elif is_array(value):
                code, tree = ARRAY, self.tree(array_parts(value))
            else:
                raise self.unknown(kind)
        except Unserializable:  # which is a TypeError too
            raise
        except TypeError as error:
            raise self.refusal(f"{_name_of(kind)} cannot be stored: {error}") from error
        return ormsgpack.Ext(code, ormsgpack.packb(tree))

    def unknown(self, kind: type[Any]) -> Unserializable:
        remedy = "convert it to plain data, or keep it out of the state"
        if is_registrable(kind):
            name = kind.__name__
            remedy = f"register it: Runner(types=[{name}]) or SQLSaver.from_url(url, types=({name},))"
        return self.refusal(f"{_name_of(kind)} is not a type that is stored; {remedy}")

    def refusal(self, reason: str) -> Unserializable:
        root = self.where if self.where.isprintable() else repr(self.where)
        path = root + "".join(map(_step, self.trail))
        return Unserializable(f"cannot store {path}: {reason}" if len(path) < 1000 else f"{reason}: {path[:1000]}…")


class _Reader:
    """Restores one value; `depth` counts the enclosing extensions."""

    __slots__ = ("depth", "fault", "on_unknown", "registry")

    def __init__(self, registry: Registry, on_unknown: Callable[[str], None] | None) -> None:
        self.registry, self.on_unknown, self.depth = registry, on_unknown, 0
        self.fault: Exception | None = None  # msgpack hides the exceptions of its hook

    def unpack(self, payload: bytes) -> Any:
        try:
            return ormsgpack.unpackb(payload, ext_hook=self.hook)
        except Exception as error:  # whatever a damaged or foreign value makes a constructor raise
            cause = self.fault or error
            if isinstance(cause, StorageError):
                raise cause from None
            raise StorageCorrupt(f"stored data cannot be read back: {type(cause).__name__}: {cause}") from cause

    def hook(self, code: int, data: bytes) -> Any:
        try:
            return self.extension(code, data)
        except Exception as error:
            self.fault = self.fault or error
            raise

    def extension(self, code: int, data: bytes) -> Any:
        if code == TEXT:
            return data.decode("utf-8", "surrogatepass")
        if code == INTEGER:
            return int.from_bytes(data, "big", signed=True)
        if self.depth >= 2 * DEPTH:
            raise StorageCorrupt(f"stored data is nested more than {DEPTH} levels deep")
        self.depth += 1
        parts = ormsgpack.unpackb(data, ext_hook=self.hook)
        self.depth -= 1
        if code == RECORD:
            return self.record(*parts)
        try:
            return DECODERS[code](parts)
        except TypeError:
            if self.on_unknown is None:
                raise
            return parts  # an object that is read as a dict cannot be in a set, nor be a key

    def record(self, tag: str, fields: dict[str, Any]) -> Any:
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
            reason = (
                validation_text(error) if isinstance(error, ValidationError) else f"{type(error).__name__}: {error}"
            )
            raise StorageCorrupt(f"a stored {tag!r} does not fit its class any more: {reason}") from error


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _name_of(kind: type[Any]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _step(step: Any) -> str:
    return f".{step}" if type(step) is str and step.isidentifier() else f"[{step!r:.60}]"
