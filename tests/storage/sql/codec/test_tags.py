"""Classes are stored under names of their own, which do not depend on where they live."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import langchain_core.messages as m
import pytest
from langchain_core.documents import Document
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy
from pydantic import BaseModel

from guardgraph import state
from guardgraph.state import (
    AgentError,
    Allowance,
    BadInput,
    BoardEntry,
    ContextItem,
    DelegationScope,
    Delivery,
    EarlyStop,
    Event,
    Evidence,
    FrozenModel,
    Gap,
    GroundedClaim,
    Message,
    Opinion,
    Outcome,
    Plan,
    Reply,
    Request,
    Result,
    ReviewRequest,
    SideBudget,
    StorageCorrupt,
    Subtask,
    Task,
    Usage,
    Verdict,
    stored_as,
)
from guardgraph.storage.sql.codec.codec import (
    Codec,
    _registry_with,  # pyright: ignore[reportPrivateUsage]
)
from guardgraph.storage.sql.codec.tags import DELTA_SNAPSHOT, OWN

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FOUND = Evidence(source="a.md", quote="q", locator="L1")
VALUES: dict[str, Any] = {
    "AgentError": AgentError(kind="raised", message="no"),
    "Allowance": Allowance(tokens=5, usd=Decimal("0.5")),
    "BoardEntry": BoardEntry(board="plan", key="k", value=[1], version=2, number=3, author="a", at=NOW),
    "Delivery": Delivery(event="shop/7", subscriber="billing", status="handled", result="r"),
    "Ending": EarlyStop(status="degraded", stopped_by="Budget"),
    "Event": Event(type="order.placed", data={"n": 1}, source="shop", id="7"),
    "Evidence": FOUND,
    "Gap": Gap(subtask="b", reason="late"),
    "GroundedClaim": GroundedClaim(subject="s", attribute="a", value=1, evidence=(FOUND,)),
    "Message": Message(recipients=("b",), content=[1], commits={"usd": Decimal("0.5")}, sender="a", id="m"),
    "Opinion": Opinion(approved=False, reason="rude"),
    "ReviewRequest": ReviewRequest(id="i", result="r1", agent="w", question="q"),
    "Outcome": Outcome(status="degraded", gaps=(Gap(subtask="b", reason="late"),)),
    "Usage": Usage(input_tokens=3, usd=Decimal("0.1")),
    "Piece": ContextItem(kind="background", title="t"),
    "Plan": Plan(subtasks=(Subtask(id="a", goal="g"),)),
    "Subtask": Subtask(id="a", goal="g"),
    "Position": DelegationScope(run_id="r", account="r", spending_account="r/work", started=NOW),
    "SideBudget": SideBudget(per="agent", cap=Allowance(tokens=5), account="r"),
    "Reply": Reply(value=1, evidence=(FOUND,)),
    "Request": Request(task=Task(goal="g", id="t")),
    "Task": Task(goal="g", id="t"),
    "Result": Result(id="r1", agent="w", value={"x": [1]}),
    "Verdict": Verdict(guard="Depth", gate="dispatch", subject="a", measured=[1]),
    "Document": Document("text", id="d"),
    "AIMessage": m.AIMessage("a", id="1"),
    "AIMessageChunk": m.AIMessageChunk(content="a", id="1"),
    "ChatMessage": m.ChatMessage(content="a", role="r", id="1"),
    "ChatMessageChunk": m.ChatMessageChunk(content="a", role="r", id="1"),
    "FunctionMessage": m.FunctionMessage(content="a", name="f", id="1"),
    "FunctionMessageChunk": m.FunctionMessageChunk(content="a", name="f", id="1"),
    "HumanMessage": m.HumanMessage("a", id="1"),
    "HumanMessageChunk": m.HumanMessageChunk(content="a", id="1"),
    "RemoveMessage": m.RemoveMessage("1"),
    "SystemMessage": m.SystemMessage("a", id="1"),
    "SystemMessageChunk": m.SystemMessageChunk(content="a", id="1"),
    "ToolMessage": m.ToolMessage("a", tool_call_id="c", id="1"),
    "ToolMessageChunk": m.ToolMessageChunk(content="a", tool_call_id="c", id="1"),
    "Send": Send("n", {"a": 1}),
    "Command": Command(goto="n", update={"a": 1}),
    "Interrupt": Interrupt(value="v", id="i"),
    "Overwrite": Overwrite([1]),
    "TimeoutPolicy": TimeoutPolicy(run_timeout=1.0),
    "DeltaSnapshot": DELTA_SNAPSHOT([1]),
    "Item": Item(value={"a": 1}, key="k", namespace=("n",), created_at=NOW, updated_at=NOW),
}


def test_every_value_comes_back_and_says_nothing_of_where_its_class_lives() -> None:
    data = Codec().dumps(VALUES)

    assert Codec().loads(data) == VALUES
    for module in (b"guardgraph.state", b"langchain_core", b"langgraph.types"):
        assert module not in data


def test_the_names_of_what_is_stored_stay_as_they_are() -> None:
    tags = {record.name.tag for record in _registry_with(()).by_type.values()}

    assert tags == {
        *(f"guardgraph:{name}" for name in (
            "AgentError", "Allowance", "BoardEntry", "Claim", "Claims", "Delivery", "Ending", "Event", "Evidence",
            "Gap", "GroundedClaim", "Message", "Opinion", "Outcome", "Piece", "Plan", "Position", "Reply", "Request",
            "Result", "ReviewRequest", "RoutingDecision", "SideBudget", "Subtask", "Task", "Usage", "Verdict",
        )),
        *(f"langgraph:{name}" for name in (
            "Command", "DeltaSnapshot", "Interrupt", "Item", "Overwrite", "Send", "TimeoutPolicy",
        )),
        *(f"langchain:{name}{part}" for name in (
            "AIMessage", "BaseMessage", "ChatMessage", "FunctionMessage", "HumanMessage", "SystemMessage",
            "ToolMessage",
        ) for part in ("", "Chunk")),
        "langchain:Document",
        "langchain:RemoveMessage",
    }  # fmt: skip


def test_every_model_of_the_state_has_one() -> None:
    exported = [getattr(state, name) for name in state.__all__]
    models = {
        item
        for item in exported
        if isinstance(item, type) and issubclass(item, FrozenModel) and item is not FrozenModel
    }

    assert models - {state.RunEvent, state.StoredEvent} == set(OWN.values()), "events are stored as JSON"


def test_every_message_of_langchain_has_one() -> None:
    known = _registry_with(()).by_type
    found = [getattr(m, name) for name in m.__all__]

    assert not [
        kind for kind in found if isinstance(kind, type) and issubclass(kind, m.BaseMessage) and kind not in known
    ]


def a_model() -> tuple[type[Any], type[Any]]:
    class Invoice(BaseModel):
        sum: int
        note: str = ""

    @stored_as("shop:Bill", former=(f"{__name__}:a_model.<locals>.Invoice",), renamed={"sum": "total"})
    class Bill(BaseModel):
        total: int
        note: str = ""

    return Invoice, Bill


def a_dataclass() -> tuple[type[Any], type[Any]]:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Invoice:
        sum: int
        note: str = ""

    @stored_as("shop:Bill", former=(f"{__name__}:a_dataclass.<locals>.Invoice",), renamed={"sum": "total"})
    @dataclasses.dataclass(frozen=True, slots=True)
    class Bill:
        total: int
        note: str = ""

    return Invoice, Bill


def a_named_tuple() -> tuple[type[Any], type[Any]]:
    class Invoice(NamedTuple):
        sum: int
        note: str = ""

    @stored_as("shop:Bill", former=(f"{__name__}:a_named_tuple.<locals>.Invoice",), renamed={"sum": "total"})
    class Bill(NamedTuple):
        total: int
        note: str = ""

    return Invoice, Bill


@pytest.mark.parametrize("kinds", [a_model, a_dataclass, a_named_tuple])
def test_a_class_that_was_moved_and_has_renamed_fields_is_read(kinds: Callable[[], tuple[Any, Any]]) -> None:
    old, new = kinds()
    data = Codec(types=(old,)).dumps([old(sum=3)])

    [read] = Codec(types=(new,)).loads(data)
    assert (type(read), read) == (new, new(total=3))
    if isinstance(read, BaseModel):
        assert read.model_fields_set == {"total"}
    written = Codec(types=(new,)).dumps([new(total=4)])
    assert b"shop:Bill" in written
    assert __name__.encode() not in written
    assert Codec(types=(new,)).loads(written) == [new(total=4)]


def test_an_enum_takes_a_name_and_a_subclass_needs_its_own() -> None:
    @stored_as("shop:Colour")
    class Colour(Enum):
        RED = 1

    @stored_as("shop:Bill")
    class Bill(BaseModel):
        total: int

    class Receipt(Bill):
        paid: bool

    codec = Codec(types=(Colour, Bill, Receipt))
    data = codec.dumps([Colour.RED, Bill(total=1), Receipt(total=1, paid=True)])

    assert codec.loads(data) == [Colour.RED, Bill(total=1), Receipt(total=1, paid=True)]
    assert b"shop:Colour" in data
    assert b"Receipt" in data


def test_two_classes_with_one_name_are_refused() -> None:
    bills = [stored_as("shop:Bill")(type("Bill", (BaseModel,), {})) for _ in range(2)]
    former = stored_as("shop:New", former=("shop:Bill",))(type("New", (BaseModel,), {}))

    for pair in (bills, [bills[0], former]):
        with pytest.raises(BadInput, match=r"two classes are called 'shop:Bill'; .*or a name by `stored_as`"):
            Codec(types=tuple(pair))


@pytest.mark.parametrize(
    "tag", ["Bill", "guardgraph:Task", "langchain:AIMessage", "langgraph:Send", "", "a b:c", "a:b:c"]
)
def test_a_name_that_says_nothing_or_belongs_to_others_is_refused(tag: str) -> None:
    with pytest.raises(BadInput, match="a stored name is `application:Name`"):
        stored_as(tag)


def test_a_name_that_nobody_knows_is_corrupt() -> None:
    bill = stored_as("shop:Bill")(type("Bill", (BaseModel,), {"__annotations__": {}}))

    with pytest.raises(StorageCorrupt, match="stored data holds a 'shop:Bill', which is not registered"):
        Codec().loads(Codec(types=(bill,)).dumps(bill()))
