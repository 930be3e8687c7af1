"""The built-in types that the codec stores in addition to plain JSON, each with its number in the stored data.

The numbers are part of the stored format: never reuse one, never change what it means. Loading looks a number up here,
and calls nothing else.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

__all__ = (
    "ARRAY",
    "BY_TYPE",
    "DECODERS",
    "EXCEPTION",
    "MAP",
    "RECORD",
    "SETS",
    "BuiltinCodec",
    "StoredException",
    "array_from_parts",
    "array_parts",
    "exception_parts",
    "is_array",
)

# Handled by the codec itself, since they are not found by an exact type.
MAP, RECORD, ARRAY, EXCEPTION = 3, 4, 5, 6
SETS = frozenset({11, 12})
"""The numbers of sets, which are written in the order of their packed items."""
_ARRAY_KINDS = "biufcSUmM"  # numbers, texts and times, by NumPy's letters


@dataclass(unsafe_hash=True)
class StoredException(Exception):
    """An exception that a node raised: the name of its type and its text; nothing else of it is stored."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind


class BuiltinCodec(NamedTuple):
    """One built-in type: `encode` returns simpler values, `decode` restores the value from them."""

    code: int
    type: type[Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


_FACTORIES: dict[str, Callable[[], Any] | None] = {
    "None": None, "list": list, "dict": dict, "set": set, "int": int, "float": float, "str": str, "tuple": tuple
}  # fmt: skip
_FROM_TEXT: tuple[tuple[int, type[Any]], ...] = (
    (30, Decimal),
    (31, PosixPath),
    (32, WindowsPath),
    (33, PurePosixPath),
    (34, PureWindowsPath),
    (35, IPv4Address),
    (36, IPv4Interface),
    (37, IPv4Network),
    (38, IPv6Address),
    (39, IPv6Interface),
    (40, IPv6Network),
)


def _pairs(value: Mapping[Any, Any]) -> list[list[Any]]:
    return [[key, item] for key, item in value.items()]


def _defaultdict_parts(value: defaultdict[Any, Any]) -> list[Any]:
    name = getattr(value.default_factory, "__name__", "None")
    if _FACTORIES.get(name) is not value.default_factory:
        raise TypeError(f"its default factory is none of {', '.join(_FACTORIES)}; store a plain dict")
    return [name, _pairs(value)]


def _time_parts(value: time | datetime) -> list[Any]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo]


def _datetime_parts(value: datetime) -> list[Any]:
    return [value.year, value.month, value.day, *_time_parts(value)]


def _time(parts: Any, kind: type[Any] = time) -> Any:
    *numbers, fold, zone = parts
    return kind(*numbers, tzinfo=zone, fold=fold)


def _timezone_parts(value: timezone) -> list[Any]:
    offset, name = value.utcoffset(None), value.tzname(None)
    return [offset, None if name == timezone(offset).tzname(None) else name]


def _zone_key(value: ZoneInfo) -> str:
    if not value.key:
        raise TypeError("it has no key; use ZoneInfo(key)")
    return value.key


def _surrogates(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def exception_parts(value: BaseException) -> list[str]:
    """Return the name of an exception's type, and its text."""
    return [value.kind, value.text] if isinstance(value, StoredException) else [type(value).__qualname__, str(value)]


def is_array(value: object) -> bool:
    """Return whether `value` is exactly a NumPy array or a NumPy scalar; NumPy is not imported for it."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and (type(value) is numpy.ndarray or isinstance(value, numpy.generic))


def array_parts(value: Any) -> list[Any]:
    """Return the parts of an array: type string, shape, memory order, bytes, and whether it is a scalar.

    Raises:
        TypeError: it holds objects or has named fields, so that its bytes do not describe it.
    """
    if value.dtype.kind not in _ARRAY_KINDS:
        raise TypeError(f"its dtype {value.dtype} is not stored; use plain numbers, texts or times")
    order = "F" if value.flags.fnc else "C"
    return [value.dtype.str, list(value.shape), order, value.tobytes(order), type(value).__name__ != "ndarray"]


def array_from_parts(parts: Any) -> Any:
    """Return the array that `array_parts` described; it owns its memory and is writable.

    Raises:
        ImportError: NumPy is not installed.
        ValueError: the parts do not describe an array.
    """
    numpy: Any = import_module("numpy")
    name, shape, order, data, is_scalar = parts
    dtype = numpy.dtype(name)
    if dtype.kind not in _ARRAY_KINDS:
        raise ValueError(f"{name!r} is no dtype that is stored")
    array = numpy.ndarray(shape, dtype, data, order=order).copy(order=order)
    return array[()] if is_scalar else array


_KINDS = (
    # Only what msgpack cannot hold of the first two: half surrogates, and numbers of more than 64 bits.
    BuiltinCodec(1, str, lambda value: value.encode("utf-8", "surrogatepass"), _surrogates),
    BuiltinCodec(2, int, lambda value: value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True), _integer),
    BuiltinCodec(10, tuple, list, tuple),
    BuiltinCodec(11, set, list, set),
    BuiltinCodec(12, frozenset, list, frozenset),
    BuiltinCodec(13, deque, lambda value: [list(value), value.maxlen], lambda parts: deque(*parts)),
    BuiltinCodec(14, OrderedDict, _pairs, OrderedDict),
    BuiltinCodec(15, Counter, _pairs, lambda pairs: Counter(dict(pairs))),
    BuiltinCodec(16, defaultdict, _defaultdict_parts, lambda parts: defaultdict(_FACTORIES[parts[0]], parts[1])),
    BuiltinCodec(17, bytearray, bytes, bytearray),
    BuiltinCodec(18, complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    BuiltinCodec(19, Fraction, lambda value: [value.numerator, value.denominator], lambda parts: Fraction(*parts)),
    BuiltinCodec(20, UUID, lambda value: value.bytes, lambda data: UUID(bytes=data)),
    BuiltinCodec(21, date, lambda value: [value.year, value.month, value.day], lambda parts: date(*parts)),
    BuiltinCodec(22, time, _time_parts, _time),
    BuiltinCodec(23, datetime, _datetime_parts, lambda parts: _time(parts, datetime)),
    BuiltinCodec(
        24, timedelta, lambda value: [value.days, value.seconds, value.microseconds], lambda parts: timedelta(*parts)
    ),
    BuiltinCodec(25, timezone, _timezone_parts, lambda parts: timezone(*(item for item in parts if item is not None))),
    BuiltinCodec(26, ZoneInfo, _zone_key, ZoneInfo),
    *(BuiltinCodec(code, kind, str, kind) for code, kind in _FROM_TEXT),
)
BY_TYPE: dict[type[Any], BuiltinCodec] = {kind.type: kind for kind in _KINDS}
"""The built-in types, found by the exact type of a value."""
DECODERS: dict[int, Callable[[Any], Any]] = {
    MAP: dict,
    ARRAY: array_from_parts,
    EXCEPTION: lambda parts: StoredException(*parts),
    **{kind.code: kind.decode for kind in _KINDS},
}
"""How values are restored from their parts, by their number in stored data."""
