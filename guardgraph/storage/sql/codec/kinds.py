"""The values that the codec stores beside plain JSON ones, each with its number in the stored data.

A kind takes a value apart into simpler ones, and makes the value again from them. The numbers are part of the stored
format: never reuse one, never change what it means. Loading looks a number up here, and calls nothing else.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

__all__ = ("ARRAY", "BY_CODE", "BY_TYPE", "EXCEPTION", "INTEGER", "MAP", "RECORD", "TEXT", "BuiltinCodec")

# Handled by the codec itself, since they are not found by an exact type.
TEXT, INTEGER, MAP, RECORD, ARRAY, EXCEPTION = 1, 2, 3, 4, 5, 6


class BuiltinCodec(NamedTuple):
    """One built-in type: `take` gives simpler values, `make` gives the value back from them."""

    code: int
    type: type[Any]
    take: Callable[[Any], Any]
    make: Callable[[Any], Any]


_FACTORIES: dict[str, Callable[[], Any] | None] = {
    "None": None, "list": list, "dict": dict, "set": set, "int": int, "float": float, "str": str, "tuple": tuple
}  # fmt: skip
_FACTORY_NAMES = {factory: name for name, factory in _FACTORIES.items()}
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
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


def _take_deque(value: deque[Any]) -> list[Any]:
    return [list(value), value.maxlen]


def _make_deque(parts: Any) -> deque[Any]:
    items, maxlen = parts
    return deque(items, maxlen)


def _take_defaultdict(value: defaultdict[Any, Any]) -> list[Any]:
    if value.default_factory not in _FACTORY_NAMES:
        raise TypeError(f"its default factory is none of {', '.join(_FACTORIES)}; store a plain dict")
    return [_FACTORY_NAMES[value.default_factory], _pairs(value)]


def _make_defaultdict(parts: Any) -> defaultdict[Any, Any]:
    name, pairs = parts
    return defaultdict(_FACTORIES[name], pairs)


def _take_time(value: time) -> list[Any]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo]


def _make_time(parts: Any) -> time:
    *numbers, fold, zone = parts
    return time(*numbers, tzinfo=zone, fold=fold)


def _take_datetime(value: datetime) -> list[Any]:
    return [value.year, value.month, value.day, *_take_time(value.timetz())]


def _make_datetime(parts: Any) -> datetime:
    *numbers, fold, zone = parts
    return datetime(*numbers, tzinfo=zone, fold=fold)


def _take_timedelta(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _take_timezone(value: timezone) -> list[Any]:
    offset = value.utcoffset(None)
    name = value.tzname(None)
    return [offset, None if name == timezone(offset).tzname(None) else name]


def _make_timezone(parts: Any) -> timezone:
    offset, name = parts
    return timezone(offset) if name is None else timezone(offset, name)


def _take_zone(value: ZoneInfo) -> str:
    if not value.key:
        raise TypeError("it has no key; use ZoneInfo(key)")
    return value.key


def _make_zone(key: Any) -> ZoneInfo:
    if not _ZONE_KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no time zone")
    return ZoneInfo(key)


_KINDS = (
    BuiltinCodec(10, tuple, list, tuple),
    BuiltinCodec(11, set, list, set),
    BuiltinCodec(12, frozenset, list, frozenset),
    BuiltinCodec(13, deque, _take_deque, _make_deque),
    BuiltinCodec(14, OrderedDict, _pairs, OrderedDict),
    BuiltinCodec(15, Counter, _pairs, lambda pairs: Counter(dict(pairs))),
    BuiltinCodec(16, defaultdict, _take_defaultdict, _make_defaultdict),
    BuiltinCodec(17, bytearray, bytes, bytearray),
    BuiltinCodec(18, complex, lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    BuiltinCodec(19, Fraction, lambda value: [value.numerator, value.denominator], lambda parts: Fraction(*parts)),
    BuiltinCodec(20, UUID, lambda value: value.bytes, lambda data: UUID(bytes=data)),
    BuiltinCodec(21, date, lambda value: [value.year, value.month, value.day], lambda parts: date(*parts)),
    BuiltinCodec(22, time, _take_time, _make_time),
    BuiltinCodec(23, datetime, _take_datetime, _make_datetime),
    BuiltinCodec(24, timedelta, _take_timedelta, lambda parts: timedelta(*parts)),
    BuiltinCodec(25, timezone, _take_timezone, _make_timezone),
    BuiltinCodec(26, ZoneInfo, _take_zone, _make_zone),
    *(BuiltinCodec(code, kind, str, kind) for code, kind in _FROM_TEXT),
)
BY_TYPE: dict[type[Any], BuiltinCodec] = {kind.type: kind for kind in _KINDS}
"""The kinds, found by the exact type of a value."""
BY_CODE: dict[int, BuiltinCodec] = {kind.code: kind for kind in _KINDS}
"""The kinds, found by their number in stored data."""
