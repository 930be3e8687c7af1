"""Classes are stored under names of their own, which do not depend on where they live."""

from __future__ import annotations

import dataclasses
import zlib
from base64 import b85decode
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
    ContextItem,
    DelegationScope,
    EarlyStop,
    Evidence,
    FrozenModel,
    Gap,
    Outcome,
    Plan,
    Reply,
    Request,
    Result,
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
    "Ending": EarlyStop(status="degraded", stopped_by="Budget"),
    "Evidence": FOUND,
    "Gap": Gap(subtask="b", reason="late"),
    "Outcome": Outcome(status="degraded", gaps=(Gap(subtask="b", reason="late"),)),
    "Usage": Usage(input_tokens=3, usd=Decimal("0.1")),
    "Piece": ContextItem(kind="background", title="t"),
    "Plan": Plan(subtasks=(Subtask(id="a", goal="g"),)),
    "Subtask": Subtask(id="a", goal="g"),
    "Position": DelegationScope(run_id="r", account="r", spending_account="r/work", started=NOW),
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

# `VALUES`, as they were stored when tags said where a class lived: zlib, base 85.
BEFORE = """
c-qxjO>7)j9p6<KRf;$vA>dLKR1hH8#D`vnLlu$$kwA^&P{e8VJn!x9u(R_f@4c~W4k*D5PNE*-
O`!@%$YamPdgHWC399&LyC7gJAx=OMm)y9b9x9HA|9fv{JTtqS#v7xyKG?JS{$IcU_Z!zA|NT4d|9*Gx2ls2A9i8kDN1S1dvczl*{`r}XhZycK
<aV1}AVHdpaL*RT0o|3LXE``x$l?UYeZo2FkS&J>V$~&^;Yyb<vbpOyoQNme7O^oOs3U!{bJDiy3UW-
6{0#IxHK7k>=SEI>H4?N(9R87QkK?zW*gnyGIy8ZfkB8h_5{UQUDK&(TLrh%J9S<=<*tQ%pF4^*9&6zXie3~uiiq1ILaykhHBR@Uq6whg?Cqt9
H5Xny-2X-LC1dq6&u1j!hX*K$)hdV?>j37>(vS&8ZZ--
}=Eli|SPBsQ_O^JbPuNoQ6TEwZxOcJ1GABPt`Du{nEwyB8(Wn14|*#0_lljX+XH?v|1=j(Cm0Dmb&GPL8=lE4PSP;rg}7m4oQj@<|u^&DI;S^k
n{)0B!(Q^n7E!lZq&U%wBYdvd}As*jD7?0VI4;WDy4G9Ho?ET|uu)M@Ka<Di3Fo_zn<#`^}a5ZO%RW{fS)fmn+2WHu$Y8iU_XSf`GRZ_D35+O-
_l6D^(CwL9RJ!bh3se}BS1p>wsi+qX<cIRQUl_*6>glAN*_DMd>t2`KTuto@z4yWs0$3TvDhOpP&AK$7c+Li*Sgq^hD9-
W%)9GVc^<;W>*y4P9#t-kg#e7d^s-p-
9$M4;w8Zv)55k4TU9a;)@9IVZt`2q+ym&<$m%~%2DxSMjV{8k(0dJ82oy|AQw&ydAyc4qhtt)9W(}SOebE{WY@MV?4zJVk?nUz(6+z;-
l7iJICPmsnI%?hA@5nXJ&u&~`K6F|5d%E3lOU6Dpe@1pNkL97M9WA;XbHK19i0-
;`zjsn;2=)z{g5CUo}=6n7IpUP&rO|#ZhCHHgx4ZD2f%a|Bh!R55<Ux7DC<S+xcrm17d2XHJNal!{KJmEu`HDF+*9x6sM-
?Va{$KBO9@*hwHS<Jg5c!ipSbmx$Nycg*W}MXJ~epzlQ-d^QVzOPDp3b`Gg;wzImnW~PHP!@#wmhzT}<`7nvye67e_D|i<6{~z_~B-
{#^l8;5%T;xim|BUN@Ni`nyvHU)Fz8vKIqY8f()!gFG=Vz_0bRBxHGrEb-
;U>=7P0l=YE40&JuM$qg0o(HjvwbS$UZqBLj9Sl~#>^Uf9nPC=fRbL_*Ftd&6?BOyrN74=X^n04^q=5~*)ZVuaoVA=J{8h@I3AalS0`r>MnO4U
L^rWBb=3@&_N;u)P+Ymi#O-kh}~X`1`BkAX2;Y(Z~3{z|+|7>C~GFXUNKb!xh@ZPA{t)64$z8}(TW+l(@cyU4+`-
G)cC(n+quV)en_qCz6?Lgm2xJab;=x^muRtL~ItYf4wiJfz%H@J+gWDfRJlgkj4R$&INkXIY;bDb-
cI%Z8_A>3~>4hOp2<ew$rs@b`!*d=w#5jy6bp&a?Fvst$3F5xh|kZL4pIGVGfvPfD&yhNr3N^&zDa4{ZA!4Ev7RMV8YtDI-
ms9`fcA;>5^kugJo{piUr+1iG~A0@RkONk;^-Fx5>mmtDSP=6s51=j7RM>1MHCZ^#Z-F(K<DO=KB4>Ge2O=A*j^V>RWG-Ri9%*5Q}#Lg}~^RJL
*pm8vad1rF+yu{3{SBq+68Dr0WEW;swI7H$>3dqo8>7g6bblWHfmDy2$eLDv*j6-
}??Fi&+or?+4K4!GqD591a^|KeP}sVIE}KkembEmMjD3iY>@?PX<8-
ugd!a>A5~CAUv?kw{@D_rS}apXFuvP8bF1t8+OykYWn14H$*X3@cBK!}(*cV3dkn@<+h&<%h+gSmpyWq4{Wmz4|rJQSB;=&o2SjiCMVXDX~%ET
AvHrFcYUN@!JYhxtBgPn0pnAbddf8V4glK7{xjtqN!FK0lM99czu+IXb(_*aTcnsq%?~3^FaxfphB`eN|xO%+M`4BI{<O~;Xyn?P$rch5vn`qN
uMs0VrOg4Le!_&0wv5S@#KIu4}k|33n}8LKrF6u*vB#uzW@+lngxO@QlrE%UrZt`>WDDBR<cOv*B=1L!eM|sLWWJze?-
V`Ux3k?#pYiR8l7?m8wKk5cDF!^DcXK8+To))L`+z1*l)+__70n}X@bJ?yQafo%!Q^h_X;R<EdTSMSz86JSmr}Nq4|CGM6gI4oE&cq?n&_aE+d
J#ArIC9hhpM8+aUI`kLt0o`UEa(<M<TqL&w9(R~m!YtDNcC3!(aQ9C<F-KqP-
8ufl!#PX#Kd@9dlf2QuclA~70+UsdJgr)&D!>n}?;S+C~sxY;FrG~Rg@?p-
U)5+r$QikSTLvKF&ZzjHyuI7e;ETul}mgEy*7C5pA%^0i}%{m;+5qu$5Wb}ej^?A!5(kv16CZNaXAJVEcACbmF}4%{WXR7gMRS)`SK;bzaJmLr
-R?usPU+A1;S_6BF6^phW!u)+NlQdC{$<mr{{%>b&)mn42~M@Ad&nkGpeJGS9FBNHx*0xq;j%zCdl(t&yq$^QWS&4tP
"""


def test_what_was_stored_before_classes_had_names_of_their_own_is_read() -> None:
    data = zlib.decompress(b85decode("".join(BEFORE.split())))

    assert b"guardgraph.state.task:Task" in data
    assert b"langchain_core.messages.ai:AIMessage" in data
    assert Codec().loads(data) == VALUES
    again = Codec().dumps(VALUES)
    assert Codec().loads(again) == VALUES
    assert b"guardgraph.state" not in again
    assert b"langchain_core" not in again
    assert b"langgraph.types" not in again


def test_the_names_of_what_is_stored_stay_as_they_are() -> None:
    tags = {record.name.tag for record in _registry_with(()).by_type.values()}

    assert tags == {
        *(f"guardgraph:{name}" for name in (
            "AgentError", "Allowance", "Ending", "Evidence", "Gap", "Outcome", "Piece", "Plan", "Position", "Reply",
            "Request", "Result", "RoutingDecision", "Subtask", "Task", "Usage", "Verdict",
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

    assert models - {state.RunEvent} == set(OWN.values()), "an event is told, and not stored"


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
