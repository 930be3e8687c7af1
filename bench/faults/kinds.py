"""The kinds of Python values that a state may hold."""

from __future__ import annotations

import math
import re
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel, SecretStr

__all__ = ("KINDS", "REFUSED", "TYPES")


class Colour(Enum):
    """An enum."""

    RED = "red"


class Level(IntEnum):
    """An enum of numbers."""

    LOW = 1


class Word(StrEnum):
    """An enum of texts."""

    YES = "yes"


class Right(Flag):
    """A set of flags."""

    READ = 1
    WRITE = 2


class Note(BaseModel):
    """A pydantic model with a default."""

    text: str
    colour: Colour = Colour.RED


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A frozen dataclass."""

    start: int
    end: int


class _Text(str):
    __slots__ = ()


class _Number(int):
    __slots__ = ()


class _List(list[Any]):
    __slots__ = ()


class _Dict(dict[Any, Any]):
    __slots__ = ()


class _Plain:
    """A class that nobody registered."""


TYPES = (Colour, Level, Word, Right, Note, Point, Span)
"""The classes among them that are registered."""

_BERLIN = ZoneInfo("Europe/Berlin")
_STORED: dict[str, Any] = {
    "None": None,
    "bool": True,
    "int": 7,
    "int of 64 bits": 2**64 - 1,
    "int of 400 digits": 10**400,
    "negative int of 65 bits": -(2**64),
    "float": 0.1,
    "NaN": math.nan,
    "Infinity": -math.inf,
    "negative zero": -0.0,
    "complex": 1 - 0j,
    "str": "text",
    "NUL": "a\0b",
    "surrogates": "\udfff\ud800",
    "bytes": b"\0\xff",
    "bytearray": bytearray(b"\0\xff"),
    "list": [1, [2]],
    "tuple": (1, (2, [3])),
    "set": {1, "a"},
    "frozenset": frozenset({(1, 2)}),
    "dict": {"a": {"b": 1}},
    "dict by int": {1: "a", 2: "b"},
    "dict by tuple": {(1, None): "a", b"x": 1.5},
    "dict by surrogate": {"\ud800": 1},
    "deque": deque([1, 2], maxlen=3),
    "OrderedDict": OrderedDict(b=1, a=2),
    "Counter": Counter("aab"),
    "defaultdict": defaultdict(list, a=[1]),
    "Decimal": Decimal("1.10"),
    "Fraction": Fraction(1, 3),
    "UUID": UUID(int=7),
    "date": date(2026, 1, 2),
    "time": time(1, 2, 3, 4, tzinfo=UTC, fold=1),
    "naive datetime": datetime(2026, 1, 2, 3),  # noqa: DTZ001  # naive times are stored too
    "datetime in UTC": datetime(2026, 1, 2, tzinfo=UTC),
    "datetime in a zone": datetime(2020, 10, 25, 2, 30, tzinfo=_BERLIN, fold=1),
    "datetime at an offset": datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1), "X")),
    "timedelta": timedelta(days=-1, microseconds=1),
    "timezone": timezone(timedelta(hours=-1)),
    "ZoneInfo": _BERLIN,
    "Path": Path("a/b"),
    "PurePosixPath": PurePosixPath("/x"),
    "PureWindowsPath": PureWindowsPath("c:\\x"),
    "IPv6Address": ip_address("::1"),
    "IPv4Network": ip_network("10.0.0.0/8"),
    "Enum": Colour.RED,
    "IntEnum": Level.LOW,
    "StrEnum": Word.YES,
    "Flag": Right.READ | Right.WRITE,
    "pydantic model": Note(text="a"),
    "named tuple": Point(1),
    "dataclass": Span(1, 2),
    "HumanMessage": HumanMessage("hi", id="1"),
    "AIMessage": AIMessage("hi", id="2", tool_calls=[{"name": "t", "args": {"x": (1,)}, "id": "c"}]),
    "ToolMessage": ToolMessage("hi", tool_call_id="c", artifact={"raw": bytearray(b"x")}),
    "Document": Document("text", metadata={"page": 1}),
    "Send": Send("node", {"x": (1,)}),
    "Command": Command(update={"x": {1}}, goto="node"),
    "Interrupt": Interrupt(value={"x": (1,)}, id="i"),
}
REFUSED: dict[str, Any] = {
    "str subclass": _Text("a"),
    "int subclass": _Number(1),
    "list subclass": _List([1]),
    "dict subclass": _Dict(a=1),
    "unregistered object": _Plain(),
    "SecretStr": SecretStr("secret"),
    "re.Pattern": re.compile("a"),
    "range": range(3),
    "generator": (n for n in ()),
    "function": print,
    "class": int,
    "memoryview": memoryview(b"x"),
    "mappingproxy": MappingProxyType({"a": 1}),
    "SimpleNamespace": SimpleNamespace(a=1),
    "UserDict": UserDict(a=1),
    "ChainMap": ChainMap({"a": 1}),
    "defaultdict of a lambda": defaultdict(lambda: 1),
}
"""Those that nothing restores as they were; they are refused when they are written."""
KINDS = _STORED | REFUSED
"""All of them, by name."""
