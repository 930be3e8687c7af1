"""Classes that are stored by name."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, Flag, auto
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar

import langchain_core.messages as messages
import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage, ToolMessage
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy
from pydantic import BaseModel, ConfigDict, Field, Json, JsonValue, PrivateAttr, RootModel, field_validator
from typing_extensions import TypeAliasType, TypedDict

from guardgraph.state import BadInput, Unserializable
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.records import named_types, registry_of, types_in
from guardgraph.storage.sql.codec.tags import LANGCHAIN

T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Aliased(BaseModel):
    name: str = Field(alias="theName")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    pair: tuple[int, frozenset[str]]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Numbers(RootModel[list[int]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class Secretive(BaseModel):
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)


class Parsed(BaseModel):
    data: Json[list[int]]


class Split(BaseModel):
    parts: list[str]

    @field_validator("parts", mode="before")
    @classmethod
    def _split(cls, value: str) -> list[str]:
        return value.split(",")


class Marked(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def _mark(cls, value: str) -> str:
        return f"> {value}"


@dataclass
class Doubled:
    number: int

    def __post_init__(self) -> None:
        self.number *= 2


class Floats(BaseModel):
    items: list[float]
    named: dict[str, float]


class Measured(BaseModel):
    side: int
    unit: str = "m"

    @cached_property
    def area(self) -> int:
        return self.side**2


class Right(Flag):
    READ = auto()
    WRITE = auto()


@dataclass
class Late:
    start: int
    total: int = field(init=False, default=0)


@dataclass
class Made:
    seed: InitVar[int]
    value: int = 0

    def __post_init__(self, seed: int) -> None:
        self.value = seed


def back(value: Any, *types: type[Any]) -> Any:
    codec = Codec(types=types)
    return codec.loads(codec.dumps(value))


@pytest.mark.parametrize(
    "value",
    [
        Aliased(theName="x"),
        Strict(pair=(1, frozenset({"a"}))),
        Open.model_validate({"anything": (1, 2)}),
        Numbers([1, 2]),
        Box[int](content=1),
        Secretive(),
        Right.READ | Right.WRITE,
        Right(0),
        Late(1),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.30}",
)
def test_a_registered_value_comes_back_as_it_was(value: Any) -> None:
    found = back(value, type(value))

    assert found == value
    assert type(found) is type(value)


def test_a_field_that_the_constructor_does_not_take_is_kept() -> None:
    late = Late(1)
    late.total = 7

    assert back(late, Late).total == 7


def test_what_a_model_has_cached_is_not_stored() -> None:
    measured = Measured(side=2)
    assert measured.area == 4

    data = Codec(types=(Measured,)).dumps(measured)

    assert b"area" not in data
    assert Codec(types=(Measured,)).loads(data) == Measured(side=2)


def test_private_attributes_are_kept() -> None:
    secretive = Secretive()
    secretive._cache["a"] = 1  # pyright: ignore[reportPrivateUsage]  # what the test is about

    assert back(secretive, Secretive) == secretive


def assigned(value: Any, name: str, item: Any) -> Any:
    setattr(value, name, item)
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            assigned(AIMessage("x"), "content", None),
            "AIMessage .* would not accept it when it is read: content.str: Input",
        ),
        (assigned(AIMessage("x"), "usage_metadata", {"input_tokens": 1}), "output_tokens: Field required"),
        (Measured.model_construct(side="long"), "Measured .* would not accept it when it is read: side: Input"),
        (Parsed(data="[1]"), "Parsed .* would not accept it when it is read: data: JSON input"),  # type: ignore[arg-type]
        (Split(parts="a,b"), "Split .* would not accept it when it is read: AttributeError: 'list' object"),  # type: ignore[arg-type]
        (assigned(Measured(side=1), "side", "1"), "Measured .* would change it when it is read: side$"),
        (assigned(HumanMessage("x"), "id", 1), "HumanMessage .* would change it when it is read: id$"),
        (Marked(text="x"), "Marked .* would change it when it is read: text$"),
        (Doubled(1), "Doubled .* would change it when it is read: number$"),
    ],
    ids=lambda item: type(item).__name__ if not isinstance(item, str) else "",
)
def test_what_would_not_be_restored_as_it_is_is_refused_when_it_is_written(value: Any, reason: str) -> None:
    codec = Codec(types=(Measured, Parsed, Split, Marked, Doubled))

    with pytest.raises(Unserializable, match=rf"cannot store state\.log\[1\]: .*{reason}"):
        codec.dumps({"log": [1, value]}, where="state")


def test_what_equals_nothing_is_restored() -> None:
    assert (
        repr(back(Floats(items=[math.nan], named={"a": math.nan}), Floats)) == "Floats(items=[nan], named={'a': nan})"
    )


def test_a_dataclass_that_its_fields_do_not_make_again_cannot_be_registered() -> None:
    with pytest.raises(BadInput, match=r"do not hold \['seed'\]"):
        Codec(types=(Made,))


def test_two_classes_of_one_name_cannot_be_registered() -> None:
    one, other = (type("Same", (BaseModel,), {"__module__": "m"}) for _ in range(2))

    with pytest.raises(BadInput, match="two classes are called 'm:Same'"):
        registry_of((one, other))


@pytest.mark.parametrize(
    "value",
    [
        Send("node", {"a": (1, {2})}),
        Send("node", 1, timeout=timedelta(seconds=3)),
        Command(update={"a": 1}, goto=[Send("x", 1), "y"], resume={"id": "yes"}),
        Interrupt({"question": "ok?"}, id="1", response_schema={"type": "object"}),
        Overwrite([1, (2,)]),
        Item(value={"a": 1}, key="k", namespace=("n",), created_at=NOW, updated_at=NOW),
        TimeoutPolicy(run_timeout=1.5),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.30}",
)
def test_langgraphs_own_words_come_back_as_they_were(value: Any) -> None:
    assert back([value]) == [value]


@pytest.mark.parametrize(
    "value",
    [
        AIMessage(
            "text",
            id="1",
            tool_calls=[{"name": "search", "args": {"q": "x", "n": (1,)}, "id": "c1"}],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            response_metadata={"model": "m"},
        ),
        AIMessageChunk(content="text", tool_call_chunks=[{"name": "s", "args": "{", "id": "c", "index": 0}]),
        HumanMessage([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:"}}], name="n"),
        ToolMessage("done", tool_call_id="c1", artifact={"raw": b"\0"}, status="error"),
        RemoveMessage(id="1"),
        Document("text", metadata={"page": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_langchains_messages_come_back_as_they_were(value: Any) -> None:
    found = back({"messages": [value]})["messages"][0]

    assert found == value
    assert found.model_dump() == value.model_dump()
    assert found.model_fields_set == value.model_fields_set


def test_every_message_class_is_known() -> None:
    wanted = {
        "AIMessage",
        "AIMessageChunk",
        "HumanMessage",
        "SystemMessage",
        "ToolMessage",
        "RemoveMessage",
        "ChatMessage",
    }

    assert wanted <= {kind.__name__ for kind in LANGCHAIN.values()}
    assert all(issubclass(kind, messages.BaseMessage | Document) for kind in LANGCHAIN.values())


class Colour(Enum):
    RED = 1


class Leaf(BaseModel):
    colour: Colour = Colour.RED
    parent: Tree | None = None


class Tree(BaseModel):
    leaves: list[Leaf] = []


class Point(NamedTuple):
    where: Annotated[Mapping[str, Span], "meters"]


@dataclass
class Span:
    trees: dict[str, tuple[Tree, ...]]


Alias = NewType("Alias", Span)
Named = TypeAliasType("Named", list[Tree])


class State(TypedDict, total=False):
    point: NotRequired[Annotated[list[Point], operator.add]]
    kind: Literal["a", "b"]
    anything: Any


class Lost(TypedDict):
    name: NoSuchName  # type: ignore[name-defined]  # noqa: F821


ALL = {Point, Span, Tree, Leaf, Colour}


def test_every_class_in_a_schema_is_found_however_deep() -> None:
    assert set(types_in(State)) == ALL
    assert set(types_in(list[Alias])) == ALL - {Point}
    assert set(types_in(Leaf | None, Colour)) == {Leaf, Tree, Colour}
    assert set(types_in(Named, JsonValue)) == {Leaf, Tree, Colour}


def test_plain_annotations_hold_no_class() -> None:
    assert types_in(int, dict[str, list[int]], Any, None, Literal["a"]) == ()


def test_a_name_that_only_the_type_checker_sees_is_passed_over() -> None:
    assert types_in(Lost) == ()


def test_only_registrable_classes_of_imported_modules_are_found_by_name() -> None:
    names = {(__name__, "Leaf"), (__name__, "operator"), ("os", "system"), ("no.such", "Leaf"), (__name__, "Missing")}

    assert named_types(names) == (Leaf,)
