"""Built-in kinds of values: each comes back as it was, with its type."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from guardgraph.state import StorageCorrupt, Unserializable
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.kinds import BY_CODE, BY_TYPE

BERLIN = ZoneInfo("Europe/Berlin")


def back(value: Any) -> Any:
    return Codec().loads(Codec().dumps(value))


@pytest.mark.parametrize(
    "value",
    [
        2**64 - 1,
        2**64,
        -(2**63),
        -(2**63) - 1,
        10**4000,
        -0.0,
        float("inf"),
        (1, (2, [3])),
        {1: "a", (1, 2): "b", None: "c", 1.5: "d", b"x": "e"},
        {"\ud800": 1},
        {1, 2},
        {(1, 2), frozenset({3})},
        frozenset(),
        bytearray(b"x"),
        deque([1, 2], maxlen=2),
        deque([1]),
        OrderedDict([("b", 1), ("a", 2)]),
        Counter("aab"),
        complex(1, -0.0),
        Fraction(10**40, 3),
        Decimal("1.10"),
        Decimal("-Infinity"),
        UUID(int=7),
        Path("a/b"),
        Path("with\udce9surrogate"),
        PurePosixPath("/x"),
        PureWindowsPath("c:\\x"),
        date(1, 1, 1),
        time(1, 2, 3, 4, fold=1),
        time(1, tzinfo=UTC),
        datetime(2020, 1, 1),  # noqa: DTZ001  # naive times are stored too
        datetime(2020, 1, 1, tzinfo=UTC),
        timedelta(days=-1, microseconds=1),
        timezone(timedelta(hours=1)),
        timezone(timedelta(hours=1), "name"),
        BERLIN,
        ip_address("::1%eth0"),
        ip_interface("10.0.0.1/8"),
        ip_network("10.0.0.0/8"),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.30}",
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    found = back([value])[0]

    assert found == value
    assert type(found) is type(value)
    assert str(found) == str(value) if not isinstance(value, set | frozenset | int) else True


def test_a_bounded_deque_stays_bounded() -> None:
    assert back(deque([1, 2], maxlen=2)).maxlen == 2


@pytest.mark.parametrize("fold", [0, 1])
def test_an_aware_time_keeps_its_zone_and_its_fold(fold: int) -> None:
    moment = datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold)

    found = back(moment)

    assert (found.tzinfo, found.fold, found.utcoffset()) == (BERLIN, fold, moment.utcoffset())


@pytest.mark.parametrize("factory", [None, list, dict, set, int, float, str, tuple])
def test_a_defaultdict_keeps_a_plain_factory(factory: Any) -> None:
    found = back(defaultdict(factory, {"a": 1}))

    assert (type(found), found, found.default_factory) == (defaultdict, {"a": 1}, factory)


class Odd(tzinfo):
    """A time zone of the user's own."""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (defaultdict(lambda: 1), "its default factory is none of"),
        (datetime(2020, 1, 1, tzinfo=Odd()), "Odd is not a type that is stored"),
        (range(3), "range is not a type that is stored"),
        (iter([1]), "list_iterator is not a type that is stored"),
        (memoryview(b"x"), "memoryview is not a type that is stored"),
        (int, "type is not a type that is stored"),
    ],
)
def test_what_would_not_come_back_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(Unserializable, match=reason):
        Codec().dumps(value)


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "", "a/../b", "No/Such_Zone"])
def test_a_stored_time_zone_cannot_name_a_file(key: str) -> None:
    packed = Codec().dumps(BERLIN)
    code = BY_TYPE[ZoneInfo].code

    with pytest.raises((ValueError, LookupError, OSError), match=r"is no time zone|No time zone found"):
        BY_CODE[code].make(key)
    with pytest.raises(StorageCorrupt, match="checksum"):
        Codec().loads(packed.replace(b"Berlin", b"Bxrlin"))


def test_no_two_kinds_share_a_number_or_a_type() -> None:
    assert len(BY_CODE) == len(BY_TYPE)
    assert all(6 < code < 128 for code in BY_CODE)
