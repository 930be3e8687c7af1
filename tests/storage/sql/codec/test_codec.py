"""What goes in comes out, or is refused when written; and loading runs nothing."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel, ConfigDict, SecretStr, create_model

from guardgraph.state import BadInput, StorageCorrupt, Unserializable, WrongKey
from guardgraph.storage.sql.codec.codec import (
    Codec,
    _registry_with,  # pyright: ignore[reportPrivateUsage]
)
from guardgraph.storage.sql.codec.envelope import packed
from guardgraph.storage.sql.codec.kinds import RECORD
from guardgraph.storage.sql.codec.options import codec_of
from guardgraph.storage.sql.codec.writing import DEPTH


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True)

    number: int = 0
    colour: Colour = Colour.RED


class Outer(BaseModel):
    inner: Inner
    many: tuple[Inner, ...] = ()


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass(frozen=True)
class Span:
    start: int
    end: int


class Name(str):
    __slots__ = ()


class Hidden:
    """Nobody registered this."""


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(categories=None))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.complex_numbers(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas()
)
hashables = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(hashables, max_size=3)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Compare values and all their types: 1, 1.0 and True are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(a, b) and same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return one == other and sorted(type(item).__name__ for item in one) == sorted(
            type(item).__name__ for item in other
        )
    if isinstance(one, datetime | time):
        return repr(one) == repr(other)  # also the zone and the fold
    return bool(one == other)


@given(values)
def test_any_value_of_python_comes_back_as_it_was(value: Any) -> None:
    codec = Codec()

    assert same(codec.loads(codec.dumps(value)), value)


@given(st.binary(max_size=60))
def test_bytes_from_elsewhere_are_a_typed_error(data: bytes) -> None:
    with pytest.raises(StorageCorrupt, match="stored data"):
        Codec().loads(data)


@given(st.data())
def test_a_changed_byte_is_a_typed_error(data: st.DataObject) -> None:
    packed = bytearray(Codec().dumps({"question": "why", "numbers": (1, 2, 3)}))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(StorageCorrupt, match="stored data"):
        Codec().loads(bytes(packed))


@given(st.binary(max_size=40))
def test_a_payload_with_a_right_checksum_is_read_or_a_typed_error(payload: bytes) -> None:
    try:
        Codec().loads(sealed(payload))
    except StorageCorrupt as error:
        assert "stored data" in str(error)  # noqa: PT017  # a payload may happen to be a value


@pytest.mark.parametrize("value", [float("nan"), [float("nan")]])
def test_nan_stays_nan(value: Any) -> None:
    assert repr(Codec().loads(Codec().dumps(value))) == repr(value)


@pytest.mark.parametrize("value", ["\0", "a\0b", "\ud800", "\udfff\ud800", "😀" * 1000, "x" * 2**20, "\uffff\u202e"])
def test_hostile_text_comes_back_as_it_was(value: str) -> None:
    nested = {"text": value, value: [value], "bytes": value.encode("utf-8", "surrogatepass")}

    assert Codec().loads(Codec().dumps(nested)) == nested


@pytest.mark.parametrize(
    "value",
    [
        Inner(number=3),
        Outer(inner=Inner(), many=(Inner(), Inner(number=2))),
        Point(1),
        Span(1, 2),
        Colour.RED,
        Level.LOW,
        Word.YES,
    ],
)
def test_registered_classes_come_back_as_instances(value: Any) -> None:
    codec = Codec(types=(Outer, Point, Span, Colour, Level, Word))

    found = codec.loads(codec.dumps([value]))

    assert found == [value]
    assert type(found[0]) is type(value)


def test_a_model_remembers_which_fields_were_set() -> None:
    codec = Codec(types=(Inner,))

    found = codec.loads(codec.dumps(Inner(number=1)))

    assert found.model_dump(exclude_unset=True) == {"number": 1}


@pytest.mark.parametrize(
    ("value", "path", "cure"),
    [
        ([{"value": {"x": Hidden()}}], "results[0].value.x", "keep it out of the state"),
        ({"two words": (1, Hidden())}, "results['two words'][1]", "keep it out of the state"),
        ({1: Hidden()}, "results[1]", "keep it out of the state"),
        (Outer(inner=Inner()), "results", "types=(Outer,)"),
        ({"colour": Colour.RED}, "results.colour", "types=(Colour,)"),
        (AIMessage("hi", additional_kwargs={"raw": Hidden()}), "results.additional_kwargs.raw", "keep it out"),
        (Name("n"), "results", "test_codec.Name is not a type that is stored"),
        (OrderedDict(a=Hidden()), "results[0][1]", "keep it out of the state"),
        (Level.LOW, "results", "types=(Level,)"),
        (lambda: 1, "results", "function is not a type that is stored"),
        (SecretStr("s"), "results", "SecretStr is not a type that is stored"),
    ],
)
def test_what_is_not_known_is_refused_with_its_path_and_a_cure(value: Any, path: str, cure: str) -> None:
    with pytest.raises(Unserializable, match="cannot store results") as caught:
        Codec().dumps(value, where="results")

    assert f"cannot store {path}:" in str(caught.value)
    assert cure in str(caught.value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [b"x", memoryview(b"x")]}, "value.a[1]"),
        ([ormsgpack.Ext(10, b"\xc4\x00"), b""], "value[0]"),
        ([b"x", ormsgpack.Fragment(b"\xc0")], "value[1]"),
        ([b"x", "\ud800", {"deep": [{"a": Hidden()}]}], "value[2].deep[0].a"),
        ([b"x", 2**70, {1: Hidden()}], "value[2][1]"),
    ],
)
def test_what_msgpack_would_write_without_asking_is_refused_too(value: Any, path: str) -> None:
    with pytest.raises(Unserializable, match="not a type that is stored") as caught:
        Codec().dumps(value)

    assert f"cannot store {path}:" in str(caught.value)


@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: [item], lambda item: {"a": (1, [item])}])
@pytest.mark.parametrize("value", [bytearray(b"x"), bytearray(300), bytearray(70_000), 2**64, -(2**63) - 1, "\ud800"])
def test_what_looks_plain_to_msgpack_keeps_its_type(wrap: Any, value: Any) -> None:
    found = Codec().loads(Codec().dumps(wrap(value)))

    assert same(found, wrap(value))


def test_a_registered_value_beside_odd_text_and_keys_comes_back() -> None:
    codec = Codec(types=(Inner,))
    value = [Inner(number=2**70), {1: Inner()}, "\udfff", {Colour.RED: Inner()}]

    assert codec.loads(codec.dumps(value)) == value


def test_equal_sets_have_equal_bytes_in_every_process() -> None:
    program = (
        "from guardgraph.storage.sql.codec.codec import Codec; "
        "print(Codec().dumps({'a', 'b', 'c', ('d', frozenset('efgh'))}).hex())"
    )

    found = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert len(found) == 1


@dataclass
class Interrupted:
    """The user presses Ctrl-C once, while one of these is written or read."""

    number: int
    armed: ClassVar[bool] = False

    def __getattribute__(self, name: str) -> Any:
        if name == "number":
            Interrupted.press()
        return object.__getattribute__(self, name)

    def __post_init__(self) -> None:
        Interrupted.press()

    @classmethod
    def press(cls) -> None:
        if cls.armed:
            cls.armed = False
            raise KeyboardInterrupt


def test_an_interrupt_while_a_value_is_written_or_read_is_no_fault_of_the_value() -> None:
    codec, value = Codec(types=(Interrupted,)), [(Interrupted(1),)]
    data = codec.dumps(value)

    Interrupted.armed = True
    with pytest.raises(KeyboardInterrupt):
        codec.dumps(value)
    Interrupted.armed = True
    with pytest.raises(KeyboardInterrupt):
        codec.loads(data)
    assert codec.loads(data) == value


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(Unserializable, match="contains itself"):
        Codec().dumps(value)


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize(
    ("wrap", "depth"),
    [
        (lambda inner: [inner], 255),
        (lambda inner: {"a": inner}, 255),
        (lambda inner: (inner,), DEPTH),
        (lambda inner: [(inner,)], DEPTH // 2),
        (lambda inner: {1: inner}, DEPTH),
    ],
)
def test_depth_is_bounded(wrap: Any, depth: int, beyond: int) -> None:
    value: Any = 1
    for _ in range(depth + beyond):
        value = wrap(value)

    if not beyond:
        assert Codec().loads(Codec().dumps(value)) == value
    else:
        with pytest.raises(Unserializable, match=f"more than {DEPTH} levels deep"):
            Codec().dumps(value)


def test_stored_data_that_is_nested_too_deep_is_a_typed_error() -> None:
    payload = ormsgpack.packb(1)
    for _ in range(3 * DEPTH):
        payload = ormsgpack.packb(ormsgpack.Ext(10, payload))

    with pytest.raises(StorageCorrupt, match="levels deep"):
        Codec().loads(sealed(payload))


def test_forged_data_that_is_nested_deeper_than_a_stack_ends_no_process() -> None:
    program = """
import ormsgpack
from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.envelope import packed

for levels, lists in ((100, 1000), (6, 1020), (99, 80)):
    payload = ormsgpack.packb(1)
    for _ in range(levels):
        payload = ormsgpack.packb(ormsgpack.Ext(10, bytes([0x91]) * lists + payload))
    try:
        Codec().loads(packed(payload))
    except StorageCorrupt as error:
        print(error)
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout.count("cannot be read back: ValueError: Recursion limit reached") == 2


def test_a_class_that_is_not_registered_any_more_is_a_typed_error() -> None:
    packed = Codec(types=(Inner,)).dumps(Inner())

    with pytest.raises(StorageCorrupt, match="which is not registered; pass its class"):
        Codec().loads(packed)


def test_a_stored_value_that_does_not_validate_any_more_is_a_typed_error() -> None:
    codec = Codec(types=(Inner,))
    payload = record(f"{Inner.__module__}:Inner", {"number": "not a number"})

    with pytest.raises(StorageCorrupt, match=r"does not fit its class any more: number: Input should be") as caught:
        codec.loads(sealed(payload))

    assert "not a number" not in str(caught.value)


@pytest.mark.parametrize("kind", [int, Hidden, dict])
def test_a_type_that_cannot_be_stored_cannot_be_registered(kind: type[Any]) -> None:
    with pytest.raises(BadInput, match="cannot be registered"):
        Codec(types=(kind,))


def test_with_types_leaves_the_codec_as_it_was() -> None:
    codec = Codec()

    assert codec.with_types(Inner).loads(codec.with_types(Inner).dumps(Inner())) == Inner()
    with pytest.raises(Unserializable, match="register it"):
        codec.dumps(Inner())


def test_the_typed_pair_names_this_codec() -> None:
    name, data = Codec().dumps_typed([1])

    assert Codec().loads_typed((name, data)) == [1]
    with pytest.raises(StorageCorrupt, match="was written by 'msgpack'"):
        Codec().loads_typed(("msgpack", data))


def sealed(payload: bytes) -> bytes:
    """Return `payload` as the codec would store it, with a right checksum."""
    return packed(payload)


def record(tag: str, fields: Any) -> bytes:
    return ormsgpack.packb(ormsgpack.Ext(RECORD, ormsgpack.packb([tag, fields])))


class Canary:
    """Pickles to a call of `subprocess.getoutput`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return subprocess.getoutput, (self.command,)


def canaries(command: str) -> list[bytes]:
    """Payloads that make a trusting decoder run `command`."""
    calls = [
        ("os", "system", command),
        ("os", "system", [command]),
        ("os", "system", {"command": command}),
        ("subprocess", "getoutput", command),
        ("builtins", "eval", f"__import__('os').system({command!r})"),
        ("builtins", "object", command, "__class__"),
        ("os", "system", command, "fromisoformat"),
        ("pathlib", "Path", command, "touch"),
    ]
    payloads = [ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(call))) for code in range(128) for call in calls]
    payloads += [record(tag, dict.fromkeys(FIELDS, call)) for tag in TAGS for call in calls]
    payloads += [record(f"{call[0]}:{call[1]}", {"command": call[2]}) for call in calls]
    payloads += [record(f"{call[0]}.{call[1]}", call[2]) for call in calls]
    lc = {"lc": 2, "type": "constructor", "id": ["os", "system"], "method": None, "args": [command], "kwargs": {}}
    stored = [json.dumps(lc).encode(), ormsgpack.packb(lc), pickle.dumps(Canary(command))]
    payloads += [*stored, *(record(tag, dict.fromkeys(FIELDS, lc)) for tag in TAGS)]
    payloads += [ormsgpack.packb(ormsgpack.Ext(code, data)) for code in range(128) for data in stored]
    return payloads


TAGS = sorted({*_registry_with((Inner, Span, Colour)).by_tag})
FIELDS = ("content", "update", "resume", "value", "arg", "goto", "name", "node", "reason", "root", "private attributes")


def test_no_stored_bytes_run_a_command(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    codec = codec_of((Inner, Span, Colour), key=b"k" * 32, allow_plain=True)
    payloads = canaries(f"touch {mark}")
    envelopes = [sealed(payload) for payload in payloads]
    envelopes += [bytes([kind]) + data[1:] for kind in range(256) for data in envelopes[-3:]]
    envelopes += [codec_of((), key=b"k" * 32).seal(data) for data in envelopes]

    for data in (*envelopes, *payloads):
        for name in ("guardgraph", "msgpack", "json", "pickle", "null"):
            try:
                codec.loads_typed((name, data))
            except (StorageCorrupt, WrongKey) as error:
                assert "stored" in str(error)  # noqa: PT017  # some payloads are harmless values

    assert not mark.exists()
    assert len(envelopes) > 1000


def test_the_canaries_do_run_in_a_decoder_that_trusts_its_data(tmp_path: Path) -> None:
    mark = tmp_path / "executed"

    pickle.loads(pickle.dumps(Canary(f"touch {mark}")))

    assert mark.exists()


def test_what_langgraph_stored_is_refused_not_guessed() -> None:
    kind, data = JsonPlusSerializer().dumps_typed({"a": 1})

    with pytest.raises(StorageCorrupt, match="was written by"):
        Codec().loads_typed((kind, data))


class Kept(BaseModel):
    inner: Any = None


class Gone(NamedTuple):
    name: str


class Lost(Enum):
    ONE = 1


def numbered(kind: type[Any]) -> type[BaseModel]:
    """Return a version of one class, whose number is of a kind."""
    return create_model("Numbered", __module__=__name__, number=(kind, ...))


def test_what_is_not_known_can_be_read_as_plain_fields() -> None:
    wide = Codec(types=(Kept, Gone, Lost))
    unknown: list[str] = []
    plain = Codec(types=(Kept,)).reading_plain(unknown.append)

    value = plain.loads(wide.dumps([Kept(inner=Gone("a")), {Lost.ONE}, {Gone("b"): 1}, Decimal(1)]))

    assert value == [Kept(inner={"name": "a"}), [{"name": "ONE"}], [[{"name": "b"}, 1]], Decimal(1)]
    assert set(unknown) == {f"{__name__}:Gone", f"{__name__}:Lost"}
    with pytest.raises(StorageCorrupt, match=r"'.*:Gone', which is not registered; pass its class: Runner"):
        Codec().loads(wide.dumps(Gone("a")))


def test_a_class_that_does_not_fit_any_more_can_be_read_as_plain_fields() -> None:
    before, now = numbered(str), numbered(int)
    stored, unknown = Codec(types=(before,)).dumps(before(number="many")), list[str]()

    assert Codec(types=(now,)).reading_plain(unknown.append).loads(stored) == {"number": "many"}
    assert unknown == [f"{__name__}:Numbered"]


def test_reading_plain_does_not_hide_what_is_damaged() -> None:
    data = Codec().dumps("text")

    with pytest.raises(StorageCorrupt, match="checksum"):
        Codec().reading_plain(print).loads(data[:-1] + b"x")
