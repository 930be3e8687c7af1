"""How a value becomes msgpack: plain trees at the speed of ormsgpack, everything else through an allowlist."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
import ormsgpack

from guardgraph.state import Unserializable
from guardgraph.storage.sql.codec.kinds import (
    ARRAY,
    EXCEPTION,
    MAP,
    RECORD,
    SETS,
    array_parts,
    exception_parts,
    is_array,
)
from guardgraph.storage.sql.codec.records import Registry, is_registrable

__all__ = ("DEPTH", "FAST_DEPTH", "pack")

DEPTH = 100
"""How deep a value may be nested; for lists and dicts alone it is 255, which is the limit of ormsgpack."""
FAST_DEPTH = 6
"""How many extensions may be nested that ormsgpack writes in one go; each may hold 255 levels of its stack."""

_PLAIN = frozenset({type(None), bool, float, bytes})
_OPTIONS = (
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_JSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def pack(value: Any, registry: Registry, where: str) -> bytes:
    """Return the msgpack of a value; `where` names it in the message when a part of it is refused.

    Equal values of the same order give the same bytes, in every process.

    Raises:
        Unserializable: a part of it is of an unknown type, or nested too deep.
    """
    try:
        return _packb(value, None)
    except TypeError:
        pass  # a part of it is no plain data
    try:
        return _pack_fast(value, registry)
    except TypeError:
        pass  # a part of it is refused, or needs more care than ormsgpack takes
    return _ExactWriter(registry, where).pack(value)


def _pack_fast(value: Any, registry: Registry) -> bytes:
    """Return the msgpack of a value. Raises a TypeError, which does not know the path, where a part is refused."""
    encoders, depth = registry.encoders, 0
    interrupt: BaseException | None = None  # ormsgpack hides the exceptions of its hook

    def hook(part: Any) -> ormsgpack.Ext:
        nonlocal depth, interrupt
        try:
            if depth >= FAST_DEPTH:
                raise TypeError
            depth += 1
            code, encode = encoders.get(type(part)) or _other(part)
            parts = encode(part)
            if code in SETS:
                parts.sort(key=lambda item: _packb(item, hook))  # their own order differs between processes
            data = _packb(parts, hook)
            depth -= 1
            return ormsgpack.Ext(code, data)
        except Exception:
            raise
        except BaseException as error:
            interrupt = error
            raise

    try:
        return _packb(value, hook)
    except TypeError:
        if interrupt is not None:
            raise interrupt from None
        raise


def _packb(tree: Any, hook: Callable[[Any], ormsgpack.Ext] | None) -> bytes:
    """Return the msgpack of a tree. Raises a TypeError where it would not be exact."""
    data = ormsgpack.packb(tree, default=hook, option=_OPTIONS)
    # The first bytes of binary data: rare in other data, and looked for at next to no cost.
    if b"\xc4" in data or b"\xc5" in data or b"\xc6" in data:
        orjson.dumps(tree, _check_part, _JSON_OPTIONS)
    return data


def _check_part(part: Any) -> None:
    """Raise for what ormsgpack writes without asking, and reads as something else."""
    if isinstance(part, bytearray | memoryview | ormsgpack.Ext | ormsgpack.Fragment):
        raise TypeError


class _ExactWriter:
    """Walks a value, and knows the path from the root to the current part (`trail`)."""

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
            return value if _is_utf8(value) else self.extension(value, kind)
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**64 else self.extension(value, kind)
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
            code, encode = self.registry.encoders.get(kind) or _other(value)
            parts = encode(value)
            if code in SETS:
                parts.sort(key=self.pack)
            tree = [parts[0], self.mapping(parts[1])] if code == RECORD else self.tree(parts)
        except Unserializable:  # which is a TypeError too
            raise
        except _Unknown as error:
            raise self.refusal(str(error)) from None
        except TypeError as error:
            raise self.refusal(f"{_name_of(kind)} cannot be stored: {error}") from error
        return ormsgpack.Ext(code, ormsgpack.packb(tree))

    def refusal(self, reason: str) -> Unserializable:
        root = self.where if self.where.isprintable() else repr(self.where)
        path = root + "".join(map(_step, self.trail))
        return Unserializable(f"cannot store {path}: {reason}" if len(path) < 1000 else f"{reason}: {path[:1000]}…")


class _Unknown(TypeError):
    """A value is of a type that is not stored."""


def _other(value: Any) -> tuple[int, Callable[[Any], Any]]:
    """Return the number and the encoder of a value that is not found by its exact type."""
    if isinstance(value, BaseException):
        return EXCEPTION, exception_parts
    if is_array(value):
        return ARRAY, array_parts
    kind, remedy = type(value), "convert it to plain data, or keep it out of the state"
    if is_registrable(kind):
        name = kind.__name__
        remedy = f"register it: Runner(types=[{name}]) or SQLSaver.from_url(url, types=({name},))"
    raise _Unknown(f"{_name_of(kind)} is not a type that is stored; {remedy}")


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
