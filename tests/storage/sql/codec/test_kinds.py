"""Built-in types: each value is restored unchanged, with its type."""

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

import numpy as np
import pytest

from guardgraph.state import StorageCorrupt, Unserializable
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.kinds import (
    ARRAY,
    BY_TYPE,
    DECODERS,
    EXCEPTION,
    MAP,
    RECORD,
    StoredException,
    array_from_parts,
)

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

    with pytest.raises((ValueError, LookupError, OSError), match=r"ZoneInfo keys|No time zone found"):
        DECODERS[code](key)
    with pytest.raises(StorageCorrupt, match="checksum"):
        Codec().loads(packed.replace(b"Berlin", b"Bxrlin"))


def test_no_two_kinds_share_a_number_or_a_type() -> None:
    codes = [kind.code for kind in BY_TYPE.values()]

    assert len({*codes}) == len(codes)
    assert all(0 < code < 128 for code in codes)
    assert {*codes}.isdisjoint({MAP, RECORD, ARRAY, EXCEPTION})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10)[::2],
        np.zeros((0, 3)),
        np.array(5),
        np.array(["a", "bcé"]),
        np.array([b"a", b"bc"]),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array(["2020-01-01"], dtype="M8[s]"),
        np.array([1, 2], dtype=">i2"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_comes_back_as_it_was(array: Any) -> None:
    found = Codec().loads(Codec().dumps({"array": array}))["array"]

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert (found == array).all()
    assert found.flags.writeable


def test_an_array_keeps_its_order_in_memory() -> None:
    found = Codec().loads(Codec().dumps(np.asfortranarray(np.zeros((2, 3)))))

    assert found.flags.f_contiguous


@pytest.mark.parametrize("scalar", [np.float64(1.5), np.int8(3), np.bool_(True), np.datetime64("2020-01-01")])
def test_a_scalar_comes_back_with_its_type(scalar: Any) -> None:
    found = Codec().loads(Codec().dumps(scalar))

    assert found == scalar
    assert type(found) is type(scalar)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([object()]), "its dtype object is not stored"),
        (np.zeros(2, dtype=[("a", "i4")]), "is not stored"),
        (np.ma.array([1]), "MaskedArray is not a type that is stored"),
    ],
)
def test_what_bytes_do_not_describe_is_refused(array: Any, reason: str) -> None:
    with pytest.raises(Unserializable, match=reason):
        Codec().dumps(array)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (["|O", [1], "C", b"12345678", False], "is no dtype that is stored"),
        (["i4,f8", [1], "C", b"", False], "is no dtype that is stored"),
        (["<i4", [1], "Q", b"1234", False], "order must be one of"),
    ],
)
def test_a_stored_array_cannot_name_another_dtype_or_order(parts: list[Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        array_from_parts(parts)


class Unknown(Exception):
    """An exception that only the process knows that raised it."""


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        (ValueError("bad", 1), StoredException("ValueError", "('bad', 1)")),
        (Unknown("x"), StoredException("Unknown", "x")),
        (KeyboardInterrupt(), StoredException("KeyboardInterrupt", "")),
    ],
)
def test_an_exception_becomes_a_record_of_it(error: BaseException, stored: StoredException) -> None:
    found = Codec().loads(Codec().dumps(error))

    assert found == stored
    assert hash(found) == hash(stored)
    assert Codec().loads(Codec().dumps(found)) == found


def test_it_reads_like_the_last_line_of_a_traceback() -> None:
    assert str(StoredException("ValueError", "bad")) == "ValueError: bad"
    assert str(StoredException("KeyboardInterrupt", "")) == "KeyboardInterrupt"
    assert StoredException("A", "") != "A"
