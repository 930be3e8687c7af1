"""How values become bytes: msgpack with an allowlist that is always on. Loading looks names up, and imports nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Self

import ormsgpack
from pydantic import ValidationError

from guardgraph.state import BadInput, StorageCorrupt, StorageError, Unserializable
from guardgraph.storage.sql.codec.arrays import array_of, is_array, parts_of
from guardgraph.storage.sql.codec.exceptions import StoredException
from guardgraph.storage.sql.codec.kinds import ARRAY, BY_CODE, BY_TYPE, EXCEPTION, INTEGER, MAP, RECORD, TEXT
from guardgraph.storage.sql.codec.records import Registry, is_registrable, plain_fields, registry_of
from guardgraph.storage.sql.codec.schemas import types_in
from guardgraph.storage.sql.codec.tags import OWN, PREFIX

__all__ = ("DEPTH", "Codec")

DEPTH = 100
"""How deep a value may be nested."""

_NAME = "guardgraph"
_FORMAT = b"\x01"
_DIGEST = 8
_PLAIN = frozenset({type(None), bool, float, bytes})


@dataclass(frozen=True)
class Codec:
    """LangGraph's serializer protocol over an allowlist of types: what goes in comes out, or is refused when written.

    Known are Python's plain, date, number and collection types, exceptions (as `StoredException`), NumPy arrays,
    LangChain's messages and documents, LangGraph's `Send`, `Command`, `Interrupt` and `Overwrite`, and guardgraph's
    own words. `types` adds pydantic models, dataclasses, enums and named tuples, with all that their fields hold; a
    `TypedDict` adds what its fields hold. A subclass is another type than its parent.

    Raises:
        BadInput: a type in `types` is of no kind that can be stored, or two of them share a name.
    """

    types: tuple[type[Any], ...] = ()
    on_unknown: Callable[[str], None] | None = field(default=None, compare=False)
    """Told the name of each class that is read and not known, whose fields are then given as a dict."""

    def __post_init__(self) -> None:
        for kind in self.types:
            if not types_in(kind):
                raise BadInput(
                    f"{kind!r} cannot be registered: pass pydantic models, dataclasses, enums, named tuples, "
                    "or a TypedDict that holds some"
                )
        registry_of(types_in(*self.types))

    def with_types(self, *types: type[Any]) -> Self:
        """Return a codec that also knows `types`; this one stays as it is."""
        return replace(self, types=tuple(dict.fromkeys((*self.types, *types))))

    def reading_plain(self, on_unknown: Callable[[str], None]) -> Self:
        """Return a codec that gives a stored object of a class that is not known as a dict of its fields.

        It tells `on_unknown` the name of the class, as `module:name`, and is for looking at data only: what it has read
        is not what was stored.
        """
        return replace(self, on_unknown=on_unknown)

    def dumps(self, value: Any, *, where: str = "value") -> bytes:
        """Return the bytes of `value`; `where` names it in the message when something in it is refused.

        Raises:
            Unserializable: something in it is of a type that is not known, or is nested deeper than `DEPTH`.
        """
        payload = _Writer(self._registry, where).pack(value)
        return _FORMAT + blake2b(payload, digest_size=_DIGEST).digest() + payload

    def loads(self, data: bytes) -> Any:
        """Return the value of bytes that `dumps` made.

        Raises:
            StorageCorrupt: the bytes are damaged, come from something else, or name a type that is not known.
        """
        head, payload = data[: 1 + _DIGEST], data[1 + _DIGEST :]
        if head[:1] != _FORMAT:
            raise StorageCorrupt("stored data is not in the format of this codec")
        if head[1:] != blake2b(payload, digest_size=_DIGEST).digest():
            raise StorageCorrupt("stored data is damaged: its checksum does not fit")
        return _Reader(self._registry, self.on_unknown).unpack(payload)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return the name of this codec and the bytes of `obj`; see `dumps`."""
        return _NAME, self.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of what `dumps_typed` made; see `loads`."""
        name, packed = data
        if name != _NAME:
            raise StorageCorrupt(f"stored data was written by {name!r}, not by {_NAME!r}")
        return self.loads(packed)

    @property
    def _registry(self) -> Registry:
        return _registry_with(self.types)


@lru_cache(maxsize=64)
def _registry_with(types: tuple[type[Any], ...]) -> Registry:
    """Return the registry of guardgraph's own classes and `types`."""
    return registry_of(types_in(*OWN.values(), *types))


class _Writer:
    """Takes one value apart; `trail` is the way from its root to where the writer is."""

    __slots__ = ("registry", "trail", "where")

    def __init__(self, registry: Registry, where: str) -> None:
        self.registry, self.where = registry, where
        self.trail: list[Any] = []

    def pack(self, value: Any) -> bytes:
        try:
            return ormsgpack.packb(self.tree(value))
        except Unserializable:
            raise
        except (RecursionError, ormsgpack.MsgpackEncodeError) as error:
            raise self.refusal(f"msgpack cannot hold it ({error})") from error

    def tree(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return value if _is_utf8(value) else ormsgpack.Ext(TEXT, value.encode("utf-8", "surrogatepass"))
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**64 else ormsgpack.Ext(INTEGER, _bytes_of(value))
        if len(self.trail) >= DEPTH:
            raise self.refusal(f"it is nested more than {DEPTH} levels deep, or contains itself")
        if kind is list:
            return self.items(value)
        if kind is dict:
            return self.mapping(value)
        return self.special(value, kind)

    def items(self, value: list[Any]) -> list[Any]:
        trail, found = self.trail, []
        for index, item in enumerate(value):
            trail.append(index)
            found.append(self.tree(item))
            trail.pop()
        return found

    def mapping(self, value: dict[Any, Any]) -> Any:
        trail, found = self.trail, []
        plain = all(type(key) is str and _is_utf8(key) for key in value)
        for key, item in value.items():
            trail.append(key)
            found.append((key if plain else self.tree(key), self.tree(item)))
            trail.pop()
        return dict(found) if plain else ormsgpack.Ext(MAP, ormsgpack.packb([list(pair) for pair in found]))

    def special(self, value: Any, kind: type[Any]) -> Any:
        if known := BY_TYPE.get(kind):
            return self.extension(known.code, self.taken(known.take, value))
        if record := self.registry.by_type.get(kind):
            return self.extension(RECORD, [record.name.tag, self.taken(record.take, value)], names=True)
        if kind is StoredException:
            return self.extension(EXCEPTION, [value.kind, value.text, self.arguments(value.arguments)])
        if isinstance(value, BaseException):
            return self.extension(EXCEPTION, [kind.__qualname__, str(value), self.arguments(value.args)])
        if is_array(value):
            return self.extension(ARRAY, self.taken(parts_of, value))
        raise self.unknown(kind)

    def extension(self, code: int, parts: Any, *, names: bool = False) -> ormsgpack.Ext:
        """Pack the parts of a value by themselves; with `names` they are a tag and named fields."""
        tree = [parts[0], self.mapping(parts[1])] if names else self.tree(parts)
        return ormsgpack.Ext(code, ormsgpack.packb(tree))

    def taken(self, take: Callable[[Any], Any], value: Any) -> Any:
        try:
            return take(value)
        except TypeError as error:
            raise self.refusal(f"{_name_of(type(value))} cannot be stored: {error}") from error

    def arguments(self, values: tuple[Any, ...]) -> list[Any]:
        return [value if self.storable(value) else repr(value) for value in values]

    def storable(self, value: Any) -> bool:
        try:
            _Writer(self.registry, self.where).pack(value)
        except Unserializable:
            return False
        return True

    def unknown(self, kind: type[Any]) -> Unserializable:
        if is_registrable(kind):
            name = kind.__name__
            cure = f"register it: Runner(types=[{name}]) or SQLSaver.from_url(url, types=({name},))"
        else:
            cure = "convert it to plain data, or keep it out of the state"
        return self.refusal(f"{_name_of(kind)} is not a type that is stored; {cure}")

    def refusal(self, reason: str) -> Unserializable:
        root = self.where if self.where.isprintable() else repr(self.where)
        path = root + "".join(map(_step, self.trail))
        return Unserializable(f"cannot store {path}: {reason}" if len(path) < 1000 else f"{reason}: {path[:1000]}…")


class _Reader:
    """Makes one value again; `depth` counts the extensions that it is inside of."""

    __slots__ = ("depth", "fault", "on_unknown", "registry")

    def __init__(self, registry: Registry, on_unknown: Callable[[str], None] | None) -> None:
        self.registry, self.on_unknown, self.depth = registry, on_unknown, 0
        self.fault: Exception | None = None  # msgpack hides what its hook raises

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
            return self.make(code, data)
        except Exception as error:
            self.fault = self.fault or error
            raise

    def make(self, code: int, data: bytes) -> Any:
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
        if code == EXCEPTION:
            kind, text, arguments = parts
            return StoredException(kind, text, tuple(arguments))
        try:
            return dict(parts) if code == MAP else array_of(parts) if code == ARRAY else BY_CODE[code].make(parts)
        except TypeError:
            if self.on_unknown is None:
                raise
            return parts  # what is read as plain fields cannot be in a set, nor be a key

    def record(self, tag: str, fields: dict[str, Any]) -> Any:
        record = self.registry.by_tag.get(tag)
        if record is None and self.on_unknown is None:
            raise StorageCorrupt(
                f"stored data holds a {tag!r}, which is not registered; pass its class: "
                "Runner(types=[…]) or SQLSaver.from_url(url, types=(…,))"
            )
        try:
            return self.plain(tag, fields) if record is None else record.make({**fields})
        except (TypeError, ValueError, LookupError) as error:
            if self.on_unknown is not None and not (record and record.name.tag.startswith(PREFIX)):
                return self.plain(tag, fields)
            raise StorageCorrupt(f"a stored {tag!r} does not fit its class any more: {_reason(error)}") from error

    def plain(self, tag: str, fields: dict[str, Any]) -> dict[str, Any]:
        if self.on_unknown is not None:
            self.on_unknown(tag)
        return plain_fields(fields)


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes_of(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _name_of(kind: type[Any]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):  # its own text would show the stored values
        return "; ".join(f"{_path(item['loc'])}: {item['msg']}" for item in error.errors(include_input=False))
    return f"{type(error).__name__}: {error}"


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "the whole"


def _step(step: Any) -> str:
    return f".{step}" if type(step) is str and step.isidentifier() else f"[{step!r:.60}]"
